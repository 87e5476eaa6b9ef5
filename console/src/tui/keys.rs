//! Which key does what. Help, the hint line and the dispatch are all made from this one table, so
//! a key that works is a key that is explained.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

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
    /// In the audit log.
    Audit,
}

impl Place {
    /// Its name in the help.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Anywhere => "Anywhere",
            Self::List => "Lists",
            Self::Agents => "Agents",
            Self::Detail => "One agent",
            Self::Audit => "Audit",
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
    Reload,
    Time,
    NextTab,
    Freeze,
    Follow,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) place: Place,
    keys: &'static [(KeyCode, KeyModifiers)],
    /// How the keys are written.
    pub(crate) label: &'static str,
    pub(crate) deed: Deed,
    /// What it does, in the help.
    pub(crate) help: &'static str,
    /// What it does, in the hint line; empty: not there.
    pub(crate) hint: &'static str,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;

macro_rules! bindings {
    ($( $place:ident: $deed:ident, $label:literal [$(($code:expr, $modifiers:expr)),+], $help:literal, $hint:literal; )+) => {
        &[$( Binding {
            place: Place::$place,
            keys: &[$(($code, $modifiers)),+],
            label: $label,
            deed: Deed::$deed,
            help: $help,
            hint: $hint,
        } ),+]
    };
}

/// The table.
#[rustfmt::skip]
pub(crate) const BINDINGS: &[Binding] = bindings! {
    Agents: Open, "enter" [(KeyCode::Enter, NONE)], "open the agent", "open";
    Agents: Menu, "a" [(KeyCode::Char('a'), NONE)], "actions on the agent", "actions";
    Agents: Filter, "/" [(KeyCode::Char('/'), NONE)], "filter: status=X owner=X org=X, a word, !word", "filter";
    Agents: Time, "t" [(KeyCode::Char('t'), NONE)], "times as age or in UTC", "";
    Detail: Menu, "a" [(KeyCode::Char('a'), NONE)], "actions on the agent and the credential", "actions";
    Detail: NextTab, "tab" [(KeyCode::Tab, NONE), (KeyCode::BackTab, NONE)], "credentials or audit", "next";
    Detail: Open, "enter" [(KeyCode::Enter, NONE)], "open the audit entry", "";
    Detail: Time, "t" [(KeyCode::Char('t'), NONE)], "times as age or in UTC", "";
    Audit: Follow, "f" [(KeyCode::Char('f'), NONE)], "follow the log", "follow";
    Audit: Freeze, "p" [(KeyCode::Char('p'), NONE)], "freeze what is shown, or follow again", "freeze";
    Audit: Filter, "/" [(KeyCode::Char('/'), NONE)], "filter: action=X outcome=X agent=X, a word, !word", "filter";
    Audit: Open, "enter" [(KeyCode::Enter, NONE)], "open the entry", "open";
    List: Down, "j down" [(KeyCode::Char('j'), NONE), (KeyCode::Down, NONE)], "next row", "";
    List: Up, "k up" [(KeyCode::Char('k'), NONE), (KeyCode::Up, NONE)], "row before", "";
    List: Top, "g home" [(KeyCode::Char('g'), NONE), (KeyCode::Home, NONE)], "first row", "";
    List: Bottom, "G end" [(KeyCode::Char('G'), NONE), (KeyCode::End, NONE)], "last row", "";
    List: PageDown, "^d pgdn" [(KeyCode::Char('d'), CTRL), (KeyCode::PageDown, NONE)], "half a screen down", "";
    List: PageUp, "^u pgup" [(KeyCode::Char('u'), CTRL), (KeyCode::PageUp, NONE)], "half a screen up", "";
    List: Reload, "^r" [(KeyCode::Char('r'), CTRL)], "read everything again", "";
    Anywhere: Undo, "U" [(KeyCode::Char('U'), NONE)], "undo the last suspend or resume", "";
    Anywhere: Back, "esc q" [(KeyCode::Esc, NONE), (KeyCode::Char('q'), NONE)], "back", "";
    Anywhere: CommandLine, ":" [(KeyCode::Char(':'), NONE)], "command: :q quits", "cmd";
    Anywhere: Help, "?" [(KeyCode::Char('?'), NONE)], "this help", "help";
    Anywhere: Health, "1" [(KeyCode::Char('1'), NONE)], "health", "";
    Anywhere: Agents, "2" [(KeyCode::Char('2'), NONE)], "agents", "";
    Anywhere: Credentials, "3" [(KeyCode::Char('3'), NONE)], "credentials", "";
    Anywhere: Approvals, "4" [(KeyCode::Char('4'), NONE)], "approvals", "";
    Anywhere: Audit, "5" [(KeyCode::Char('5'), NONE)], "audit", "";
    Anywhere: Keys, "6" [(KeyCode::Char('6'), NONE)], "signing keys", "";
    Anywhere: Cancel, "^c" [(KeyCode::Char('c'), CTRL)], "cancel the thing at hand", "";
    Anywhere: Redraw, "^l" [(KeyCode::Char('l'), CTRL)], "draw the screen anew", "";
    Anywhere: Stop, "^z" [(KeyCode::Char('z'), CTRL)], "stop; fg comes back", "";
};

/// What `key` asks for in the first of `places` that knows it.
pub(crate) fn find(places: &[Place], key: KeyEvent) -> Option<Deed> {
    // A terminal may or may not say that a capital needed the shift key.
    let modifiers = key.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
    places.iter().find_map(|place| {
        BINDINGS
            .iter()
            .filter(|binding| binding.place == *place)
            .find(|binding| binding.keys.contains(&(key.code, modifiers)))
            .map(|binding| binding.deed)
    })
}

/// The bindings of `places` that stand in the hint line.
pub(crate) fn hints(places: &[Place]) -> impl Iterator<Item = &'static Binding> {
    places.iter().flat_map(|place| {
        BINDINGS
            .iter()
            .filter(move |binding| binding.place == *place && !binding.hint.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for (index, one) in BINDINGS.iter().enumerate() {
            for other in BINDINGS.iter().skip(index + 1) {
                let is_shared =
                    one.place == other.place && one.keys.iter().any(|key| other.keys.contains(key));
                assert!(!is_shared, "{} in {:?}", one.label, one.place);
            }
        }
    }

    #[test]
    fn a_screen_key_shadows_no_list_or_global_key() {
        for one in BINDINGS {
            for other in BINDINGS {
                let outer = matches!(other.place, Place::List | Place::Anywhere);
                if outer && one.place != other.place && one.deed != other.deed {
                    assert!(
                        !one.keys.iter().any(|key| other.keys.contains(key)),
                        "{} of {:?}",
                        one.label,
                        one.place
                    );
                }
            }
        }
    }

    #[test]
    fn keys_that_multiplexers_use_are_left_alone() {
        for binding in BINDINGS {
            for taken in ['a', 'b'] {
                assert!(!binding.keys.contains(&(KeyCode::Char(taken), CTRL)));
            }
        }
    }
}
