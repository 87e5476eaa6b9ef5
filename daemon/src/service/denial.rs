//! Refusals and reads in the audit log, within bounds.
//!
//! A refusal gives nothing out, so its entry is not waited for. An agent's or operator's refusals are entries of
//! their own up to [`PER_ACTOR`] a minute, and so are those of whoever names an agent and does not prove to be it;
//! strangers' are one entry for each reason and address prefix when they begin. Of all who proved nothing no more
//! than [`UNPROVEN`] are entries of their own. What comes after that is counted and stands in one entry at the
//! end of the minute, so nobody can fill the disk with noise, and none goes uncounted. Operators, agents and
//! strangers are counted apart: no flood of one hides another.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use agentidp_shared::{
    Action, Actor, ActorKind, AgentId, Code, CredentialId, Entry, OrganizationId, Outcome,
    RequestId, Target, Timestamp,
};
use parking_lot::Mutex;

use super::about::About;
use super::{Caller, Service};
use crate::store::Commit;

/// How many refusals of one agent or operator, for one action and reason, are entries of their own in a
/// minute.
const PER_ACTOR: u64 = 10;
/// How many refusals of those who proved nothing are entries of their own in a minute.
const UNPROVEN: u64 = 600;
/// How many kinds of refusal of one [`Crowd`] are told apart in a minute; the rest is counted as one kind a
/// reason.
const KINDS: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Agent(AgentId, Action, Code),
    /// Somebody from a network names the agent, and has not proved to be it.
    Claimed(AgentId, Action, Code, IpAddr),
    Operator(Option<String>, Action, Code),
    /// More of an operator's, about an organization.
    About(Option<String>, Action, Code, OrganizationId),
    Stranger(Action, Code, IpAddr),
    /// By client authentication, the credential too: of two in use at once none is hidden by the other.
    Read(AgentId, Option<CredentialId>, Action),
    Other(Action, Outcome, Option<Code>),
}

/// Those who are counted together, and apart from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Crowd {
    Operators,
    Agents,
    Strangers,
}

impl Crowd {
    /// Whose entry it is: agents that proved nothing have no id there.
    fn of(actor: &Actor) -> Self {
        match actor.kind {
            ActorKind::Agent if actor.id.is_none() => Self::Strangers,
            ActorKind::Agent => Self::Agents,
            _ => Self::Operators,
        }
    }
}

#[derive(Debug, Default)]
struct Counted {
    seen: u64,
    unwritten: u64,
    /// The newest entry that was counted and not written.
    last: Option<Entry>,
}

/// The refusals of the minute under way.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    number: i64,
    /// How many entries those who proved nothing have been given.
    unproven: u64,
    crowds: HashMap<Crowd, HashMap<Kind, Counted>>,
}

impl Denials {
    /// Counts `entry`; gives back what is to be written now.
    fn count(&self, mut kind: Kind, entry: Entry) -> Vec<Entry> {
        let mut minute = self.0.lock();
        let mut write = minute.roll(entry.time);
        let mut allowed = match kind {
            Kind::Agent(..) | Kind::Claimed(..) | Kind::Operator(..) => PER_ACTOR,
            Kind::Stranger(..) | Kind::Read(..) | Kind::Other(..) => 1,
            Kind::About(..) => 0,
        };
        let crowd = Crowd::of(&entry.actor);
        if crowd == Crowd::Strangers && minute.unproven >= UNPROVEN {
            allowed = 0;
            if let Kind::Claimed(_, action, code, prefix) = kind {
                kind = Kind::Stranger(action, code, prefix);
            }
        }
        let kinds = minute.crowds.entry(crowd).or_default();
        if kinds.len() >= KINDS && !kinds.contains_key(&kind) {
            kind = Kind::Other(entry.action, entry.outcome, entry.code);
        }
        let has_room = kinds.len() < KINDS;
        let counted = kinds.entry(kind.clone()).or_default();
        counted.seen += 1;
        if counted.seen > allowed {
            let counted = match (kind, entry.organization_id) {
                // A count of its own, so that a legal hold keeps it too.
                (Kind::Operator(id, action, code), Some(organization)) if has_room => {
                    let kind = Kind::About(id, action, code, organization);
                    kinds.entry(kind).or_default()
                }
                (kind, _) => kinds.entry(kind).or_default(),
            };
            counted.unwritten += 1;
            counted.last = Some(entry);
            return write;
        }
        minute.unproven += u64::from(crowd == Crowd::Strangers);
        write.push(entry);
        write
    }

