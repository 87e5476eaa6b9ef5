//! What is accepted, what is refused, and with which words.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::setting::SETTINGS;
use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::parse(Path::new("agentidpd.toml"), text, &environment(variables))
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    parse(text, variables).unwrap().0
}

fn error(text: &str, variables: &[(&str, &str)]) -> String {
    let error = parse(text, variables).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error:?}");
    error
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = config("", &[]);
    assert_eq!(config.issuer, None);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8420");
    assert!(!config.http.allow_plaintext);
    assert_eq!(
        config.operator.socket,
        Path::new("/run/agentidp/operator.sock")
    );
    assert_eq!(config.store.path, Path::new("/var/lib/agentidp"));
    assert_eq!(config.store.head_file, Path::new("/var/lib/agentidp/head"));
    assert_eq!(config.store.reserve, 32 << 20);
    assert_eq!(config.audit.keep_for, Some(Duration::from_hours(90 * 24)));
    assert_eq!(config.audit.keep_bytes, None);
    assert_eq!(config.keys.algorithm, SigningAlgorithm::Es256);
    assert_eq!(
        config.keys.rotation_period,
        Some(Duration::from_hours(30 * 24))
    );
    assert_eq!(config.keys.load_previous_key_encryption_key(), Ok(None));
    assert_eq!(config.tokens.lifetime, Duration::from_mins(15));
    assert_eq!(config.tokens.default_audience, None);
    assert_eq!(
        config.metrics.listen,
        Some("127.0.0.1:9464".parse().unwrap())
    );
    assert_eq!(config.log.level, LogFilter::default());
    assert_eq!((config.log.directory, config.log.stderr), (None, true));
    let admins = &config.operator.roles[0];
    assert_eq!(
        (admins.role, admins.users.as_slice()),
        (Role::Admin, &["root".to_owned()][..])
    );
    assert_eq!(admins.groups, ["agentidp-admin"]);
}

#[test]
fn every_setting_can_be_given_in_the_file() {
    let config = config(
        r#"
        issuer = "https://id.example.com/tenant"
        [http]
        listen = "0.0.0.0:80"
        allow_plaintext = true
        [operator]
        socket = "/tmp/o.sock"
        [[operator.roles]]
        role = "auditor"
        users = ["alice", "1000"]
        [store]
        path = "/srv/store"
        head_file = "/mnt/head"
        reserve = "2GiB"
        [audit]
        keep_for = "forever"
        keep_bytes = "all"
        [keys]
        algorithm = "EdDSA"
        rotation_period = "90d"
        key_encryption_key_file = "/etc/key"
        previous_key_encryption_key_file = "/etc/old-key"
        [tokens]
        lifetime = "24h"
        default_audience = "https://api.example.com"
        [metrics]
        listen = "off"
        [log]
        level = "warn,hyper=debug"
        directory = "/var/log/agentidp"
        "#,
        &[],
    );
    assert_eq!(config.require_issuer(), Ok("https://id.example.com/tenant"));
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:80");
    assert_eq!(config.operator.socket, Path::new("/tmp/o.sock"));
    assert_eq!(config.operator.roles.len(), 1, "the defaults are replaced");
    assert_eq!(config.operator.roles[0].users, ["alice", "1000"]);
    assert_eq!(config.store.head_file, Path::new("/mnt/head"));
    assert_eq!(config.store.reserve, 2 << 30);
    assert_eq!(config.audit.keep_for, None);
    assert_eq!(config.audit.keep_bytes, None);
    assert_eq!(config.keys.algorithm, SigningAlgorithm::EdDsa);
    assert_eq!(
        config.keys.rotation_period,
        Some(Duration::from_hours(90 * 24))
    );
    assert_eq!(
        config.keys.key_encryption_key_file(),
        Some(Path::new("/etc/key"))
    );
    assert_eq!(config.tokens.lifetime, Duration::from_hours(24));
    assert_eq!(
        config.tokens.default_audience.as_deref(),
        Some("https://api.example.com")
    );
    assert_eq!(config.metrics.listen, None);
    assert_eq!(
        config.log.directory.as_deref(),
        Some(Path::new("/var/log/agentidp"))
    );
    assert!(!config.log.stderr);
}

const RECIPIENTS: &str = r#"["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]"#;

const BACKUP: [(&str, &str); 6] = [
    ("AGENTIDP_BACKUP_FOLDER", "/b"),
    ("AGENTIDP_BACKUP_EVERY", "off"),
    ("AGENTIDP_BACKUP_KEEP", "3"),
    ("AGENTIDP_BACKUP_KEEP_DAYS", "4"),
    ("AGENTIDP_BACKUP_RECIPIENTS", RECIPIENTS),
    ("AGENTIDP_BACKUP_UNENCRYPTED", "false"),
];

#[test]
fn backups_are_set_up_by_variables_too() {
    let (config, _) = parse("", &BACKUP).unwrap();
    let backup = config.backup.unwrap();
    assert_eq!((backup.folder, backup.every), ("/b".into(), None));
    assert_eq!((backup.keep, backup.keep_days), (3, 4));
    assert_eq!(format!("{:?}", backup.recipients), RECIPIENTS);
    assert!(!backup.unencrypted);
}

