//! The list of settings: the one place where their names stand.
//!
//! To add one: a line here, a field and its rule in the parent module, a line in `default.toml` and
//! one in `docs/reference/configuration.md`; tests hold the four together.

/// How the environment writes a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the text itself.
    Text,
    /// As a TOML value.
    Toml,
    /// As the text itself, and in the environment only. `<key>_file` names a file that holds it.
    Secret,
}

/// A setting's name and form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    /// The full name, with a dot between section and key.
    pub(super) key: &'static str,
    /// How the environment writes it.
    pub(super) form: Form,
}

const fn setting(key: &'static str, form: Form) -> Setting {
    Setting { key, form }
}

/// Every setting that there is.
pub(super) const SETTINGS: &[Setting] = &[
    setting("issuer", Form::Text),
    setting("http.listen", Form::Text),
    setting("http.allow_plaintext", Form::Toml),
    setting("http.trusted_proxies", Form::Toml),
    setting("http.forwarded_header", Form::Text),
    setting("http.cors_origins", Form::Toml),
    setting("http.max_requests", Form::Toml),
    setting("http.tls.certificate", Form::Text),
    setting("http.tls.key", Form::Text),
    setting("limits.token.per_address", Form::Text),
    setting("limits.token.per_agent", Form::Text),
    setting("limits.token.per_organization", Form::Text),
    setting("limits.write.per_address", Form::Text),
    setting("limits.write.per_agent", Form::Text),
    setting("limits.write.per_organization", Form::Text),
    setting("limits.read.per_address", Form::Text),
    setting("limits.read.per_agent", Form::Text),
    setting("limits.read.per_organization", Form::Text),
    setting("operator.socket", Form::Text),
    setting("operator.roles", Form::Toml),
    setting("organizations.default_tier", Form::Text),
    setting("organizations.tiers", Form::Toml),
    setting("store.path", Form::Text),
    setting("store.head_file", Form::Text),
    setting("store.check_every", Form::Text),
    setting("store.reserve", Form::Text),
    setting("audit.keep_for", Form::Text),
    setting("audit.keep_bytes", Form::Text),
    setting("audit.checkpoint_file", Form::Text),
    setting("audit.checkpoint_command", Form::Toml),
    setting("audit.readers", Form::Toml),
    setting("audit.witnesses", Form::Toml),
    setting("backup.folder", Form::Text),
    setting("backup.every", Form::Text),
    setting("backup.keep", Form::Toml),
    setting("backup.keep_days", Form::Toml),
    setting("backup.recipients", Form::Toml),
    setting("backup.unencrypted", Form::Toml),
    setting("keys.algorithm", Form::Text),
    setting("keys.rotation_period", Form::Text),
    setting("keys.jwks_max_age", Form::Text),
    setting("keys.key_encryption_key", Form::Secret),
    setting("keys.key_encryption_key_file", Form::Text),
    setting("keys.previous_key_encryption_key", Form::Secret),
    setting("keys.previous_key_encryption_key_file", Form::Text),
    setting("tokens.lifetime", Form::Text),
    setting("tokens.default_audience", Form::Text),
    setting("metrics.listen", Form::Text),
    setting("credentials.warn_before", Form::Toml),
    setting("log.level", Form::Text),
    setting("log.directory", Form::Text),
];

impl Setting {
    /// The setting of this full name.
    pub(super) fn by_key(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The environment variable that overrides it.
    pub(super) fn variable(&self) -> String {
        variable(self.key)
    }

    fn section(&self) -> Option<&'static str> {
        self.key.rsplit_once('.').map(|(section, _)| section)
    }
}

/// The environment variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("AGENTIDP_{}", key.replace('.', "_").to_uppercase())
}

/// Every section, and every one that has only sections, in order; some more than once.
fn sections() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().flat_map(|setting| {
        let dots = setting.key.match_indices('.');
        dots.filter_map(|(at, _)| setting.key.get(..at))
    })
}

/// Whether there is a section of this full name.
pub(super) fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

/// What stands in a section, or at the top level, for the error about what does not.
pub(super) fn contents(section: Option<&str>) -> String {
    let mut names: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| setting.section() == section && setting.form != Form::Secret)
        .map(|setting| {
            setting
                .key
                .rsplit('.')
                .next()
                .unwrap_or(setting.key)
                .to_owned()
        })
        .collect();
    let place = section.map_or_else(|| "the file".to_owned(), |section| format!("[{section}]"));
    let is_within = |it: &&str| it.rsplit_once('.').map(|(parent, _)| parent) == section;
    for section in sections().filter(is_within) {
        let name = format!("[{section}]");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    format!("{place} has {}", names.join(", "))
}
