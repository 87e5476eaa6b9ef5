//! A small world with a fixed clock, for tests of the reducer and of the screens.

use agentidp_proto::v1;
use agentidp_shared::{
    Agent, AgentId, AgentStatus, Credential, CredentialId, CredentialKind, CredentialStatus,
    KeyState, NextChange, Organization, OrganizationId, OrganizationStatus, ScheduledKey,
    SigningAlgorithm, SigningKey, Timestamp,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use zeroize::Zeroizing;

use crate::client::{
    AgentCounts, Caller, Changed, CheckpointStatus, DaemonStatus, Issued, ListedAgent, Page,
    Refused, ReviewedCredential, StoreStatus,
};

use super::event::{
    Change, ChangeDone, ChangeResult, Command, DetailData, Effect, Event, HealthData, NetEvent,
    Stakes, Welcome,
};
use super::state::State;
use super::state::audit::{AuditEntry, AuditRow};
use super::state::bulk::Sums;
use super::style::Palette;
use super::update::update;

pub(crate) const SECRET: &str =
    "aidp_0021SgH6a4x3hQxXC1gmOh_s3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts3cr3ts";

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When everything here happens.
pub(crate) fn now() -> Timestamp {
    time("2026-11-21T04:43:34Z")
}

pub(crate) fn agent_id(number: u8) -> AgentId {
    let text = format!("0193f2c4-1a2b-7c3d-8e4f-5061728394{number:02x}");
    text.parse().unwrap()
}

pub(crate) fn credential_id(number: u8) -> CredentialId {
    let text = format!("0193f2c5-1a2b-7c3d-8e4f-50617283c0{number:02x}");
    text.parse().unwrap()
}

fn organization_id() -> OrganizationId {
    "0193f2c0-0000-7000-8000-000000000001".parse().unwrap()
}

pub(crate) fn agent(number: u8, name: &str, status: AgentStatus) -> Agent {
    Agent {
        id: agent_id(number),
        organization_id: organization_id(),
        email: format!("{name}@acme.example").parse().unwrap(),
        agent_type: agentidp_shared::AgentType::Screener,
        version: "2.1.0".parse().unwrap(),
        capabilities: "resume:read resume:write".parse().unwrap(),
        owner: "billing".parse().unwrap(),
        deployment_env: agentidp_shared::DeploymentEnv::Production,
        status,
        audiences: Vec::new(),
        metadata: std::collections::BTreeMap::from([(
            "note".to_owned(),
            "evil \u{1b}[2J\u{202e}text".to_owned(),
        )])
        .try_into()
        .unwrap(),
        created_at: time("2026-10-01T08:00:00Z"),
        updated_at: time("2026-10-01T08:00:00Z"),
        last_auth_at: Some(time("2026-11-21T04:39:30Z")),
        tokens_revoked_until: None,
        revision: 41,
    }
}

pub(crate) fn agents() -> Vec<Agent> {
    let mut never = agent(4, "refund-bot", AgentStatus::Revoked);
    never.last_auth_at = None;
    vec![
        agent(1, "invoice-matcher", AgentStatus::Active),
        agent(2, "invoice-poster", AgentStatus::Active),
        agent(3, "ledger-sync-eu", AgentStatus::Suspended),
        never,
    ]
}

/// An agent with two credentials, of which one expires in nine days; one that has ended has none.
pub(crate) fn listed(agent: Agent) -> ListedAgent {
    let is_over = agent.status.is_final();
    ListedAgent {
        agent,
        credentials: if is_over { 0 } else { 2 },
        expires_at: (!is_over).then(|| time("2026-11-30T09:12:00Z")),
    }
}

pub(crate) fn credential(number: u8, status: CredentialStatus) -> Credential {
    Credential {
        id: credential_id(number),
        agent_id: agent_id(1),
        organization_id: organization_id(),
        kind: CredentialKind::ClientSecret,
        status,
        created_at: time("2026-10-31T09:12:00Z"),
        expires_at: Some(time("2026-11-30T09:12:00Z")),
        retires_at: None,
        last_used_at: Some(time("2026-11-21T04:39:30Z")),
        use_count: 0,
        public_key: None,
        tokens_revoked_until: None,
        revision: 3,
    }
}

pub(crate) fn status(role: &str) -> DaemonStatus {
    DaemonStatus {
        version: "0.1.0".to_owned(),
        issuer: "https://id.acme.example".to_owned(),
        time: now(),
        started_at: time("2026-11-02T00:00:00Z"),
        ready: true,
        not_ready_reason: String::new(),
        warnings: Vec::new(),
        http_address: "127.0.0.1:8420".to_owned(),
        signing_key: "kid".to_owned(),
        checkpoints: CheckpointStatus::default(),
        certificate: None,
        disk: None,
        store: StoreStatus {
            id: "0193f2c0-0000-7000-8000-0000000000aa".to_owned(),
            path: "/var/lib/agentidp".to_owned(),
            format: 1,
            entries: 90_000,
            journal_bytes: 1,
            journal_segments: 1,
            index_bytes: 524_288,
            index_content_bytes: 300_000,
            was_unclean: false,
            checking: None,
            checked: None,
            compacting: None,
            disk_free_bytes: 50 << 30,
            disk_total_bytes: 100 << 30,
            reserve_bytes: 64 << 20,
            is_low_on_space: false,
        },
        backups: None,
        caller: Caller {
            uid: 1_000,
            name: "alice".to_owned(),
            login: String::new(),
            role: role.to_owned(),
            organizations: None,
        },
    }
}

pub(crate) fn welcome(role: &str, history: Option<Vec<AuditRow>>) -> Event {
    Event::Net(NetEvent::Connected(Box::new(Welcome {
        status: status(role),
        socket: "/run/agentidp/operator.sock".to_owned(),
        organizations: vec![Organization {
            id: organization_id(),
            name: "acme".parse().unwrap(),
            status: OrganizationStatus::Active,
            tier: "free".parse().unwrap(),
            created_at: time("2026-10-01T08:00:00Z"),
            updated_at: time("2026-10-01T08:00:00Z"),
            max_credential_age: None,
            tokens_revoked_until: None,
            revision: 1,
        }],
        history,
    })))
}

pub(crate) fn entry_of(seq: u64, action: &str, outcome: &str, more: &str) -> AuditRow {
    let second = seq % 60;
    let agent = agent_id(1);
    let json = format!(
        r#"{{"v":1,"seq":{seq},"time":"2026-11-21T04:40:{second:02}.104Z","actor":{{"kind":"agent","id":"{agent}","name":"invoice-matcher@acme.example","via":"http"}},"action":"{action}","target":{{"kind":"agent","id":"{agent}"}},"outcome":"{outcome}"{more}}}"#
    );
    AuditRow::Entry(Box::new(AuditEntry::new(&v1::AuditEntry {
        seq,
        json: json.into_bytes(),
    })))
}

/// An entry by an operator about agent 1.
pub(crate) fn entry_by_alice(seq: u64, action: &str, revision: u64) -> AuditRow {
    let agent = agent_id(1);
    let json = format!(
        r#"{{"v":1,"seq":{seq},"time":"2026-11-21T04:42:00.000Z","actor":{{"kind":"operator","id":"1000","name":"alice","via":"socket"}},"action":"{action}","target":{{"kind":"agent","id":"{agent}","revision":{revision}}},"outcome":"success","reason":"odd requests"}}"#
    );
    AuditRow::Entry(Box::new(AuditEntry::new(&v1::AuditEntry {
        seq,
        json: json.into_bytes(),
    })))
}

pub(crate) fn history() -> Vec<AuditRow> {
    vec![
        entry_of(
            88_410,
            "token.issue",
            "success",
            r#","scope":"resume:read""#,
        ),
        entry_by_alice(88_411, "agent.resume", 41),
        entry_of(
            88_412,
            "token.issue",
            "denied",
            r#","code":"SCOPE_NOT_ALLOWED","scope":"ledger:write""#,
        ),
    ]
}

/// Of four agents two would move, one is there already, and one cannot.
pub(crate) fn sums() -> Sums {
    let mut sums = Sums {
        matched: 4,
        done: 2,
        unchanged: 1,
        ..Sums::default()
    };
    sums.refuse([Refused {
        agent_id: agent_id(4).to_string(),
        email: "refund-bot@acme.example".to_owned(),
        code: "INVALID_STATE".to_owned(),
        message: "the agent is revoked, which is for good".to_owned(),
    }]);
    sums
}

/// Credential `number` of agent 1, in a list of those to look after.
pub(crate) fn reviewed(number: u8) -> ReviewedCredential {
    ReviewedCredential {
        credential: credential(number, CredentialStatus::Active),
        agent_email: "invoice-matcher@acme.example".to_owned(),
        owner: "billing".to_owned(),
    }
}

/// A daemon that is well.
pub(crate) fn health() -> HealthData {
    let counts = [
        ("active", 11_902),
        ("suspended", 61),
        ("revoked", 106),
        ("decommissioned", 0),
        ("archived", 3),
    ];
    HealthData {
        status: status("operator"),
        counts: AgentCounts {
            by_status: counts.map(|(it, count)| (it.to_owned(), count)).into(),
            expiring: 412,
        },
        keys: keys(),
    }
}

pub(crate) fn keys() -> Vec<ScheduledKey> {
    let key = SigningKey {
        kid: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".to_owned(),
        algorithm: SigningAlgorithm::Es256,
        state: KeyState::Active,
        created_at: time("2026-11-01T08:00:00Z"),
        activated_at: Some(time("2026-11-01T08:00:00Z")),
        retires_at: None,
        revision: 1,
    };
    let next = NextChange {
        state: KeyState::Retiring,
        at: time("2026-12-01T08:00:00Z"),
    };
    vec![ScheduledKey {
        key,
        next: Some(next),
    }]
}

/// A console that a test drives.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    /// What was asked for by the last event.
    pub(crate) effects: Vec<Effect>,
}

