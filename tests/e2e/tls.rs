//! TLS, with certificates made for the test and a client that is not ours.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agentidp_tests::{
    DEADLINE, Finished, Installation, Process, Registration, TestDaemon, one_line_of_refusal,
};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A certificate for the loopback, in PEM, and the authority that it was made by.
pub(super) struct Made {
    pub(super) authority: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

pub(super) fn make() -> Made {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "the test's authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    Made {
        authority: authority.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// An installation with a certificate, and the path of the file of its authority.
fn installation(made: &Made) -> (Installation, PathBuf) {
    let mut installation = Installation::new();
    let folder = installation.directory().to_owned();
    let files = (folder.join("tls.crt"), folder.join("tls.key"));
    put(&files.0, &made.certificate);
    put(&files.1, &made.key);
    installation.config.tls = Some(files);
    let authority = folder.join("authority.crt");
    put(&authority, &made.authority);
    (installation, authority)
}

/// Replaces a file in one step, as whoever renews certificates should.
fn put(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;

    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

fn start(made: &Made) -> (TestDaemon, PathBuf) {
    let (installation, authority) = installation(made);
    installation.init();
    (installation.start(), authority)
}

/// Asks with curl.
fn curl(daemon: &TestDaemon, authority: &Path, path: &str, options: &[&str]) -> Finished {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
        .arg(authority)
        .args(options)
        .arg(format!(
            "https://{}{path}",
            daemon.installation.config.listen
        ));
    Process::spawn(command).wait()
}

/// The status, the version of HTTP, and the body.
const VERDICT: [&str; 2] = ["--write-out", "\n%{http_code} %{http_version}"];

fn wait_for_log(daemon: &TestDaemon, text: &str, times: usize) {
    daemon.process.wait_for(text, |seen| {
        let log = String::from_utf8_lossy(&seen.stderr);
        (log.matches(text).count() >= times).then_some(())
    });
}

#[test]
fn tokens_are_served_over_tls_with_http_2_and_http_1_1() {
    let (daemon, authority) = start(&make());
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let credentials = format!("{}:{}", client.id, client.secret);
    for (option, version) in [
        ("--http2", "200 2"),
        ("--http1.1", "200 1.1"),
        ("--tlsv1.3", "200 2"),
        ("--tls-max=1.2", "200 2"),
    ] {
        let mut options: Vec<_> = option.split('=').collect();
        options.extend([
            "-u",
            &credentials,
            "-d",
            "grant_type=client_credentials",
            "-i",
        ]);
        options.extend(VERDICT);
        let answer = curl(&daemon, &authority, "/oauth2/token", &options);
        assert!(answer.stdout.ends_with(version), "{option}: {answer:?}");
        assert!(
            answer.stdout.contains("\"access_token\":\"ey"),
            "{answer:?}"
        );
        let head = answer.stdout.to_ascii_lowercase();
        assert!(
            head.contains("strict-transport-security: max-age="),
            "{answer:?}"
        );
    }
    let old = curl(&daemon, &authority, "/health/live", &["--tls-max", "1.1"]);
    assert_ne!(old.code(), Some(0), "{old:?}");
    let metadata = curl(
        &daemon,
        &authority,
        "/.well-known/oauth-authorization-server",
        &[],
    );
    assert!(
        metadata.stdout.contains("\"issuer\":\"https://127.0.0.1"),
        "{metadata:?}"
    );
}

#[test]
fn limits_hold_over_http_2() {
    let (daemon, authority) = start(&make());
    let body = daemon.installation.directory().join("body");
    fs::write(&body, vec![b'a'; 200 * 1024]).unwrap();
    let body = format!("@{}", body.display());
    let mut options = vec!["--http2", "--data-binary", body.as_str()];
    options.extend(VERDICT);
    let answer = curl(&daemon, &authority, "/oauth2/token", &options);
    assert!(answer.stdout.ends_with("413 2"), "{answer:?}");

    let header = format!("x-large: {}", "a".repeat(9 * 1024));
    let mut options = vec!["--http2", "-H", header.as_str()];
    options.extend(VERDICT);
    let answer = curl(&daemon, &authority, "/health/live", &options);
    assert!(!answer.stdout.ends_with("200 2"), "{answer:?}");
}

#[test]
fn another_certificate_is_taken_while_the_daemon_runs() {
    let (daemon, authority) = start(&make());
    let (certificate, key) = daemon.installation.config.tls.clone().unwrap();
    let live = |authority: &Path| curl(&daemon, authority, "/health/live", &[]);
    assert_eq!(live(&authority).stdout, "live\n");

    // A pair that does not fit leaves the old one in use.
    let new = make();
    put(&certificate, &new.certificate);
    wait_for_log(&daemon, "the old one stays in use", 1);
    assert_eq!(live(&authority).stdout, "live\n");
    // Which is told wherever one looks, and not that a renewed one is to be put there.
    let warns = || {
        let status = daemon.cli().json(&["status", "-o", "json"]);
        status["warnings"].to_string().contains("certificate: ")
    };
    assert!(warns());
    let diagnosed = daemon.cli().run(&["diagnose"]).failing_with(1);
    let told = "FAILED   certificate  what was put there cannot be used";
    assert!(diagnosed.stdout().contains(told), "{}", diagnosed.stdout());

    put(&key, &new.key);
    wait_for_log(&daemon, "the certificate has been read again", 1);
    assert!(!warns());
    let authority = authority.with_file_name("new-authority.crt");
    put(&authority, &new.authority);
    assert_eq!(live(&authority).stdout, "live\n");

    daemon.process.signal(Signal::SIGHUP);
    wait_for_log(&daemon, "the certificate has been read again", 2);
    put(&key, "nonsense");
    daemon.process.signal(Signal::SIGHUP);
    wait_for_log(&daemon, "the old one stays in use", 2);
    assert_eq!(live(&authority).stdout, "live\n");
    let _ = daemon.stop();
}

#[test]
fn a_certificate_that_will_not_do_is_refused_by_its_file() {
    let made = make();
    let other = make().key;
    let secret = made.key.lines().nth(1).unwrap().to_owned();
    let not_a_key = made.key.replace("PRIVATE KEY", "PUBLIC KEY");
    for (certificate, key, words) in [
        ("", made.key.as_str(), ["http.tls.certificate", "tls.crt"]),
        (&made.key, &made.key, ["http.tls.certificate", "tls.crt"]),
        (&made.certificate, "", ["http.tls.key", "tls.key"]),
        (&made.certificate, &not_a_key, ["http.tls.key", "tls.key"]),
        (
            &made.certificate,
            &other,
            ["http.tls.key", "must be the key of the first"],
        ),
    ] {
        let (installation, _) = installation(&made);
        installation.init();
        let (certificate_file, key_file) = installation.config.tls.clone().unwrap();
        put(&certificate_file, certificate);
        put(&key_file, key);
        for command in ["run", "config check"] {
            let line = one_line_of_refusal(&installation.run(command));
            assert!(
                words.iter().all(|word| line.contains(word)),
                "{command}: {line}"
            );
            assert!(!line.contains(&secret), "{line}");
        }
    }
    let (installation, authority) = installation(&made);
    fs::remove_file(authority.with_file_name("tls.key")).unwrap();
    let line = one_line_of_refusal(&installation.run("config check"));
    assert!(line.contains("cannot be read: No such file"), "{line}");
}

#[test]
fn plain_http_is_not_spoken_where_tls_is() {
    let (daemon, _) = start(&make());
    let mut stream = TcpStream::connect(daemon.installation.config.listen).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // An alert and the end, or a reset.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn a_client_that_does_not_agree_on_a_key_is_let_go() {
    let (daemon, _) = start(&make());
    let mut stream = TcpStream::connect(daemon.installation.config.listen).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let started = Instant::now();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert!(started.elapsed() < Duration::from_secs(10));
    let _ = daemon.stop();
}
