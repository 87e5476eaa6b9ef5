//! Holds everything that the daemon says after a restart against what was acknowledged.

use std::collections::{HashMap, HashSet};

use agentidp_proto::v1;
use agentidp_shared::{AgentId, Entry, RequestId, TargetKind, TokenId};
use anyhow::{Context as _, bail, ensure};

use super::record::Record;
use super::{Held, Ledger, Oracle, Outcome};
use crate::http::{Answer, Client, Http, Token};
use crate::operator::{Operator, check_numbers};
use crate::random::Random;
use crate::running::Running;

/// How many tokens are asked about, of each kind.
const TOKENS: usize = 25;
/// How many secrets are tried.
const SECRETS: usize = 3;
/// How many findings are told.
const TOLD: usize = 20;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What is new since the last time, and some of the rest.
    New,
    /// Every entry and every record.
    All,
}

/// The records that there are, by their id.
type Records = HashMap<String, Record>;

impl Oracle {
    /// Holds what a daemon says that has just been started against what was acknowledged. Nobody may be
    /// making load meanwhile. `reader` may introspect.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) async fn verify(
        &self,
        running: &Running,
        reader: Option<&Client>,
        depth: Depth,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        let operator = running.operator().await?;
        let mut wrong = self.verify_log(&operator, depth).await?;
        let (records, asked) = self.read_records(&operator, depth, random).await?;
        wrong.extend(self.verify_records(&records, &asked));
        if wrong.is_empty() {
            let mut http = Http::new(running.address()?);
            let tokens = self.choose_tokens(random);
            self.verify_tokens(&operator, &mut http, reader, &tokens, random)
                .await?;
            self.verify_secrets(&operator, &mut http, random).await?;
        }
        self.ledger().figures.verified += 1;
        let count = wrong.len();
        wrong.truncate(TOLD);
        ensure!(count == 0, "{count} findings:\n{}", wrong.join("\n"));
        Ok(())
    }

    async fn verify_log(&self, operator: &Operator, depth: Depth) -> anyhow::Result<Vec<String>> {
        let next = self.ledger().log.next();
        let from = match depth {
            Depth::All => 0,
            // Some of what is known already is read once more.
            Depth::New => next.saturating_sub(64),
        };
        let entries = operator.entries(from).await?;
        check_numbers(&entries, from)?;
        let mut ledger = self.ledger();
        ledger.read_log(from, &entries)?;
        Ok(ledger.settle_all(&requests(&entries)))
    }

    async fn read_records(
        &self,
        operator: &Operator,
        depth: Depth,
        random: &mut Random,
    ) -> anyhow::Result<(Records, HashSet<String>)> {
        let mut records = Records::new();
        let organizations = operator.all_organizations().await?;
        let agents = operator.all_agents().await?;
        let ids: Vec<String> = agents.iter().map(|agent| agent.id.clone()).collect();
        let organizations = organizations.into_iter().map(Record::from);
        for record in organizations.chain(agents.into_iter().map(Record::from)) {
            records.insert(record.id().to_owned(), record);
        }
        let asked: HashSet<String> = match depth {
            Depth::All => ids.into_iter().collect(),
            Depth::New => {
                let some = (0..TOKENS).filter_map(|_| random.one_of(&ids).cloned());
                let changed = self.owners_of_changed();
                some.chain(changed.into_iter().filter(|id| records.contains_key(id)))
                    .collect()
            }
        };
        for agent in &asked {
            let credentials = operator.credentials_of(agent).await?;
            let credentials = credentials.into_iter().map(Record::from);
            records.extend(credentials.map(|record| (record.id().to_owned(), record)));
        }
        Ok((records, asked))
    }

    /// The agents that were changed, or whose credentials were.
    fn owners_of_changed(&self) -> HashSet<String> {
        let mut ledger = self.ledger();
        let changed = std::mem::take(&mut ledger.log.changed);
        let owner = |id: String| match ledger.log.lines.get(&id)?.kind {
            TargetKind::Agent => Some(id),
            TargetKind::Credential => ledger.log.owners.get(&id).cloned(),
            _ => None,
        };
        changed.into_iter().filter_map(owner).collect()
    }

    /// Every record is as its last entry says; none is there without, and none is missing.
    fn verify_records(&self, records: &Records, asked: &HashSet<String>) -> Vec<String> {
        let ledger = self.ledger();
        let mut wrong = Vec::new();
        for record in records.values() {
            if let Err(error) = verify_record(&ledger, record) {
                wrong.push(format!("{error:#}: {record:?}"));
            }
        }
        for (id, line) in &ledger.log.lines {
            let is_read = match line.kind {
                TargetKind::Organization | TargetKind::Agent => true,
                TargetKind::Credential => ledger
                    .log
                    .owners
                    .get(id)
                    .is_some_and(|owner| asked.contains(owner)),
                _ => false,
            };
            if is_read && !records.contains_key(id) {
                wrong.push(format!("lost: {:?} {id}: {line:?}", line.kind));
            }
        }
        wrong
    }

    /// Tokens to ask about: the newest, some that were revoked, and some of all.
    fn choose_tokens(&self, random: &mut Random) -> Vec<(TokenId, Held)> {
        let ledger = self.ledger();
        let newest = ledger.remembered.iter().rev().take(TOKENS).copied();
        let revoked: Vec<TokenId> = ledger.log.revoked.iter().copied().collect();
        let some_revoked = (0..TOKENS).filter_map(|_| random.one_of(&revoked).copied());
        let mut chosen: HashSet<TokenId> = newest.chain(some_revoked).collect();
        chosen.extend((0..TOKENS).filter_map(|_| random.one_of(&ledger.remembered).copied()));
        let held = |jti: TokenId| Some((jti, ledger.tokens.get(&jti)?.clone()));
        chosen.into_iter().filter_map(held).collect()
    }

    /// A token counts exactly if nothing has ended it.
    async fn verify_tokens(
        &self,
        operator: &Operator,
        http: &mut Http,
        reader: Option<&Client>,
        tokens: &[(TokenId, Held)],
        random: &mut Random,
    ) -> anyhow::Result<()> {
        for (jti, held) in tokens {
            let Some(text) = &held.text else { continue };
            let bearing = self.bearing(operator, held).await?;
            let made = jti.made_at().as_millis();
            let is_revoked = self.ledger().log.revoked.contains(jti);
            let is_alive = !is_revoked
                && bearing.iter().all(|record| {
                    record.bears_tokens() && record.revoked_until().is_none_or(|until| until < made)
                });
            let seen = operator.inspect(text).await?;
            ensure!(
                seen.active == is_alive,
                "token {jti} is {} where it should not be ({}): {bearing:?}",
                if seen.active { "active" } else { "inactive" },
                seen.code
            );
            // Introspection tells a resource server of its own organization.
            let Some(reader) = reader.filter(|reader| self.are_together(reader.id, held.agent))
            else {
                continue;
            };
            if random.chance(30) {
                let Answer::Status(200, body) = http.introspect(reader, text).await? else {
                    bail!("no introspection right after a start");
                };
                let active = body.get("active").and_then(serde_json::Value::as_bool);
                ensure!(
                    active == Some(is_alive),
                    "introspection says {body} of token {jti}: {bearing:?}"
                );
            }
        }
        Ok(())
    }

    fn are_together(&self, one: AgentId, other: AgentId) -> bool {
        let ledger = self.ledger();
        let organizations = &ledger.log.organizations;
        organizations.get(&one) == organizations.get(&other)
    }

    /// The records that a token hangs on: organization, agent, credential.
    async fn bearing(&self, operator: &Operator, held: &Held) -> anyhow::Result<Vec<Record>> {
        let agent = operator
            .agents()
            .get(v1::GetAgentRequest {
                agent: held.agent.to_string(),
            })
            .await?
            .into_inner();
        let organization = operator
            .organizations()
            .get(v1::GetOrganizationRequest {
                organization: agent.organization_id.clone(),
            })
            .await?
            .into_inner();
        let credential = operator
            .credentials()
            .get(v1::GetCredentialRequest {
                credential_id: held.credential.to_string(),
            })
            .await?
            .into_inner();
        Ok(vec![organization.into(), agent.into(), credential.into()])
    }

    /// A secret gets a token exactly if its credential, agent and organization are in good standing.
    async fn verify_secrets(
        &self,
        operator: &Operator,
        http: &mut Http,
        random: &mut Random,
    ) -> anyhow::Result<()> {
        let clients: Vec<Client> = self.ledger().clients.values().cloned().collect();
        for _ in 0..SECRETS.min(clients.len()) {
            let Some(client) = random.one_of(&clients) else {
                break;
            };
            let held = Held {
                agent: client.id,
                credential: client.credential,
                text: None,
            };
            let bearing = self.bearing(operator, &held).await?;
            let is_good = bearing.iter().all(Record::bears_tokens);
            self.asks(client);
            match http.token(client).await? {
                Answer::Status(200, body) => {
                    let token = Token::in_answer(&body)?;
                    self.answered(client, Some(&token), random);
                    ensure!(is_good, "a token for {bearing:?}");
                }
                Answer::Status(401, body) => {
                    self.answered(client, None, random);
                    ensure!(!is_good, "no token, but {body}, for {bearing:?}");
                }
                other => bail!("{other:?} to a request for a token right after a start"),
            }
        }
        Ok(())
    }
}

/// The requests that entries name.
fn requests(entries: &[v1::AuditEntry]) -> HashMap<u64, RequestId> {
    let named = |stored: &v1::AuditEntry| {
        let entry: Entry = serde_json::from_slice(&stored.json).ok()?;
        Some((entry.seq, entry.request_id?))
    };
    entries.iter().filter_map(named).collect()
}

fn verify_record(ledger: &Ledger, record: &Record) -> anyhow::Result<()> {
    let line = ledger
        .log
        .lines
        .get(record.id())
        .context("a phantom: the log has nothing of this record")?;
    ensure!(
        record.revision() == line.revision,
        "the log has it at revision {}",
        line.revision
    );
    let Some(operation) = line.by.and_then(|by| ledger.operations.get(&by)) else {
        return Ok(());
    };
    if let Outcome::Acknowledged { records, .. } = &operation.outcome
        && let Some(acknowledged) = records.iter().find(|it| it.id() == record.id())
    {
        ensure!(record == acknowledged, "acknowledged was {acknowledged:?}");
        return Ok(());
    }
    ensure!(
        record.says(&operation.intent.wants),
        "it does not say what was asked for: {:?}",
        operation.intent
    );
    Ok(())
}
