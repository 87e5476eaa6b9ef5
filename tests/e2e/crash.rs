//! SIGKILL during mixed load: what was acknowledged is there afterwards, and nothing else is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agentidp_proto::v1;
use agentidp_proto::v1::agent_service_client::AgentServiceClient;
use agentidp_proto::v1::audit_service_client::AuditServiceClient;
use agentidp_proto::v1::credential_service_client::CredentialServiceClient;
use agentidp_proto::v1::tail_audit_response::Event;
use agentidp_tests::{Client, DEADLINE, Http, Installation, Registration, TestDaemon};
use serde_json::Value;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

const KILLS: usize = 30;
/// How long after its start the daemon makes its index durable for the first time.
const FLUSH: Duration = Duration::from_millis(4_900);

/// What the load tried, and what it was told.
#[derive(Debug, Default)]
struct Ledger {
    /// E-mails that a registration was tried with.
    tried: BTreeSet<String>,
    /// Ids of agents whose registration was acknowledged, by e-mail.
    agents: BTreeMap<String, String>,
    /// Acknowledged changes: the entry's number, its action, the agent's id.
    changes: Vec<(u64, &'static str, String)>,
    /// Each status that was acknowledged last, and the one that is being tried.
    standings: HashMap<String, Standing>,
    /// Secrets that were acknowledged, newest last.
    secrets: Vec<Client>,
    /// Credential ids that were acknowledged.
    credentials: BTreeSet<String>,
    /// Tokens that agents have in hand: `jti` and client.
    tokens: BTreeMap<String, String>,
    /// Token requests that were begun, by client.
    requests: HashMap<String, usize>,
    /// How many acknowledgements there were in all.
    acknowledged: usize,
}

#[derive(Debug)]
struct Standing {
    acknowledged: &'static str,
    tried: Option<&'static str>,
}

/// The ledger, shared by everyone who makes load.
#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    changed: Condvar,
}

impl Shared {
    fn note<T>(&self, note: impl FnOnce(&mut Ledger) -> T) -> T {
        note(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn acknowledge<T>(&self, note: impl FnOnce(&mut Ledger) -> T) -> T {
        let value = self.note(|ledger| {
            ledger.acknowledged += 1;
            note(ledger)
        });
        self.changed.notify_all();
        value
    }

    fn wait_for_acknowledgements(&self, more: usize) {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let goal = ledger.acknowledged + more;
        let waited = self
            .changed
            .wait_timeout_while(ledger, DEADLINE, |ledger| ledger.acknowledged < goal);
        let (ledger, result) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            !result.timed_out(),
            "{} of {goal} acknowledgements",
            ledger.acknowledged
        );
    }

    /// Asks for a token, and notes the request before and the token after.
    fn token(&self, client: &Client) -> Option<u16> {
        self.note(|ledger| *ledger.requests.entry(client.id.clone()).or_default() += 1);
        let answer = client.try_token().ok()?;
        if answer.status == 200 {
            let jti = Client::claims(&answer.token())["jti"]
                .as_str()
                .unwrap()
                .to_owned();
            self.acknowledge(|ledger| ledger.tokens.insert(jti, client.id.clone()));
        }
        Some(answer.status)
    }
}

/// The operators' interface.
#[derive(Clone)]
struct Operator {
    agents: AgentServiceClient<Channel>,
    credentials: CredentialServiceClient<Channel>,
    audit: AuditServiceClient<Channel>,
}

impl Operator {
    async fn connect(socket: &Path) -> Self {
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
        let channel = endpoint
            .connect()
            .await
            .expect("the operators' socket takes connections");
        Self {
            agents: AgentServiceClient::new(channel.clone()),
            credentials: CredentialServiceClient::new(channel.clone()),
            audit: AuditServiceClient::new(channel).max_decoding_message_size(64 << 20),
        }
    }

