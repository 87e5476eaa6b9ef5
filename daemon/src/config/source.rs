//! What was written down, in the file and in the environment, before it means anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::error::{ConfigError, Place, Warning};
use super::setting::{Form, SETTINGS, Setting, contents, is_section, variable};
use super::value::Rule;

/// Variables of our prefix that are no settings: the daemon's and the console's command lines read
/// them.
const OTHER_VARIABLES: &[&str] = &["AGENTIDP_CONFIG", "AGENTIDP_SOCKET"];
/// Variables that tests may set for themselves.
const TEST_VARIABLES: &str = "AGENTIDP_TEST_";

/// The variables of an environment. [`FromIterator`] makes one of `std::env::vars_os()`.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// Where the service manager put the credential `name`, if it gave one (`systemd.exec(5)`,
    /// "Credentials").
    pub(super) fn credential(&self, name: &str) -> Option<PathBuf> {
        let directory = self.0.get(&OsString::from("CREDENTIALS_DIRECTORY"))?;
        let path = Path::new(directory).join(name);
        path.try_exists().unwrap_or(false).then_some(path)
    }
}

/// A value and where it came from.
struct Given<'t> {
    value: Spanned<DeValue<'t>>,
    /// The variable that it came from; otherwise the file.
    variable: Option<String>,
}

/// All values that were given, by setting. The environment's stand above the file's.
pub(super) struct Sources<'t> {
    file: &'t Path,
    text: &'t str,
    given: BTreeMap<&'static str, Given<'t>>,
    pub(super) warnings: Vec<Warning>,
}

impl<'t> Sources<'t> {
    /// Reads the text of `file`, and `environment` above it.
    pub(super) fn read(
        file: &'t Path,
        text: &'t str,
        environment: &'t Environment,
    ) -> Result<Self, ConfigError> {
        let mut sources = Self {
            file,
            text,
            given: BTreeMap::new(),
            warnings: Vec::new(),
        };
        sources.add_file()?;
        sources.add_environment(environment)?;
        Ok(sources)
    }

