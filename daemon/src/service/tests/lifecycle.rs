//! The lifecycle of agents and credentials, by operations in any order at any time, against a model
//! that is small enough to be seen to be right.
//!
//! The model knows what the documentation promises and none of the code: what an operation answers,
//! what state it leaves, and which tokens count. After every operation all of it is compared.

use agentidp_shared::{AgentUpdate, TokenId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};

use super::super::agent::Registration;
use super::super::revocation::{IssuedTo, TokenRef};
use super::*;

/// The organization that everything happens in; the demonstration store begins with it.
const ORGANIZATION: &str = "demo";
/// How many agents the operations choose from.
const AGENTS: usize = 2;
/// What a token lives.
const LIFETIME: i64 = 15 * 60 * 1_000;

/// One thing that someone does. Which credential is meant is taken modulo those that there are.
#[derive(Debug, Clone)]
enum Op {
    Register(usize),
    Update(usize, u64),
    Move(usize, Transition),
    SuspendOrganization,
    ResumeOrganization,
    Issue(usize, Option<u64>),
    Rotate(usize, usize, u64),
    Revoke(usize, usize),
    Token(usize, usize),
    /// Revokes one token, by itself.
    RevokeToken(usize, usize),
    /// Revokes what was issued until now, and nothing after it.
    RevokeIssued(Whose),
    /// Milliseconds; a clock that is set right goes back.
    Time(i64),
}

/// Whose tokens are revoked.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Agent(usize),
    Credential(usize, usize),
    Organization,
}

fn op() -> impl Strategy<Value = Op> {
    let agent = || 0..AGENTS;
    let which = || 0..8_usize;
    let transition = prop_oneof![
        3 => Just(Transition::Suspend),
        3 => Just(Transition::Resume),
        1 => Just(Transition::Revoke),
        1 => Just(Transition::Decommission),
        1 => Just(Transition::Archive),
    ];
    prop_oneof![
        1 => agent().prop_map(Op::Register),
        1 => (agent(), 0..3_u64).prop_map(|(agent, patch)| Op::Update(agent, patch)),
        4 => (agent(), transition).prop_map(|(agent, to)| Op::Move(agent, to)),
        1 => Just(Op::SuspendOrganization),
        2 => Just(Op::ResumeOrganization),
        3 => (agent(), prop::option::of(1..4_000_u64)).prop_map(|(agent, life)| Op::Issue(agent, life)),
        3 => (agent(), which(), prop_oneof![Just(0), 1..4_000_u64])
            .prop_map(|(agent, which, grace)| Op::Rotate(agent, which, grace)),
        2 => (agent(), which()).prop_map(|(agent, which)| Op::Revoke(agent, which)),
        8 => (agent(), which()).prop_map(|(agent, which)| Op::Token(agent, which)),
        2 => (agent(), which()).prop_map(|(agent, which)| Op::RevokeToken(agent, which)),
        2 => prop_oneof![
            agent().prop_map(Whose::Agent),
            (agent(), which()).prop_map(|(agent, which)| Whose::Credential(agent, which)),
            Just(Whose::Organization),
        ].prop_map(Op::RevokeIssued),
        3 => prop_oneof![
            8 => 0..2_000_000_i64,
            1 => Just(0),
            1 => -120_000..0_i64,
        ].prop_map(Op::Time),
    ]
}

/// Where an agent of the model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Active,
    Suspended,
    Revoked,
    Decommissioned,
    Archived,
}

/// A credential of the model. Times are milliseconds.
struct ModelCredential {
    issued: Issued,
    created: i64,
    revoked: bool,
    expires: Option<i64>,
    retires: Option<i64>,
}

impl ModelCredential {
    fn status(&self, now: i64) -> CredentialStatus {
        let over = |end: Option<i64>| end.is_some_and(|end| end <= now);
        if self.revoked {
            CredentialStatus::Revoked
        } else if over(self.expires) || over(self.retires) {
            CredentialStatus::Expired
        } else if self.retires.is_some() {
            CredentialStatus::Retiring
        } else {
            CredentialStatus::Active
        }
    }

    fn is_accepted(&self, now: i64) -> bool {
        matches!(
            self.status(now),
            CredentialStatus::Active | CredentialStatus::Retiring
        )
    }
}

