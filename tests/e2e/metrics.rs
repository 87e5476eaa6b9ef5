//! What is measured: the specification against a daemon at work.

use std::collections::{BTreeMap, BTreeSet};

use agentidp_tests::{Client, Installation, Registration, TestDaemon, free_address};

const SPECIFICATION: &str = include_str!("../../docs/reference/metrics.md");

fn start() -> TestDaemon {
    let mut installation = Installation::initialized();
    installation.config.metrics = Some(free_address());
    let file = installation.directory().join("checkpoints");
    installation.config.audit = vec![format!("checkpoint_file = {file:?}")];
    installation.start()
}

/// A row of a table, without what stands around its cells.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split(" |").map(str::trim).collect()
}

/// What stands between backticks.
fn words(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The rows of the table under a heading.
fn table(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let (_, section) = SPECIFICATION
        .split_once(&format!("## {heading}\n"))
        .unwrap();
    section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(cells)
}

/// What is said of a family, here or there.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    kind: String,
    unit: Option<String>,
}

/// The families of the specification, with their labels.
fn specified() -> BTreeMap<String, (Family, BTreeSet<String>)> {
    let row = |cells: Vec<&str>| {
        let name = cells[0].trim_matches('`');
        let kind = cells[1].to_owned();
        let name = match kind.as_str() {
            "counter" => name.strip_suffix("_total").unwrap(),
            "info" => name.strip_suffix("_info").unwrap(),
            _ => name,
        };
        let unit = Some(cells[3].to_owned()).filter(|it| it == "seconds" || it == "bytes");
        (name.to_owned(), (Family { kind, unit }, words(cells[2])))
    };
    table("Families").map(row).collect()
}

/// A scrape, parsed.
#[derive(Debug, Default)]
struct Scrape {
    text: String,
    families: BTreeMap<String, Family>,
    /// The value of each series, by its name with its labels.
    series: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(daemon: &TestDaemon) -> Self {
        let response = daemon.metrics().get("/metrics");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(
            response.header("content-type"),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
        let mut scrape = Self {
            text: response.text(),
            ..Self::default()
        };
        assert!(scrape.text.ends_with("# EOF\n"), "{}", scrape.text);
        for line in scrape.text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["#", "TYPE", name, kind] => {
                    let family = Family {
                        kind: (*kind).to_owned(),
                        unit: None,
                    };
                    let before = scrape.families.insert((*name).to_owned(), family);
                    assert_eq!(before, None, "{name} is there twice");
                }
                ["#", "UNIT", name, unit] => {
                    scrape.families.get_mut(*name).unwrap().unit = Some((*unit).to_owned());
                }
                ["#", ..] => {}
                [series, value] => {
                    let value = value.parse().unwrap();
                    assert_eq!(scrape.series.insert((*series).to_owned(), value), None);
                }
                _ => panic!("{line}"),
            }
        }
        scrape
    }

    fn value(&self, series: &str) -> f64 {
        *self
            .series
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }
}

/// The family and the labels of a series.
fn parts(series: &str) -> (&str, BTreeMap<&str, &str>) {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap();
    let pair = |label| {
        let (name, value): (&str, &str) = str::split_once(label, "=\"").unwrap();
        (name, value.strip_suffix('"').unwrap())
    };
    let labels = labels.split(',').filter(|it| !it.is_empty()).map(pair);
    (name, labels.collect())
}

/// Something of everything that is counted.
fn traffic(daemon: &TestDaemon) -> Client {
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("screener@acme.example"));
    for _ in 0..2 {
        let _ = client.token(&[]).token();
    }
    let guessing = Client {
        secret: format!("{}x", client.secret),
        ..client.clone()
    };
    assert_eq!(guessing.token(&[]).status, 401);
    let nobody = Client {
        id: "019b1d4c-7e0c-7000-8000-0123456789ab".to_owned(),
        ..client.clone()
    };
    assert_eq!(nobody.token(&[]).status, 401);
    assert_eq!(client.token(&[("scope", "payroll:read")]).status, 400);
    let http = daemon.http();
    assert_eq!(http.get("/health/ready").status, 200);
    assert_eq!(http.get("/nowhere/0a1b2c3d4e").status, 404);
    client
}