#[test]
fn backups_that_would_not_be_safe_are_refused() {
    for (text, expected) in [
        (
            "[backup]\nfolder = \"/b\"",
            "agentidpd.toml: backup.recipients: must name an age recipient (age1…) at least: make one with age-keygen, \
             and keep its identity elsewhere; or set backup.unencrypted = true",
        ),
        (
            "[backup]\nfolder = \"/b\"\nrecipients = [\"AGE-SECRET-KEY-1QQQQ\"]",
            "agentidpd.toml:3: backup.recipients: must be age recipients: each age1… as age-keygen prints it",
        ),
        (
            "[backup]\nunencrypted = true\nfolder = \"/b\"\nrecipients = \
             [\"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"]",
            "agentidpd.toml:2: backup.unencrypted: must not be true when there are backup.recipients",
        ),
        (
            "backup.keep = 1",
            "agentidpd.toml:1: backup.keep: must be between 2 and 10000: the journal lets go of what two backups have",
        ),
        (
            "backup.every = \"30\"",
            "agentidpd.toml:1: backup.every: must be off, or a duration such as 6h",
        ),
        (
            "backup.every = \"30s\"",
            "agentidpd.toml:1: backup.every: must be off, or between 1m and 30d",
        ),
    ] {
        assert_eq!(error(text, &[]), expected);
    }
}

