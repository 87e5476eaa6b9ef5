//! The rules of single settings: from the text that a person wrote to a typed value.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentidp_shared::duration::{self, DurationError};
use agentidp_shared::key_schedule::LONGEST_JWKS_MAX_AGE;
use agentidp_shared::merkle::{SignatureType, VerifierKey};
use agentidp_shared::{OrganizationId, OrganizationName, Rate, Resource, Role, Tier};
use http::Uri;
use nix::unistd::{Group, User};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::witness::parse_url;

/// The rule that a value broke, as a sentence without a full stop.
pub(super) type Rule = Cow<'static, str>;

/// The users and groups that have a role on the operators' socket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleMapping {
    /// The role.
    pub role: Role,
    /// Users, by name or by decimal number.
    #[serde(default, deserialize_with = "accounts")]
    pub users: Vec<String>,
    /// Groups, by name or by decimal number.
    #[serde(default, deserialize_with = "accounts")]
    pub groups: Vec<String>,
    /// The organizations that there are for them, by name or id; absent: all, and what belongs to
    /// none. One that does not exist is nothing.
    #[serde(default, deserialize_with = "organizations")]
    pub organizations: Option<Vec<String>>,
}

/// A tier: what an organization of it may have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierSetting {
    /// Its name.
    pub name: Tier,
    /// How many agents that have not ended; absent: without limit.
    pub agents: Option<u64>,
    /// How many tokens in a calendar month (UTC); absent: without limit.
    pub tokens_per_month: Option<u64>,
}

/// A witness of the audit log's checkpoints: C2SP tlog-witness.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessSetting {
    /// Its prefix of submissions.
    pub url: String,
    /// What verifies its signatures (C2SP vkey).
    pub key: String,
    /// The file with the certificates of the authorities that it is trusted by, in PEM; absent: the system's.
    pub authorities: Option<PathBuf>,
}

impl WitnessSetting {
    /// Its key and its URL.
    pub(crate) fn parsed(&self) -> Result<(VerifierKey, Uri), Rule> {
        let key: VerifierKey = self.key.parse().map_err(|error| format!("key: {error}"))?;
        if key.signs() != SignatureType::Cosignature {
            return Err("key: must be that of a witness (type 0x04), not of a log".into());
        }
        let uri = parse_url(&self.url);
        let uri = uri.ok_or("url: must be an http or https URL without a query, such as https://witness.example.com/log")?;
        Ok((key, uri))
    }
}

/// Up to eight witnesses, each with a name of its own.
pub(super) fn check_witnesses(witnesses: &[WitnessSetting]) -> Result<(), Rule> {
    let mut names = BTreeSet::from(["daemon".to_owned(), "file".to_owned(), "command".to_owned()]);
    if witnesses.len() > 8 {
        return Err("must be at most 8".into());
    }
    for witness in witnesses {
        let (key, _) = witness.parsed()?;
        if !names.insert(key.name().to_owned()) {
            return Err("must have keys of different names".into());
        }
    }
    Ok(())
}

/// The tiers that there are when the configuration names none; the first is the default.
pub(super) fn default_tiers() -> Vec<TierSetting> {
    let tier = |name: &str, agents, tokens_per_month| {
        let name = name.parse().ok()?;
        Some(TierSetting {
            name,
            agents,
            tokens_per_month,
        })
    };
    let tiers = [
        tier("free", Some(100), Some(10_000)),
        tier("unlimited", None, None),
    ];
    tiers.into_iter().flatten().collect()
}

/// Whether there are tiers, each of a name of its own.
pub(super) fn check_tiers(tiers: &[TierSetting]) -> Result<(), Rule> {
    if tiers.is_empty() {
        return Err("must not be empty: no organization could be created".into());
    }
    let mut names = BTreeSet::new();
    match tiers.iter().find(|tier| !names.insert(&tier.name)) {
        Some(tier) => Err(format!("must have the tier {} only once", tier.name).into()),
        None => Ok(()),
    }
}

