//! What the audit log says happened, entry after entry.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use agentidp_proto::v1;
use agentidp_shared::{Action, ActorKind, AgentId, Entry, RequestId, TargetKind, TokenId, Via};
use anyhow::{Context as _, bail, ensure};

use super::{Ledger, Outcome};

/// The last change of a record.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) kind: TargetKind,
    pub(crate) revision: u64,
    /// Which operation it was; `None` for the daemon itself.
    pub(crate) by: Option<RequestId>,
    pub(crate) standing: Standing,
}

/// Whether tokens may be issued for what a record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    Bad,
}

/// What the log has said so far.
#[derive(Default, Clone)]
pub(crate) struct Log {
    /// A hash of each entry, so that one that is changed later is found.
    pub(crate) digests: Vec<u64>,
    /// The last change of each record, by its id.
    pub(crate) lines: HashMap<String, Line>,
    /// The organization of each agent.
    pub(crate) organizations: HashMap<AgentId, String>,
    /// The agent of each credential.
    pub(crate) owners: HashMap<String, String>,
    /// The records that were changed since they were last looked at.
    pub(crate) changed: HashSet<String>,
    pub(crate) issued: HashMap<TokenId, AgentId>,
    pub(crate) revoked: HashSet<TokenId>,
}

impl Log {
    /// The number of the next entry.
    pub(crate) fn next(&self) -> u64 {
        u64::try_from(self.digests.len()).unwrap_or(u64::MAX)
    }
}

fn digest(json: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    json.hash(&mut hasher);
    hasher.finish()
}