/// The settings of the audit log.
const AUDIT: [(&str, &str); 6] = [
    ("AGENTIDP_AUDIT_KEEP_FOR", "30d"),
    ("AGENTIDP_AUDIT_KEEP_BYTES", "20GiB"),
    ("AGENTIDP_AUDIT_CHECKPOINT_FILE", "/c"),
    ("AGENTIDP_AUDIT_CHECKPOINT_COMMAND", r#"["/bin/send", "x"]"#),
    ("AGENTIDP_AUDIT_READERS", "[]"),
    ("AGENTIDP_AUDIT_WITNESSES", WITNESSES),
];

#[test]
fn every_setting_has_a_variable_that_stands_above_the_file() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n[tokens]\nlifetime = \"1m\"\n";
    let mut variables = vec![
        ("AGENTIDP_ISSUER", "https://id.example.com"),
        ("AGENTIDP_HTTP_LISTEN", "[::]:2"),
        ("AGENTIDP_HTTP_ALLOW_PLAINTEXT", "true"),
        ("AGENTIDP_HTTP_TRUSTED_PROXIES", r#"["10.0.0.0/8", "::1"]"#),
        ("AGENTIDP_HTTP_FORWARDED_HEADER", "forwarded"),
        ("AGENTIDP_HTTP_CORS_ORIGINS", r#"["https://app.example"]"#),
        ("AGENTIDP_HTTP_MAX_REQUESTS", "7"),
        ("AGENTIDP_HTTP_TLS_CERTIFICATE", "/c"),
        ("AGENTIDP_HTTP_TLS_KEY", "/key"),
        ("AGENTIDP_LIMITS_TOKEN_PER_ADDRESS", "1/s burst 1"),
        ("AGENTIDP_LIMITS_TOKEN_PER_AGENT", "2/s burst 2"),
        ("AGENTIDP_LIMITS_TOKEN_PER_ORGANIZATION", "3/s burst 3"),
        ("AGENTIDP_LIMITS_WRITE_PER_ADDRESS", "4/s burst 4"),
        ("AGENTIDP_LIMITS_WRITE_PER_AGENT", "5/s burst 5"),
        ("AGENTIDP_LIMITS_WRITE_PER_ORGANIZATION", "6/s burst 6"),
        ("AGENTIDP_LIMITS_READ_PER_ADDRESS", "7/s burst 7"),
        ("AGENTIDP_LIMITS_READ_PER_AGENT", "8/s burst 8"),
        ("AGENTIDP_LIMITS_READ_PER_ORGANIZATION", "off"),
        ("AGENTIDP_OPERATOR_SOCKET", "/s"),
        (
            "AGENTIDP_OPERATOR_ROLES",
            r#"[{role = "operator", groups = ["g"], organizations = ["acme"]}, {role = "admin", users = ["0"]}]"#,
        ),
        ("AGENTIDP_ORGANIZATIONS_DEFAULT_TIER", "b"),
        (
            "AGENTIDP_ORGANIZATIONS_TIERS",
            r#"[{name = "a", agents = 1}, {name = "b", tokens_per_month = 2}]"#,
        ),
        ("AGENTIDP_STORE_PATH", "/p"),
        ("AGENTIDP_STORE_HEAD_FILE", "/h"),
        ("AGENTIDP_STORE_CHECK_EVERY", "2d"),
        ("AGENTIDP_STORE_RESERVE", "off"),
        ("AGENTIDP_KEYS_ALGORITHM", "RS256"),
        ("AGENTIDP_KEYS_ROTATION_PERIOD", "never"),
        ("AGENTIDP_KEYS_JWKS_MAX_AGE", "90s"),
        ("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY_FILE", "/k"),
        ("AGENTIDP_KEYS_PREVIOUS_KEY_ENCRYPTION_KEY_FILE", "/l"),
        ("AGENTIDP_TOKENS_LIFETIME", "5m"),
        ("AGENTIDP_TOKENS_DEFAULT_AUDIENCE", "https://a.example"),
        ("AGENTIDP_METRICS_LISTEN", "[::1]:0"),
        ("AGENTIDP_CREDENTIALS_WARN_BEFORE", r#"["2d", "1h"]"#),
        ("AGENTIDP_LOG_LEVEL", "trace"),
        ("AGENTIDP_LOG_DIRECTORY", "/l"),
    ];
    variables.extend(BACKUP);
    variables.extend(AUDIT);
    for setting in SETTINGS
        .iter()
        .filter(|it| it.form != setting::Form::Secret)
    {
        let variable = setting.variable();
        assert!(
            variables.iter().any(|(name, _)| *name == variable),
            "{variable}"
        );
    }
    let (config, warnings) = parse(file, &variables).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.issuer.as_deref(), Some("https://id.example.com"));
    assert_eq!(config.http.listen.to_string(), "[::]:2");
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(config.http.forwarded_header, ForwardedHeader::Forwarded);
    assert_eq!(config.http.cors_origins[0].as_str(), "https://app.example");
    assert_eq!(config.http.max_requests, 7);
    let files = config.http.tls.as_ref().map(Tls::files);
    assert_eq!(files, Some([Path::new("/c"), Path::new("/key")]));
    let limits = &config.limits;
    let rates = [limits.token, limits.write, limits.read]
        .map(|it| [it.per_address, it.per_agent, it.per_organization]);
    let rates = rates.as_flattened().iter().flatten();
    for (at, rate) in (1..).zip(rates) {
        assert_eq!(rate.to_string(), format!("{at}/s burst {at}"));
    }
    assert_eq!(limits.read.per_organization, None);
    assert_eq!(config.operator.socket, Path::new("/s"));
    assert_eq!(config.operator.roles[1].users, ["0"]);
    let reached = |at: usize| config.operator.roles[at].organizations.as_deref();
    assert_eq!(reached(0), Some(&["acme".to_owned()][..]));
    assert_eq!(reached(1), None, "all of them");
    assert_eq!(config.organizations.default_tier.as_str(), "b");
    assert_eq!(config.organizations.tiers[0].agents, Some(1));
    assert_eq!(config.organizations.tiers[1].tokens_per_month, Some(2));
    assert_eq!(
        config.credentials.warn_before,
        [Duration::from_hours(48), Duration::from_hours(1)]
    );
    assert_eq!(config.store.path, Path::new("/p"));
    assert_eq!(config.store.head_file, Path::new("/h"));
    assert_eq!(config.store.reserve, 0);
    assert_eq!(config.audit.keep_for, Some(Duration::from_hours(30 * 24)));
    assert_eq!(config.audit.keep_bytes, Some(20 << 30));
    assert_eq!(config.keys.algorithm, SigningAlgorithm::Rs256);
    assert_eq!(config.keys.jwks_max_age, Duration::from_secs(90));
    assert_eq!(config.keys.key_encryption_key_file(), Some(Path::new("/k")));
    assert_eq!(config.tokens.lifetime, Duration::from_mins(5));
    let audience = config.tokens.default_audience.as_deref();
    assert_eq!(audience, Some("https://a.example"));
    assert_eq!(config.log.directory.as_deref(), Some(Path::new("/l")));
}

#[test]
fn what_the_log_keeps_is_a_time_or_a_size_that_there_can_be() {
    for (setting, rule) in [
        (
            "keep_for = \"90\"",
            "keep_for: must be forever, or a duration such as 90d",
        ),
        (
            "keep_for = \"23h\"",
            "keep_for: must be forever, or between 1d and 36500d",
        ),
        (
            "keep_for = \"0d\"",
            "keep_for: must be forever, or between 1d and 36500d",
        ),
        (
            "keep_bytes = \"0MiB\"",
            "keep_bytes: must be all, or a whole number with MiB or GiB, such as 20GiB",
        ),
    ] {
        let error = parse(&format!("[audit]\n{setting}"), &[]).unwrap_err();
        assert!(error.to_string().contains(rule), "{error}");
    }
}

#[test]
fn a_bad_setting_in_the_file_is_refused_with_its_line_its_key_and_the_rule() {
    for (text, expected) in [
        (
            "\n\n[tokens]\n\n\n\nlifetime = \"25h\"",
            "agentidpd.toml:7: tokens.lifetime: must be between 1s and 24h",
        ),
        (
            "[store]\nreserve = \"64MB\"",
            "agentidpd.toml:2: store.reserve: must be a whole number with MiB or GiB, such as 64MiB, between 1MiB and 1024GiB; or off",
        ),
        (
            "[tokens]\nlifetime = 15",
            "agentidpd.toml:2: tokens.lifetime: must be a text in quotation marks",
        ),
        (
            "tokens.lifetime = \"15\"",
            "agentidpd.toml:1: tokens.lifetime: must be a duration such as 15m",
        ),
        (
            "[http]\nlisen = \"x\"",
            "agentidpd.toml:2: http.lisen: is not a setting; [http] has listen, allow_plaintext, \
             trusted_proxies, forwarded_header, cors_origins, max_requests, [http.tls]",
        ),
        (
            "\n[nonsense]\nx = 1",
            "agentidpd.toml:2: nonsense: is not a setting; the file has issuer, [http], [limits], \
             [operator], [organizations], [store], [audit], [backup], [keys], [tokens], [metrics], [credentials], [log]",
        ),
        ("http = 1", "agentidpd.toml:1: http: must be a section"),
        (
            "[http]\nallow_plaintext = \"yes\"",
            "agentidpd.toml:2: http.allow_plaintext: invalid type: string \"yes\", expected a boolean",
        ),
        (
            "[http]\n\nlisten = \"0.0.0.0:80\"",
            "agentidpd.toml:3: http.listen: must be a loopback address unless http.tls is set or http.allow_plaintext is true",
        ),
        (
            "[keys]\nalgorithm = \"HS256\"",
            "agentidpd.toml:2: keys.algorithm: must be one of ES256, EdDSA, RS256",
        ),
        (
            "[[operator.roles]]\nrole = \"admin\"\nusers = [\"a\"]\n\n[[operator.roles]]\nrole = \"root\"",
            "agentidpd.toml:6: operator.roles: unknown variant `root`, expected one of `auditor`, `operator`, `admin`",
        ),
        (
            "[[operator.roles]]\nrole = \"admin\"\nuser = [\"a\"]",
            "agentidpd.toml:3: operator.roles: unknown field `user`, expected one of `role`, `users`, `groups`, `organizations`",
        ),
        (
            "[[operator.roles]]\nrole = \"admin\"\nusers = [\"a\", \"a b\"]",
            "agentidpd.toml:3: operator.roles: users and groups must be names, or numbers from 0 to 4294967294",
        ),
        (
            "[[operator.roles]]\nrole = \"admin\"",
            "agentidpd.toml:1: operator.roles: must give the role admin to at least one user or group",
        ),
        (
            "[[operator.roles]]\nrole = \"auditor\"\nusers = [\"a\"]\norganizations = []",
            "agentidpd.toml:1: operator.roles: organizations must not be empty: leave it out for all of them",
        ),
        (
            "[[operator.roles]]\nrole = \"auditor\"\nusers = [\"a\"]\norganizations = [\"Acme Inc\"]",
            "agentidpd.toml:4: operator.roles: organizations must be names or ids of organizations",
        ),
        (
            "operator.roles = []",
            "agentidpd.toml:1: operator.roles: must not be empty: nobody could operate the daemon",
        ),
        (
            "organizations.tiers = []",
            "agentidpd.toml:1: organizations.tiers: must not be empty: no organization could be created",
        ),
        (
            "[[organizations.tiers]]\nname = \"a\"\n[[organizations.tiers]]\nname = \"a\"",
            "agentidpd.toml:1: organizations.tiers: must have the tier a only once",
        ),
        (
            "credentials.warn_before = [\"7\"]",
            "agentidpd.toml:1: credentials.warn_before: must be durations such as 7d",
        ),
        (
            "[organizations]\ndefault_tier = \"gold\"",
            "agentidpd.toml:2: organizations.default_tier: must be one of organizations.tiers",
        ),
        (
            "[keys]\nkey_encryption_key = \"x\"",
            "agentidpd.toml:2: keys.key_encryption_key: must not stand in this file; set keys.key_encryption_key_file, \
             AGENTIDP_KEYS_KEY_ENCRYPTION_KEY or AGENTIDP_KEYS_KEY_ENCRYPTION_KEY_FILE",
        ),
    ] {
        assert_eq!(error(text, &[]), expected);
    }
}

#[test]
fn a_bad_setting_of_proxies_pages_tls_or_limits_is_refused_the_same_way() {
    for (text, expected) in [
        (
            "[http]\ntrusted_proxies = [\"10.0.0.0/8\",\n\"10.0.0.1/8\"]",
            "agentidpd.toml:2: http.trusted_proxies: must be networks without a host: no bit of the address is set \
             behind the prefix",
        ),
        (
            "[http]\ntrusted_proxies = [\"0.0.0.0/0\"]",
            "agentidpd.toml:2: http.trusted_proxies: must not hold every address: then any client is believed",
        ),
        (
            "[http]\nforwarded_header = \"X-Real-IP\"",
            "agentidpd.toml:2: http.forwarded_header: must be x-forwarded-for or forwarded",
        ),
        (
            "[http]\ncors_origins = [\"*\"]",
            "agentidpd.toml:2: http.cors_origins: must be origins as browsers write them, such as \
             https://app.example.com: scheme and host in lower case, the port unless it is the scheme's own, and \
             nothing after it",
        ),
        (
            "[http]\nmax_requests = 0",
            "agentidpd.toml:2: http.max_requests: must be between 1 and 100000",
        ),
        (
            "[http.tls]\nkey = \"/k\"",
            "agentidpd.toml:2: http.tls.key: must not be set without http.tls.certificate",
        ),
        (
            "[http.tls]\ncertificate = \"/c\"",
            "agentidpd.toml: http.tls.key: must be set with http.tls.certificate, unless the service manager gives \
             the credential tls-key",
        ),
        (
            "issuer = \"http://localhost\"\n[http.tls]\ncertificate = \"/c\"\nkey = \"/k\"",
            "agentidpd.toml:1: issuer: must be an https URL when http.tls is set",
        ),
        (
            "[http]\ntls = true",
            "agentidpd.toml:2: http.tls: must be a section",
        ),
        (
            "[limits.token]\nper_user = \"1/s\"",
            "agentidpd.toml:2: limits.token.per_user: is not a setting; [limits.token] has per_address, per_agent, \
             per_organization",
        ),
        (
            "[limits]\nread.per_agent = \"fast\"",
            "agentidpd.toml:2: limits.read.per_agent: must be a rate such as 100/s, 30/m or 100/s burst 200; the \
             unit is s, m or h, and the numbers are 1 to 1000000; or off",
        ),
    ] {
        assert_eq!(error(text, &[]), expected);
    }
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    for (text, place) in [
        ("issuer = \"unfinished", "agentidpd.toml:1: "),
        ("\n[http\n", "agentidpd.toml:2: "),
        (
            "[http]\nlisten = \"a\"\nlisten = \"b\"",
            "agentidpd.toml:3: ",
        ),
        ("\"a\\nb\" = 1", "agentidpd.toml:1: a\\nb: "),
        ("a = \u{0}", "agentidpd.toml:1: "),
    ] {
        let error = error(text, &[]);
        assert!(error.starts_with(place), "{error}");
    }
}

#[test]
fn a_bad_variable_is_refused_by_its_name() {
    for (name, value, expected) in [
        (
            "AGENTIDP_TOKENS_LIFETIME",
            "soon",
            "AGENTIDP_TOKENS_LIFETIME: tokens.lifetime: must be a duration such as 15m",
        ),
        (
            "AGENTIDP_HTTP_LISTEN",
            "0.0.0.0:80",
            "AGENTIDP_HTTP_LISTEN: http.listen: must be a loopback address unless http.tls is set or http.allow_plaintext is true",
        ),
        (
            "AGENTIDP_OPERATOR_ROLES",
            "[{role = \"admin\", user = []}]",
            "AGENTIDP_OPERATOR_ROLES: operator.roles: unknown field `user`, expected one of `role`, `users`, `groups`, `organizations`",
        ),
        (
            "AGENTIDP_STORE_PATH",
            "",
            "AGENTIDP_STORE_PATH: store.path: must be a path",
        ),
        (
            "AGENTIDP_KEYS_KEY_ENCRYPTION_KEY",
            "a secret",
            "AGENTIDP_KEYS_KEY_ENCRYPTION_KEY: keys.key_encryption_key: must be 32 bytes in base64, on one line",
        ),
    ] {
        assert_eq!(error("", &[(name, value)]), expected);
    }
    for name in ["AGENTIDP_OPERATOR_ROLES", "AGENTIDP_HTTP_ALLOW_PLAINTEXT"] {
        assert!(error("", &[(name, "[")]).starts_with(name));
    }
}

#[test]
fn a_variable_of_our_prefix_that_is_no_setting_is_warned_of() {
    let variables = [
        ("AGENTIDP_TOKENS_LIFETIM", "5m"),
        ("AGENTIDP_SOCKET", "/s"),
        ("AGENTIDP_CONFIG", "/c"),
        ("AGENTIDP_TEST_SPEED", "1"),
        ("HOME", "/root"),
    ];
    let (_, warnings) = parse("", &variables).unwrap();
    let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["AGENTIDP_TOKENS_LIFETIM: is not a setting, and is ignored"]
    );
}

#[test]
fn an_issuer_is_an_https_url_that_everyone_spells_alike() {
    for good in [
        "https://id.example.com",
        "https://id.example.com:8443",
        "https://id.example.com/a/b",
        "http://127.0.0.1:8420",
        "http://localhost",
        "http://[::1]:8420/x",
    ] {
        assert_eq!(value::issuer(good).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "id.example.com",
        "ftp://id.example.com",
        "http://id.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://[::2]",
        "https://id.example.com/",
        "https://id.example.com//a",
        "https://id.example.com/a/../b",
        "https://id.example.com?x",
        "https://id.example.com/a?",
        "https://id.example.com#x",
        "https://u:p@id.example.com",
        "http://127.0.0.1@id.example.com",
        "https://ID.example.com",
        "HTTPS://id.example.com",
        "https://id.example.com\\a",
        " https://id.example.com",
    ] {
        assert!(value::issuer(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_lifetime_is_between_a_second_and_a_day() {
    for (good, seconds) in [
        ("1s", 1),
        ("15m", 900),
        ("24h", 86_400),
        ("86400s", 86_400),
        ("1d", 86_400),
        ("1m30s", 90),
        ("007s", 7),
    ] {
        assert_eq!(
            value::lifetime(good),
            Ok(Duration::from_secs(seconds)),
            "{good}"
        );
    }
    for bad in [
        "",
        "s",
        "0s",
        "15",
        "-1s",
        "+1s",
        "1 m",
        "1.5h",
        "25h",
        "86401s",
        "1d1s",
        "1é",
        "99999999999999999999h",
    ] {
        assert!(value::lifetime(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_misspelled_level_does_not_silence_the_log() {
    for good in [
        "info",
        "OFF",
        "warn,hyper=debug",
        "info,agentidp_daemon[request]=trace",
    ] {
        assert!(value::log_filter(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "inof",
        "info,",
        "info, warn",
        "hyper",
        "info,hyper=loud",
        "7",
    ] {
        assert!(value::log_filter(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_socket_s_path_fits_into_an_address() {
    assert!(value::socket(&"/a".repeat(53)).is_ok());
    assert!(value::socket(&"/a".repeat(54)).is_err());
}

#[test]
fn accounts_are_spelled_as_the_user_database_does() {
    let roles = |user: &str| {
        parse(
            "",
            &[(
                "AGENTIDP_OPERATOR_ROLES",
                &format!("[{{role = \"admin\", users = [{user:?}]}}]"),
            )],
        )
    };
    for good in [
        "root",
        "0",
        "4294967294",
        "EXAMPLE\\alice",
        "alice@example.com",
        "3com",
    ] {
        assert!(roles(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "00",
        "4294967295",
        "99999999999",
        "a b",
        "a:b",
        "a\u{7}",
    ] {
        assert!(roles(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_key_comes_from_the_environment_or_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key-encryption-key");
    std::fs::write(&file, format!("  {KEY}\n\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let name = file.to_str().unwrap();
    let in_file = format!("[keys]\nkey_encryption_key_file = {name:?}");
    let credentials = folder.path().to_str().unwrap();
    let expected: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    for (text, variables) in [
        ("", &[("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY", KEY)][..]),
        ("", &[("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY_FILE", name)]),
        (&in_file, &[]),
        ("", &[("CREDENTIALS_DIRECTORY", credentials)]),
        (&in_file, &[("CREDENTIALS_DIRECTORY", "/nowhere")]),
    ] {
        let (config, warnings) = parse(text, variables).unwrap();
        assert_eq!(warnings, []);
        let key = config.keys.load_key_encryption_key().unwrap();
        assert_eq!(key.expose(), &expected);
        let shown = format!("{key:?} {config:?}");
        assert!(
            !shown.contains("AAEC") && !shown.contains("1, 2, 3"),
            "{shown}"
        );
    }
    let line = KeyEncryptionKey::from_bytes(expected).to_line();
    assert_eq!(line.trim_end(), KEY);
}

#[test]
fn the_key_of_before_comes_the_same_three_ways_and_need_not_come() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("previous-key-encryption-key");
    std::fs::write(&file, KEY).unwrap();
    let (name, credentials) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
    for variable in [
        ("AGENTIDP_KEYS_PREVIOUS_KEY_ENCRYPTION_KEY", KEY),
        ("AGENTIDP_KEYS_PREVIOUS_KEY_ENCRYPTION_KEY_FILE", name),
        ("CREDENTIALS_DIRECTORY", credentials),
    ] {
        let key = config("", &[variable])
            .keys
            .load_previous_key_encryption_key();
        assert!(matches!(key, Ok(Some(key)) if key.expose()[31] == 31));
    }
    let absent = config("", &[("CREDENTIALS_DIRECTORY", "/nowhere")]);
    assert_eq!(absent.keys.load_previous_key_encryption_key(), Ok(None));
    let gone = [
        ("AGENTIDP_ISSUER", "https://id.example.com"),
        ("AGENTIDP_KEYS_PREVIOUS_KEY_ENCRYPTION_KEY_FILE", "/gone"),
    ];
    let error = config("", &gone).check(true).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "AGENTIDP_KEYS_PREVIOUS_KEY_ENCRYPTION_KEY_FILE: keys.previous_key_encryption_key_file: /gone: cannot"
        ),
        "{error}"
    );
}

#[test]
fn a_rotation_period_is_between_an_hour_and_ten_years_or_never() {
    let period = |text: &str| {
        let text = format!("[keys]\nrotation_period = {text:?}");
        let parsed = parse(&text, &[]);
        parsed.map(|(config, _)| config.keys.rotation_period)
    };
    for (text, hours) in [
        ("1h", 1),
        ("60m", 1),
        ("36h", 36),
        ("1d12h", 36),
        ("30d", 720),
        ("3650d", 87_600),
    ] {
        let expected = Some(Duration::from_hours(hours));
        assert_eq!(period(text), Ok(expected), "{text}");
    }
    assert_eq!(period("never"), Ok(None));
    for text in [
        "",
        "h",
        "0h",
        "59m",
        "12h1d",
        "-1d",
        "+1d",
        "1.5d",
        "3651d",
        "99999999999999999999d",
        "Never",
    ] {
        let error = period(text).unwrap_err().to_string();
        assert!(
            error.contains("keys.rotation_period: must be never, or"),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_key_given_twice_is_refused_wherever_the_two_stand() {
    let both = [
        ("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY", KEY),
        ("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY_FILE", "/k"),
    ];
    for (text, variables) in [
        ("", &both[..]),
        ("[keys]\nkey_encryption_key_file = \"/k\"", &both[..1]),
    ] {
        let error = error(text, variables);
        assert!(
            error.starts_with(
                "AGENTIDP_KEYS_KEY_ENCRYPTION_KEY: keys.key_encryption_key: must not be given both"
            ),
            "{error}"
        );
        assert!(!error.contains(KEY));
    }
}

#[test]
fn a_key_file_that_holds_no_key_is_named_without_its_content() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let name = file.path().to_str().unwrap().to_owned();
    let variables = [("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY_FILE", name.as_str())];
    let load = || {
        config("", &variables)
            .keys
            .load_key_encryption_key()
            .unwrap_err()
            .to_string()
    };
    for content in ["", "short", "AAEC AwQF", &KEY[4..], &KEY.repeat(200)] {
        file.as_file().set_len(0).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let error = load();
        assert!(
            error.contains(&name) && error.ends_with("must be 32 bytes in base64, on one line"),
            "{error}"
        );
        assert!(content.is_empty() || !error.contains(content), "{error}");
    }
    drop(file);
    assert!(load().contains("cannot be read: No such file"));
    let absent = config("", &[])
        .keys
        .load_key_encryption_key()
        .unwrap_err()
        .to_string();
    assert!(
        absent.starts_with("agentidpd.toml: keys.key_encryption_key_file: must be set"),
        "{absent}"
    );
}

#[test]
fn a_key_file_that_others_may_read_is_warned_of() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("[keys]\nkey_encryption_key_file = {:?}", file.path());
    for (mode, warned) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let (_, warnings) = parse(&text, &[]).unwrap();
        assert_eq!(!warnings.is_empty(), warned, "{mode:o} {warnings:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let path = Path::new("/nowhere/agentidpd.toml");
    let error = Config::load(path, &Environment::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/agentidpd.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn what_only_run_needs_is_no_error_of_the_file() {
    let config = config("", &[]);
    assert_eq!(
        config.require_issuer().unwrap_err().to_string(),
        "agentidpd.toml: issuer: must be set: there is no default"
    );
    // Which is what `config check` is asked.
    assert_eq!(
        config.check(true).unwrap_err().to_string(),
        "agentidpd.toml: issuer: must be set: there is no default"
    );
    let with_issuer = [("AGENTIDP_ISSUER", "https://id.example.com")];
    let warnings = parse("", &with_issuer).unwrap().0.check(true).unwrap();
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(warning.to_string().contains("key_encryption_key_file"));
    let with_key = [
        ("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY", KEY),
        ("AGENTIDP_ISSUER", "https://id.example.com"),
    ];
    assert_eq!(parse("", &with_key).unwrap().0.check(true), Ok(Vec::new()));
    let unknown = "[[operator.roles]]\nrole = \"admin\"\nusers = [\"root\", \"nobody-of-this-name\", \"4294967\"]\ngroups = [\"no-such-group\"]";
    let warnings = parse(unknown, &with_key).unwrap().0.check(true).unwrap();
    let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "agentidpd.toml:1: operator.roles: this system has no user nobody-of-this-name: nobody has the role admin by it",
            "agentidpd.toml:1: operator.roles: this system has no group no-such-group: nobody has the role admin by it",
        ]
    );
    let unreadable = [("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY_FILE", "/nowhere/key")];
    assert!(
        parse("issuer = \"https://id.example.com\"", &unreadable)
            .unwrap()
            .0
            .check(true)
            .is_err()
    );
}

/// What a check says of a configuration that has an issuer and a key.
fn checked(text: &str, has_store: bool) -> Vec<String> {
    let given = [
        ("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY", KEY),
        ("AGENTIDP_ISSUER", "https://id.example.com"),
    ];
    let warnings = parse(text, &given).unwrap().0.check(has_store).unwrap();
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn before_there_is_a_store_a_missing_key_is_one_that_init_makes() {
    let given = [
        ("AGENTIDP_KEYS_KEY_ENCRYPTION_KEY_FILE", "/nowhere/key"),
        ("AGENTIDP_ISSUER", "https://id.example.com"),
    ];
    let (config, _) = parse("", &given).unwrap();
    let warnings = config.check(false).unwrap();
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "AGENTIDP_KEYS_KEY_ENCRYPTION_KEY_FILE: keys.key_encryption_key_file: /nowhere/key is not there yet: \
          `agentidpd init` makes it, with the store"
        ]
    );
    assert!(config.check(true).is_err());
}

#[test]
fn a_check_tells_of_a_missing_folder_for_backups_and_of_backups_that_are_not_encrypted() {
    let text = "[backup]\nfolder = \"/nowhere/b\"\nunencrypted = true";
    assert_eq!(
        checked(text, true),
        [
            "agentidpd.toml:2: backup.folder: /nowhere/b is no folder, so no backup can be made: make it, for the \
             daemon's user alone, or mount it",
            "agentidpd.toml:3: backup.unencrypted: whoever can read a backup can read the whole store: agents, \
             hashes of secrets and the audit log",
        ]
    );
    // The other commands have nothing to say of it.
    let (_, warnings) = parse(text, &[]).unwrap();
    assert_eq!(warnings, []);
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[backup]\nfolder = {:?}\nrecipients = {RECIPIENTS}",
        folder.path().to_str().unwrap()
    );
    assert_eq!(checked(&text, true), Vec::<String>::new());
}

#[test]
fn development_keeps_everything_in_its_folder_whatever_the_environment_says() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let variables = [
        ("AGENTIDP_STORE_PATH", "/var/lib/agentidp"),
        ("AGENTIDP_TOKENS_LIFETIME", "1m"),
        ("AGENTIDP_HTTP_TLS_CERTIFICATE", "/c"),
        ("AGENTIDP_HTTP_TLS_KEY", "/k"),
    ];
    let dir = Path::new("/srv/d");
    let (config, _) = Config::dev(
        dir,
        listen,
        Path::new("/srv/d/operator.sock"),
        &environment(&variables),
    )
    .unwrap();
    assert_eq!(config.issuer, None);
    assert_eq!(config.http.listen, listen);
    assert!(config.http.tls.is_none());
    assert_eq!(config.operator.socket, dir.join("operator.sock"));
    assert_eq!(config.store.path, dir);
    assert!(config.store.head_file.starts_with(dir));
    assert_eq!(
        config.keys.key_encryption_key_file(),
        Some(dir.join("key-encryption-key").as_path())
    );
    assert_eq!(
        (config.log.directory, config.log.stderr),
        (Some(dir.join("log")), true)
    );
    assert_eq!(
        config.metrics.listen,
        Some("127.0.0.1:0".parse().unwrap()),
        "beside one in production"
    );
    assert_eq!(config.tokens.lifetime, Duration::from_mins(1));
    let me = nix::unistd::geteuid().to_string();
    assert!(
        config
            .operator
            .roles
            .iter()
            .any(|it| it.role == Role::Admin && it.users.contains(&me))
    );
}

#[test]
fn development_is_for_loopback_too() {
    let dev = |listen: &str, socket: &str, variables: &[(&str, &str)]| {
        let dev = Config::dev(
            Path::new("/d"),
            listen.parse().unwrap(),
            Path::new(socket),
            &environment(variables),
        );
        dev.map(|_| ()).map_err(|error| error.to_string())
    };
    let error = dev("0.0.0.0:1", "/s", &[]).unwrap_err();
    assert!(
        error.starts_with("--listen: http.listen: must be a loopback address"),
        "{error}"
    );
    assert_eq!(
        dev(
            "0.0.0.0:1",
            "/s",
            &[("AGENTIDP_HTTP_ALLOW_PLAINTEXT", "true")]
        ),
        Ok(())
    );
    let error = dev("127.0.0.1:1", &"/s".repeat(60), &[]).unwrap_err();
    assert!(
        error.starts_with("--socket: operator.socket: must be at most 107 bytes"),
        "{error}"
    );
}

#[test]
fn the_key_of_the_certificate_may_be_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tls-key"), "").unwrap();
    let credentials = folder.path().to_str().unwrap();
    let (config, warnings) = parse(
        "[http]\nlisten = \"0.0.0.0:443\"\ntls.certificate = \"/c\"",
        &[("CREDENTIALS_DIRECTORY", credentials)],
    )
    .unwrap();
    assert_eq!(warnings, []);
    let tls = config.http.tls.unwrap();
    assert_eq!(tls.files()[1], folder.path().join("tls-key"));
}

#[test]
fn checkpoints_go_to_a_file_and_to_a_program_by_its_whole_path() {
    let file = "[audit]\ncheckpoint_file = \"/c\"\ncheckpoint_command = [\"/bin/send\", \"x\"]\n";
    let audit = config(file, &[]).audit;
    assert_eq!(audit.checkpoint_file.as_deref(), Some(Path::new("/c")));
    assert_eq!(audit.checkpoint_command.unwrap(), ["/bin/send", "x"]);
    for wrong in [
        "[]",
        r#"["send"]"#,
        r#"[""]"#,
        r#"["/bin/send", "\u0000"]"#,
        r#""/bin/send""#,
    ] {
        let file = format!("[audit]\ncheckpoint_command = {wrong}\n");
        let error = parse(&file, &[]).unwrap_err().to_string();
        let place = "agentidpd.toml:2: audit.checkpoint_command: ";
        assert!(error.starts_with(place), "{error}");
    }
}

#[test]
fn readers_of_the_log_are_named_by_ids() {
    let id = "0193f2c4-0000-7000-8000-000000009b20";
    let audit = config(&format!("[audit]\nreaders = [\"{id}\"]\n"), &[]).audit;
    assert_eq!(audit.readers, [id.parse().unwrap()]);
    for wrong in ["a@acme.example", "*", ""] {
        let file = format!("[audit]\nreaders = [\"{wrong}\"]\n");
        let error = parse(&file, &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("agentidpd.toml:2: audit.readers: "),
            "{error}"
        );
    }
}

const WITNESSES: &str = r#"[{ url = "https://w.example/log", key = "witness.example.com/w1+9f48a994+BCaOqP2bc+HHTO8OnM9ufMPGANssqR9mpY9i8Crp363B" }]"#;

#[test]
fn a_witness_has_a_url_and_the_key_of_a_witness() {
    let of = |value: &str| format!("[audit]\nwitnesses = {value}\n");
    let [witness] = &config(&of(WITNESSES), &[]).audit.witnesses[..] else {
        panic!("one witness");
    };
    assert_eq!(witness.parsed().unwrap().0.name(), "witness.example.com/w1");
    for wrong in [
        WITNESSES.replace("https://", "ftp://"),
        WITNESSES.replace("https://w.example/log", "/log"),
        WITNESSES.replace("https://", "https://user@"),
        WITNESSES.replace("/log", "/log?a"),
        WITNESSES.replace("9f48a994", "9f48a995"),
        WITNESSES.replace("url = ", "name = \"w\", url = "),
        WITNESSES.replace("}]", &format!("}}, {}", &WITNESSES[1..])),
        // The specification's example of a log's key.
        "[{ url = \"https://w.example\", key = \"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\" }]".to_owned(),
    ] {
        let error = parse(&of(&wrong), &[]).unwrap_err().to_string();
        assert!(error.starts_with("agentidpd.toml:2: audit.witnesses"), "{error}");
    }
}

/// The default file with every setting uncommented.
fn uncommented() -> String {
    let uncomment = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    };
    default_toml()
        .lines()
        .map(uncomment)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_default_file_means_the_defaults_and_says_them() {
    let bare = config("", &[]);
    let as_printed = config(default_toml(), &[]);
    assert_eq!(format!("{as_printed:?}"), format!("{bare:?}"));

    // What has no default stands there as an example.
    let mut said = config(&uncommented(), &[]);
    assert!(said.issuer.take().is_some() && said.tokens.default_audience.take().is_some());
    assert!(said.operator.roles_place.take().is_some());
    assert!(said.log.directory.take().is_some() && said.keys.key_encryption_key_file().is_some());
    assert!(said.http.tls.take().is_some());
    assert!(said.audit.checkpoint_file.take().is_some());
    assert!(said.audit.checkpoint_command.take().is_some());
    assert_eq!(std::mem::take(&mut said.audit.witnesses).len(), 1);
    let backup = said.backup.take().unwrap();
    let least = format!(
        "[backup]\nfolder = \"/var/backups/agentidp\"\nrecipients = {:?}",
        backup.recipients
    );
    let least = config(&least, &[]).backup.unwrap();
    let places = least.places.clone();
    assert_eq!(least, Backup { places, ..backup });
    said.log.stderr = true;
    said.keys.key_encryption_key = bare.keys.key_encryption_key.clone();
    said.keys.previous_key_encryption_key = bare.keys.previous_key_encryption_key.clone();
    assert_eq!(format!("{said:?}"), format!("{bare:?}"));
}

#[test]
fn the_default_file_and_the_reference_have_every_setting() {
    let reference = include_str!("../../../docs/reference/configuration.md");
    for setting in SETTINGS {
        let name = setting.key.rsplit('.').next().unwrap();
        assert!(
            reference.contains(&format!("`{}`", setting.key)),
            "{}",
            setting.key
        );
        assert!(
            reference.contains(&format!("`{}`", setting.variable())),
            "{}",
            setting.key
        );
        let in_file = [format!("#{name} = "), format!("#[[{}]]", setting.key)];
        let is_secret = setting.form == setting::Form::Secret;
        assert_eq!(
            in_file.iter().any(|it| default_toml().contains(it)),
            !is_secret,
            "{}",
            setting.key
        );
    }
}

#[test]
fn whatever_bytes_the_file_has_it_is_taken_or_refused_in_one_line() {
    let defaults = default_toml().replace("\n#", "\n").into_bytes();
    crate::fuzz::throw("configuration", vec![defaults], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(error) = parse(&text, &[("AGENTIDP_TOKENS_LIFETIME", "5m")]) {
            let error = error.to_string();
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    });
}