    /// Counts `entry`, for which there was no room, so that it is written later.
    pub(super) fn put_back(&self, entry: Entry) {
        let mut minute = self.0.lock();
        let kind = Kind::Other(entry.action, entry.outcome, entry.code);
        let kinds = minute.crowds.entry(Crowd::of(&entry.actor)).or_default();
        let counted = kinds.entry(kind).or_default();
        counted.unwritten += entry.count.unwrap_or(1);
        counted.last = Some(entry);
    }

    /// What is to be written of a minute that is over at `now`.
    fn over(&self, now: Timestamp) -> Vec<Entry> {
        self.0.lock().roll(now)
    }

    /// What is to be written of all that was counted, at the end.
    fn all(&self) -> Vec<Entry> {
        self.0.lock().take()
    }
}

impl Minute {
    /// Begins the minute of `now`; one who took the time a moment earlier counts in it too.
    fn roll(&mut self, now: Timestamp) -> Vec<Entry> {
        let number = now.as_millis() / 60_000;
        if number <= self.number {
            return Vec::new();
        }
        self.number = number;
        self.unproven = 0;
        self.take()
    }

    fn take(&mut self) -> Vec<Entry> {
        let summarize = |(kind, counted): (Kind, Counted)| {
            let mut entry = counted.last?;
            // What is of many names none of them.
            let of_all = match &kind {
                Kind::Other(..) => Some(Actor {
                    id: None,
                    name: None,
                    login: None,
                    address: None,
                    ..entry.actor.clone()
                }),
                Kind::Stranger(_, _, prefix) => Some(Actor::client(network(*prefix))),
                Kind::Agent(..)
                | Kind::Claimed(..)
                | Kind::Operator(..)
                | Kind::About(..)
                | Kind::Read(..) => None,
            };
            if matches!(kind, Kind::Operator(..) | Kind::About(..)) {
                entry.target = None;
            }
            if matches!(kind, Kind::Operator(..)) {
                entry.organization_id = None;
            }
            if let Some(all) = of_all {
                let code = entry.code;
                entry = Entry::new(entry.time, all, entry.action, entry.outcome);
                entry.code = code;
            }
            entry.request_id = None;
            entry.count = Some(counted.unwritten);
            Some(entry)
        };
        std::mem::take(&mut self.crowds)
            .into_values()
            .flatten()
            .filter_map(summarize)
            .collect()
    }
}

impl Service {
    /// Puts the refusal of a known agent into the log, or counts it; gives whether it has
    /// an entry of its own.
    pub(super) fn deny(&self, entry: Entry, agent: AgentId) -> bool {
        let kind = Kind::Agent(agent, entry.action, code_of(&entry));
        self.deny_concerning(agent, kind, entry)
    }

    /// Puts into the log, or counts, that somebody at `address` named an agent and is refused without having
    /// proved to be it; gives whether it has an entry of its own.
    pub(super) fn deny_claim(&self, entry: Entry, agent: AgentId, address: IpAddr) -> bool {
        let kind = Kind::Claimed(agent, entry.action, code_of(&entry), prefix(address));
        self.deny_concerning(agent, kind, entry)
    }

    fn deny_concerning(&self, agent: AgentId, kind: Kind, entry: Entry) -> bool {
        self.metrics.denials.agent(code_of(&entry));
        if entry.action == Action::TokenIssue {
            self.activity.denied(agent, entry.time);
        }
        self.write_denials(self.denials.count(kind, entry))
    }

    /// Puts into the log, or counts, that automation's request was refused or came to nothing.
    pub(crate) fn deny_automation(&self, caller: &Caller, action: Action, code: Code) {
        let mut entry = self.entry(caller, action, code.outcome());
        entry.organization_id = caller.reach.single();
        entry.code = Some(code);
        let agent = caller.actor.id.as_ref().and_then(|id| id.parse().ok());
        if let Some(agent) = agent {
            self.deny(entry, agent);
        }
    }

    /// Puts into the log, or counts, that an agent read something: the first of a minute is an entry of
    /// its own.
    pub(super) fn note(&self, entry: Entry, agent: AgentId) {
        let kind = Kind::Read(agent, entry.credential_id, entry.action);
        self.write_denials(self.denials.count(kind, entry));
    }