impl Ledger {
    /// Holds the log, from the entry `from` on, against what it said before and what was acknowledged.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn read_log(&mut self, from: u64, entries: &[v1::AuditEntry]) -> anyhow::Result<()> {
        let known = self.log.next();
        let end = from + u64::try_from(entries.len())?;
        ensure!(
            end >= known,
            "the audit log ends at entry {end}, and there was an entry {} before",
            known - 1
        );
        for stored in entries {
            let place = usize::try_from(stored.seq)?;
            if let Some(before) = self.log.digests.get(place) {
                ensure!(
                    *before == digest(&stored.json),
                    "entry {} is not the one that it was: {}",
                    stored.seq,
                    String::from_utf8_lossy(&stored.json)
                );
                continue;
            }
            self.log.digests.push(digest(&stored.json));
            let text = || String::from_utf8_lossy(&stored.json).into_owned();
            let entry: Entry = serde_json::from_slice(&stored.json)
                .with_context(|| format!("entry {}: {}", stored.seq, text()))?;
            ensure!(
                entry.seq == stored.seq,
                "not entry {}: {}",
                stored.seq,
                text()
            );
            self.read_entry(&entry)
                .with_context(|| format!("entry {}: {}", stored.seq, text()))?;
        }
        Ok(())
    }

    fn read_entry(&mut self, entry: &Entry) -> anyhow::Result<()> {
        if entry.outcome != agentidp_shared::Outcome::Success || is_count_of_reads(entry) {
            return Ok(());
        }
        let by = self.operation_of(entry)?;
        match entry.action {
            Action::TokenIssue => return self.read_token(entry),
            Action::TokenRevoke => {
                if let Some(jti) = entry.jti {
                    ensure!(
                        by.is_some() || self.revocations.contains_key(&jti),
                        "nobody asked for this revocation"
                    );
                    self.log.revoked.insert(jti);
                    return Ok(());
                }
            }
            _ => {}
        }
        self.read_change(entry, by)
    }

    /// The operation that an entry is of; `None` for the daemon itself and for agents.
    fn operation_of(&mut self, entry: &Entry) -> anyhow::Result<Option<RequestId>> {
        if entry.actor.kind == ActorKind::System || entry.actor.via == Via::Http {
            return Ok(None);
        }
        let id = entry.request_id.context("a phantom: no request is named")?;
        let operation = self
            .operations
            .get_mut(&id)
            .context("a phantom: nobody asked for this")?;
        match operation.outcome {
            Outcome::Acknowledged { .. } | Outcome::Found => {}
            Outcome::Unknown => {
                operation.outcome = Outcome::Found;
                self.figures.found += 1;
            }
            Outcome::Nothing => bail!(
                "a phantom: this was refused, or had not been done when the daemon was started again"
            ),
        }
        Ok(Some(id))
    }

    fn read_token(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let agent: AgentId = entry.actor.id.as_deref().context("no client")?.parse()?;
        let jti = entry.jti.context("a token without jti")?;
        let credential = entry.credential_id.context("a token without credential")?;
        let organization = entry
            .organization_id
            .context("a token of no organization")?;
        ensure!(
            self.log.issued.insert(jti, agent).is_none(),
            "this token was issued twice"
        );
        if let Some(held) = self.tokens.get(&jti) {
            ensure!(
                held.agent == agent && held.credential == credential,
                "the token was given to agent {} for credential {}",
                held.agent,
                held.credential
            );
        } else {
            let unanswered = self.unanswered.get_mut(&agent).filter(|count| **count > 0);
            *unanswered.context("a phantom: nobody asked for this token")? -= 1;
            self.figures.found += 1;
        }
        // The order of the log is the order of what happened.
        for (what, id) in [
            ("agent", agent.to_string()),
            ("credential", credential.to_string()),
            ("organization", organization.to_string()),
        ] {
            let standing = self.log.lines.get(&id).map(|line| line.standing);
            ensure!(
                standing == Some(Standing::Good),
                "a token for a client whose {what} is {standing:?}"
            );
        }
        Ok(())
    }

    fn read_change(&mut self, entry: &Entry, by: Option<RequestId>) -> anyhow::Result<()> {
        let Some(target) = &entry.target else {
            return Ok(());
        };
        if !matches!(
            target.kind,
            TargetKind::Organization | TargetKind::Agent | TargetKind::Credential
        ) {
            return Ok(());
        }
        let Some(revision) = target.revision else {
            return Ok(());
        };
        let before = self.log.lines.get(&target.id);
        ensure!(
            revision == before.map_or(0, |line| line.revision) + 1,
            "revision {revision} follows on {:?}",
            before.map(|line| line.revision)
        );
        let standing = match entry.action {
            Action::OrganizationSuspend
            | Action::AgentSuspend
            | Action::AgentRevoke
            | Action::AgentDecommission
            | Action::CredentialRevoke => Standing::Bad,
            // Without a time of grace the old one is cut off.
            Action::CredentialRotate if entry.expires_at.is_none() => Standing::Bad,
            Action::OrganizationUpdate | Action::AgentUpdate | Action::TokenRevoke => {
                before.map_or(Standing::Good, |line| line.standing)
            }
            _ => Standing::Good,
        };
        if target.kind == TargetKind::Agent {
            let organization = entry.organization_id.context("an agent of nobody's")?;
            self.log
                .organizations
                .insert(target.id.parse()?, organization.to_string());
        }
        if let (TargetKind::Credential, Some(agent)) = (target.kind, entry.agent_id) {
            self.log.owners.insert(target.id.clone(), agent.to_string());
        }
        self.log.changed.insert(target.id.clone());
        self.log.lines.insert(
            target.id.clone(),
            Line {
                kind: target.kind,
                revision,
                by,
                standing,
            },
        );
        Ok(())
    }

    /// What was acknowledged must be in the log by now; what is not is not going to be.
    pub(crate) fn settle_all(&mut self, entries: &HashMap<u64, RequestId>) -> Vec<String> {
        let mut wrong = Vec::new();
        for id in std::mem::take(&mut self.fresh) {
            let Some(operation) = self.operations.get_mut(&id) else {
                continue;
            };
            match &operation.outcome {
                Outcome::Acknowledged { seq, .. } => {
                    if entries.get(seq) != Some(&id) {
                        wrong.push(format!(
                            "lost: request {id} was acknowledged with entry {seq}, which is not its: {:?}",
                            operation.intent
                        ));
                    }
                }
                Outcome::Unknown => operation.outcome = Outcome::Nothing,
                Outcome::Found | Outcome::Nothing => {}
            }
        }
        for jti in std::mem::take(&mut self.fresh_tokens) {
            if !self.log.issued.contains_key(&jti) {
                wrong.push(format!(
                    "lost: token {jti} was given out and is not in the log"
                ));
            }
        }
        self.unanswered.clear();
        for (jti, acknowledged) in &self.revocations {
            if *acknowledged && !self.log.revoked.contains(jti) {
                wrong.push(format!("lost: the revocation of token {jti}"));
            }
        }
        wrong
    }
}

/// Reads are counted: the entry is of many requests, names none, and is about no record.
fn is_count_of_reads(entry: &Entry) -> bool {
    entry.count.is_some() && entry.request_id.is_none() && entry.target.is_none()
}

#[cfg(test)]
mod tests {
    use agentidp_proto::v1;
    use agentidp_shared::{Action, RequestId, Timestamp};
    use serde_json::{Value, json};

    use super::super::{Intent, Ledger, Operation, Outcome, Wants};
    use super::HashMap;

    const AGENT: &str = "01890a5d-ac96-7b7c-8f0a-000000000001";
    const ORGANIZATION: &str = "01890a5d-ac96-7b7c-8f0a-000000000002";
    const CREDENTIAL: &str = "01890a5d-ac96-7b7c-8f0a-000000000003";
    const TOKEN: &str = "01890a5d-ac96-7b7c-8f0a-000000000004";

    fn request() -> RequestId {
        RequestId::new(Timestamp::from_millis(1), [1; 10])
    }

    /// A ledger with one operation.
    fn ledger(outcome: Outcome) -> Ledger {
        let intent = Intent {
            action: Action::AgentSuspend,
            target: Some(AGENT.to_owned()),
            wants: Wants::Status("suspended"),
        };
        let mut ledger = Ledger::default();
        ledger
            .operations
            .insert(request(), Operation { intent, outcome });
        ledger.fresh.push(request());
        ledger
    }

