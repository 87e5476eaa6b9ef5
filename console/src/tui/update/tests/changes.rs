//! What the daemon tells to have changed is read again by its id.

use agentidp_proto::v1::watch_changes_response::Change;

use super::{changed, changed_agent};
use crate::tui::event::{Command, Effect, NetEvent, Record, RecordChange};
use crate::tui::fixtures::{World, agent_id, keys};
use crate::tui::state::Link;

#[test]
fn what_is_not_shown_is_not_asked_for() {
    let mut world = World::live();
    world.net(changed_agent(99, 7));
    assert!(world.sent().is_empty());
    world.net(changed_agent(1, 41));
    assert!(world.sent().is_empty(), "that revision is here already");
    world.net(changed(Record::Key, 2));
    assert!(world.sent().is_empty(), "no key is shown");
    world.net(changed_agent(1, 42));
    assert_eq!(world.sent(), [&Command::Agent(agent_id(1))]);
}

#[test]
fn keys_and_organizations_are_read_again() {
    let mut world = World::live();
    world.net(NetEvent::Keys(Ok(keys())));
    world.net(changed(Record::Key, 2));
    assert_eq!(world.sent(), [&Command::Keys]);
    world.net(changed(Record::Organization, 2));
    assert_eq!(world.sent(), [&Command::Organizations]);
    world.net(NetEvent::Organizations(Ok(Vec::new())));
    assert!(world.state.organizations.is_empty());
}

#[test]
fn when_changes_were_lost_everything_that_is_shown_is_read_again() {
    let mut world = World::in_detail();
    let selected = world.state.agents.selected;
    world.net(NetEvent::ChangesLost);
    let sent = world.sent();
    assert!(sent.contains(&&Command::Detail(agent_id(1))));
    assert!(sent.contains(&&Command::Organizations));
    assert!(
        sent.iter()
            .any(|it| matches!(it, Command::Agents { page: 0, .. }))
    );
    assert_eq!(world.state.agents.selected, selected);
}

#[test]
fn a_changed_credential_is_announced_in_the_list_of_those_to_look_after() {
    let mut world = World::live();
    world.key("3");
    assert!(!world.state.credentials.has_changed);
    world.net(changed(Record::Credential(agent_id(9)), 2));
    assert!(world.state.credentials.has_changed);
    world.key("^r");
    assert!(!world.state.credentials.has_changed);
}

#[test]
fn who_else_is_connected_stays_known_and_is_as_old_as_the_rest() {
    let mut world = World::live();
    world.net(NetEvent::Others(2));
    world.net(NetEvent::Lost("the daemon ended the stream".to_owned()));
    assert!(matches!(world.state.link, Link::Stale(..)));
    assert_eq!(world.state.others, 2);
    assert!(!world.effects.iter().any(|it| matches!(it, Effect::Send(_))));
}

#[test]
fn a_change_is_taken_as_the_daemon_tells_it_and_of_an_unknown_kind_not_at_all() {
    let change = |kind: &str, id: &str, agent: &str| {
        RecordChange::of(&Change {
            kind: kind.to_owned(),
            id: id.to_owned(),
            agent_id: agent.to_owned(),
            revision: 1,
            ..Change::default()
        })
    };
    let agent = agent_id(1).to_string();
    let record = |it: Option<RecordChange>| it.map(|it| it.record);
    assert_eq!(
        record(change("agent", &agent, "")),
        Some(Record::Agent(agent_id(1)))
    );
    assert_eq!(
        record(change("credential", "c", &agent)),
        Some(Record::Credential(agent_id(1)))
    );
    assert_eq!(record(change("signing_key", "kid", "")), Some(Record::Key));
    for (kind, id) in [("weather", "sun"), ("agent", "nobody"), ("credential", "c")] {
        assert_eq!(change(kind, id, ""), None);
    }
}
