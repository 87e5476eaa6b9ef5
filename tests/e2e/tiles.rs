//! The whole log over HTTP, as C2SP tlog-tiles: for the agents that the configuration names, and for
//! nobody else.

use agentidp_shared::merkle::{Checkpoint, Frontier, NodeHash, Note, VerifierKey};
use agentidp_tests::{Client, Installation, Registration, Request, Response, TestDaemon};
use serde_json::Value;

/// A daemon with a reader of its log, and more entries than a tile has.
fn daemon() -> (TestDaemon, Client, Client) {
    let daemon = Installation::initialized().start();
    daemon.organization("audit");
    daemon.organization("acme");
    let reads = |email| Registration::new(email).capability("audit:read");
    let reader = daemon.enrol(&reads("reader@audit.example").of("audit"));
    let colleague = daemon.enrol(&reads("colleague@audit.example").of("audit"));
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    for _ in 0..270 {
        let _ = client.token(&[]).token();
    }
    let (mut installation, _) = daemon.stop();
    installation.config.audit = vec![format!("readers = [{:?}]", reader.id)];
    (installation.start(), reader, colleague)
}

fn get(daemon: &TestDaemon, token: &str, path: &str) -> Response {
    let path = format!("/audit/log/{path}");
    let bearer = format!("Bearer {token}");
    daemon
        .http()
        .send(&Request::new("GET", &path).header("authorization", &bearer))
}

/// The entries of a bundle, each after its length.
fn entries(mut bundle: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry);
        bundle = rest;
    }
    entries
}

#[test]
fn a_reader_gets_the_whole_log_in_tiles_that_make_the_checkpoint() {
    let (daemon, reader, _) = daemon();
    let token = reader.token(&[("scope", "audit:read")]).token();
    let answer = get(&daemon, &token, "checkpoint");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let key = daemon.cli().run(&["audit", "key"]).ok();
    let key: VerifierKey = key.stdout().trim().parse().unwrap();
    let note = Note::from_bytes(answer.text().as_bytes()).unwrap();
    let checkpoint = Checkpoint::verified(&note, &key).unwrap();
    let rest = checkpoint.size - 256;
    assert!((1..256).contains(&rest), "{checkpoint:?}");

    let full = get(&daemon, &token, "tile/0/000");
    let part = get(&daemon, &token, &format!("tile/0/001.p/{rest}"));
    assert_eq!(
        full.header("content-type"),
        Some("application/octet-stream")
    );
    let kept = "private, max-age=31536000, immutable";
    assert_eq!(full.header("cache-control"), Some(kept));
    assert_eq!(part.header("cache-control"), Some("no-store"));
    let hashes = [full.body.as_slice(), &part.body].concat();
    let (hashes, []) = hashes.as_chunks::<32>() else {
        panic!("{} bytes", hashes.len())
    };
    let mut tree = Frontier::default();
    for hash in hashes {
        tree.push(NodeHash::from_bytes(*hash));
    }
    assert_eq!(
        (tree.size(), tree.root()),
        (checkpoint.size, checkpoint.root)
    );
    let mut first = Frontier::default();
    for hash in &hashes[..256] {
        first.push(NodeHash::from_bytes(*hash));
    }
    let above = get(&daemon, &token, "tile/1/000.p/1");
    assert_eq!(above.body, first.root().as_bytes());
    // A tile that is full now is still there as it was.
    let before = get(&daemon, &token, "tile/0/000.p/17");
    assert_eq!(before.body, full.body[..17 * 32]);

    let bundles = [
        "tile/entries/000".to_owned(),
        format!("tile/entries/001.p/{rest}"),
    ];
    let bundles = bundles.map(|path| {
        let bundle = get(&daemon, &token, &path);
        // Its entries may be pruned tomorrow.
        assert_eq!(bundle.header("cache-control"), Some("no-store"));
        bundle.body
    });
    let all: Vec<_> = bundles.iter().flat_map(|it| entries(it)).collect();
    assert_eq!(all.len() as u64, checkpoint.size);
    for (seq, (entry, hash)) in all.iter().zip(hashes).enumerate() {
        assert_eq!(NodeHash::of_leaf(entry).as_bytes(), hash);
        let entry: Value = serde_json::from_slice(entry).unwrap();
        assert_eq!(entry["seq"], seq);
    }

    for none in [
        "tile/0/002",
        "tile/0/001",
        "tile/1/001.p/1",
        "tile/2/000.p/1",
        "tile/0/000.p/256",
        "tile/0/0",
        "tile/8/0/000",
        "tile/data/000",
        "tile/entries/009",
        "tile/64/000",
    ] {
        let answer = get(&daemon, &token, none);
        assert_eq!(answer.status, 404, "{none}: {}", answer.text());
        assert_eq!(answer.json()["code"], "ROUTE_NOT_FOUND");
    }
}