impl World {
    /// Not connected yet.
    pub(crate) fn fresh() -> Self {
        Self {
            state: State::new(now(), (80, 24), Palette::SIXTEEN),
            now: now(),
            effects: Vec::new(),
        }
    }

    /// Connected, with the four agents listed.
    pub(crate) fn live() -> Self {
        Self::live_as("operator")
    }

    pub(crate) fn live_as(role: &str) -> Self {
        let mut world = Self::fresh();
        world.event(welcome(role, Some(history())));
        world.page(0, agents(), None);
        world.state.message = None;
        world
    }

    /// In the screen of the first agent, with two credentials.
    pub(crate) fn in_detail() -> Self {
        let mut world = Self::live();
        world.key("enter");
        world.detail(agents().remove(0));
        world
    }

    /// In the screen of signing keys.
    pub(crate) fn at_keys(role: &str) -> Self {
        let mut world = Self::live_as(role);
        world.key("6");
        world.net(NetEvent::Keys(Ok(keys())));
        world
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.effects = update(&mut self.state, self.now, event);
    }

    pub(crate) fn net(&mut self, event: NetEvent) {
        self.event(Event::Net(event));
    }

    pub(crate) fn page(&mut self, page: usize, items: Vec<Agent>, next: Option<&str>) {
        let total = match next {
            Some(_) => 12_481,
            None => items.len() as u64,
        };
        self.listed(page, items.into_iter().map(listed).collect(), next, total);
    }

