//! What is wrong with a configuration, and where.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file, and on which of its lines (from 1) when that is known.
    File(PathBuf, Option<usize>),
    /// In an environment variable or an argument, by name.
    Named(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// A setting that broke a rule, on one line: `agentidpd.toml:7: tokens.lifetime: must be …`.
///
/// Values are not repeated where they could be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", line(.place, .key.as_deref(), .rule))]
pub struct ConfigError {
    /// Where it stands.
    pub place: Place,
    /// The setting's full name, such as `tokens.lifetime`.
    pub key: Option<String>,
    /// The rule that it broke.
    pub rule: Cow<'static, str>,
}

impl ConfigError {
    pub(super) fn new(place: Place, key: &str, rule: impl Into<Cow<'static, str>>) -> Self {
        Self {
            place,
            key: Some(key.to_owned()),
            rule: rule.into(),
        }
    }

    pub(super) fn whole(place: Place, rule: impl Into<Cow<'static, str>>) -> Self {
        Self {
            place,
            key: None,
            rule: rule.into(),
        }
    }
}

/// Something about a configuration that works and should not stay so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it stands.
    pub place: Place,
    /// The setting's full name, when it is about one.
    pub key: Option<String>,
    /// What to know.
    pub text: Cow<'static, str>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(&self.place, self.key.as_deref(), &self.text))
    }
}

fn line(place: &Place, key: Option<&str>, text: &str) -> String {
    match key {
        Some(key) => format!("{place}: {key}: {text}"),
        None => format!("{place}: {text}"),
    }
}