/// Which events are logged: a level, and levels of single targets.
///
/// Kept as the text, checked, because an [`EnvFilter`] cannot be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter.
    #[must_use]
    pub fn to_filter(&self) -> EnvFilter {
        // The text was checked when the value was made.
        EnvFilter::builder().parse_lossy(&self.0)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// The same rules for the issuer as for a resource, which the default audience is, and more.
pub(super) fn issuer(text: &str) -> Result<String, Rule> {
    const RULE: Rule = Cow::Borrowed(
        "must be an https URL in lower case up to its path, at most 256 bytes, without user, query, \
         fragment or slash at its end",
    );
    const PLAIN: Rule = Cow::Borrowed("must be an https URL; http is for loopback addresses only");
    // The standard compares issuers byte by byte (RFC 8414, section 3.3), so one that a library
    // would rewrite on its way is refused.
    text.parse::<Resource>().map_err(|_error| RULE)?;
    let (is_https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(RULE),
    };
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, None), |(a, p)| (a, Some(p)));
    let is_plain_path = path.is_none_or(|path| {
        path.split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."))
    });
    if text.contains('?') || authority.bytes().any(|b| b.is_ascii_uppercase()) || !is_plain_path {
        return Err(RULE);
    }
    if !is_https && !is_loopback(authority) {
        return Err(PLAIN);
    }
    Ok(text.to_owned())
}

/// Whether a URL's authority can only be this machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What tokens are for (RFC 8707, section 2).
pub(super) fn audience(text: &str) -> Result<String, Rule> {
    text.parse::<Resource>()
        .map(String::from)
        .map_err(|error| error.rule.into())
}

/// `address:port`. Names are not resolved: what is listened on must not hang on another server.
pub(super) fn address(text: &str) -> Result<SocketAddr, Rule> {
    text.parse().map_err(|_error| {
        "must be an IP address and port such as 127.0.0.1:8420 or [::1]:8420".into()
    })
}

/// `address:port`, or `off`.
pub(super) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, Rule> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_error| {
        "must be off, or an IP address and port such as 127.0.0.1:9464 or [::1]:9464".into()
    })
}

/// A path; it need not exist yet.
pub(super) fn path(text: &str) -> Result<PathBuf, Rule> {
    if text.is_empty() || text.contains('\0') {
        return Err("must be a path".into());
    }
    Ok(text.into())
}

/// A program by its whole path, and its arguments.
pub(super) fn check_command(command: &[String]) -> Result<(), Rule> {
    if command.iter().any(|it| it.contains('\0')) {
        return Err("must have no NUL".into());
    }
    if !command
        .first()
        .is_some_and(|it| Path::new(it).is_absolute())
    {
        return Err(
            "must begin with the whole path of a program, such as /usr/local/bin/send".into(),
        );
    }
    Ok(())
}

/// How much of the disk is kept: 1 MiB to 1 TiB, or none.
pub(super) fn reserve(text: &str) -> Result<u64, Rule> {
    const RULE: &str =
        "must be a whole number with MiB or GiB, such as 64MiB, between 1MiB and 1024GiB; or off";
    if text == "off" {
        return Ok(0);
    }
    let count = quantity(text, &[("MiB", 1), ("GiB", 1_024)]).ok_or(RULE)?;
    if !(1..=1_048_576).contains(&count) {
        return Err(RULE.into());
    }
    Ok(count << 20)
}

/// The path of a Unix socket: `sun_path` of `unix(7)` holds 108 bytes with the NUL at its end.
pub(super) fn socket(text: &str) -> Result<PathBuf, Rule> {
    if text.len() > 107 {
        return Err("must be at most 107 bytes, as paths of sockets are".into());
    }
    path(text)
}

/// How long tokens live, to the second: 1 s to 24 h.
pub(super) fn lifetime(text: &str) -> Result<Duration, Rule> {
    let seconds = seconds(text).ok_or("must be a duration such as 15m")?;
    if !(1..=86_400).contains(&seconds) {
        return Err("must be between 1s and 24h".into());
    }
    Ok(Duration::from_secs(seconds))
}