    pub(crate) fn listed(
        &mut self,
        page: usize,
        items: Vec<ListedAgent>,
        next: Option<&str>,
        total: u64,
    ) {
        let ticket = self.state.agents.ticket;
        self.net(NetEvent::Agents {
            ticket,
            page,
            result: Ok(Page {
                items,
                next: next.map(str::to_owned),
                total: Some(total),
            }),
        });
    }

    pub(crate) fn detail(&mut self, agent: Agent) {
        let mut retiring = credential(2, CredentialStatus::Retiring);
        retiring.retires_at = Some(time("2026-11-21T06:43:34Z"));
        self.net(NetEvent::Detail(
            agent.id,
            Ok(Box::new(DetailData {
                agent,
                credentials: vec![credential(1, CredentialStatus::Active), retiring],
                entries: history(),
            })),
        ));
    }

    pub(crate) fn key(&mut self, name: &str) {
        let (code, modifiers) = match name {
            "enter" => (KeyCode::Enter, KeyModifiers::NONE),
            "esc" => (KeyCode::Esc, KeyModifiers::NONE),
            "tab" => (KeyCode::Tab, KeyModifiers::NONE),
            "backtab" => (KeyCode::BackTab, KeyModifiers::SHIFT),
            "space" => (KeyCode::Char(' '), KeyModifiers::NONE),
            "up" => (KeyCode::Up, KeyModifiers::NONE),
            "down" => (KeyCode::Down, KeyModifiers::NONE),
            _ => match name.strip_prefix('^') {
                Some(c) if !c.is_empty() => (
                    KeyCode::Char(c.chars().next().unwrap()),
                    KeyModifiers::CONTROL,
                ),
                _ => (
                    KeyCode::Char(name.chars().next().unwrap()),
                    KeyModifiers::NONE,
                ),
            },
        };
        self.event(Event::Key(KeyEvent::new(code, modifiers)));
    }