#[test]
fn what_is_scraped_is_what_is_specified() {
    let daemon = start();
    let client = traffic(&daemon);
    let scrape = Scrape::of(&daemon);
    let specified = specified();

    let expected: BTreeSet<_> = specified.keys().collect();
    assert_eq!(scrape.families.keys().collect::<BTreeSet<_>>(), expected);
    for (name, family) in &scrape.families {
        assert_eq!(family, &specified[name].0, "{name}");
    }

    let values: BTreeMap<String, BTreeSet<String>> = table("Labels")
        .map(|cells| (cells[0].trim_matches('`').to_owned(), words(cells[1])))
        .collect();
    for series in scrape.series.keys() {
        let (name, labels) = parts(series);
        let family = ["_total", "_info", "_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|family| specified.contains_key(*family))
            .unwrap_or(name);
        let (_, names) = &specified[family];
        let own: BTreeSet<_> = labels
            .keys()
            .filter(|it| **it != "le")
            .map(|it| (*it).to_owned())
            .collect();
        assert_eq!(&own, names, "{series}");
        for (label, value) in &labels {
            let fits = match *label {
                "le" => value.parse::<f64>().is_ok(),
                "version" => *value == env!("CARGO_PKG_VERSION"),
                label => values[label].contains(*value),
            };
            assert!(fits, "{series}");
        }
    }

    let config = &daemon.installation.config;
    for private in [
        client.id.as_str(),
        &client.secret,
        &client.credential,
        "screener",
        "acme",
        "payroll",
        "0a1b2c3d4e",
        "019b1d4c",
        &config.store.to_string_lossy(),
        "127.0.0.1",
    ] {
        assert!(
            !scrape.text.contains(private),
            "{private} in\n{}",
            scrape.text
        );
    }
}

#[test]
fn the_counters_move_with_what_happens() {
    let daemon = start();
    let before = Scrape::of(&daemon);
    let client = traffic(&daemon);
    let after = Scrape::of(&daemon);
    for (series, more) in [
        ("agentidp_token_requests_total{outcome=\"issued\"}", 2.0),
        ("agentidp_token_requests_total{outcome=\"denied\"}", 3.0),
        ("agentidp_token_requests_total{outcome=\"failed\"}", 0.0),
        (
            "agentidp_token_refusals_total{code=\"MALFORMED_SECRET\"}",
            1.0,
        ),
        (
            "agentidp_token_refusals_total{code=\"UNKNOWN_CLIENT\"}",
            1.0,
        ),
        (
            "agentidp_token_refusals_total{code=\"SCOPE_NOT_ALLOWED\"}",
            1.0,
        ),
        ("agentidp_token_request_duration_seconds_count", 5.0),
        (
            "agentidp_http_requests_total{route=\"/oauth2/token\",status=\"2xx\"}",
            2.0,
        ),
        (
            "agentidp_http_requests_total{route=\"/oauth2/token\",status=\"4xx\"}",
            3.0,
        ),
        (
            "agentidp_http_requests_total{route=\"other\",status=\"4xx\"}",
            1.0,
        ),
        (
            "agentidp_cache_lookups_total{cache=\"secret\",result=\"miss\"}",
            1.0,
        ),
        (
            "agentidp_cache_lookups_total{cache=\"secret\",result=\"hit\"}",
            2.0,
        ),
    ] {
        let moved = after.value(series) - before.value(series);
        assert!((moved - more).abs() < 0.5, "{series} moved by {moved}");
    }
    for (series, value) in [
        (
            "agentidp_denials_total{caller=\"stranger\",code=\"UNKNOWN_CLIENT\"}",
            1.0,
        ),
        (
            "agentidp_rpc_calls_total{method=\"agentidp.operator.v1.AgentService/Register\",grpc_code=\"OK\"}",
            1.0,
        ),
        ("agentidp_ready", 1.0),
        ("agentidp_part_state{part=\"store\",state=\"healthy\"}", 1.0),
        ("agentidp_signing_keys{key_state=\"active\"}", 1.0),
        ("agentidp_http_requests_in_flight", 0.0),
    ] {
        let is = after.value(series);
        assert!((is - value).abs() < 0.5, "{series} is {is}");
    }
    let entries = "agentidp_audit_entries_total";
    assert!(after.value(entries) >= before.value(entries) + 5.0);
    for cache in ["organization", "agent", "credential"] {
        let hits = format!("agentidp_cache_lookups_total{{cache=\"{cache}\",result=\"hit\"}}");
        assert!(after.value(&hits) > before.value(&hits), "{hits}");
    }
    let writes = "agentidp_store_sync_duration_seconds_count";
    assert!(after.value(writes) > before.value(writes));
    assert!(
        after.value("agentidp_store_journal_bytes") > before.value("agentidp_store_journal_bytes")
    );
    assert!(after.value("process_resident_memory_bytes") > 1_000_000.0);

    // Refusals beyond those that the audit log writes out are counted all the same.
    daemon.change("suspend", "screener@acme.example");
    for _ in 0..20 {
        assert_eq!(client.token(&[]).status, 401);
    }
    let suspended = "agentidp_denials_total{caller=\"agent\",code=\"AGENT_SUSPENDED\"}";
    let count = Scrape::of(&daemon).value(suspended);
    assert!((count - 20.0).abs() < 0.5, "{count}");
}

#[test]
fn a_connection_that_is_open_is_counted() {
    let daemon = start();
    let mut connection = daemon.http().keep_alive();
    let request = agentidp_tests::Request::new("GET", "/health/live");
    assert_eq!(connection.exchange(&request).status, 200);
    let open = Scrape::of(&daemon).value("agentidp_http_connections");
    assert!((open - 1.0).abs() < 0.5, "{open}");
}

#[test]
fn metrics_are_on_their_own_listener_and_nothing_else_is() {
    let daemon = start();
    assert_eq!(daemon.http().get("/metrics").status, 404);
    let metrics = daemon.metrics();
    for path in ["/", "/health/ready", "/oauth2/token", "/metrics/"] {
        assert_eq!(metrics.get(path).status, 404, "{path}");
    }
    let request = agentidp_tests::Request::form("/metrics", &[]);
    assert_eq!(metrics.send(&request).status, 405);
    let _ = daemon.stop();
}

#[test]
fn the_log_says_where_metrics_are_unless_they_are_off() {
    let serving = |daemon: TestDaemon| {
        let (installation, finished) = daemon.stop();
        let lines = finished
            .stderr
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let line = lines.into_iter().find(|it| it["message"] == "serving");
        (
            installation.config.metrics,
            line.unwrap()["metrics"].clone(),
        )
    };
    let (address, said) = serving(start());
    assert_eq!(said, address.unwrap().to_string());
    let (address, said) = serving(TestDaemon::start());
    assert_eq!((address, said), (None, serde_json::Value::Null));
}

#[test]
fn a_port_of_metrics_that_is_in_use_is_refused_by_the_name_of_its_setting() {
    let mut installation = Installation::initialized();
    let address = free_address();
    installation.config.metrics = Some(address);
    let _other = std::net::TcpListener::bind(address).unwrap();
    let said = installation.refusal();
    assert!(
        said.contains(&format!("{address} (metrics.listen)")),
        "{said}"
    );
    assert!(!installation.config.socket.exists());
}
