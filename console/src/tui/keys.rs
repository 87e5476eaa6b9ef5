//! Which key does what. Help, the hint line and the dispatch are all made from one table, so a key
//! that works is a key that is explained. A file may bind other keys to what the table has.

use std::collections::BTreeMap;

use crossterm::event::KeyEvent;

use super::key_name::{Key, label, parse, plain};
use super::key_table::{ROWS, Row};

/// Where a key is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anywhere but in a line of text or a dialog.
    Anywhere,
    /// In every list.
    List,
    /// In the list of agents.
    Agents,
    /// In one agent's screen.
    Detail,
    /// In the screen of the daemon's health.
    Health,
    /// In the list of credentials.
    Credentials,
    /// In the audit log.
    Audit,
    /// In the list of signing keys.
    Keys,
}

impl Place {
    const ALL: [Self; 8] = [
        Self::Health,
        Self::Agents,
        Self::Detail,
        Self::Credentials,
        Self::Audit,
        Self::Keys,
        Self::List,
        Self::Anywhere,
    ];

    /// Its name in the help.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Anywhere => "Anywhere",
            Self::List => "Lists",
            Self::Agents => "Agents",
            Self::Detail => "One agent",
            Self::Health => "Health",
            Self::Credentials => "Credentials",
            Self::Audit => "Audit",
            Self::Keys => "Signing keys",
        }
    }

    /// Its name in a file of keys.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Anywhere => "anywhere",
            Self::List => "list",
            Self::Agents => "agents",
            Self::Detail => "agent",
            Self::Health => "health",
            Self::Credentials => "credentials",
            Self::Audit => "audit",
            Self::Keys => "keys",
        }
    }
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Health,
    Agents,
    Credentials,
    Approvals,
    Audit,
    Keys,
    CommandLine,
    CommandLog,
    Filter,
    Help,
    Back,
    Cancel,
    Redraw,
    Stop,
    Undo,
    Down,
    Up,
    Top,
    Bottom,
    PageDown,
    PageUp,
    Open,
    Menu,
    MenuOfAll,
    Mark,
    Range,
    Unmark,
    Sort,
    Reverse,
    Reload,
    Time,
    Copy,
    Json,
    NextTab,
    TabBefore,
    NextKind,
    Freeze,
    Follow,
    Search,
    NextMatch,
    MatchBefore,
    Export,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) place: Place,
    keys: Vec<Key>,
    /// How the keys are written.
    pub(crate) label: String,
    pub(crate) deed: Deed,
    /// What a file calls it.
    pub(crate) name: String,
    /// What it does, in the help.
    pub(crate) help: &'static str,
    /// What it does, in the hint line; empty: not there.
    pub(crate) hint: &'static str,
}

impl Binding {
    /// The key that is written first.
    pub(crate) fn first_key(&self) -> &str {
        self.label.split(' ').next().unwrap_or_default()
    }
}

/// The keys that are in force.
#[derive(Debug, Clone)]
pub(crate) struct KeyMap(Vec<Binding>);

impl Default for KeyMap {
    fn default() -> Self {
        Self(ROWS.iter().map(binding).collect())
    }
}

fn binding(row: &Row) -> Binding {
    Binding {
        place: row.place,
        keys: row.keys.split(' ').filter_map(parse).collect(),
        label: row.keys.to_owned(),
        deed: row.deed,
        name: kebab(row.name),
        help: row.help,
        hint: row.hint,
    }
}