    pub(crate) fn keys(&mut self, names: &[&str]) {
        for name in names {
            self.key(name);
        }
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            self.key(&c.to_string());
        }
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, millis: i64) {
        self.now = Timestamp::from_millis(self.now.as_millis() + millis);
        self.event(Event::Tick);
    }

    /// Opens an action's dialog and waits until it listens.
    pub(crate) fn dialog(&mut self, action: &str) {
        self.keys(&["a", action]);
        self.wait(250);
    }

    /// The commands that the last event sent.
    pub(crate) fn sent(&self) -> Vec<&Command> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send(command) => Some(command),
                _ => None,
            })
            .collect()
    }

    /// The change that the last event asked for.
    pub(crate) fn change(&self) -> Option<Change> {
        self.sent().into_iter().find_map(|command| match command {
            Command::Change(change) => Some(change.clone()),
            _ => None,
        })
    }

    pub(crate) fn message(&self) -> &str {
        self.state
            .message
            .as_ref()
            .map_or("", |it| it.text.as_str())
    }

    /// The daemon did what was asked for: agent 1 has another status and revision.
    pub(crate) fn changed_agent(&mut self, change: Change, status: AgentStatus, revision: u64) {
        let mut record = agents().remove(0);
        record.status = status;
        record.revision = revision;
        self.net(NetEvent::Changed(Box::new(ChangeResult {
            change,
            outcome: Ok(ChangeDone::Agent(Changed {
                record,
                audit_seq: 88_413,
            })),
        })));
    }

    /// What hangs on agent 1: two live tokens of its first credential and one of its second.
    pub(crate) fn stakes(&mut self) {
        let (one, two) = (credential_id(1), credential_id(2));
        let addresses = ["10.4.2.9".to_owned(), "10.4.2.11".to_owned()];
        self.net(NetEvent::Stakes(
            agent_id(1),
            Ok(Box::new(Stakes {
                tokens: [(one, 2), (two, 1)].into(),
                addresses: [(one, addresses.into())].into(),
                is_more: false,
                accepted: vec![one, two],
            })),
        ));
    }

    /// The daemon tells how far the change of many is.
    pub(crate) fn bulk(&mut self, sums: Sums, over: Option<Result<(), String>>) {
        let ticket = self.state.bulk_ticket;
        self.net(NetEvent::Bulk {
            ticket,
            sums: Box::new(sums),
            over,
            moved: Vec::new(),
        });
    }

    pub(crate) fn issued(&mut self) {
        self.net(NetEvent::Changed(Box::new(ChangeResult {
            change: Change::Issue {
                agent: agent_id(1),
                expires_in: None,
            },
            outcome: Ok(ChangeDone::Secret(Issued {
                credential: credential(9, CredentialStatus::Active),
                retiring: None,
                client_id: agent_id(1).to_string(),
                client_secret: Zeroizing::new(SECRET.to_owned()),
                audit_seq: 88_414,
            })),
        })));
    }
}