/// A token of the model.
struct ModelToken {
    id: TokenId,
    text: String,
    credential: usize,
    expires: i64,
    /// Something killed it, for good.
    dead: bool,
}

struct ModelAgent {
    email: String,
    life: Life,
    patch: u64,
    credentials: Vec<ModelCredential>,
    tokens: Vec<ModelToken>,
}

impl ModelAgent {
    fn has_ended(&self) -> bool {
        !matches!(self.life, Life::Active | Life::Suspended)
    }

    fn kill_tokens(&mut self, of: impl Fn(&ModelToken) -> bool) {
        for token in self.tokens.iter_mut().filter(|token| of(token)) {
            token.dead = true;
        }
    }

    fn revoke(&mut self, credential: usize) {
        self.credentials[credential].revoked = true;
        self.kill_tokens(|token| token.credential == credential);
    }

    fn live(&self, now: i64) -> usize {
        self.credentials
            .iter()
            .filter(|it| it.is_accepted(now))
            .count()
    }

    /// The life after a transition, or [`None`] when it is refused.
    fn after(&self, transition: Transition) -> Option<Life> {
        use Life::{Active, Archived, Decommissioned, Revoked, Suspended};
        Some(match (self.life, transition) {
            (Active | Suspended, Transition::Suspend) => Suspended,
            (Active | Suspended, Transition::Resume) => Active,
            (Active | Suspended | Revoked, Transition::Revoke) => Revoked,
            (Active | Suspended | Decommissioned, Transition::Decommission) => Decommissioned,
            (Revoked | Decommissioned | Archived, Transition::Archive) => Archived,
            _ => return None,
        })
    }
}

/// The model beside the real thing.
struct Pair {
    bench: Bench,
    now: i64,
    suspended: bool,
    agents: Vec<Option<ModelAgent>>,
}

type Answer = Result<(), Code>;

fn code<T>(result: Result<T, ServiceError>) -> Answer {
    result.map(|_| ()).map_err(|error| error.code)
}

fn reason() -> agentidp_shared::Reason {
    "for the test".parse().unwrap()
}

impl Pair {
    async fn new() -> Self {
        let bench = Bench::new().await;
        Self {
            now: bench.clock.now().as_millis(),
            bench,
            suspended: false,
            agents: (0..AGENTS).map(|_| None).collect(),
        }
    }

    /// Does it to both; gives what the model expects and what the service answers.
    async fn does(&mut self, op: &Op) -> (Answer, Answer) {
        match *op {
            Op::Register(agent) => self.register(agent).await,
            Op::Update(agent, patch) => self.update(agent, patch).await,
            Op::Move(agent, transition) => self.transition(agent, transition).await,
            Op::SuspendOrganization => self.suspend_organization().await,
            Op::ResumeOrganization => self.resume_organization().await,
            Op::Issue(agent, life) => self.issue(agent, life).await,
            Op::Rotate(agent, which, grace) => self.rotate(agent, which, grace).await,
            Op::Revoke(agent, which) => self.revoke(agent, which).await,
            Op::Token(agent, which) => self.token(agent, which).await,
            Op::RevokeToken(agent, which) => self.revoke_token(agent, which).await,
            Op::RevokeIssued(whose) => self.revoke_issued(whose).await,
            Op::Time(millis) => {
                {
                    let mut hands = self.bench.clock.0.lock();
                    *hands = Timestamp::from_millis(hands.as_millis() + millis);
                }
                // Not that of a clock that went back.
                self.now = self.bench.service.now().as_millis();
                (Ok(()), Ok(()))
            }
        }
    }

    fn email(agent: usize) -> String {
        format!("agent-{agent}@demo.example")
    }

