//! The reducer, as lists of events.

use agentidp_shared::AgentStatus::{Active, Suspended};
use agentidp_shared::agent::Transition;

mod acting;
mod commands;
mod looking;
mod many;

use crate::tui::event::{Change, Command, Effect, Event, NetEvent};
use crate::tui::fixtures::{
    World, agent, agent_id, agents, credential_id, entry_by_alice, entry_of, history, listed,
    welcome,
};
use crate::tui::state::audit::AuditRow;
use crate::tui::state::confirm::Field;
use crate::tui::state::dialog::{Dialog, HelpLine};
use crate::tui::state::{Link, Screen};

fn many(from: u8, count: u8) -> Vec<agentidp_shared::Agent> {
    (from..from + count)
        .map(|number| agent(number, &format!("bot-{number:03}"), Active))
        .collect()
}

fn suspend(reason: &str) -> Change {
    Change::Transition {
        transition: Transition::Suspend,
        agent: agent_id(1),
        reason: reason.to_owned(),
        revision: 41,
    }
}

#[test]
fn the_first_page_is_asked_for_once_connected() {
    let mut world = World::fresh();
    world.event(Event::Tick);
    assert_eq!(world.effects, []);
    world.event(welcome("operator", Some(history())));
    assert_eq!(
        world.sent(),
        [&Command::Agents {
            ticket: 0,
            page: 0,
            query: Box::default(),
            token: String::new(),
        }]
    );
}

#[test]
fn further_pages_are_asked_for_when_the_end_comes_near() {
    let mut world = World::fresh();
    world.event(welcome("operator", Some(history())));
    world.page(0, many(1, 100), Some("t1"));
    assert!(world.sent().is_empty());
    for _ in 0..100 {
        world.key("j");
        if !world.effects.is_empty() {
            break;
        }
    }
    assert!(
        matches!(world.sent()[..], [Command::Agents { page: 1, token, .. }] if token == "t1"),
        "{:?}",
        world.effects
    );
    let selected = world.state.agents.selected;
    world.page(1, many(101, 50), None);
    assert_eq!(world.state.agents.extent(), (150, true));
    assert_eq!(world.state.agents.selected, selected);
    world.key("G");
    assert_eq!(world.state.agents.selected, Some(agent_id(150)));
}

#[test]
fn the_selection_stays_on_its_agent_when_new_ones_come() {
    let mut world = World::live();
    world.key("j");
    assert_eq!(world.state.agents.selected, Some(agent_id(2)));
    world.net(NetEvent::Audit(entry_of(
        88_413,
        "agent.register",
        "success",
        "",
    )));
    assert!(matches!(
        world.sent()[..],
        [Command::Agents { page: 0, .. }]
    ));
    let mut newer = many(200, 1);
    newer.extend(agents());
    world.page(0, newer, None);
    assert_eq!(world.state.agents.selected, Some(agent_id(2)));
    assert_eq!(world.state.agents.rows().count(), 5);
}

#[test]
fn a_storm_in_the_log_is_no_storm_of_questions() {
    let mut world = World::live();
    let mut asked = 0;
    for seq in 0..1_000 {
        world.net(NetEvent::Audit(entry_of(
            seq,
            "agent.register",
            "success",
            "",
        )));
        asked += world.sent().len();
        world.net(NetEvent::Audit(entry_by_alice(seq, "agent.suspend", 42)));
        asked += world.sent().len();
    }
    assert_eq!(asked, 1, "the first entry asks, and the others wait");
    world.page(0, agents(), None);
    world.wait(500);
    assert_eq!(world.sent().len(), 2, "one agent and one page");
}

#[test]
fn new_agents_are_kept_to_the_window() {
    let mut world = World::live();
    let mut number = 0_u32;
    for _ in 0..100 {
        let fresh: Vec<_> = (0..100)
            .map(|_| {
                number += 1;
                let mut agent = agent(1, &format!("n-{number}"), Active);
                let id = format!("0193f2c4-1a2b-7c3d-8e4f-{number:012x}");
                agent.id = id.parse().unwrap();
                agent
            })
            .collect();
        let known = world.state.agents.loaded().take(100);
        let known: Vec<_> = known.map(|it| it.agent.clone()).collect();
        let rows = fresh.into_iter().chain(known).collect();
        world.page(0, rows, None);
        assert!(world.state.agents.loaded().count() <= 2_000);
    }
}