    /// Puts into the log, or counts, that an operator's call was refused (`denied`) or came to
    /// nothing (`failed`), with the record that it was `about`.
    pub(crate) fn deny_operator(
        &self,
        caller: &Caller,
        action: Action,
        (outcome, code): (Outcome, Code),
        about: Option<&About>,
    ) {
        let mut entry = self.entry(caller, action, outcome);
        entry.code = Some(code);
        if let Some(about) = about {
            let (id, organization) = self.named(about).unwrap_or_default();
            entry.organization_id = organization;
            entry.target = id.map(|id| Target {
                kind: about.kind,
                id,
                revision: None,
                digest: None,
            });
        }
        self.metrics.denials.operator(code);
        let kind = Kind::Operator(caller.actor.id.clone(), action, code);
        // As often as there are entries: nobody fills the system's log either.
        if self.write_denials(self.denials.count(kind, entry)) {
            tracing::warn!(%code, %action, %outcome, "an operator's call did not succeed");
        }
    }

    /// Puts the refusal of someone who is nobody known into the log, or counts it; gives whether it has
    /// an entry of its own.
    pub(crate) fn deny_stranger(
        &self,
        address: IpAddr,
        code: Code,
        request_id: Option<RequestId>,
        action: Action,
    ) -> bool {
        self.metrics.denials.stranger(code);
        let prefix = prefix(address);
        let actor = Actor::client(network(prefix));
        let mut entry = Entry::new(self.now(), actor, action, Outcome::Denied);
        entry.code = Some(code);
        entry.request_id = request_id;
        self.write_denials(
            self.denials
                .count(Kind::Stranger(action, code, prefix), entry),
        )
    }

    /// Writes the counts of a minute that is over; with `all`, of the minute under way too.
    pub(crate) fn flush_denials(&self, all: bool) {
        let entries = if all {
            self.denials.all()
        } else {
            self.denials.over(self.now())
        };
        self.write_denials(entries);
    }

    /// Gives whether one of them is of a single refusal, and not the count of many.
    pub(super) fn write_denials(&self, entries: Vec<Entry>) -> bool {
        let mut has_single = false;
        let is_low = self.store.is_low_on_space();
        for entry in entries {
            let is_single = entry.count.is_none();
            // What is left of the disk is not for agents' refusals one by one.
            if is_low && is_single && entry.actor.kind == ActorKind::Agent {
                self.denials.put_back(entry);
                continue;
            }
            has_single |= is_single;
            if !self.store.commit_later(Commit::new(entry.clone())) {
                self.denials.put_back(entry);
            }
        }
        has_single
    }
}

fn code_of(entry: &Entry) -> Code {
    entry.code.unwrap_or(Code::Internal)
}

/// The network that an address is counted with: 24 bits of IPv4, 48 of IPv6.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) & 0xffff_ff00).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & (u128::MAX << 80)).into(),
    }
}

