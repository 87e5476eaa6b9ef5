//! The reducer, as lists of events.

use agentidp_shared::AgentStatus::{Active, Suspended};
use agentidp_shared::agent::Transition;

mod acting;
mod changes;
mod commands;
mod dialogs;
mod looking;
mod many;
mod refused;
mod slips;

use crate::client::Changed;
use crate::tui::event::{
    Change, ChangeDone, ChangeResult, Command, Effect, Event, NetEvent, Record, RecordChange,
};
use crate::tui::fixtures::{
    SECRET, World, agent, agent_id, agents, credential_id, entry_of, history, listed, welcome,
};
use crate::tui::state::audit::AuditRow;
use crate::tui::state::confirm::Field;
use crate::tui::state::dialog::{Dialog, HelpLine};
use crate::tui::state::{Link, Screen};

fn changed(record: Record, revision: u64) -> NetEvent {
    NetEvent::Record(RecordChange {
        record,
        revision,
        is_new: revision == 1,
    })
}

fn changed_agent(number: u8, revision: u64) -> NetEvent {
    changed(Record::Agent(agent_id(number)), revision)
}

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
    world.net(changed_agent(200, 1));
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
fn a_storm_of_changes_is_no_storm_of_questions() {
    let mut world = World::live();
    let mut asked = 0;
    for seq in 0..1_000 {
        world.net(changed_agent(200, 1));
        asked += world.sent().len();
        world.net(changed_agent(1, 42 + seq));
        asked += world.sent().len();
    }
    assert_eq!(asked, 1, "the first change asks, and the others wait");
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
    world.net(changed_agent(1, 42));
    assert_eq!(
        world.sent(),
        [&Command::Detail(agent_id(1)), &Command::Agent(agent_id(1))]
    );
    world.net(changed_agent(1, 43));
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
    other.is_other_store = true;
    world.net(NetEvent::Connected(other));
    assert_eq!(world.state.screen, Screen::Agents);
    assert_eq!(world.state.agents.rows().count(), 0);
    assert_eq!(world.state.audit.kept(), 0);
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
    world.net(changed(Record::Credential(agent_id(1)), 1));
    assert_eq!(world.sent(), [&Command::Agent(agent_id(1))]);
}