    fn add_file(&mut self) -> Result<(), ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let place = self.line(error.span());
            ConfigError::whole(place, one_line(error.message()))
        })?;
        self.add_section(None, table.into_inner())
    }

    /// Adds what stands in a section; they go no deeper than the settings' names do.
    fn add_section(
        &mut self,
        section: Option<&str>,
        table: DeTable<'t>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = full_name(section, name.get_ref());
            if !is_section(&key) {
                self.add_from_file(section, &name, value)?;
                continue;
            }
            let DeValue::Table(table) = value.into_inner() else {
                let place = self.line(Some(name.span()));
                return Err(ConfigError::new(place, &key, "must be a section"));
            };
            self.add_section(Some(&key), table)?;
        }
        Ok(())
    }

    fn add_from_file(
        &mut self,
        section: Option<&str>,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: Spanned<DeValue<'t>>,
    ) -> Result<(), ConfigError> {
        let key = full_name(section, name.get_ref());
        let refuse = |rule: String| {
            // A quoted key may hold anything, line feeds included.
            let key = key.escape_debug().to_string();
            Err(ConfigError::new(self.line(Some(name.span())), &key, rule))
        };
        let Some(setting) = Setting::by_key(&key) else {
            return refuse(format!("is not a setting; {}", contents(section)));
        };
        if setting.form == Form::Secret {
            return refuse(format!(
                "must not stand in this file; set {key}_file, {variable} or {variable}_FILE",
                variable = setting.variable(),
            ));
        }
        self.given.insert(
            setting.key,
            Given {
                value,
                variable: None,
            },
        );
        Ok(())
    }

    fn add_environment(&mut self, environment: &'t Environment) -> Result<(), ConfigError> {
        for (name, value) in &environment.0 {
            let Some(name) = name.to_str().filter(|name| name.starts_with("AGENTIDP_")) else {
                continue;
            };
            let place = Place::Named(name.to_owned());
            let Some(setting) = SETTINGS.iter().find(|it| it.variable() == name) else {
                if !OTHER_VARIABLES.contains(&name) && !name.starts_with(TEST_VARIABLES) {
                    self.warnings.push(Warning {
                        place,
                        key: None,
                        text: "is not a setting, and is ignored".into(),
                    });
                }
                continue;
            };
            let Some(text) = value.to_str() else {
                return Err(ConfigError::new(
                    place,
                    setting.key,
                    "must be text in UTF-8",
                ));
            };
            let value = match setting.form {
                Form::Text | Form::Secret => Spanned::new(0..0, DeValue::String(text.into())),
                Form::Toml => DeValue::parse(text).map_err(|error| {
                    let rule = format!("must be a TOML value: {}", one_line(error.message()));
                    ConfigError::new(place, setting.key, rule)
                })?,
            };
            let given = Given {
                value,
                variable: Some(name.to_owned()),
            };
            self.given.insert(setting.key, given);
        }
        Ok(())
    }

    /// Whether `key` was given.
    pub(super) fn has(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Where `key` was given, or else the file where it could be.
    pub(super) fn place(&self, key: &str) -> Place {
        self.given.get(key).map_or_else(
            || Place::File(self.file.to_owned(), None),
            |it| self.place_of(it, it.value.span()),
        )
    }

    /// The error that `key` breaks `rule`, at its place.
    pub(super) fn refuse(
        &self,
        key: &str,
        rule: impl Into<std::borrow::Cow<'static, str>>,
    ) -> ConfigError {
        ConfigError::new(self.place(key), key, rule)
    }

    /// The text given for `key`, parsed.
    pub(super) fn text<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, Rule>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(given) = self.given.get(key) else {
            return Ok(None);
        };
        let text = given
            .value
            .get_ref()
            .as_str()
            .ok_or_else(|| self.refuse(key, "must be a text in quotation marks"))?;
        parse(text).map(Some).map_err(|rule| self.refuse(key, rule))
    }

    /// The text given for `key`, parsed as one of the domain's types.
    pub(super) fn word<T>(&self, key: &str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr<Err = agentidp_shared::FieldError>,
    {
        self.text(key, |text| {
            text.parse().map_err(|error: T::Err| error.rule.into())
        })
    }

    /// The value given for `key`, whatever its type in TOML.
    pub(super) fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        let Some(given) = self.given.get(key) else {
            return Ok(None);
        };
        let read = T::deserialize(ValueDeserializer::from(given.value.clone()));
        read.map(Some).map_err(|error| {
            let span = error.span().unwrap_or_else(|| given.value.span());
            ConfigError::new(self.place_of(given, span), key, one_line(error.message()))
        })
    }

    fn place_of(&self, given: &Given<'_>, span: Range<usize>) -> Place {
        match &given.variable {
            Some(variable) => Place::Named(variable.clone()),
            None => self.line(Some(span)),
        }
    }

    fn line(&self, span: Option<Range<usize>>) -> Place {
        let line = span.and_then(|span| {
            let before = self.text.get(..span.start)?;
            Some(before.matches('\n').count() + 1)
        });
        Place::File(self.file.to_owned(), line)
    }

    /// Refuses that a secret is given both itself and by the name of a file.
    ///
    /// Wherever the two stand: to let one win would be to guess which of two keys is meant.
    pub(super) fn refuse_both(&self, secret: &str) -> Result<(), ConfigError> {
        let file = format!("{secret}_file");
        if self.has(secret) && self.has(&file) {
            let rule = format!(
                "must not be given both by {} and by {file} ({})",
                variable(secret),
                self.place(&file)
            );
            return Err(self.refuse(secret, rule));
        }
        Ok(())
    }
}

fn full_name(section: Option<&str>, name: &str) -> String {
    match section {
        Some(section) => format!("{section}.{name}"),
        None => name.to_owned(),
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
