//! Sorting, paging to the ends, marks and changes of many agents.

use agentidp_shared::agent::Transition;

use crate::tui::event::{BulkOrder, Command, Effect, Event, NetEvent};
use crate::tui::fixtures::{World, agent_id, agents, sums};
use crate::tui::state::Tone;
use crate::tui::state::bulk::{Bulk, Many, Stage, Sums};
use crate::tui::state::dialog::Dialog;
use crate::tui::state::marks::Pinned;

use super::many;

fn asked(world: &World) -> (String, bool) {
    let sent = world.sent();
    let [Command::Agents { query, .. }] = sent[..] else {
        panic!("{sent:?}");
    };
    (query.order.clone(), query.is_ascending)
}

fn order(world: &World) -> BulkOrder {
    let sent = world.sent();
    let [Command::Bulk(order)] = sent[..] else {
        panic!("{sent:?}");
    };
    (**order).clone()
}

fn dialog(world: &World) -> &Bulk {
    let Some(Dialog::Bulk(bulk)) = &world.state.dialog else {
        panic!("no dialog");
    };
    bulk
}

fn stage(world: &World) -> Stage {
    dialog(world).stage
}

/// How many are meant, done, there already, and refused, as the dialog has it.
fn counts(world: &World) -> (u64, u64, u64, u64) {
    let Sums {
        matched,
        done,
        unchanged,
        refused,
        ..
    } = dialog(world).sums;
    (matched, done, unchanged, refused)
}

/// Two agents as they are after they were suspended.
fn moved() -> Vec<Pinned> {
    let both = agents().into_iter().take(2);
    both.map(|agent| Pinned {
        status: agentidp_shared::AgentStatus::Suspended,
        revision: 42,
        ..Pinned::new(&agent)
    })
    .collect()
}

/// In the dialog that suspends all agents of an owner, once the daemon has counted them.
fn suspending_what_a_filter_lets_through() -> World {
    let mut world = World::live();
    world.key("/");
    world.type_text("owner=billing");
    world.key("enter");
    world.page(0, agents(), None);
    world.keys(&["A", "s"]);
    world.bulk(sums(), Some(Ok(())));
    world.wait(250);
    world
}

#[test]
fn the_daemon_sorts_and_the_other_way_round_too() {
    let mut world = World::live();
    for (key, order, is_ascending) in [
        ("s", "email", true),
        ("S", "email", false),
        ("s", "last_auth", false),
        ("s", "expires", true),
        ("s", "", false),
        ("S", "", true),
    ] {
        world.key(key);
        assert_eq!(asked(&world), (order.to_owned(), is_ascending), "{key}");
        world.page(0, agents(), None);
    }
}

#[test]
fn the_last_agent_of_all_is_reached_at_once() {
    let mut world = World::live();
    world.key("s");
    world.page(0, many(1, 100), Some("more"));
    world.key("G");
    assert_eq!(asked(&world), ("email".to_owned(), false));
    // The daemon gives them the other way round, and the screen turns them over.
    let last: Vec<_> = many(101, 60).into_iter().rev().collect();
    world.page(0, last, Some("before"));
    let rows: Vec<_> = world.state.agents.rows().map(|it| it.agent.id).collect();
    assert_eq!((rows[0], rows[59]), (agent_id(101), agent_id(160)));
    assert_eq!(world.state.agents.selected, Some(agent_id(160)));
    assert_eq!(world.state.agents.top, 60 - world.state.list_height());
    // Going up asks for what stands before.
    for _ in 0..4 {
        world.key("^u");
    }
    for _ in 0..25 {
        world.key("k");
        if !world.sent().is_empty() {
            break;
        }
    }
    assert_eq!(asked(&world), ("email".to_owned(), false));
    let selected = world.state.agents.selected;
    let place = world
        .state
        .agents
        .rows()
        .position(|it| Some(it.agent.id) == selected)
        .unwrap()
        - world.state.agents.top;
    world.page(1, many(91, 10).into_iter().rev().collect(), Some("further"));
    assert_eq!(world.state.agents.selected, selected);
    let rows: Vec<_> = world.state.agents.rows().map(|it| it.agent.id).collect();
    assert_eq!(rows[0], agent_id(91));
    let now = rows.iter().position(|id| Some(*id) == selected).unwrap();
    assert_eq!(
        now - world.state.agents.top,
        place,
        "the row stays where it is seen"
    );
    // And the first of all is reached at once too.
    world.key("g");
    assert_eq!(asked(&world), ("email".to_owned(), true));
}