    async fn agents(&mut self) -> BTreeMap<String, v1::Agent> {
        let mut agents = BTreeMap::new();
        let mut request = v1::ListAgentsRequest {
            limit: 1_000,
            ..Default::default()
        };
        loop {
            let page = self
                .agents
                .list(request.clone())
                .await
                .unwrap()
                .into_inner();
            agents.extend(
                page.agents
                    .into_iter()
                    .filter_map(|listed| listed.agent)
                    .map(|agent| (agent.id.clone(), agent)),
            );
            if page.next_page_token.is_empty() {
                return agents;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The entries from number `from` on, as they are stored.
    async fn entries(&mut self, from: u64) -> Vec<Vec<u8>> {
        let request = v1::TailAuditRequest {
            from: Some(from),
            ..Default::default()
        };
        let mut stream = self.audit.tail(request).await.unwrap().into_inner();
        let mut entries = Vec::new();
        loop {
            let message = tokio::time::timeout(DEADLINE, stream.message())
                .await
                .expect("the stream goes on");
            match message.unwrap().expect("the stream goes on").event.unwrap() {
                Event::Entry(entry) => {
                    assert_eq!(entry.seq, from + u64::try_from(entries.len()).unwrap());
                    entries.push(entry.json);
                }
                Event::Gap(gap) => panic!("a gap for one who may fall behind for ever: {gap:?}"),
                Event::Position(position) => {
                    assert_eq!(position.next, from + u64::try_from(entries.len()).unwrap());
                    return entries;
                }
            }
        }
    }
}

/// Everyone who makes load, until the daemon is gone.
struct Load(Vec<JoinHandle<()>>);

impl Load {
    fn start(
        round: usize,
        runtime: &Runtime,
        operator: &Operator,
        shared: &Arc<Shared>,
        clients: &Clients,
    ) -> Self {
        let mut threads = Vec::new();
        for client in &clients.steady {
            let (client, shared) = (client.clone(), Arc::clone(shared));
            threads.push(thread::spawn(move || {
                while let Some(status) = shared.token(&client) {
                    assert_eq!(status, 200, "an agent that nobody touched");
                }
            }));
        }
        for client in &clients.suspended {
            let (client, shared) = (client.clone(), Arc::clone(shared));
            let (operator, handle) = (operator.clone(), runtime.handle().clone());
            threads.push(thread::spawn(move || {
                while suspend_and_resume(&handle, operator.clone(), &shared, &client).is_some() {}
            }));
        }
        for number in 0..2 {
            let (shared, http) = (Arc::clone(shared), clients.steady[0].http);
            let (operator, handle) = (operator.clone(), runtime.handle().clone());
            threads.push(thread::spawn(move || {
                let mut count = 0;
                let email = |count| format!("agent-{round}-{number}-{count}@acme.example");
                while handle
                    .block_on(register(
                        operator.clone(),
                        &shared,
                        email(count),
                        count % 8 == 0,
                        http,
                    ))
                    .is_some()
                {
                    count += 1;
                }
            }));
        }
        Self(threads)
    }

    /// Waits until everyone has seen that the daemon is gone.
    fn join(self) {
        for thread in self.0 {
            thread.join().expect("the load saw nothing wrong");
        }
    }
}

/// What one call came to: its answer, or `None` when the daemon is gone.
async fn answered<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Option<T> {
    match tokio::time::timeout(DEADLINE, call)
        .await
        .expect("an answer or an end")
    {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) => {
            let gone = matches!(
                status.code(),
                tonic::Code::Unavailable
                    | tonic::Code::Unknown
                    | tonic::Code::Cancelled
                    | tonic::Code::Internal
            ) && status
                .metadata()
                .get(agentidp_proto::CODE_METADATA)
                .is_none();
            assert!(gone, "the daemon itself refused: {status:?}");
            None
        }
    }
}

async fn register(
    mut operator: Operator,
    shared: &Shared,
    email: String,
    issue: bool,
    http: Http,
) -> Option<()> {
    shared.note(|ledger| ledger.tried.insert(email.clone()));
    let request = v1::RegisterAgentRequest {
        organization: "acme".to_owned(),
        email: email.clone(),
        agent_type: "screener".to_owned(),
        version: "1.0.0".to_owned(),
        capabilities: vec!["resume:read".to_owned()],
        owner: "team-a".to_owned(),
        deployment_env: "production".to_owned(),
        ..Default::default()
    };
    let change = answered(operator.agents.register(request)).await?;
    let id = change.agent.unwrap().id;
    shared.acknowledge(|ledger| {
        ledger
            .changes
            .push((change.audit_seq, "agent.register", id.clone()));
        ledger.agents.insert(email, id.clone());
    });
    if issue {
        let request = v1::IssueCredentialRequest {
            agent: id.clone(),
            expires_in: None,
            public_key_jwk: String::new(),
        };
        let issued = answered(operator.credentials.issue(request)).await?;
        let credential = issued.credential.unwrap().id;
        shared.acknowledge(|ledger| {
            ledger.credentials.insert(credential.clone());
            ledger.secrets.push(Client {
                http,
                id,
                secret: issued.client_secret,
                credential,
            });
        });
    }
    Some(())
}

fn suspend_and_resume(
    handle: &tokio::runtime::Handle,
    mut operator: Operator,
    shared: &Shared,
    client: &Client,
) -> Option<()> {
    let request = v1::AgentTransitionRequest {
        agent: client.id.clone(),
        reason: "mixed load".to_owned(),
        revision: 0,
    };
    for (action, status) in [("agent.suspend", "suspended"), ("agent.resume", "active")] {
        shared.note(|ledger| ledger.standings.get_mut(&client.id).unwrap().tried = Some(status));
        let change = handle.block_on(async {
            match status {
                "suspended" => answered(operator.agents.suspend(request.clone())).await,
                _ => answered(operator.agents.resume(request.clone())).await,
            }
        })?;
        shared.acknowledge(|ledger| {
            ledger
                .changes
                .push((change.audit_seq, action, client.id.clone()));
            ledger.standings.insert(
                client.id.clone(),
                Standing {
                    acknowledged: status,
                    tried: None,
                },
            );
        });
        let expected = if status == "active" { 200 } else { 401 };
        assert_eq!(
            shared.token(client)?,
            expected,
            "after {action} was acknowledged"
        );
    }
    Some(())
}

/// The agents that are there before the first kill.
struct Clients {
    steady: Vec<Client>,
    suspended: Vec<Client>,
}

/// What the daemon says after a restart, held against what the load knows.
struct Verifier {
    runtime: Runtime,
    /// Every entry seen so far, as it is stored.
    log: Vec<Vec<u8>>,
}

impl Verifier {
    fn verify(&mut self, daemon: &TestDaemon, shared: &Shared) -> Operator {
        let socket = &daemon.installation.config.socket;
        let (operator, agents) = self.runtime.block_on(async {
            let mut operator = Operator::connect(socket).await;
            let from = u64::try_from(self.log.len()).unwrap();
            self.log.extend(operator.entries(from).await);
            let agents = operator.agents().await;
            (operator, agents)
        });
        shared.note(|ledger| {
            Self::verify_agents(ledger, &agents);
            self.verify_log(ledger, &agents);
        });
        operator
    }

    fn verify_agents(ledger: &mut Ledger, agents: &BTreeMap<String, v1::Agent>) {
        for (email, id) in &ledger.agents {
            let agent = agents
                .get(id)
                .unwrap_or_else(|| panic!("{email} was acknowledged and is lost"));
            assert_eq!(&agent.email, email);
        }
        for agent in agents.values() {
            assert!(
                ledger.tried.contains(&agent.email),
                "{} was never tried",
                agent.email
            );
            let Some(standing) = ledger.standings.get_mut(&agent.id) else {
                assert_eq!(
                    agent.status, "active",
                    "{} was never suspended",
                    agent.email
                );
                continue;
            };
            let tried = standing.tried.take().filter(|tried| *tried == agent.status);
            assert!(
                tried.is_some() || agent.status == standing.acknowledged,
                "{} is {}, and {standing:?} was acknowledged",
                agent.email,
                agent.status
            );
            standing.acknowledged = if agent.status == "active" {
                "active"
            } else {
                "suspended"
            };
        }
    }

    fn verify_log(&self, ledger: &Ledger, agents: &BTreeMap<String, v1::Agent>) {
        let mut statuses: BTreeMap<String, &str> = BTreeMap::new();
        let mut tokens: BTreeMap<String, String> = BTreeMap::new();
        let mut credentials = BTreeSet::new();
        let entries: Vec<Value> = self
            .log
            .iter()
            .map(|json| serde_json::from_slice(json).unwrap())
            .collect();
        for (seq, entry) in entries.iter().enumerate() {
            assert_eq!(entry["seq"], seq);
            if entry["outcome"] != "success" {
                continue;
            }
            let target = entry["target"]["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            match entry["action"].as_str().unwrap() {
                "agent.register" | "agent.resume" => drop(statuses.insert(target, "active")),
                "agent.suspend" => drop(statuses.insert(target, "suspended")),
                "credential.issue" => drop(credentials.insert(target)),
                "token.issue" => {
                    let client = entry["actor"]["id"].as_str().unwrap().to_owned();
                    assert_eq!(
                        statuses[&client], "active",
                        "a token for a suspended agent: {entry}"
                    );
                    let jti = entry["jti"].as_str().unwrap().to_owned();
                    assert!(
                        tokens.insert(jti, client).is_none(),
                        "a token issued twice: {entry}"
                    );
                }
                _ => {}
            }
        }
        for (jti, client) in &ledger.tokens {
            assert_eq!(
                tokens.get(jti),
                Some(client),
                "token {jti} was given out and is not in the log"
            );
        }
        let mut issued: HashMap<&str, usize> = HashMap::new();
        for client in tokens.values() {
            *issued.entry(client).or_default() += 1;
        }
        for (client, count) in issued {
            assert!(
                count <= ledger.requests[client],
                "{count} tokens for {} requests",
                ledger.requests[client]
            );
        }
        for (seq, action, agent) in &ledger.changes {
            let entry = &entries[usize::try_from(*seq).unwrap()];
            assert_eq!(
                (&entry["action"], &entry["target"]["id"]),
                (&Value::from(*action), &Value::from(&**agent))
            );
        }
        assert!(
            ledger.credentials.is_subset(&credentials),
            "an acknowledged credential is not in the log"
        );
        let listed: BTreeMap<String, &str> = agents
            .iter()
            .map(|(id, it)| (id.clone(), it.status.as_str()))
            .collect();
        assert_eq!(statuses, listed, "the records are what the log says");
    }
}

/// A number that differs from round to round, and is the same in every run.
fn vary(round: usize, limit: usize) -> usize {
    round.wrapping_mul(2_654_435_761) % 1_000_003 % limit
}

/// Starts the daemon and kills it before it is ready, as soon as it says anything.
fn kill_while_starting(installation: Installation) -> Installation {
    let mut process = installation.spawn();
    process.wait_for("sign of life", |seen| {
        (!seen.stderr.is_empty() || seen.ended).then_some(())
    });
    process.kill();
    installation
}

#[test]
fn thirty_kills_during_mixed_load_lose_nothing_and_invent_nothing() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let enrol = |name: &str| daemon.enrol(&Registration::new(&format!("{name}@acme.example")));
    let clients = Clients {
        steady: ["a", "b", "c", "d"].map(enrol).to_vec(),
        suspended: ["e", "f"].map(enrol).to_vec(),
    };
    let shared = Arc::new(Shared::default());
    shared.note(|ledger| {
        ledger
            .tried
            .extend("abcdef".chars().map(|name| format!("{name}@acme.example")));
        for client in &clients.suspended {
            ledger.standings.insert(
                client.id.clone(),
                Standing {
                    acknowledged: "active",
                    tried: None,
                },
            );
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut verifier = Verifier {
        runtime,
        log: Vec::new(),
    };

    let mut daemon = daemon;
    let mut started = Instant::now();
    for round in 0..KILLS {
        let operator = verifier.verify(&daemon, &shared);
        if let Some(client) = shared.note(|ledger| ledger.secrets.last().cloned()) {
            assert_eq!(
                shared.token(&client),
                Some(200),
                "a secret that was acknowledged is lost"
            );
        }
        let load = Load::start(round, &verifier.runtime, &operator, &shared, &clients);
        shared.wait_for_acknowledgements(50 + vary(round, 400));
        if round % 6 == 5 {
            // Until about when the daemon makes its index durable.
            let moment = FLUSH + Duration::from_millis(u64::try_from(10 * round).unwrap());
            while started.elapsed() < moment {
                shared.wait_for_acknowledgements(1);
            }
        }
        let mut installation = daemon.kill();
        load.join();
        drop(operator);
        if round % 5 == 4 {
            installation = kill_while_starting(installation);
        }
        if round % 10 == 9 {
            installation.check_store();
        }
        let address = installation.config.listen;
        daemon = installation.start();
        started = Instant::now();
        assert_eq!(
            daemon.installation.config.listen, address,
            "clients find it where it was"
        );
    }
    let log = std::mem::take(&mut verifier.log);
    verifier.verify(&daemon, &shared);
    assert_eq!(
        verifier.log.get(..log.len()),
        Some(&log[..]),
        "what was written once stays as it was"
    );
    shared.note(|ledger| {
        let changes = |action| ledger.changes.iter().filter(|it| it.1 == action).count();
        for (what, count) in [
            ("tokens", ledger.tokens.len()),
            ("registrations", changes("agent.register")),
            ("suspensions", changes("agent.suspend")),
            ("resumptions", changes("agent.resume")),
            ("credentials", ledger.credentials.len()),
        ] {
            assert!(count >= KILLS, "the load was not mixed: {count} {what}");
        }
    });
    daemon.stop().0.check_store();
}

#[test]
fn a_daemon_that_is_killed_right_after_an_answer_still_knows_what_it_answered() {
    let daemon = TestDaemon::start();
    daemon.organization("acme");
    let client = daemon.enrol(&Registration::new("a@acme.example"));
    let jti = Client::claims(&client.token(&[]).token())["jti"].clone();
    let daemon = daemon.kill().start();
    let issued = daemon
        .cli()
        .ndjson(&["audit", "list", "--action", "token.issue", "-o", "ndjson"]);
    assert_eq!(
        issued.iter().map(|it| &it["jti"]).collect::<Vec<_>>(),
        [&jti]
    );
    daemon.change("suspend", "a@acme.example");
    let daemon = daemon.kill().start();
    assert_eq!(client.token(&[]).status, 401);
    assert_eq!(daemon.http().get("/health/ready").status, 200);
}