/// How long the JWKS may be cached: 1 s to an hour.
pub(super) fn jwks_max_age(text: &str) -> Result<Duration, Rule> {
    let seconds = seconds(text).ok_or("must be a duration such as 5m")?;
    if !(1..=LONGEST_JWKS_MAX_AGE.as_secs()).contains(&seconds) {
        return Err("must be between 1s and 1h".into());
    }
    Ok(Duration::from_secs(seconds))
}

/// How long a signing key signs: 1 h to ten years, or for ever. With less than an hour, the JWKS
/// would hold dozens of keys that wait for their last tokens to expire.
pub(super) fn rotation_period(text: &str) -> Result<Option<Duration>, Rule> {
    if text == "never" {
        return Ok(None);
    }
    let seconds = seconds(text).ok_or("must be never, or a duration such as 30d")?;
    if !(3_600..=3_650 * 86_400).contains(&seconds) {
        return Err("must be never, or between 1h and 3650d".into());
    }
    Ok(Some(Duration::from_secs(seconds)))
}

/// How often a backup is made: a minute to 30 days, or only when an operator asks.
pub(super) fn backup_every(text: &str) -> Result<Option<Duration>, Rule> {
    if text == "off" {
        return Ok(None);
    }
    let seconds = seconds(text).ok_or("must be off, or a duration such as 6h")?;
    if !(60..=30 * 86_400).contains(&seconds) {
        return Err("must be off, or between 1m and 30d".into());
    }
    Ok(Some(Duration::from_secs(seconds)))
}

/// How old audit entries become: a day to a hundred years, or as old as they like.
pub(super) fn keep_for(text: &str) -> Result<Option<Duration>, Rule> {
    if text == "forever" {
        return Ok(None);
    }
    let seconds = seconds(text).ok_or("must be forever, or a duration such as 90d")?;
    if !(86_400..=36_500 * 86_400).contains(&seconds) {
        return Err("must be forever, or between 1d and 36500d".into());
    }
    Ok(Some(Duration::from_secs(seconds)))
}

/// Recipients of age that are X25519 keys.
pub(super) fn check_recipients(recipients: &[String]) -> Result<(), Rule> {
    let is_one = |text: &String| text.parse::<age::x25519::Recipient>().is_ok();
    match recipients.iter().find(|text| !is_one(text)) {
        // An identity, which is a secret, may have been written there by mistake.
        Some(_) => Err("must be age recipients: each age1… as age-keygen prints it".into()),
        None => Ok(()),
    }
}

/// How much of the index audit entries may take: 1 MiB or more, or all.
pub(super) fn keep_bytes(text: &str) -> Result<Option<u64>, Rule> {
    if text == "all" {
        return Ok(None);
    }
    let mebibytes = quantity(text, &[("MiB", 1), ("GiB", 1_024)])
        .filter(|count| (1..=1 << 30).contains(count))
        .ok_or("must be all, or a whole number with MiB or GiB, such as 20GiB")?;
    Ok(Some(mebibytes << 20))
}

/// How long before a credential expires that is said: at most eight times, each from an hour to a
/// year.
pub(super) fn warn_before(texts: &[String]) -> Result<Vec<Duration>, Rule> {
    if texts.len() > 8 {
        return Err("must be at most 8 durations".into());
    }
    let duration = |text: &String| {
        let seconds = seconds(text).ok_or("must be durations such as 7d")?;
        if !(3_600..=365 * 86_400).contains(&seconds) {
            return Err("must each be between 1h and 365d".into());
        }
        Ok(Duration::from_secs(seconds))
    };
    texts.iter().map(duration).collect()
}

/// How many seconds a duration is; more than there can be is as much as there can.
fn seconds(text: &str) -> Option<u64> {
    match duration::parse(text) {
        Ok(duration) => Some(duration.as_secs()),
        Err(DurationError::TooLong) => Some(u64::MAX),
        Err(DurationError::Form) => None,
    }
}

/// A whole number with one of `units`, in what these count; more than there can be is as much as there can.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, length) = units
        .iter()
        .find_map(|(unit, length)| Some((text.strip_suffix(unit)?, length)))?;
    // `parse` alone would take a plus sign too.
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(number.parse().unwrap_or(u64::MAX).saturating_mul(*length))
}