    async fn register(&mut self, agent: usize) -> (Answer, Answer) {
        let email = Self::email(agent);
        let registration = Registration {
            email: email.parse().unwrap(),
            agent_type: agentidp_shared::AgentType::Screener,
            version: semver::Version::new(1, 0, 0),
            capabilities: "resume:read".parse().unwrap(),
            owner: "team-a".parse().unwrap(),
            deployment_env: agentidp_shared::DeploymentEnv::Production,
            audiences: Vec::new(),
            metadata: agentidp_shared::Metadata::default(),
        };
        let caller = self.bench.operator();
        let answer = self
            .bench
            .service
            .register_agent(&caller, ORGANIZATION, registration)
            .await;
        // The e-mail stays taken, also after the agent's end: the log names it by that.
        if self.agents[agent].is_some() {
            return (Err(Code::AlreadyExists), code(answer));
        }
        self.agents[agent] = Some(ModelAgent {
            email,
            life: Life::Active,
            patch: 0,
            credentials: Vec::new(),
            tokens: Vec::new(),
        });
        (Ok(()), code(answer))
    }

    async fn update(&mut self, agent: usize, patch: u64) -> (Answer, Answer) {
        let update = AgentUpdate {
            version: Some(semver::Version::new(1, 0, patch)),
            ..AgentUpdate::default()
        };
        let caller = self.bench.operator();
        let service = &self.bench.service;
        let answer = code(
            service
                .update_agent(&caller, &Self::email(agent), update, 0)
                .await,
        );
        let Some(model) = &mut self.agents[agent] else {
            return (Err(Code::AgentNotFound), answer);
        };
        if model.has_ended() {
            return (Err(Code::InvalidState), answer);
        }
        model.patch = patch;
        (Ok(()), answer)
    }

    async fn transition(&mut self, agent: usize, transition: Transition) -> (Answer, Answer) {
        let caller = self.bench.operator();
        let service = &self.bench.service;
        let email = Self::email(agent);
        let answer = code(
            service
                .transition_agent(&caller, &email, transition, Some(reason()), 0)
                .await,
        );
        let now = self.now;
        let Some(model) = &mut self.agents[agent] else {
            return (Err(Code::AgentNotFound), answer);
        };
        let Some(life) = model.after(transition) else {
            return (Err(Code::InvalidState), answer);
        };
        let ends = !model.has_ended();
        model.life = life;
        if life != Life::Active {
            model.kill_tokens(|_| true);
        }
        if ends && model.has_ended() {
            for credential in &mut model.credentials {
                credential.revoked |= credential.is_accepted(now);
            }
        }
        (Ok(()), answer)
    }

    async fn suspend_organization(&mut self) -> (Answer, Answer) {
        let caller = self.bench.operator();
        let service = &self.bench.service;
        let answer = service
            .suspend_organization(&caller, ORGANIZATION, Some(reason()), 0)
            .await;
        self.suspended = true;
        for agent in self.agents.iter_mut().flatten() {
            agent.kill_tokens(|_| true);
        }
        (Ok(()), code(answer))
    }

    async fn resume_organization(&mut self) -> (Answer, Answer) {
        let caller = self.bench.operator();
        let service = &self.bench.service;
        let answer = service
            .resume_organization(&caller, ORGANIZATION, Some(reason()), 0)
            .await;
        self.suspended = false;
        (Ok(()), code(answer))
    }

    async fn issue(&mut self, agent: usize, life: Option<u64>) -> (Answer, Answer) {
        let caller = self.bench.operator();
        let life = life.map(Duration::from_secs);
        let email = Self::email(agent);
        let answer = self
            .bench
            .service
            .issue_credential(&caller, &email, Proof::ClientSecret, life)
            .await;
        let now = self.now;
        let Some(model) = &mut self.agents[agent] else {
            return (Err(Code::AgentNotFound), code(answer));
        };
        if model.has_ended() {
            return (Err(Code::InvalidState), code(answer));
        }
        if model.live(now) >= agentidp_shared::credential::MAX_LIVE_CREDENTIALS {
            return (Err(Code::LimitReached), code(answer));
        }
        match answer {
            Ok(issued) => {
                model.credentials.push(ModelCredential {
                    issued,
                    created: now,
                    revoked: false,
                    expires: life.map(|life| now + millis(life)),
                    retires: None,
                });
                (Ok(()), Ok(()))
            }
            Err(error) => (Ok(()), Err(error.code)),
        }
    }

    /// The place of the credential that is meant, if the agent has any.
    fn which(&self, agent: usize, which: usize) -> Option<usize> {
        let model = self.agents[agent].as_ref()?;
        (!model.credentials.is_empty()).then(|| which % model.credentials.len())
    }