#[test]
fn new_agents_are_announced_where_their_place_is_not_known() {
    let mut world = World::live();
    world.key("s");
    world.page(0, agents(), None);
    world.net(super::changed_agent(200, 1));
    assert!(world.sent().is_empty());
    world.wait(500);
    assert!(world.state.agents.has_new);
    world.key("^r");
    assert_eq!(asked(&world).0, "email");
    assert!(!world.state.agents.has_new);
}

#[test]
fn marks_go_by_id_and_stay_when_the_rows_go() {
    let mut world = World::live();
    world.keys(&["space", "j", "space"]);
    assert_eq!(world.state.agents.marks.len(), 2);
    world.key("/");
    world.type_text("status=suspended");
    world.key("enter");
    world.page(0, vec![agents().remove(2)], None);
    let marks = &world.state.agents.marks;
    assert!(marks.contains(agent_id(1)) && marks.contains(agent_id(3)));
    world.keys(&["space", "u"]);
    assert_eq!(world.state.agents.marks.len(), 0);
}

#[test]
fn a_range_is_marked_from_where_it_was_begun() {
    let mut world = World::live();
    world.keys(&["j", "v", "j", "j"]);
    assert_eq!(world.state.agents.range().len(), 3);
    assert_eq!(world.state.agents.marks.len(), 0);
    world.key("v");
    assert_eq!(world.state.agents.marks.len(), 3);
    assert!(!world.state.agents.marks.contains(agent_id(1)));
    world.keys(&["u", "v", "k", "esc"]);
    assert!(world.state.agents.range().is_empty());
}

#[test]
fn marked_agents_are_changed_each_at_the_revision_that_was_seen() {
    let mut world = World::live();
    world.keys(&["v", "G", "v"]);
    world.dialog("s");
    assert!(world.effects.is_empty(), "they are counted here");
    assert_eq!(counts(&world), (4, 2, 1, 1));
    world.type_text("leak");
    world.key("enter");
    world.type_text("2");
    world.keys(&["tab", "tab", "enter"]);
    let order = order(&world);
    assert_eq!(
        counts(&world),
        (4, 0, 1, 1),
        "of those who are asked for, none is done yet"
    );
    assert_eq!(
        (order.transition, order.reason.as_str()),
        (Transition::Suspend, "leak")
    );
    let Many::Marked(pinned) = &order.many else {
        panic!("not marked");
    };
    let pinned: Vec<_> = pinned.iter().map(|it| (it.id, it.revision)).collect();
    assert_eq!(pinned, [(agent_id(1), 41), (agent_id(2), 41)]);
    assert_eq!(order.command_lines().len(), 2);
    assert!(order.command_lines()[0].contains("--rev 41 --reason leak --yes"));

    let ticket = order.ticket;
    world.net(NetEvent::Bulk {
        ticket,
        sums: Box::new(Sums {
            matched: 2,
            done: 2,
            ..Sums::default()
        }),
        over: Some(Ok(())),
        moved: moved(),
    });
    assert_eq!(stage(&world), Stage::Over);
    assert_eq!(world.state.agents.marks.len(), 0);
    world.keys(&["enter", "U"]);
    let undo = super::many::order(&world);
    assert_eq!(undo.transition, Transition::Resume);
    let Many::Marked(pinned) = &undo.many else {
        panic!("not marked");
    };
    assert!(pinned.iter().all(|it| it.revision == 42));
}

#[test]
fn what_a_filter_lets_through_is_counted_first_and_pinned_to_the_count() {
    let mut world = World::live();
    world.key("/");
    world.type_text("owner=billing");
    world.key("enter");
    world.page(0, agents(), None);
    world.keys(&["A", "x"]);
    let dry = order(&world);
    assert!(dry.is_dry_run && dry.expected.is_none());
    assert_eq!(stage(&world), Stage::Counting);
    world.wait(250);
    world.bulk(sums(), Some(Ok(())));
    assert_eq!(stage(&world), Stage::Deciding);
    world.type_text("incident 12");
    world.key("enter");
    // A paste is no count.
    world.event(Event::Paste("2".to_owned()));
    world.keys(&["tab", "tab", "enter"]);
    assert!(world.sent().is_empty());
    world.keys(&["backtab", "backtab"]);
    world.type_text("2");
    world.keys(&["tab", "tab", "enter"]);
    let order = order(&world);
    assert!(!order.is_dry_run);
    assert_eq!(order.expected, Some(4));
    assert_eq!(
        order.command_lines(),
        ["agentidp agent revoke --filter owner=billing --reason 'incident 12' --yes"]
    );
    // Leaving stops it, and what was done stays to be read.
    world.key("esc");
    assert_eq!(world.sent(), [&Command::StopBulk]);
    assert_eq!(stage(&world), Stage::Stopping);
    world.bulk(sums(), Some(Err("stopped".to_owned())));
    assert_eq!(stage(&world), Stage::Over);
}

