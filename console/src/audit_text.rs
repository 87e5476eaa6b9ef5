//! Audit entries in a few words, for tables and screens. Not made inert here: whoever shows the
//! text does that.

use agentidp_shared::count::counted;
use agentidp_shared::{Action, ActorKind, Entry, Pruned, TargetKind};

/// Who did it: the name if there is one.
pub(crate) fn actor(entry: &Entry) -> String {
    let actor = &entry.actor;
    match (&actor.name, &actor.id, &actor.address) {
        (Some(name), ..) => name.clone(),
        (None, Some(id), _) => id.clone(),
        (None, None, Some(address)) => address.clone(),
        (None, None, None) => actor.kind.to_string(),
    }
}

/// What else there is to say: why it did not succeed, what it was done to, what was given out.
/// Agents are named by `name_agent` from their ids, and organizations by `name_organization`, where it knows
/// them.
pub(crate) fn details_with(
    entry: &Entry,
    name_agent: impl Fn(&str) -> String,
    name_organization: impl Fn(&str) -> Option<String>,
) -> String {
    let mut words = Vec::new();
    if let Some(code) = entry.code {
        words.push(code.to_string());
    }
    if let Some(target) = &entry.target
        // An agent that acts on itself is named already.
        && entry.actor.id.as_deref() != Some(&target.id)
    {
        words.push(match target.kind {
            TargetKind::Agent => name_agent(&target.id),
            TargetKind::Organization => {
                let name = name_organization(&target.id);
                let name = name.unwrap_or_else(|| short_id(&target.id).to_owned());
                format!("organization {name}")
            }
            kind => format!("{kind} {}", short_id(&target.id)),
        });
    }
    // Of an entry that an agent made, the actor says which; who was refused before it proved to
    // be the agent is no such actor.
    let is_by_agent = entry.actor.kind == ActorKind::Agent && entry.actor.id.is_some();
    if let Some(agent) = entry.agent_id.map(|id| id.to_string())
        && !is_by_agent
        && entry.target.as_ref().is_none_or(|it| it.id != agent)
    {
        let name = name_agent(&agent);
        words.push(match entry.target {
            Some(_) => format!("of {name}"),
            None => name,
        });
    }
    if let Some(scope) = &entry.scope {
        words.push(format!("scope {scope}"));
    }
    if !entry.audience.is_empty() {
        words.push(format!("for {}", entry.audience.join(" ")));
    }
    if !entry.changed.is_empty() {
        words.push(format!("changed {}", entry.changed.join(", ")));
    }
    if let Some(reason) = &entry.reason {
        words.push(format!("\"{reason}\""));
    }
    if let Some(head) = &entry.refused_head {
        let (entries, root) = (head.entries, head.root);
        let entries = counted(entries, "entry");
        words.push(format!("against a head of {entries}, root {root}"));
    }
    match (&entry.pruned, entry.count) {
        (None, Some(count)) if entry.action == Action::DaemonStart => words.push(format!(
            "with {} beyond the newest signed checkpoint",
            counted(count, "entry")
        )),
        (Some(pruned), count) => words.push(removed(pruned, count.unwrap_or_default())),
        (None, Some(count)) => words.push(counted(count, "time")),
        (None, None) => {}
    }
    words.join(" ")
}

/// What was removed from the log.
fn removed(pruned: &Pruned, count: u64) -> String {
    let places = pruned.places();
    let (first, last) = (places.start, places.end.saturating_sub(1));
    let stay = match pruned.kept() {
        0 => String::new(),
        1 => ", 1 stays".to_owned(),
        many => format!(", {many} stay"),
    };
    format!("{count} of the entries {first} to {last}{stay}")
}

/// The last characters of a UUID, which tell neighbours apart: the first ones are their time.
/// Other ids stay as they are.
pub(crate) fn short_id(id: &str) -> &str {
    let is_uuid = id.len() == 36 && id.bytes().filter(|b| *b == b'-').count() == 4;
    id.get(30..).filter(|_| is_uuid).unwrap_or(id)
}

/// The agents that [`details_with`] asks the names of.
pub(crate) fn agents(entry: &Entry) -> impl Iterator<Item = String> + '_ {
    let target = entry.target.as_ref();
    let target = target.filter(|it| it.kind == TargetKind::Agent);
    let agent = entry.agent_id.map(|id| id.to_string());
    target.map(|it| it.id.clone()).into_iter().chain(agent)
}