#[test]
fn nobody_else_gets_any_of_it() {
    let (daemon, reader, colleague) = daemon();
    let without = reader.token(&[("scope", "resume:read")]).token();
    let colleague = colleague.token(&[("scope", "audit:read")]).token();
    for path in [
        "checkpoint",
        "tile/0/000",
        "tile/entries/000",
        "tile/0/999",
        "tile/x",
    ] {
        for (token, status, code) in [
            (colleague.as_str(), 403, "PERMISSION_DENIED"),
            (&without, 403, "INSUFFICIENT_SCOPE"),
            ("nothing", 401, "INVALID_TOKEN"),
        ] {
            let answer = get(&daemon, token, path);
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            assert_eq!(answer.json()["code"], code, "{path}");
            let says = answer.text().contains("audit.readers");
            assert_eq!(
                says,
                code == "PERMISSION_DENIED",
                "{path}: {}",
                answer.text()
            );
        }
    }
    // That they tried is in the log.
    let denied = ["audit", "list", "--outcome", "denied", "-o", "ndjson"];
    let denied = daemon.cli().ndjson(&denied);
    for action in ["audit.checkpoint", "audit.export"] {
        assert!(denied.iter().any(|it| it["action"] == action), "{denied:?}");
    }
}

#[test]
fn a_tenant_s_entry_comes_with_its_proof() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let registration = Registration::new("a@acme.example").capability("audit:read");
    let client = daemon.enrol(&registration);
    let token = client.token(&[("scope", "audit:read")]).token();
    let bearer = format!("Bearer {token}");
    let get = |path: &str| {
        let request = Request::new("GET", path).header("authorization", &bearer);
        daemon.http().send(&request)
    };
    let listed = get("/api/v1/audit?limit=1").json()["items"][0].clone();
    let answer = get(&format!("/api/v1/audit/{}", listed["seq"]));
    let proved = answer.json();
    assert_eq!(proved["entry"], listed);
    let key = daemon.cli().run(&["audit", "key"]).ok();
    let note = proved["checkpoint"].as_str().unwrap();
    let hashes = proved["proof"].as_array().unwrap().iter();
    let hashes: Vec<_> = hashes.map(|it| it.as_str().unwrap()).collect();
    let text = answer.text();
    let (_, stored) = text.split_once("{\"entry\":").unwrap();
    let (stored, _) = stored.split_once(",\"index\":").unwrap();
    let entry = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, stored);
    // The same as a file that `audit verify` reads.
    let proof = format!(
        "c2sp.org/tlog-proof@v1\nextra {entry}\nindex {}\n{}\n\n{note}",
        proved["index"],
        hashes.join("\n")
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proof");
    std::fs::write(&file, proof).unwrap();
    let file = file.to_str().unwrap();
    let verify = [
        "audit",
        "verify",
        file,
        "--key",
        key.stdout().trim(),
        "-o",
        "json",
    ];
    let verified = daemon.cli().run(&verify).ok().json();
    assert_eq!(verified["entry"], stored);
}