#[test]
fn nothing_is_done_to_all_without_a_filter_or_by_words_that_the_daemon_does_not_know() {
    let mut world = World::live();
    world.key("A");
    assert!(world.state.menu.is_none());
    assert!(world.message().contains("filter first"));
    world.key("/");
    world.type_text("owner=billing poster");
    world.key("enter");
    world.key("A");
    assert!(world.state.menu.is_none());
    assert!(world.message().contains("text=WORD"));
}

#[test]
fn a_console_that_is_read_only_asks_for_no_change() {
    let mut world = World::live();
    world.state.is_read_only = true;
    for keys in [&["a", "s"][..], &["space", "a", "s"]] {
        world.keys(keys);
        assert!(world.state.dialog.is_none());
        assert!(world.message().contains("read-only"), "{}", world.message());
    }
}

#[test]
fn what_is_selected_is_copied_by_its_id() {
    let mut world = World::live();
    world.key("y");
    let id = agent_id(1).to_string();
    assert_eq!(world.effects, [Effect::Copy(id.into())]);
    world.event(Event::Copied(Ok("the terminal")));
    assert!(world.message().contains("sent to the terminal"));
}

#[test]
fn what_hangs_on_a_change_is_read_when_its_dialog_opens() {
    let mut world = World::in_detail();
    world.keys(&["a", "c"]);
    assert_eq!(world.sent(), [&Command::Stakes(agent_id(1))]);
    world.stakes();
    let Some(Dialog::Confirm(confirm)) = &world.state.dialog else {
        panic!("no dialog");
    };
    assert_eq!(
        confirm.stakes_text(),
        "2 live tokens. Used in 24h from 2 addresses (10.4.2.11, 10.4.2.9). 1 other credential is accepted."
    );
    let mut world = World::in_detail();
    world.keys(&["a", "x"]);
    world.stakes();
    let Some(Dialog::Confirm(confirm)) = &world.state.dialog else {
        panic!("no dialog");
    };
    assert!(
        confirm
            .stakes_text()
            .starts_with("3 live tokens (2 by 83c001, 1 by 83c002)."),
        "{}",
        confirm.stakes_text()
    );
}