/// A prefix as it stands in the log.
fn network(prefix: IpAddr) -> String {
    match prefix {
        IpAddr::V4(prefix) => format!("{prefix}/24"),
        IpAddr::V6(prefix) => format!("{prefix}/48"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(millis: i64) -> Entry {
        Entry::new(
            Timestamp::from_millis(millis),
            Actor::system(),
            Action::TokenIssue,
            Outcome::Denied,
        )
    }

    #[test]
    fn a_flood_of_strangers_is_two_entries_a_minute_and_all_are_counted() {
        let denials = Denials::default();
        let prefix = prefix("192.0.2.7".parse().unwrap());
        let kind = || Kind::Stranger(Action::TokenIssue, Code::UnknownClient, prefix);
        let mut written = Vec::new();
        for _ in 0..1_000 {
            written.extend(denials.count(kind(), entry(60_000)));
        }
        written.extend(denials.over(Timestamp::from_millis(120_000)));
        let counts: Vec<_> = written.iter().map(|entry| entry.count).collect();
        assert_eq!(counts, [None, Some(999)]);
    }

    #[test]
    fn a_count_of_many_names_none_of_them() {
        let denials = Denials::default();
        for number in 0..2_u8 {
            let mut refused = entry(60_000);
            refused.actor = Actor {
                id: Some(format!("agent-{number}")),
                name: Some(format!("agent-{number}@acme.example")),
                ..Actor::client(format!("192.0.2.{number}"))
            };
            refused.code = Some(Code::WrongSecret);
            refused.agent_id = Some(AgentId::from_bytes([number; 16]));
            refused.request_id = Some(RequestId::from_bytes([number; 16]));
            denials.put_back(refused);
        }
        let written = denials.over(Timestamp::from_millis(120_000));
        let mut expected = entry(60_000);
        expected.actor.kind = ActorKind::Agent;
        expected.actor.via = agentidp_shared::Via::Http;
        expected.code = Some(Code::WrongSecret);
        expected.count = Some(2);
        assert_eq!(written, [expected]);
    }

    #[test]
    fn a_flood_of_kinds_stays_bounded() {
        let denials = Denials::default();
        for number in 0..10_000_u32 {
            let address = IpAddr::V4(Ipv4Addr::from(number << 8));
            let kind = Kind::Stranger(Action::TokenIssue, Code::UnknownClient, address);
            denials.count(kind, entry(60_000));
        }
        let written = denials.over(Timestamp::from_millis(120_000));
        assert!(written.len() <= KINDS + 1);
    }

    /// As the entries of those are who name an agent and do not prove to be it.
    fn claim(agent: u32, address: &str) -> (Kind, Entry) {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&agent.to_be_bytes());
        let id = AgentId::from_bytes(bytes);
        let mut refused = entry(60_000);
        refused.actor = Actor::client(address.to_owned());
        refused.agent_id = Some(id);
        refused.code = Some(Code::WrongSecret);
        let prefix = prefix(address.parse().unwrap());
        let kind = Kind::Claimed(id, Action::TokenIssue, Code::WrongSecret, prefix);
        (kind, refused)
    }

    #[test]
    fn who_names_many_agents_and_proves_nothing_does_not_fill_the_log() {
        let denials = Denials::default();
        let mut written = Vec::new();
        for agent in 0..5_000 {
            for _ in 0..4 {
                let (kind, refused) = claim(agent, "192.0.2.7");
                written.extend(denials.count(kind, refused));
            }
        }
        assert_eq!(written.len() as u64, UNPROVEN);
        let counts = denials.over(Timestamp::from_millis(120_000));
        let [of_network] = &counts[..] else {
            panic!("{} entries", counts.len());
        };
        assert_eq!(of_network.count, Some(20_000 - UNPROVEN));
        assert_eq!(of_network.actor.address.as_deref(), Some("192.0.2.0/24"));
        assert_eq!(of_network.agent_id, None);
        // The next minute is a new one.
        let (kind, mut refused) = claim(1, "192.0.2.7");
        refused.time = Timestamp::from_millis(120_001);
        assert_eq!(denials.count(kind, refused).len(), 1);
    }

    #[test]
    fn those_who_took_the_time_in_two_minutes_do_not_renew_what_each_is_given() {
        let denials = Denials::default();
        let mut written = Vec::new();
        for _ in 0..100 {
            for millis in [120_000, 119_999] {
                let (kind, mut refused) = claim(1, "192.0.2.7");
                refused.time = Timestamp::from_millis(millis);
                written.extend(denials.count(kind, refused));
            }
        }
        assert_eq!(written.len() as u64, PER_ACTOR);
        // At the end all is told, and what comes after that too.
        let told = |entries: Vec<Entry>| entries.iter().filter_map(|it| it.count).sum::<u64>();
        assert_eq!(told(denials.all()), 200 - PER_ACTOR);
        for _ in 0..=PER_ACTOR {
            let (kind, mut refused) = claim(1, "192.0.2.7");
            refused.time = Timestamp::from_millis(120_000);
            denials.count(kind, refused);
        }
        assert_eq!(told(denials.all()), 1);
    }

    #[test]
    fn a_flood_of_strangers_hides_no_operator() {
        let denials = Denials::default();
        for agent in 0..10_000 {
            let (kind, refused) = claim(agent, "192.0.2.7");
            denials.count(kind, refused);
        }
        for user in ["65532", "65533"] {
            let mut refused = entry(60_000);
            refused.actor.kind = ActorKind::Operator;
            refused.actor.id = Some(user.to_owned());
            let kind = Kind::Operator(
                Some(user.to_owned()),
                Action::OrganizationCreate,
                Code::PermissionDenied,
            );
            assert_eq!(denials.count(kind, refused.clone()), [refused]);
        }
    }

    #[test]
    fn addresses_of_one_network_are_counted_together() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.0"),
            ("::ffff:192.0.2.7", "192.0.2.0"),
            ("2001:db8:1:2::3", "2001:db8:1::"),
        ] {
            assert_eq!(
                prefix(address.parse().unwrap()),
                network.parse::<IpAddr>().unwrap()
            );
        }
    }
}
