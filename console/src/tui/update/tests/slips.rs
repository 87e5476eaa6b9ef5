//! What a hand that slips and a word that is mistyped come to.

use crate::tui::event::{Command, NetEvent};
use crate::tui::fixtures::{World, agent_id, agents, entry_of};
use crate::tui::state::audit::AuditRow;
use crate::tui::state::confirm::Field;
use crate::tui::state::dialog::Dialog;
use crate::tui::state::{Screen, Tone};

/// Types a filter on the screen that is shown.
fn filter(world: &mut World, text: &str) {
    world.keys(&["/", "^u"]);
    world.type_text(text);
    world.key("enter");
}

fn shown(world: &World) -> Vec<u64> {
    let rows = world.state.audit.shown(|id| world.state.agent_name(id));
    rows.iter().map(|row| row.seq()).collect()
}

#[test]
fn who_mistypes_the_end_of_the_id_goes_on_typing_and_loses_nothing() {
    let mut world = World::live();
    world.dialog("x");
    world.type_text("leak");
    world.key("enter");
    world.type_text("zzz");
    world.key("enter");
    let Some(Dialog::Confirm(confirm)) = &world.state.dialog else {
        panic!("no dialog");
    };
    assert_eq!(confirm.focus, Field::Typed);
    let note = Some("that is not 839401: type it again");
    assert_eq!(confirm.note.as_deref(), note);
    world.key("^u");
    world.type_text("839401");
    world.keys(&["enter", "enter"]);
    assert!(world.change().is_some());
}

#[test]
fn who_mistypes_the_count_goes_on_typing_and_loses_nothing() {
    let mut world = World::live();
    world.keys(&["v", "G", "v"]);
    world.dialog("s");
    world.type_text("leak");
    world.key("enter");
    world.type_text("5");
    world.key("enter");
    let Some(Dialog::Bulk(bulk)) = &world.state.dialog else {
        panic!("no dialog");
    };
    assert_eq!(bulk.focus, Field::Typed);
    assert_eq!(bulk.note.as_deref(), Some("that is not 2: type it again"));
    world.key("^u");
    world.type_text("2");
    world.keys(&["enter", "enter"]);
    assert!(matches!(world.sent()[..], [Command::Bulk(_)]));
}

#[test]
fn a_grace_that_is_no_duration_is_told_where_it_is_typed() {
    let mut world = World::in_detail();
    world.dialog("r");
    world.type_text("2x");
    world.key("enter");
    let Some(Dialog::Confirm(confirm)) = &world.state.dialog else {
        panic!("no dialog");
    };
    assert_eq!(confirm.focus, Field::Period);
    assert!(confirm.note.as_deref().unwrap().contains("duration"));
}

#[test]
fn what_was_cancelled_does_not_look_as_if_it_had_been_done() {
    let mut world = World::live();
    world.dialog("s");
    world.key("esc");
    assert_eq!(world.state.message.as_ref().unwrap().tone, Tone::Neutral);
}

#[test]
fn what_many_did_is_undone_without_closing_the_dialog_first() {
    let mut world = World::live();
    world.keys(&["v", "j", "v"]);
    world.dialog("s");
    world.type_text("leak");
    world.key("enter");
    world.type_text("2");
    world.keys(&["enter", "enter"]);
    let moved = agents().into_iter().take(2);
    let moved = moved.map(|agent| crate::tui::state::marks::Pinned {
        status: agentidp_shared::AgentStatus::Suspended,
        ..crate::tui::state::marks::Pinned::new(&agent)
    });
    let ticket = world.state.bulk_ticket;
    world.net(NetEvent::Bulk {
        ticket,
        sums: Box::default(),
        over: Some(Ok(())),
        moved: moved.collect(),
    });
    assert!(world.state.dialog.is_some());
    world.key("U");
    assert!(matches!(world.sent()[..], [Command::Bulk(_)]));
    assert!(world.state.dialog.is_none());
}