/// The organization that [`details_with`] asks the name of.
pub(crate) fn organization(entry: &Entry) -> Option<String> {
    let target = entry.target.as_ref()?;
    (target.kind == TargetKind::Organization).then(|| target.id.clone())
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{Actor, Code, Outcome, Target, Timestamp};

    use super::*;

    #[test]
    fn an_entry_says_why_to_what_and_for_what_reason() {
        let mut entry = Entry::new(
            Timestamp::from_millis(0),
            Actor::system(),
            Action::CredentialRevoke,
            Outcome::Denied,
        );
        entry.code = Some(Code::PermissionDenied);
        entry.target = Some(Target {
            kind: TargetKind::Credential,
            id: "01936f2c-0000-7000-8000-00000051c0de".to_owned(),
            revision: None,
            digest: None,
        });
        entry.agent_id = Some(agentidp_shared::AgentId::from_bytes([1; 16]));
        entry.reason = Some("leaked".parse().unwrap());
        let text = details_with(&entry, |id| short_id(id).to_owned(), |_| None);
        assert_eq!(
            text,
            "PERMISSION_DENIED credential 51c0de of 010101 \"leaked\""
        );
        assert_eq!(actor(&entry), "system");
    }

    #[test]
    fn an_organization_is_named_where_its_name_is_known() {
        let now = Timestamp::from_millis(0);
        let action = Action::OrganizationCreate;
        let mut entry = Entry::new(now, Actor::system(), action, Outcome::Success);
        let id = "01936f2c-0000-7000-8000-0000004f2a1c";
        entry.target = Some(Target {
            kind: TargetKind::Organization,
            id: id.to_owned(),
            revision: None,
            digest: None,
        });
        let text = |name: Option<&str>| {
            let name = name.map(str::to_owned);
            details_with(&entry, str::to_owned, |it| {
                name.clone().filter(|_| it == id)
            })
        };
        assert_eq!(text(Some("acme")), "organization acme");
        assert_eq!(text(None), "organization 4f2a1c");
        assert_eq!(organization(&entry).as_deref(), Some(id));
    }

    #[test]
    fn a_revocation_names_the_token() {
        let now = Timestamp::from_millis(0);
        let action = Action::TokenRevoke;
        let mut entry = Entry::new(now, Actor::system(), action, Outcome::Success);
        entry.target = Some(Target {
            kind: TargetKind::Token,
            id: "01936f2c-0000-7000-8000-0000004f2a1c".to_owned(),
            revision: None,
            digest: None,
        });
        let text = details_with(&entry, |id| short_id(id).to_owned(), |_| None);
        assert_eq!(text, "token 4f2a1c");
    }

    #[test]
    fn a_start_says_what_no_checkpoint_was_of() {
        let now = Timestamp::from_millis(0);
        let action = Action::DaemonStart;
        let mut entry = Entry::new(now, Actor::system(), action, Outcome::Success);
        entry.count = Some(3);
        let text = details_with(&entry, str::to_owned, |_| None);
        let expected = "with 3 entries beyond the newest signed checkpoint";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_pruning_says_what_went_and_how_much_of_it_stays() {
        let now = Timestamp::from_millis(0);
        let mut entry = Entry::new(now, Actor::system(), Action::AuditPrune, Outcome::Success);
        entry.count = Some(500);
        entry.pruned = Some(Pruned::new(0..512, &[3, 4]).unwrap());
        let text = details_with(&entry, str::to_owned, |_| None);
        assert_eq!(text, "500 of the entries 0 to 511, 2 stay");
    }

    #[test]
    fn a_denial_names_the_agent_that_nobody_proved_to_be() {
        let mut actor = Actor::system();
        actor.kind = ActorKind::Agent;
        actor.address = Some("127.0.0.1".to_owned());
        let now = Timestamp::from_millis(0);
        let mut entry = Entry::new(now, actor, Action::TokenIssue, Outcome::Denied);
        entry.code = Some(Code::AgentSuspended);
        entry.agent_id = Some(agentidp_shared::AgentId::from_bytes([1; 16]));
        let text = details_with(&entry, |_| "extractor".to_owned(), |_| None);
        assert_eq!(text, "AGENT_SUSPENDED extractor");
        assert_eq!(agents(&entry).count(), 1);
    }
}