#[test]
fn a_page_of_an_earlier_filter_is_not_taken_for_one_of_this() {
    let mut world = World::live();
    let old = world.state.agents.ticket;
    world.key("/");
    world.type_text("status=active");
    world.key("enter");
    assert!(matches!(
        world.sent()[..],
        [Command::Agents { query, .. }]
            if query.filter.status.as_ref().is_some_and(|it| it.words == ["active"])
    ));
    world.net(NetEvent::Agents {
        ticket: old,
        page: 0,
        result: Ok(crate::client::Page {
            items: many(50, 5).into_iter().map(listed).collect(),
            next: None,
            total: Some(5),
        }),
    });
    assert_eq!(world.state.agents.rows().count(), 0);
    world.page(0, many(60, 2), None);
    assert_eq!(world.state.agents.rows().count(), 2);
}

#[test]
fn an_agent_that_leaves_the_filter_leaves_the_list() {
    let mut world = World::live();
    world.key("/");
    world.type_text("status=active");
    world.key("enter");
    world.page(0, many(1, 2), None);
    let suspended = listed(agent(1, "bot-001", Suspended));
    world.net(NetEvent::Agent(Ok(Box::new(suspended))));
    assert_eq!(world.state.agents.rows().count(), 1);
    assert_eq!(world.state.agents.selected, Some(agent_id(2)));
}

#[test]
fn words_filter_what_is_loaded_and_ask_for_nothing() {
    let mut world = World::live();
    world.key("/");
    world.type_text("!ledger invoice");
    world.key("enter");
    assert!(world.sent().is_empty());
    assert_eq!(world.state.agents.rows().count(), 2);
    world.key("esc");
    assert_eq!(world.state.agents.filter.text, "");
}

#[test]
fn no_key_of_a_screen_changes_anything_at_the_daemon() {
    for screen in ["2", "5", "6", "1"] {
        for key in ('!'..='~').filter(|c| !matches!(c, ':' | '/')) {
            let mut world = World::live();
            world.key(screen);
            world.key(&key.to_string());
            assert_eq!(world.change(), None, "{key} on {screen}");
            assert!(!world.effects.contains(&Effect::Quit), "{key} on {screen}");
        }
    }
}

#[test]
fn a_word_that_nothing_matches_does_not_walk_the_registry() {
    let mut world = World::live();
    world.key("/");
    world.type_text("nowhere");
    world.key("enter");
    let mut page = 0;
    world.page(0, many(1, 100), Some("next"));
    while let [Command::Agents { page: asked, .. }] = world.sent()[..] {
        page = *asked;
        world.page(page, many(1, 100), Some("next"));
    }
    assert!(page < 10, "{page}");
}

#[test]
fn the_console_is_left_by_a_command_and_never_by_q() {
    let mut world = World::live();
    world.keys(&["q", "q", "esc", "q"]);
    assert!(world.effects.is_empty());
    world.key(":");
    world.key("q");
    world.key("enter");
    assert_eq!(world.effects, [Effect::Quit]);
}

#[test]
fn a_suspension_takes_a_reason_and_a_yes_and_is_pinned_to_what_was_seen() {
    let mut world = World::live();
    world.dialog("s");
    world.keys(&["tab", "y"]);
    assert_eq!(world.change(), None);
    // The reason is missing, and what is typed next goes there.
    world.type_text("odd requests");
    world.keys(&["enter", "y"]);
    assert_eq!(world.change(), Some(suspend("odd requests")));
}

#[test]
fn a_reason_is_typed_at_once_and_no_letter_of_it_confirms_or_cancels() {
    let mut world = World::live();
    world.dialog("s");
    world.type_text("trying it out, no y/n");
    assert_eq!(world.change(), None);
    world.key("enter");
    assert_eq!(world.change(), None);
    let Some(Dialog::Confirm(confirm)) = &world.state.dialog else {
        panic!("no dialog");
    };
    assert_eq!(confirm.focus, Field::Cancel);
    world.key("y");
    assert_eq!(world.change(), Some(suspend("trying it out, no y/n")));
}

#[test]
fn enter_alone_goes_to_cancel_and_cancels() {
    for (action, fields) in [("s", 1), ("x", 2), ("d", 2), ("i", 0)] {
        let mut world = World::live();
        world.dialog(action);
        for _ in 0..fields {
            world.key("enter");
            assert!(world.state.dialog.is_some(), "{action}");
        }
        world.key("enter");
        assert!(world.state.dialog.is_none(), "{action}");
        assert_eq!(world.message(), "nothing was done");
    }
}