#[test]
fn a_filter_that_nothing_can_pass_is_refused_in_words_of_what_was_typed() {
    for (screen, text, part) in [
        ("5", "outcome=denyed", "outcome must be one of success"),
        ("5", "action=token.isue", "did you mean token.issue?"),
        ("5", "since=5m until=10m", "since is not before until"),
        ("5", "since=yesterday", "since must be how long ago"),
        ("2", "status=foo", "status must be one of active"),
        ("2", "capability=xx", "capability must be"),
        (
            "2",
            "org=nope",
            "no organization nope that you may see: there are acme",
        ),
    ] {
        let mut world = World::live();
        world.key(screen);
        filter(&mut world, text);
        assert!(world.message().contains(part), "{}", world.message());
        assert!(world.sent().is_empty());
        assert_eq!(world.state.agents.filter.text, "");
        assert_eq!(world.state.audit.filter.text, "");
        // What was typed stays, to be put right.
        let prompt = world.state.prompt.as_ref().unwrap();
        assert_eq!(prompt.input.value(), text);
        world.key("^u");
        world.type_text(if screen == "5" {
            "outcome=denied"
        } else {
            "status=active"
        });
        world.key("enter");
        assert!(world.state.prompt.is_none() && world.state.message.is_none());
    }
}

#[test]
fn an_agent_that_the_logs_filter_names_is_asked_for_whether_it_is_listed_or_not() {
    let mut world = World::live();
    let other = agent_id(77);
    let row = entry_of(88_413, "token.issue", "denied", "");
    let AuditRow::Entry(entry) = &row else {
        panic!("no entry");
    };
    let json = entry
        .json
        .replace(&agent_id(1).to_string(), &other.to_string());
    let json = json.replace("\"name\":\"invoice-matcher@acme.example\",", "");
    let entry = agentidp_proto::v1::AuditEntry {
        seq: 88_413,
        json: json.into_bytes(),
    };
    let entry = crate::tui::state::audit::AuditEntry::new(&entry);
    world.net(NetEvent::Audit(AuditRow::Entry(Box::new(entry))));
    world.key("5");
    filter(&mut world, "agent=far@acme.example");
    let name = "far@acme.example".to_owned();
    assert_eq!(world.sent(), [&Command::Name(name.clone())]);
    assert!(shown(&world).is_empty());
    world.net(NetEvent::Named(name.clone(), Ok(other)));
    assert_eq!(shown(&world), [88_413]);
    let why = "no agent has this e-mail".to_owned();
    world.net(NetEvent::Named(name, Err(why)));
    assert!(world.message().contains("agent=far@acme.example: no agent"));
}

#[test]
fn the_log_is_filtered_by_time_and_by_any_of_several_values() {
    let mut world = World::live();
    world.key("5");
    // The entries are of 04:40:30, 04:42:00 and 04:40:32.
    filter(&mut world, "since=04:41");
    assert_eq!(shown(&world), [88_411]);
    filter(&mut world, "since=04:40:31 until=04:41");
    assert_eq!(shown(&world), [88_412]);
    filter(&mut world, "outcome=denied,failed");
    assert_eq!(shown(&world), [88_412]);
    world.key("esc");
    assert_eq!(shown(&world).len(), 3);
}

#[test]
fn a_search_begins_empty_goes_on_when_nothing_is_typed_and_ends_with_esc() {
    let mut world = World::live();
    world.key("5");
    world.key("s");
    world.type_text("denied");
    world.key("enter");
    assert_eq!(world.state.audit.selected, Some(88_412));
    world.key("s");
    world.type_text("token");
    world.key("enter");
    assert_eq!(world.state.audit.search, "token");
    world.keys(&["s", "enter"]);
    assert_eq!(world.state.audit.selected, Some(88_410));
    world.key("esc");
    assert_eq!(world.state.audit.search, "");
    assert_eq!(world.state.screen, Screen::Audit);
}