/// How many requests may be under way at once.
pub(super) fn check_max_requests(most: u32) -> Result<(), Rule> {
    if (1..=100_000).contains(&most) {
        Ok(())
    } else {
        Err("must be between 1 and 100000".into())
    }
}

/// A rate, or none.
pub(super) fn rate(text: &str) -> Result<Option<Rate>, Rule> {
    if text == "off" {
        return Ok(None);
    }
    let rate = text.parse::<Rate>();
    rate.map(Some)
        .map_err(|error| format!("{}; or off", error.rule).into())
}

/// A level, or directives of `tracing_subscriber`'s `EnvFilter`, comma by comma.
pub(super) fn log_filter(text: &str) -> Result<LogFilter, Rule> {
    const FORM: Rule = Cow::Borrowed(
        "must be off, error, warn, info, debug or trace, or such levels for targets: info,hyper=warn",
    );
    const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
    // The filter takes a bare word that is no level for a target, and would log all of it and
    // nothing else: `inof` would silence the daemon.
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let is_target = |word: &str| word.contains(['=', '[', ']', '{', '}']);
    if !text
        .split(',')
        .all(|word| is_level(word) || is_target(word))
    {
        return Err(FORM);
    }
    EnvFilter::builder().parse(text).map_err(|_error| FORM)?;
    Ok(LogFilter(text.to_owned()))
}

/// At least one mapping, each of at least one user or group, and of at least one organization when
/// it names them.
pub(super) fn check_roles(roles: &[RoleMapping]) -> Result<(), Rule> {
    if roles.is_empty() {
        return Err("must not be empty: nobody could operate the daemon".into());
    }
    let names_nobody = |it: &&RoleMapping| it.users.is_empty() && it.groups.is_empty();
    if let Some(mapping) = roles.iter().find(names_nobody) {
        let rule = format!(
            "must give the role {} to at least one user or group",
            mapping.role
        );
        return Err(rule.into());
    }
    let reaches_nothing = |it: &RoleMapping| it.organizations.as_ref().is_some_and(Vec::is_empty);
    if roles.iter().any(reaches_nothing) {
        return Err("organizations must not be empty: leave it out for all of them".into());
    }
    Ok(())
}

/// What to know of users and groups that this system does not have. A number has no need of a name.
pub(super) fn unknown_names(roles: &[RoleMapping]) -> impl Iterator<Item = String> + '_ {
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let is_user = move |name: &str| is_number(name) || !matches!(User::from_name(name), Ok(None));
    let is_group = move |name: &str| is_number(name) || !matches!(Group::from_name(name), Ok(None));
    roles.iter().flat_map(move |mapping| {
        let users = mapping.users.iter().filter(move |name| !is_user(name));
        let groups = mapping.groups.iter().filter(move |name| !is_group(name));
        let users = users.map(|name| ("user", name));
        users
            .chain(groups.map(|name| ("group", name)))
            .map(|(kind, name)| {
                format!(
                    "this system has no {kind} {name}: nobody has the role {} by it",
                    mapping.role
                )
            })
    })
}

fn organizations<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let organizations = Option::<Vec<String>>::deserialize(deserializer)?;
    let is_one = |text: &String| {
        text.parse::<OrganizationId>().is_ok() || text.parse::<OrganizationName>().is_ok()
    };
    if organizations.iter().flatten().all(is_one) {
        return Ok(organizations);
    }
    Err(serde::de::Error::custom(
        "organizations must be names or ids of organizations",
    ))
}

fn accounts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let accounts = Vec::<String>::deserialize(deserializer)?;
    for account in &accounts {
        check_account(account).map_err(serde::de::Error::custom)?;
    }
    Ok(accounts)
}

/// A name or a number as the user database spells it, because it is compared as a text.
fn check_account(text: &str) -> Result<(), Rule> {
    const UNUSED: u32 = u32::MAX;
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_name = (1..=256).contains(&text.len())
        && !text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == ':' || c == ',');
    match text.parse::<u32>() {
        Ok(number) if is_number && number != UNUSED && number.to_string() == text => Ok(()),
        _ if is_name && !is_number => Ok(()),
        _ => Err("users and groups must be names, or numbers from 0 to 4294967294".into()),
    }
}