#[test]
fn what_was_typed_ahead_of_a_dialog_is_dropped() {
    let mut world = World::live();
    world.key("j");
    world.key("j");
    world.keys(&["a", "u", "y", "y", "n"]);
    assert_eq!(world.change(), None);
    assert!(world.state.dialog.is_some());
    world.wait(249);
    world.key("y");
    assert_eq!(world.change(), None);
    world.wait(1);
    world.key("y");
    assert!(world.change().is_some());
}

#[test]
fn a_paste_confirms_nothing() {
    let mut world = World::live();
    world.dialog("x");
    world.keys(&["r", "tab"]);
    world.event(Event::Paste(agent_id(1).to_string()));
    let Some(Dialog::Confirm(confirm)) = &world.state.dialog else {
        panic!("no dialog");
    };
    assert_eq!(confirm.typed.value(), "");
    assert!(confirm.note.is_some());
    let mut world = World::live();
    world.event(Event::Paste("ax\n:q\n".to_owned()));
    assert!(world.effects.is_empty() && world.state.dialog.is_none());
}

#[test]
fn what_is_for_good_takes_a_reason_and_the_end_of_the_id() {
    for (reason, typed, is_done) in [
        ("leak", "839401", true),
        ("", "839401", false),
        ("leak", "839402", false),
        ("leak", "", false),
    ] {
        let mut world = World::live();
        world.dialog("x");
        world.type_text(reason);
        world.key("enter");
        world.type_text(typed);
        // y is not enough; the button has to be chosen.
        world.keys(&["tab", "tab", "enter"]);
        assert_eq!(world.change().is_some(), is_done, "{reason:?} {typed:?}");
    }
}

#[test]
fn the_dialog_stays_with_its_agent_whatever_the_list_does() {
    let mut world = World::live();
    world.dialog("s");
    let mut newer = many(200, 3);
    newer.extend(agents());
    world.page(0, newer, None);
    let mut changed = agents().remove(0);
    changed.revision = 50;
    world.net(NetEvent::Agent(Ok(Box::new(listed(changed)))));
    world.type_text("leak");
    world.keys(&["enter", "y"]);
    assert_eq!(world.change(), Some(suspend("leak")));
}

#[test]
fn a_refusal_stands_in_the_dialog_and_nothing_is_lost() {
    let mut world = World::live();
    world.dialog("s");
    world.type_text("leak");
    world.keys(&["enter", "y"]);
    world.net(NetEvent::Changed(Box::new(
        crate::tui::event::ChangeResult {
            change: suspend("leak"),
            outcome: Err("the agent changed since".to_owned()),
        },
    )));
    let Some(Dialog::Confirm(confirm)) = &world.state.dialog else {
        panic!("no dialog");
    };
    assert_eq!(confirm.note.as_deref(), Some("the agent changed since"));
    assert_eq!(confirm.reason.value(), "leak");
    assert_eq!(confirm.focus, Field::Cancel);
}

#[test]
fn a_suspension_can_be_undone_for_a_while() {
    let mut world = World::live();
    world.changed_agent(suspend("leak"), Suspended, 42);
    assert_eq!(
        world.message(),
        "invoice-matcher@acme.example is suspended (audit 88413)"
    );
    assert_eq!(
        world.state.agents.get(agent_id(1)).unwrap().status,
        Suspended
    );
    world.wait(29_000);
    world.key("U");
    let undo = Change::Transition {
        transition: Transition::Resume,
        agent: agent_id(1),
        reason: "undo of a suspend".to_owned(),
        revision: 42,
    };
    assert_eq!(world.change().as_ref(), Some(&undo));
    world.key("U");
    assert_eq!(world.change(), None);
    world.changed_agent(undo, Active, 43);
    assert_eq!(world.state.undo, None, "an undo is not undone");
    world.changed_agent(suspend("leak"), Suspended, 42);
    world.wait(30_000);
    world.key("U");
    assert_eq!(world.change(), None);
}

#[test]
fn what_the_role_or_the_link_forbids_is_told_and_not_done() {
    let mut world = World::live_as("auditor");
    world.keys(&["a", "s"]);
    assert!(world.state.dialog.is_none());
    assert_eq!(
        world.message(),
        "cannot suspend: needs the role operator; yours is auditor"
    );

    let mut world = World::live();
    world.net(NetEvent::Lost("gone".to_owned()));
    world.keys(&["a", "s"]);
    assert!(world.state.dialog.is_none());
    assert!(world.message().contains("not connected"));

    let mut world = World::live();
    world.dialog("u");
    assert_eq!(
        world.message(),
        "cannot resume: the agent is active already"
    );
}

