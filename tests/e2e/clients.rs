//! Third parties' clients, unmodified: one of ours would prove nothing.
//!
//! Each is a script in `tests/clients`, run with the interpreters in `.venv`. `cargo xtask clients`
//! installs them.

use std::path::PathBuf;
use std::process::Command;

use agentidp_proto::FILE_DESCRIPTOR_SET;
use agentidp_tests::{Client, Installation, Process, Registration, TestDaemon, project_root};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use serde_json::Value;

/// What signs tokens, and assertions.
const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];
const PRIVATE_KEY_JWT: &str = "private_key_jwt";

/// A program of the virtual environment.
pub(crate) fn installed(name: &str) -> PathBuf {
    let program = project_root().join(".venv/bin").join(name);
    assert!(
        program.is_file(),
        "{} is missing: run `cargo xtask clients`",
        program.display()
    );
    program
}

/// Runs a script to its end and gives the JSON that it prints.
pub(crate) fn script(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let path = project_root().join("tests/clients").join(name);
    let mut command = if path.extension().is_some_and(|it| it == "py") {
        let mut python = Command::new(installed("python"));
        python.arg("-I");
        python
    } else {
        Command::new(installed("node"))
    };
    command
        .arg(path)
        .args(arguments)
        .envs(environment.iter().copied());
    let finished = Process::spawn(command).wait();
    assert_eq!(
        finished.code(),
        Some(0),
        "{}\n{}{}",
        finished.command,
        finished.stdout,
        finished.stderr
    );
    serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {:?}", finished.stdout))
}

/// Runs a script of a client with a secret.
fn run(name: &str, daemon: &TestDaemon, client: &Client, more: &[(&str, &str)]) -> Value {
    let config = &daemon.installation.config;
    let issuer = config.issuer();
    let known = [
        ("ISSUER", issuer.as_str()),
        ("ALGORITHM", config.algorithm),
        ("CLIENT_ID", client.id.as_str()),
        ("CLIENT_SECRET", client.secret.as_str()),
    ];
    script(name, &[], &[&known, more].concat())
}

/// An agent with a key of its own.
struct KeyHolder {
    id: String,
    private_key: String,
    algorithm: &'static str,
}

impl KeyHolder {
    /// Registers the agent with a key that joserfc made.
    fn enrol(daemon: &TestDaemon, registration: &Registration, algorithm: &'static str) -> Self {
        let key = script("key.py", &[algorithm], &[]);
        let agent = daemon.register(registration);
        daemon.issue_public_key(agent["id"].as_str().unwrap(), &key["public"]);
        Self {
            id: agent["id"].as_str().unwrap().to_owned(),
            private_key: key["private"].to_string(),
            algorithm,
        }
    }

    fn run(&self, name: &str, daemon: &TestDaemon, more: &[(&str, &str)]) -> Value {
        let config = &daemon.installation.config;
        let issuer = config.issuer();
        let known = [
            ("ISSUER", issuer.as_str()),
            ("ALGORITHM", config.algorithm),
            ("METHOD", PRIVATE_KEY_JWT),
            ("CLIENT_ID", self.id.as_str()),
            ("PRIVATE_KEY", self.private_key.as_str()),
            ("KEY_ALGORITHM", self.algorithm),
        ];
        script(name, &[], &[&known, more].concat())
    }
}

fn daemon_signing_with(algorithm: &'static str) -> TestDaemon {
    let mut installation = Installation::new();
    installation.config.algorithm = algorithm;
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    daemon
}

fn authlib_with_a_secret(algorithm: &'static str) {
    let daemon = daemon_signing_with(algorithm);
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    for method in ["client_secret_basic", "client_secret_post"] {
        let claims = run("authlib_client.py", &daemon, &client, &[("METHOD", method)]);
        assert_eq!(claims["sub"], client.id);
        assert_eq!(claims["scope"], "resume:read");
    }
}

#[test]
fn authlib_gets_a_token_by_discovery_and_pyjwt_and_joserfc_verify_it_with_es256() {
    authlib_with_a_secret("ES256");
}

#[test]
fn authlib_gets_a_token_by_discovery_and_pyjwt_and_joserfc_verify_it_with_eddsa() {
    authlib_with_a_secret("EdDSA");
}

#[test]
fn authlib_gets_a_token_by_discovery_and_pyjwt_and_joserfc_verify_it_with_rs256() {
    authlib_with_a_secret("RS256");
}

#[test]
fn authlib_gets_a_token_with_a_key_of_the_agent_s_own() {
    let daemon = daemon_signing_with("ES256");
    for algorithm in ALGORITHMS {
        let email = format!("{}@acme.example", algorithm.to_lowercase());
        let holder = KeyHolder::enrol(&daemon, &Registration::new(&email), algorithm);
        let claims = holder.run("authlib_client.py", &daemon, &[]);
        assert_eq!(claims["sub"], holder.id, "{algorithm}");
    }
}

#[test]
fn authlib_finds_an_issuer_that_has_a_path() {
    let mut installation = Installation::new();
    installation.config.issuer_path = "/tenant";
    installation.init();
    let daemon = installation.start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let more = [("METHOD", "client_secret_basic")];
    let claims = run("authlib_client.py", &daemon, &client, &more);
    assert_eq!(claims["iss"], daemon.installation.config.issuer());
}