    async fn rotate(&mut self, agent: usize, which: usize, grace: u64) -> (Answer, Answer) {
        let Some(which) = self.which(agent, which) else {
            return (Ok(()), Ok(()));
        };
        let (caller, now) = (self.bench.operator(), self.now);
        let grace = Duration::from_secs(grace);
        let model = self.agents[agent].as_mut().unwrap();
        let rotation = Rotation {
            grace: Some(grace),
            ..Rotation::default()
        };
        let id = model.credentials[which].issued.credential.id;
        let answer = self
            .bench
            .service
            .rotate_credential(&caller, id, rotation)
            .await;
        if model.credentials[which].status(now) != CredentialStatus::Active {
            return (Err(Code::InvalidState), code(answer));
        }
        if model.live(now) >= agentidp_shared::credential::MAX_LIVE_CREDENTIALS {
            return (Err(Code::LimitReached), code(answer));
        }
        let old = &mut model.credentials[which];
        let expires = old.expires.map(|end| now + (end - old.created));
        old.retires = Some(now + millis(grace));
        if grace.is_zero() {
            model.revoke(which);
        }
        match answer {
            Ok(issued) => {
                model.credentials.push(ModelCredential {
                    issued,
                    created: now,
                    revoked: false,
                    expires,
                    retires: None,
                });
                (Ok(()), Ok(()))
            }
            Err(error) => (Ok(()), Err(error.code)),
        }
    }

    async fn revoke(&mut self, agent: usize, which: usize) -> (Answer, Answer) {
        let Some(which) = self.which(agent, which) else {
            return (Ok(()), Ok(()));
        };
        let caller = self.bench.operator();
        let model = self.agents[agent].as_mut().unwrap();
        let id = model.credentials[which].issued.credential.id;
        let service = &self.bench.service;
        let answer = service
            .revoke_credential(&caller, id, Some(reason()), 0)
            .await;
        model.revoke(which);
        (Ok(()), code(answer))
    }

    async fn token(&mut self, agent: usize, which: usize) -> (Answer, Answer) {
        let Some(which) = self.which(agent, which) else {
            return (Ok(()), Ok(()));
        };
        let model = self.agents[agent].as_mut().unwrap();
        let credential = &model.credentials[which];
        let answer = self.bench.token(&credential.issued).await;
        let expected = match (model.life, credential.status(self.now)) {
            _ if self.suspended => Err(Code::OrganizationSuspended),
            (Life::Suspended, _) => Err(Code::AgentSuspended),
            (Life::Revoked | Life::Decommissioned | Life::Archived, _) => Err(Code::AgentEnded),
            (_, CredentialStatus::Revoked) => Err(Code::CredentialRevoked),
            (_, CredentialStatus::Expired) => Err(Code::CredentialExpired),
            (Life::Active, _) => Ok(()),
        };
        if let Ok(issued) = &answer {
            let (id, expires) = claims(&issued.access_token);
            // After a clock went back, a token may be dated after what revoked those before it.
            assert!(expires >= (self.now + LIFETIME) / 1_000 * 1_000);
            model.tokens.push(ModelToken {
                id,
                text: issued.access_token.to_string(),
                credential: which,
                expires,
                dead: false,
            });
        }
        (expected, answer.map(|_| ()))
    }

    async fn revoke_token(&mut self, agent: usize, which: usize) -> (Answer, Answer) {
        let (caller, now) = (self.bench.operator(), self.now);
        let tokens = self.agents[agent].as_mut().map(|it| &mut it.tokens);
        let Some(tokens) = tokens.filter(|it| !it.is_empty()) else {
            return (Ok(()), Ok(()));
        };
        let which = which % tokens.len();
        let token = &mut tokens[which];
        let service = &self.bench.service;
        let named = TokenRef::Token(token.text.clone());
        let answer = code(service.revoke_token(&caller, named, Some(reason())).await);
        if token.expires <= now {
            return (Err(Code::InvalidToken), answer);
        }
        token.dead = true;
        (Ok(()), answer)
    }