#[test]
fn what_a_filter_suspended_is_taken_back_one_by_one_at_the_revision_that_it_came_to() {
    let mut world = suspending_what_a_filter_lets_through();
    world.type_text("incident");
    world.key("tab");
    world.type_text("2");
    world.keys(&["tab", "tab", "enter"]);
    let ticket = world.state.bulk_ticket;
    world.net(NetEvent::Bulk {
        ticket,
        sums: Box::new(sums()),
        over: Some(Ok(())),
        moved: moved(),
    });
    world.keys(&["enter", "U"]);
    match world.sent()[..] {
        [Command::Bulk(order)] => {
            assert_eq!(order.many, Many::Marked(moved()));
            assert_eq!(
                order.command_lines()[0],
                "agentidp agent resume invoice-matcher@acme.example --rev 42 --reason 'undo of a suspend'"
            );
        }
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn enter_goes_through_the_fields_to_what_they_are_for() {
    let mut world = suspending_what_a_filter_lets_through();
    world.type_text("odd");
    world.key("enter");
    world.type_text("2");
    world.key("enter");
    assert!(world.sent().is_empty());
    world.key("enter");
    assert_eq!(order(&world).reason, "odd");
}

/// While the agents that the filter lets through are suspended.
fn working() -> World {
    let mut world = suspending_what_a_filter_lets_through();
    world.type_text("odd");
    world.key("tab");
    world.type_text("2");
    world.keys(&["tab", "tab", "enter"]);
    assert_eq!(stage(&world), Stage::Working);
    world
}

#[test]
fn while_many_are_changed_there_is_nothing_to_type_in_or_to_go_to() {
    let mut world = working();
    let focus = dialog(&world).focus;
    world.keys(&["tab", "enter", "7", "left", "backtab", "enter"]);
    world.event(Event::Paste("7".to_owned()));
    let bulk = dialog(&world);
    assert_eq!((bulk.focus, bulk.note.as_deref()), (focus, None));
    assert_eq!(bulk.stage, Stage::Working);
    assert!(world.sent().is_empty());
    world.key("esc");
    assert_eq!(stage(&world), Stage::Stopping);
    world.keys(&["tab", "7"]);
    assert_eq!(dialog(&world).note.as_deref(), Some("stopping"));
}

#[test]
fn a_change_of_many_that_ends_before_a_word_of_the_daemon_has_done_nothing_that_is_known() {
    for keys in [&[][..], &["esc"]] {
        let mut world = working();
        assert_eq!(
            counts(&world),
            (4, 0, 0, 0),
            "what a dry run counted is not done"
        );
        world.keys(keys);
        world.bulk(Sums::default(), Some(Err("stopped".to_owned())));
        assert_eq!(stage(&world), Stage::Over);
        assert_eq!(counts(&world), (4, 0, 0, 0));
        world.key("U");
        assert!(world.sent().is_empty(), "there is nothing to take back");
        let note = dialog(&world).note.as_deref();
        assert!(note.is_some_and(|it| it.contains("nothing to undo")));
    }
}

#[test]
fn as_many_are_taken_back_as_were_told_to_be_done() {
    let mut world = working();
    world.bulk(
        Sums {
            matched: 4,
            done: 1,
            ..Sums::default()
        },
        None,
    );
    assert_eq!(counts(&world), (4, 1, 0, 0));
    world.key("esc");
    let ticket = world.state.bulk_ticket;
    world.net(NetEvent::Bulk {
        ticket,
        sums: Box::new(Sums {
            matched: 4,
            done: 1,
            ..Sums::default()
        }),
        over: Some(Err("stopped".to_owned())),
        moved: moved().into_iter().take(1).collect(),
    });
    assert_eq!(
        dialog(&world).note.as_deref(),
        Some("stopped; U takes back 1")
    );
    world.key("U");
    assert!(matches!(world.sent()[..], [Command::Change(_)]), "the one");
}

/// The connection tells that it ended before its end.
fn end_early(world: &mut World, why: &str) {
    let ticket = world.state.bulk_ticket;
    world.net(NetEvent::Bulk {
        ticket,
        sums: Box::new(Sums {
            matched: 4,
            done: 2,
            ..Sums::default()
        }),
        over: Some(Err(why.to_owned())),
        moved: moved(),
    });
}

#[test]
fn what_was_done_before_a_change_of_many_was_stopped_or_failed_can_be_taken_back() {
    for keys in [&[][..], &["esc"], &["esc", "esc"]] {
        let mut world = working();
        world.keys(keys);
        let is_open = world.state.dialog.is_some();
        end_early(&mut world, "the daemon went away");
        if is_open {
            assert_eq!(stage(&world), Stage::Over);
            world.key("enter");
        } else {
            assert!(world.message().contains("the daemon went away"));
        }
        world.key("U");
        let undo = order(&world);
        assert_eq!(undo.transition, Transition::Resume);
        assert_eq!(undo.many, Many::Marked(moved()));
    }
}

#[test]
fn what_an_undo_of_many_could_not_take_back_is_said() {
    let mut world = working();
    end_early(&mut world, "stopped");
    world.keys(&["enter", "U"]);
    let mut sums = Sums {
        matched: 2,
        done: 1,
        ..Sums::default()
    };
    sums.refuse([crate::client::Refused {
        agent_id: agent_id(2).to_string(),
        email: "poster@acme.example".to_owned(),
        code: String::new(),
        message: "it was changed since".to_owned(),
    }]);
    world.bulk(sums, Some(Ok(())));
    let message = world.state.message.as_ref().unwrap();
    assert_eq!(message.tone, Tone::Failed);
    assert_eq!(
        message.text,
        "1 of 2 agents are as they were, 1 refused: poster@acme.example: it was changed since"
    );
}
