//! What hangs on an agent's credentials, read from the log and the agent's records: tokens that have
//! not expired, addresses, and what could take a credential's place.

use agentidp_proto::v1::AuditFilter;
use agentidp_shared::{Action, AgentId, CredentialStatus, Entry, Outcome, Timestamp};

use crate::client::Client;
use crate::clock;
use crate::error::Error;

use super::event::Stakes;

/// The longest that a token lives; older entries cannot have one that counts.
const LONGEST: std::time::Duration = std::time::Duration::from_hours(24);

/// How many entries a page has, and how many pages are read at most.
const PAGE: u32 = 1_000;
const PAGES: usize = 5;

/// Reads what hangs on an agent's credentials.
pub(crate) async fn read(client: &Client, id: AgentId) -> Result<Stakes, Error> {
    let now = clock::now();
    let agent = client.agent(id.to_string()).await?;
    let credentials = client.credentials(id.to_string()).await?;
    let mut stakes = Stakes {
        is_more: true,
        accepted: credentials
            .iter()
            .filter(|it| {
                matches!(
                    it.status_at(now),
                    CredentialStatus::Active | CredentialStatus::Retiring
                )
            })
            .map(|it| it.id)
            .collect(),
        ..Stakes::default()
    };
    let cut = |credential| {
        let of_credential = credentials.iter().find(|it| Some(it.id) == credential);
        agent
            .tokens_revoked_until
            .max(of_credential.and_then(|it| it.tokens_revoked_until))
    };
    let mut before = None;
    for _ in 0..PAGES {
        let filter = AuditFilter {
            agent: id.to_string(),
            action: Action::TokenIssue.as_str().to_owned(),
            outcome: Outcome::Success.as_str().to_owned(),
            ..AuditFilter::default()
        };
        let page = client.audit_page(PAGE, before, filter).await?;
        for entry in &page.entries {
            let Ok(entry) = serde_json::from_slice::<Entry>(&entry.json) else {
                continue;
            };
            if now.since(entry.time) > LONGEST {
                stakes.is_more = false;
                return Ok(stakes);
            }
            note(&mut stakes, &entry, cut(entry.credential_id), now);
        }
        before = page.next_before;
        if before.is_none() {
            stakes.is_more = false;
            break;
        }
    }
    Ok(stakes)
}

/// Takes in one token that was issued.
fn note(stakes: &mut Stakes, entry: &Entry, cut: Option<Timestamp>, now: Timestamp) {
    let Some(credential) = entry.credential_id else {
        return;
    };
    if let Some(address) = &entry.actor.address {
        let addresses = stakes.addresses.entry(credential).or_default();
        addresses.insert(address.clone());
    }
    let is_live = entry.expires_at.is_some_and(|end| end > now) && cut < Some(entry.time);
    if is_live {
        *stakes.tokens.entry(credential).or_default() += 1;
    }
}