    async fn revoke_issued(&mut self, whose: Whose) -> (Answer, Answer) {
        let issued_to = match whose {
            Whose::Agent(agent) => IssuedTo::Agent(Self::email(agent)),
            Whose::Organization => IssuedTo::Organization(ORGANIZATION.to_owned()),
            Whose::Credential(agent, which) => {
                let Some(which) = self.which(agent, which) else {
                    return (Ok(()), Ok(()));
                };
                let model = self.agents[agent].as_ref().unwrap();
                IssuedTo::Credential(model.credentials[which].issued.credential.id)
            }
        };
        let caller = self.bench.operator();
        let service = &self.bench.service;
        let answer = service
            .revoke_issued(&caller, issued_to, Some(reason()))
            .await;
        for (place, agent) in self.agents.iter_mut().enumerate() {
            let Some(agent) = agent else { continue };
            let credentials = agent.credentials.len();
            agent.kill_tokens(|token| match whose {
                Whose::Agent(it) => it == place,
                Whose::Credential(it, which) => {
                    it == place && which % credentials == token.credential
                }
                Whose::Organization => true,
            });
        }
        (Ok(()), code(answer))
    }

    /// Everything that can be seen is as the model says.
    fn compare(&self) -> Result<(), TestCaseError> {
        let caller = self.bench.operator();
        let service = &self.bench.service;
        for model in self.agents.iter().flatten() {
            let agent = service.find_agent(&caller, &model.email).unwrap();
            prop_assert_eq!(agent.record.status.as_str(), word(model.life));
            prop_assert_eq!(agent.record.version.patch, model.patch);
            for known in &model.credentials {
                let id = known.issued.credential.id;
                let shown = service.find_credential(&caller, id).unwrap();
                prop_assert_eq!(shown.status, known.status(self.now), "{:?}", id);
            }
            for known in &model.tokens {
                let found = service.inspect_token(&caller, &known.text).unwrap();
                let expected = !known.dead && known.expires > self.now;
                prop_assert_eq!(found.state.is_ok(), expected, "{:?}: {:?}", known.id, found);
            }
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

const fn word(life: Life) -> &'static str {
    match life {
        Life::Active => "active",
        Life::Suspended => "suspended",
        Life::Revoked => "revoked",
        Life::Decommissioned => "decommissioned",
        Life::Archived => "archived",
    }
}

/// The id of a token, and when it expires in milliseconds.
fn claims(token: &str) -> (TokenId, i64) {
    let payload = token.split('.').nth(1).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let id = claims["jti"].as_str().unwrap().parse().unwrap();
    (id, claims["exp"].as_i64().unwrap() * 1_000)
}

proptest! {
    // Every secret costs an argon2, so the cases are few and long.
    #![proptest_config(Config {
        cases: Config::default().cases / 16,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn whatever_is_done_in_whatever_order_the_model_says_what_comes_of_it(
        ops in prop::collection::vec(op(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new().await;
            // Both agents are there from the start, so that no case is spent on missing them.
            for op in (0..AGENTS).map(Op::Register).chain(ops) {
                let (expected, answered) = pair.does(&op).await;
                prop_assert_eq!(expected, answered, "{:?}", op);
                pair.compare()?;
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_changes_while_it_is_decided_on_is_decided_anew_and_not_for_ever() {
    let bench = Bench::new().await;
    let operator = bench.operator();
    let current = bench.service.find_agent(&operator, AGENT).unwrap();
    // As if others had changed it so many times since it was read.
    let decide = async |mut others: u64| {
        let mut decisions = 0;
        let decided = bench.service.decided_anew(|| {
            decisions += 1;
            let current = bench.service.find_agent(&operator, AGENT)?;
            let mut agent = current.record.clone();
            agent.revision += 1 + others;
            others = others.saturating_sub(1);
            let entry = bench
                .service
                .entry(&operator, Action::AgentUpdate, Outcome::Success);
            let commit = Commit::new(entry).put(crate::store::Record::Agent(agent.clone()));
            Ok(Decided::Now(agent.revision, commit))
        });
        let decided = decided.await;
        (decided.map(|it| it.record).map_err(|it| it.code), decisions)
    };
    let revision = current.record.revision;
    assert_eq!(decide(0).await, (Ok(revision + 1), 1));
    assert_eq!(decide(4).await, (Ok(revision + 2), 5));
    assert_eq!(decide(5).await, (Err(Code::Overloaded), 5));
}