#[test]
fn a_daemon_that_goes_away_under_a_dialog_stops_it() {
    let mut world = World::live();
    world.dialog("s");
    world.type_text("leak");
    world.net(NetEvent::Lost("gone".to_owned()));
    world.keys(&["enter", "y"]);
    assert_eq!(world.change(), None);
    assert!(world.state.dialog.is_some());
}

#[test]
fn rows_stay_while_the_daemon_is_away_and_are_read_again_after() {
    let mut world = World::live();
    world.net(NetEvent::Lost("gone".to_owned()));
    assert!(matches!(world.state.link, Link::Stale(..)));
    assert_eq!(world.state.agents.rows().count(), 4);
    world.wait(5_000);
    world.net(NetEvent::Lost("still gone".to_owned()));
    let Link::Stale(since, _) = world.state.link else {
        panic!("not stale");
    };
    assert_eq!(since, crate::tui::fixtures::now());
    world.event(welcome("operator", None));
    assert_eq!(world.state.link, Link::Live);
    assert!(matches!(
        world.sent()[..],
        [Command::Agents { page: 0, .. }]
    ));
    // The log went on where it broke off.
    assert_eq!(world.state.audit.kept(), 3);
}

#[test]
fn an_agent_s_screen_asks_for_what_it_shows() {
    let mut world = World::live();
    world.key("enter");
    assert_eq!(world.state.screen, Screen::Detail);
    assert_eq!(world.sent(), [&Command::Detail(agent_id(1))]);
    world.detail(agents().remove(0));
    // A change by someone else is seen, and read once even when more comes meanwhile.
    world.net(NetEvent::Audit(entry_by_alice(88_413, "agent.suspend", 42)));
    assert_eq!(
        world.sent(),
        [&Command::Detail(agent_id(1)), &Command::Agent(agent_id(1))]
    );
    world.net(NetEvent::Audit(entry_by_alice(88_414, "agent.resume", 43)));
    assert!(world.sent().is_empty());
    world.detail(agents().remove(0));
    assert_eq!(world.sent(), [&Command::Detail(agent_id(1))]);
    world.detail(agents().remove(0));
    assert!(world.sent().is_empty());
}