impl KeyMap {
    /// Every binding, in the order of the table.
    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.0
    }

    /// What `key` asks for in the first of `places` that knows it.
    pub(crate) fn find(&self, places: &[Place], key: KeyEvent) -> Option<Deed> {
        let key = plain(key);
        places.iter().find_map(|place| {
            self.0
                .iter()
                .filter(|binding| binding.place == *place)
                .find(|binding| binding.keys.contains(&key))
                .map(|binding| binding.deed)
        })
    }

    /// The bindings of `places` that stand in the hint line.
    pub(crate) fn hints(&self, places: &[Place]) -> impl Iterator<Item = &Binding> {
        places.iter().flat_map(|place| {
            self.0
                .iter()
                .filter(move |binding| binding.place == *place && !binding.hint.is_empty())
        })
    }

    /// Binds other keys, as a file has them: by place, and in it by what they do.
    pub(crate) fn rebind(
        &mut self,
        file: &BTreeMap<String, BTreeMap<String, Vec<String>>>,
    ) -> Result<(), String> {
        for (place, deeds) in file {
            let Some(place) = Place::ALL.into_iter().find(|it| it.word() == place) else {
                let places = Place::ALL.map(Place::word).join(", ");
                return Err(format!("there is no place {place}: use one of {places}"));
            };
            for (name, keys) in deeds {
                self.bind(place, name, keys)?;
            }
        }
        self.check()
    }

    fn bind(&mut self, place: Place, name: &str, keys: &[String]) -> Result<(), String> {
        let of_place = || self.0.iter().filter(|it| it.place == place);
        let Some(at) = self
            .0
            .iter()
            .position(|it| it.place == place && it.name == name)
        else {
            let names: Vec<_> = of_place().map(|it| it.name.as_str()).collect();
            return Err(format!(
                "{} has no {name}: it has {}",
                place.word(),
                names.join(", ")
            ));
        };
        let mut parsed = Vec::new();
        for key in keys {
            let known = parse(key).ok_or_else(|| {
                format!("{key} is no key: a character, ^x, enter, esc, tab, space, up, f5, ...")
            })?;
            parsed.push(known);
        }
        if let Some(binding) = self.0.get_mut(at) {
            binding.keys = parsed;
            binding.label = keys.join(" ");
        }
        Ok(())
    }

    /// No key may mean two things where both can be meant, and there has to be a way back.
    fn check(&self) -> Result<(), String> {
        for (index, one) in self.0.iter().enumerate() {
            for other in self.0.iter().skip(index + 1) {
                let is_outer = |it: &Binding| matches!(it.place, Place::List | Place::Anywhere);
                let meet = one.place == other.place || is_outer(one) || is_outer(other);
                if meet
                    && one.deed != other.deed
                    && let Some(key) = one.keys.iter().find(|key| other.keys.contains(key))
                {
                    return Err(format!(
                        "{} means {} ({}) and {} ({})",
                        label(*key),
                        one.name,
                        one.place.word(),
                        other.name,
                        other.place.word()
                    ));
                }
            }
        }
        let needed = [Deed::CommandLine, Deed::Back, Deed::Help];
        match self
            .0
            .iter()
            .find(|it| needed.contains(&it.deed) && it.keys.is_empty())
        {
            Some(lost) => Err(format!("{} needs a key", lost.name)),
            None => Ok(()),
        }
    }
}

/// `PageDown` as `page-down`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};

    use super::*;

    fn file(place: &str, name: &str, keys: &[&str]) -> Result<KeyMap, String> {
        let keys = keys.iter().map(ToString::to_string).collect();
        let deeds = BTreeMap::from([(name.to_owned(), keys)]);
        let mut map = KeyMap::default();
        map.rebind(&BTreeMap::from([(place.to_owned(), deeds)]))?;
        Ok(map)
    }

    #[test]
    fn every_key_of_the_table_is_one_and_none_means_two_things() {
        for row in ROWS {
            for key in row.keys.split(' ') {
                let parsed = parse(key).unwrap_or_else(|| panic!("{key}"));
                assert_eq!(label(parsed), key);
            }
        }
        KeyMap::default().check().unwrap();
    }

    #[test]
    fn keys_that_multiplexers_use_are_left_alone() {
        for binding in KeyMap::default().bindings() {
            for taken in ['a', 'b'] {
                let key = (KeyCode::Char(taken), KeyModifiers::CONTROL);
                assert!(!binding.keys.contains(&key));
            }
        }
    }

    #[test]
    fn a_file_binds_other_keys_and_the_help_says_so() {
        let map = file("list", "page-down", &["f5", "^n"]).unwrap();
        let key = KeyEvent::new(KeyCode::Char('n'), KeyModifiers::CONTROL);
        assert_eq!(map.find(&[Place::List], key), Some(Deed::PageDown));
        let old = KeyEvent::new(KeyCode::PageDown, KeyModifiers::NONE);
        assert_eq!(map.find(&[Place::List], old), None);
        let is_there = |it: &Binding| it.deed == Deed::PageDown && it.label == "f5 ^n";
        assert!(map.bindings().iter().any(is_there));
    }

    #[test]
    fn a_file_that_would_make_a_key_mean_two_things_is_refused() {
        for (place, name, keys, part) in [
            ("list", "down", &["a"][..], "means"),
            ("agents", "sort", &["a"], "means"),
            ("nowhere", "down", &["j"], "no place"),
            ("list", "fly", &["j"], "has no fly"),
            ("list", "down", &["ctrl-j"], "no key"),
            ("anywhere", "command-line", &[], "needs a key"),
        ] {
            let error = file(place, name, keys).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