    fn made(seq: u64, action: &str, kind: &str, id: &str, revision: u64) -> Value {
        json!({
            "v": 1, "seq": seq, "time": "2026-11-21T00:00:00.000Z", "action": action,
            "organization_id": ORGANIZATION, "actor": {"kind": "system", "via": "internal"},
            "target": {"kind": kind, "id": id, "revision": revision}, "outcome": "success",
        })
    }

    fn suspension(seq: u64) -> Value {
        let mut entry = made(seq, "agent.suspend", "agent", AGENT, 2);
        entry["actor"] = json!({"kind": "operator", "id": "0", "via": "socket"});
        entry["request_id"] = json!(request().to_string());
        entry
    }

    fn token(seq: u64) -> Value {
        let mut entry = made(seq, "token.issue", "token", TOKEN, 0);
        entry["target"] = Value::Null;
        entry["actor"] = json!({"kind": "agent", "id": AGENT, "via": "http"});
        entry["credential_id"] = json!(CREDENTIAL);
        entry["jti"] = json!(TOKEN);
        entry
    }

    fn log(entries: &[Value]) -> Vec<v1::AuditEntry> {
        let stored = |entry: &Value| v1::AuditEntry {
            seq: entry["seq"].as_u64().unwrap(),
            json: entry.to_string().into_bytes(),
        };
        entries.iter().map(stored).collect()
    }

    fn registered() -> Vec<Value> {
        vec![
            made(0, "organization.create", "organization", ORGANIZATION, 1),
            made(1, "agent.register", "agent", AGENT, 1),
            made(2, "credential.issue", "credential", CREDENTIAL, 1),
        ]
    }

    fn told(ledger: &mut Ledger, entries: &[Value]) -> String {
        let read = ledger.read_log(0, &log(entries));
        read.err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default()
    }

    fn acknowledged(seq: u64) -> Outcome {
        Outcome::Acknowledged {
            seq,
            records: Vec::new(),
        }
    }

    #[test]
    fn what_was_acknowledged_and_is_not_in_the_log_is_lost() {
        let mut ledger = ledger(acknowledged(3));
        assert_eq!(told(&mut ledger, &registered()), "");
        let wrong = ledger.settle_all(&HashMap::new());
        assert!(wrong[0].starts_with("lost: "), "{wrong:?}");
    }

    #[test]
    fn what_was_under_way_may_be_there_until_a_restart_found_that_it_is_not() {
        let mut entries = registered();
        entries.push(suspension(3));
        assert_eq!(told(&mut ledger(Outcome::Unknown), &entries), "");

        let mut ledger = ledger(Outcome::Unknown);
        assert_eq!(told(&mut ledger, &registered()), "");
        assert_eq!(ledger.settle_all(&HashMap::new()), Vec::<String>::new());
        assert!(told(&mut ledger, &entries).contains("a phantom"));
    }

    #[test]
    fn reads_that_were_counted_are_no_phantom_and_changes_that_name_no_request_are() {
        let mut entries = registered();
        let mut counted = suspension(3);
        counted["action"] = "status.show".into();
        counted["count"] = 2.into();
        let members = counted.as_object_mut().unwrap();
        drop((members.remove("request_id"), members.remove("target")));
        entries.push(counted);
        assert_eq!(told(&mut ledger(Outcome::Unknown), &entries), "");

        let mut entries = registered();
        let mut nameless = suspension(3);
        drop(nameless.as_object_mut().unwrap().remove("request_id"));
        entries.push(nameless);
        assert!(told(&mut ledger(Outcome::Unknown), &entries).contains("a phantom"));
    }

    #[test]
    fn what_nobody_asked_for_is_a_phantom() {
        let mut entries = registered();
        entries.push(suspension(3));
        assert!(told(&mut Ledger::default(), &entries).contains("a phantom"));
        assert!(told(&mut ledger(Outcome::Nothing), &entries).contains("a phantom"));
        let mut entries = registered();
        entries.push(token(3));
        assert!(told(&mut Ledger::default(), &entries).contains("a phantom"));
    }

    #[test]
    fn a_token_after_the_suspension_of_its_agent_is_found() {
        let mut entries = registered();
        entries.extend([suspension(3), token(4)]);
        let mut ledger = ledger(acknowledged(3));
        ledger.unanswered.insert(AGENT.parse().unwrap(), 1);
        let told = told(&mut ledger, &entries);
        assert!(told.contains("whose agent is Some(Bad)"), "{told}");
    }

    #[test]
    fn an_entry_that_is_changed_or_gone_is_found() {
        let mut ledger = ledger(Outcome::Unknown);
        let mut entries = registered();
        assert_eq!(told(&mut ledger, &entries), "");
        entries[1]["time"] = json!("2026-11-21T00:00:00.001Z");
        assert!(told(&mut ledger, &entries).contains("not the one that it was"));
        entries.truncate(1);
        assert!(told(&mut ledger, &entries).contains("ends at entry 1"));
    }
}