#[test]
fn a_token_moves_the_last_use_without_asking() {
    let mut world = World::in_detail();
    let more = format!(r#","credential_id":"{}""#, credential_id(1));
    world.net(NetEvent::Audit(entry_of(
        88_459,
        "token.issue",
        "success",
        &more,
    )));
    assert!(world.sent().is_empty());
    let at = Some(crate::tui::fixtures::time("2026-11-21T04:40:19.104Z"));
    assert_eq!(
        world.state.agents.get(agent_id(1)).unwrap().last_auth_at,
        at
    );
    let detail = world.state.detail.as_ref().unwrap();
    assert_eq!(detail.credential().unwrap().last_used_at, at);
    assert_eq!(detail.entries[0].seq, 88_459);
}

#[test]
fn a_frozen_log_stays_and_says_how_much_came() {
    let mut world = World::live();
    world.keys(&["5", "p"]);
    for seq in 88_413..88_420 {
        world.net(NetEvent::Audit(entry_of(seq, "token.issue", "success", "")));
    }
    assert_eq!(world.state.audit.held_back(), Some(7));
    assert_eq!(world.state.audit.shown(|_| String::new()).len(), 3);
    world.key("f");
    assert_eq!(world.state.audit.shown(|_| String::new()).len(), 10);
    world.key("p");
    assert!(world.state.audit.is_frozen());
    world.key("p");
    assert!(!world.state.audit.is_frozen());
}

#[test]
fn a_log_that_was_followed_is_followed_again_after_an_entry_was_read() {
    let mut world = World::live();
    world.keys(&["5", "enter"]);
    assert!(world.state.dialog.is_some() && world.state.audit.is_frozen());
    world.key("esc");
    assert!(!world.state.audit.is_frozen());
    world.keys(&["p", "enter", "esc"]);
    assert!(world.state.audit.is_frozen());
}

#[test]
fn reading_stops_at_the_end() {
    for keys in [&["2", "?"], &["5", "enter"]] {
        let mut world = World::live();
        world.keys(keys);
        let top = |world: &World| match &world.state.dialog {
            Some(Dialog::Reader(reader)) => reader.top,
            Some(Dialog::Help(help)) => help.top,
            _ => panic!("no dialog"),
        };
        world.key("G");
        let last = top(&world);
        world.keys(&["j", "^d"]);
        assert_eq!(top(&world), last);
        world.key("k");
        assert_eq!(top(&world), last.saturating_sub(1));
        world.key("g");
        assert_eq!(top(&world), 0);
    }
}

#[test]
fn letters_filter_the_help_only_after_a_slash() {
    let mut world = World::live();
    world.keys(&["5", "?", "f"]);
    let Some(Dialog::Help(help)) = &world.state.dialog else {
        panic!("no help");
    };
    assert_eq!(help.filter.value(), "");
    assert!(matches!(help.lines()[0], HelpLine::Title("Audit")));
    world.key("/");
    world.type_text("freeze");
    let Some(Dialog::Help(help)) = &world.state.dialog else {
        panic!("no help");
    };
    assert_eq!(help.filter.value(), "freeze");
    assert!(help.lines().len() < 5);
}

#[test]
fn a_gap_makes_what_is_shown_be_read_again() {
    let mut world = World::live();
    world.net(NetEvent::Audit(AuditRow::Gap { from: 1, to: 9 }));
    assert!(matches!(
        world.sent()[..],
        [Command::Agents { page: 0, .. }]
    ));
}

#[test]
fn another_store_is_not_taken_for_the_same() {
    let mut world = World::in_detail();
    let Event::Net(NetEvent::Connected(mut other)) = welcome("operator", Some(Vec::new())) else {
        panic!("no welcome");
    };
    other.status.store.id = "another".to_owned();
    world.net(NetEvent::Connected(other));
    assert_eq!(world.state.screen, Screen::Agents);
    assert_eq!(world.state.agents.rows().count(), 0);
    assert_eq!(world.state.audit.kept(), 0);
}

#[test]
fn a_secret_is_masked_stored_and_only_then_let_go() {
    let mut world = World::in_detail();
    world.issued();
    // Typed ahead of the dialog.
    world.keys(&["v", "enter"]);
    assert!(!world.state.shows_secret());
    world.wait(250);
    world.key("enter");
    assert!(world.state.dialog.is_some());
    world.key("v");
    assert!(world.state.shows_secret());
    world.wait(60_000);
    assert!(!world.state.shows_secret());
    world.keys(&["v", "^z"]);
    assert_eq!(world.effects, [Effect::Stop]);
    assert!(!world.state.shows_secret());
    world.key("w");
    world.key("enter");
    assert!(matches!(&world.effects[..], [Effect::WriteSecret(path, _)]
        if path.to_str() == Some("invoice-matcher_at_acme.example.secret")));
    world.event(Event::SecretWritten(Ok("x".into())));
    world.key("enter");
    assert!(world.state.dialog.is_none());
}

#[test]
fn a_secret_is_shown_even_when_its_dialog_was_left() {
    let mut world = World::in_detail();
    world.dialog("i");
    world.key("y");
    assert!(world.change().is_some());
    world.key("esc");
    world.keys(&["5", ":"]);
    world.issued();
    assert!(matches!(world.state.dialog, Some(Dialog::Secret(_))));
}

#[test]
fn a_rotation_names_its_grace() {
    let mut world = World::in_detail();
    world.dialog("r");
    world.keys(&["backtab", "^u"]);
    world.type_text("1h30m");
    world.keys(&["enter", "y"]);
    assert_eq!(
        world.change(),
        Some(Change::Rotate {
            credential: credential_id(1),
            grace: Some(std::time::Duration::from_mins(90)),
            revision: 3,
        })
    );
}

#[test]
fn what_the_daemon_cannot_filter_by_is_said_and_the_list_stays() {
    let mut world = World::live();
    world.key("/");
    world.type_text("expires-within=soon");
    world.key("enter");
    assert!(world.sent().is_empty());
    assert!(world.message().contains("duration"), "{}", world.message());
    assert_eq!(world.state.agents.rows().count(), 4);
}

#[test]
fn an_archived_agent_leaves_a_list_that_does_not_ask_for_it() {
    let mut world = World::live();
    let mut archived = agents().remove(3);
    archived.status = agentidp_shared::AgentStatus::Archived;
    world.net(NetEvent::Agent(Ok(Box::new(listed(archived)))));
    assert_eq!(world.state.agents.rows().count(), 3);
    assert_eq!(world.state.agents.total, Some(3));
}

#[test]
fn a_new_credential_has_the_row_of_its_agent_read_again() {
    let mut world = World::live();
    let more = format!(r#","agent_id":"{}""#, agent_id(1));
    world.net(NetEvent::Audit(entry_of(
        88_413,
        "credential.issue",
        "success",
        &more,
    )));
    assert_eq!(world.sent(), [&Command::Agent(agent_id(1))]);
}