#[test]
fn authlib_introspects_and_revokes_tokens() {
    let daemon = daemon_signing_with("ES256");
    daemon.organization("other");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let reader = |email| Registration::new(email).capability("tokens:read");
    let server = daemon.enrol(&reader("api@acme.example"));
    let stranger = daemon.enrol(&reader("api@other.example").of("other"));
    for method in ["client_secret_basic", "client_secret_post"] {
        let more = [
            ("METHOD", method),
            ("RESOURCE_SERVER_ID", server.id.as_str()),
            ("RESOURCE_SERVER_SECRET", server.secret.as_str()),
            ("STRANGER_ID", stranger.id.as_str()),
            ("STRANGER_SECRET", stranger.secret.as_str()),
        ];
        let known = run("authlib_introspection.py", &daemon, &client, &more);
        assert_eq!(known["scope"], "resume:read resume:write", "{method}");
    }
}

#[test]
fn requests_oauthlib_gets_a_token() {
    let daemon = daemon_signing_with("ES256");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let claims = run("requests_oauthlib_client.py", &daemon, &client, &[]);
    assert_eq!(claims["sub"], client.id);
}

#[test]
fn jose_verifies_tokens_by_the_remote_jwks() {
    for algorithm in ALGORITHMS {
        let daemon = daemon_signing_with(algorithm);
        let client = daemon.enrol(&Registration::new("a@acme.example"));
        let token = client.token(&[]).token();
        let claims = run("jose_client.mjs", &daemon, &client, &[("TOKEN", &token)]);
        assert_eq!(claims, Client::claims(&token), "{algorithm}");
    }
}

/// The two SDKs of the Model Context Protocol, and a port for the resource that they protect.
const MCP_SDKS: [&str; 2] = ["mcp_client.py", "mcp_client.mjs"];

fn resource() -> (String, String) {
    let port = agentidp_tests::free_address().port().to_string();
    let resource = format!("http://127.0.0.1:{port}/mcp");
    (port, resource)
}

#[test]
fn the_mcp_sdks_get_a_token_for_a_resource() {
    let daemon = daemon_signing_with("ES256");
    let (port, resource) = resource();
    let client = daemon.enrol(&Registration::new("a@acme.example").audience(&resource));
    for (sdk, method, scopes) in [
        (MCP_SDKS[0], "client_secret_basic", "resume:read"),
        (MCP_SDKS[0], "client_secret_basic", ""),
        (MCP_SDKS[0], "client_secret_post", "resume:read"),
        (MCP_SDKS[0], "client_secret_post", ""),
        (MCP_SDKS[1], "client_secret_basic", "resume:read"),
    ] {
        let more = [
            ("RESOURCE_PORT", port.as_str()),
            ("METHOD", method),
            ("RESOURCE_SCOPES", scopes),
        ];
        let claims = run(sdk, &daemon, &client, &more);
        assert_eq!(claims["aud"], resource, "{sdk}");
        assert_eq!(claims["sub"], client.id, "{sdk}");
    }
}

#[test]
fn the_mcp_sdks_get_a_token_for_a_resource_with_a_key_of_the_agent_s_own() {
    let daemon = daemon_signing_with("ES256");
    let (port, resource) = resource();
    for algorithm in ALGORITHMS {
        let email = format!("{}@acme.example", algorithm.to_lowercase());
        let registration = Registration::new(&email).audience(&resource);
        let holder = KeyHolder::enrol(&daemon, &registration, algorithm);
        for sdk in MCP_SDKS {
            let claims = holder.run(sdk, &daemon, &[("RESOURCE_PORT", &port)]);
            assert_eq!(claims["aud"], resource, "{sdk} {algorithm}");
            assert_eq!(claims["sub"], holder.id, "{sdk} {algorithm}");
        }
    }
}

#[test]
fn the_mcp_sdks_do_not_get_a_token_for_a_resource_that_the_agent_may_not_use() {
    let daemon = daemon_signing_with("ES256");
    let (port, _) = resource();
    let client =
        daemon.enrol(&Registration::new("a@acme.example").audience("https://mcp.example/"));
    for sdk in MCP_SDKS {
        let more = [
            ("RESOURCE_PORT", port.as_str()),
            ("METHOD", "client_secret_basic"),
            ("EXPECT", "invalid_target"),
        ];
        let error = run(sdk, &daemon, &client, &more);
        let text = error["error"].as_str().unwrap();
        assert!(text.contains("invalid_target"), "{sdk}: {error}");
    }
}

#[test]
fn grpcio_finds_every_service_and_method_by_reflection() {
    let daemon = TestDaemon::start();
    let socket = daemon.installation.config.socket.to_str().unwrap();
    let found = script("grpc_reflection.py", &[], &[("SOCKET", socket)]);
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut services = 0;
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            let mut methods: Vec<_> = service
                .method
                .iter()
                .map(MethodDescriptorProto::name)
                .collect();
            methods.sort_unstable();
            assert_eq!(found[&name], Value::from(methods), "{name}");
            services += 1;
        }
    }
    assert!(services > 0);
    assert!(found["grpc.health.v1.Health"].is_array(), "{found}");
}
