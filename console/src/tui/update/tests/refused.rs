//! What is not done, or not known to be done, and how that is told.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{changed_agent, suspend};
use crate::error::Error;
use crate::tui::event::{Change, ChangeResult, Command, Doubt, Effect, Event, NetEvent, NotDone};
use crate::tui::fixtures::{World, agent_id, agents, health, listed};
use crate::tui::state::Link;
use crate::tui::state::confirm::{Confirm, Field};
use crate::tui::state::dialog::Dialog;

fn confirm(world: &World) -> &Confirm {
    match &world.state.dialog {
        Some(Dialog::Confirm(confirm)) => confirm,
        other => panic!("{other:?}"),
    }
}

/// A suspension was asked for, and this came of it.
fn suspended(not: NotDone) -> World {
    let mut world = World::live();
    world.dialog("s");
    world.type_text("leak");
    world.keys(&["enter", "y"]);
    assert_eq!(world.change(), Some(suspend("leak")));
    world.net(NetEvent::Changed(Box::new(ChangeResult {
        change: suspend("leak"),
        outcome: Err(not),
    })));
    world
}

#[test]
fn what_was_overtaken_is_not_asked_for_again() {
    let status = |code: &str| {
        let mut status = tonic::Status::aborted("the record has revision 42 now, not 41");
        let code = code.parse().unwrap();
        status
            .metadata_mut()
            .insert(agentidp_proto::CODE_METADATA, code);
        NotDone::from(Error::from(status))
    };
    assert_eq!(status("INVALID_STATE").is, Doubt::Refused);
    let mut world = suspended(status("REVISION_CONFLICT"));
    let note = confirm(&world).note.as_deref().unwrap();
    assert!(note.contains("not 41; esc closes this"), "{note}");
    world.key("y");
    assert_eq!(world.change(), None);
    let note = confirm(&world).note.as_deref().unwrap();
    assert!(note.contains("changed meanwhile"), "{note}");
}

#[test]
fn what_may_have_been_done_does_not_count_as_failed_and_may_be_asked_for_again() {
    let lost = Error::Unreachable {
        why: "the connection ended".to_owned(),
        hint: "look".to_owned(),
    };
    let mut world = suspended(lost.into());
    let log = world.state.log.text();
    assert!(log.contains("UNSURE agentidp agent suspend"), "{log}");
    // It was done, as the list shows by now.
    world.net(changed_agent(1, 42));
    let mut now = agents().remove(0);
    now.status = agentidp_shared::AgentStatus::Suspended;
    now.revision = 42;
    world.net(NetEvent::Agent(Ok(Box::new(listed(now)))));
    let note = confirm(&world).note.as_deref().unwrap();
    assert!(note.contains("suspended, at revision 42"), "{note}");
    world.key("y");
    assert_eq!(world.change(), Some(suspend("leak")));
}

#[test]
fn what_is_typed_takes_the_place_of_the_period_that_is_proposed() {
    let issue = |days: u64| Change::Issue {
        agent: agent_id(1),
        expires_in: Some(Duration::from_hours(24 * days)),
    };
    for (typed, days) in [("30d", 30), ("", 90)] {
        let mut world = World::live();
        world.dialog("i");
        assert_eq!(confirm(&world).focus, Field::Period);
        world.type_text(typed);
        world.keys(&["enter", "y"]);
        assert_eq!(world.change(), Some(issue(days)));
    }
    let mut world = World::live();
    world.dialog("i");
    world.keys(&["tab", "3"]);
    let note = confirm(&world).note.as_deref();
    assert_eq!(note, Some("tab goes to the field that this may be for"));
}

#[test]
fn a_daemon_that_says_nothing_is_stale_since_its_last_word() {
    let mut world = World::live();
    world.net(NetEvent::Silent(Duration::from_secs(10)));
    let Link::Stale(since, why) = &world.state.link else {
        panic!("{:?}", world.state.link);
    };
    assert_eq!(world.now.since(*since), Duration::from_secs(10));
    assert!(why.contains("no word"), "{why}");
}

#[test]
fn an_e_mail_that_is_pasted_finds_its_agent_among_any_number() {
    let mut world = World::live();
    world.key("/");
    world.event(Event::Paste("far-away@acme.example\n".to_owned()));
    world.key("enter");
    let [Effect::Send(Command::Agents { query, .. })] = &world.effects[..] else {
        panic!("{:?}", world.effects);
    };
    assert_eq!(query.filter.email_prefix, "far-away@acme.example");
    assert_eq!(
        world.state.agents.filter.text,
        "email=far-away@acme.example"
    );
}

#[test]
fn a_key_that_does_nothing_says_so_and_where_it_may() {
    for (screen, key, part) in [
        ("3", "a", "a acts where enter leads to"),
        ("3", "/", "/ filters agents, on 2"),
        ("4", "space", "space is for marking agents"),
        ("6", "/", "/ filters agents, on 2"),
        ("1", "a", "a acts on an agent"),
        ("2", "d", "d does nothing here"),
        ("2", "tab", "tab does nothing here"),
        ("2", "u", "no agent is marked"),
    ] {
        let mut world = World::live();
        world.keys(&[screen, key]);
        assert!(world.message().starts_with(part), "{}", world.message());
        assert!(world.change().is_none() && world.state.dialog.is_none());
    }
    // What went wrong is not covered by it.
    let mut world = World::live();
    world.state.complain("it went wrong");
    world.key("d");
    assert_eq!(world.message(), "it went wrong");
}

#[test]
fn a_word_behind_a_screen_s_name_is_not_taken_for_no_such_screen() {
    for (line, part) in [
        ("agents foo", ":agents stands alone"),
        ("nothing such", "no command :nothing"),
        ("completions bash", "for files that a shell reads"),
    ] {
        let mut world = World::live();
        world.key(":");
        world.type_text(line);
        world.key("enter");
        assert!(world.message().contains(part), "{}", world.message());
        assert_eq!(world.effects, []);
    }
}

#[test]
fn a_time_of_day_is_of_the_zone_that_the_log_is_shown_in() {
    for (times, told) in [
        (0, "since 2026-11-21 04:35 UTC"),
        (2, "since 2026-11-21 09:35 in local time"),
    ] {
        let mut world = World::live();
        world.state.zone = TimeZone::fixed(jiff::tz::offset(5));
        world.key("5");
        for _ in 0..times {
            world.key("t");
        }
        world.key("/");
        world.type_text(if times == 0 {
            "since=04:35"
        } else {
            "since=09:35"
        });
        world.key("enter");
        assert_eq!(world.message(), told);
        let since = world.state.audit.span.0.unwrap();
        assert_eq!(since.to_string(), "2026-11-21T04:35:00.000Z");
    }
}

#[test]
fn who_else_is_connected_is_the_same_in_the_first_line_and_on_health() {
    let mut world = World::live();
    world.net(NetEvent::Others(7));
    world.key("1");
    world.net(NetEvent::Health(Ok(Box::new(health()))));
    assert_eq!(world.state.others, 1);
}
