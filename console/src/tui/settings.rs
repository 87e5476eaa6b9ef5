//! What an operator likes: keys, colours and habits, from a file in TOML.
//!
//! ```toml
//! theme = "colour-blind"    # sixteen, monochrome, colour-blind
//! read-only = false
//! clock = true
//!
//! [colours]                 # over the theme's: good, warn, bad, key
//! good = "light-blue"
//!
//! [keys.list]               # by place, and in it by what they do
//! page-down = ["^f", "pgdn"]
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::args::ScreenArgs;
use crate::error::Error;

use super::keys::KeyMap;
use super::style::{Colours, Palette};

/// Where the file is below the folder of configuration.
const FILE: &str = "agentidp/console.toml";

/// What holds for one run of the console.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) palette: Palette,
    pub(super) key_map: KeyMap,
    pub(super) is_read_only: bool,
    pub(super) shows_keys: bool,
    pub(super) shows_clock: bool,
}

/// What a file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    theme: Option<Theme>,
    read_only: bool,
    demo_keys: bool,
    clock: bool,
    colours: BTreeMap<String, Spanned<String>>,
    keys: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// The themes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Theme {
    Sixteen,
    Monochrome,
    ColourBlind,
}

impl Settings {
    /// What the options, the file and the environment say; the options first.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] when the file is not as it should be, or one that was named cannot be read.
    pub(super) fn read(
        args: &ScreenArgs,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let usual = usual_path(&env);
        let (path, text) = match (&args.config, usual) {
            (Some(path), _) => (path.clone(), std::fs::read_to_string(path)),
            (None, Some(path)) => {
                let text = match std::fs::read_to_string(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                    other => other,
                };
                (path, text)
            }
            (None, None) => (PathBuf::new(), Ok(String::new())),
        };
        let wrong = |path: &Path, why: String| {
            Error::usage(
                format!("{}: {why}", path.display()),
                "correct it, or name another file with --config FILE",
            )
        };
        let text = text.map_err(|error| wrong(&path, error.to_string()))?;
        let term = env("TERM").unwrap_or_default();
        let palette = Palette::choose(env("NO_COLOR").as_deref(), &term);
        Self::parse(&text, args, palette).map_err(|why| wrong(&path, why))
    }

    fn parse(text: &str, args: &ScreenArgs, palette: Palette) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| match error.span() {
            Some(place) => format!("{}: {}", line_of(text, place.start), error.message()),
            None => error.message().to_owned(),
        })?;
        let mut key_map = KeyMap::default();
        key_map.rebind(&file.keys)?;
        let mut colours = match file.theme {
            Some(Theme::ColourBlind) => Colours::SAFE,
            _ => Colours::SIXTEEN,
        };
        for (name, colour) in &file.colours {
            let line = line_of(text, colour.span().start);
            let colour = colour.get_ref();
            let known = colours
                .get_mut(name)
                .ok_or_else(|| format!("{line}: no colour is for {name}: good, warn, bad, key"))?;
            *known = colour.parse().ok().ok_or_else(|| {
                format!(
                    "{line}: colours.{name}: {colour} is no colour: blue, light-blue, #5f87ff, 12, .."
                )
            })?;
        }
        // A terminal without colours, and NO_COLOR, know better than a file.
        let palette = match (palette, file.theme) {
            (Palette::Mono, _) | (_, Some(Theme::Monochrome)) => Palette::Mono,
            (Palette::Colours(_), _) => Palette::Colours(colours),
        };
        Ok(Self {
            palette,
            key_map,
            is_read_only: file.read_only,
            shows_keys: args.demo_keys || file.demo_keys,
            shows_clock: file.clock,
        })
    }
}

/// The line of `text` that has the byte `at`.
fn line_of(text: &str, at: usize) -> String {
    let before = text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    format!("line {}", before + 1)
}

/// The file that is read when none is named: below the XDG folder of configuration.
fn usual_path(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").filter(|it| it.is_absolute());
    let folder = folder.or_else(|| set("HOME").map(|home| home.join(".config")));
    folder.map(|it| it.join(FILE))
}

#[cfg(test)]
mod tests {
    use ratatui::style::Color;

    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, &ScreenArgs::default(), Palette::SIXTEEN)
    }

    #[test]
    fn nothing_said_is_what_is_usual() {
        let settings = parse("").unwrap();
        assert_eq!(settings.palette, Palette::SIXTEEN);
        assert!(!settings.is_read_only && !settings.shows_keys && !settings.shows_clock);
    }

    #[test]
    fn a_file_says_what_an_operator_likes() {
        let settings = parse(
            "theme = 'colour-blind'\nread-only = true\n[colours]\ngood = 'light-blue'\n\
             [keys.list]\npage-down = ['^f', 'pgdn']",
        )
        .unwrap();
        assert!(settings.is_read_only);
        let colours = Colours {
            good: Color::LightBlue,
            ..Colours::SAFE
        };
        assert_eq!(settings.palette, Palette::Colours(colours));
        let bindings = settings.key_map.bindings();
        assert!(bindings.iter().any(|it| it.label == "^f pgdn"));
        assert_eq!(
            parse("theme = 'monochrome'").unwrap().palette,
            Palette::Mono
        );
    }

    #[test]
    fn a_terminal_without_colours_is_not_overruled() {
        let settings = Settings::parse(
            "theme = 'colour-blind'",
            &ScreenArgs::default(),
            Palette::Mono,
        );
        assert_eq!(settings.unwrap().palette, Palette::Mono);
    }

    #[test]
    fn what_a_file_cannot_mean_is_refused() {
        for (text, part) in [
            ("\ntheme = 'neon'", "line 2: unknown variant `neon`"),
            ("speed = 9", "line 1: unknown field `speed`"),
            ("clock =", "line 1: "),
            (
                "[colours]\ngood = 'nice'",
                "line 2: colours.good: nice is no colour",
            ),
            (
                "[colours]\n\nugly = 'red'",
                "line 3: no colour is for ugly: good, warn",
            ),
            ("[keys.list]\ndown = ['a']", "means"),
            ("[keys.list]\ndown = 'j'", "sequence"),
        ] {
            let error = parse(text).map(|_| ()).unwrap_err();
            assert!(
                error.contains(part) && !error.contains('\n'),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        let env = |name: &str| (name == "HOME").then(|| home.clone());
        assert!(Settings::read(&ScreenArgs::default(), env).is_ok());
        let args = ScreenArgs {
            config: Some(folder.path().join("none.toml")),
            ..ScreenArgs::default()
        };
        assert_eq!(
            Settings::read(&args, env)
                .map(|_| ())
                .unwrap_err()
                .exit_code(),
            2
        );
        let usual = folder.path().join(".config/agentidp");
        std::fs::create_dir_all(&usual).unwrap();
        std::fs::write(usual.join("console.toml"), "read-only = true").unwrap();
        assert!(
            Settings::read(&ScreenArgs::default(), env)
                .unwrap()
                .is_read_only
        );
    }
}
