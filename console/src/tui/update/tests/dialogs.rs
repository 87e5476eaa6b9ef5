//! Dialogs: what confirms, what cancels, and what neither does.

use super::*;

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
    for (action, fields) in [("s", 1), ("x", 2), ("d", 2), ("i", 1)] {
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
            outcome: Err("the agent changed since".to_owned().into()),
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
fn a_secret_is_masked_stored_and_only_then_let_go() {
    let mut world = World::in_detail();
    world.issued(SECRET);
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
    world.keys(&["enter", "y"]);
    assert!(world.change().is_some());
    world.key("esc");
    world.keys(&["5", ":"]);
    world.issued(SECRET);
    assert!(matches!(world.state.dialog, Some(Dialog::Secret(_))));
}

#[test]
fn a_rotation_names_its_grace() {
    let mut world = World::in_detail();
    world.dialog("r");
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
fn a_secret_is_piped_to_a_command_that_is_typed_and_counts_as_stored_when_that_ends_well() {
    let mut world = World::live();
    world.issued(SECRET);
    world.wait(250);
    world.key("|");
    world.type_text("pass insert -e bot");
    world.key("enter");
    let [Effect::PipeSecret(command, secret)] = &world.effects[..] else {
        panic!("{:?}", world.effects);
    };
    assert_eq!(command, "pass insert -e bot");
    assert_eq!(secret.as_str(), crate::tui::fixtures::SECRET);
    world.event(Event::SecretPiped(Err("the command failed".to_owned())));
    let is_stored = |world: &World| match &world.state.dialog {
        Some(Dialog::Secret(dialog)) => dialog.is_stored,
        _ => panic!("the secret went away"),
    };
    assert!(!is_stored(&world));
    world.event(Event::SecretPiped(Ok(())));
    assert!(is_stored(&world));
    // Nothing typed, nothing done.
    world.keys(&["|", "enter"]);
    assert_eq!(world.effects, []);
}

#[test]
fn an_answer_that_comes_late_leaves_another_dialog_as_it_is() {
    for outcome in [Err("the revision is another".to_owned().into()), Ok(())] {
        let mut world = World::live();
        world.dialog("s");
        world.type_text("odd requests");
        world.keys(&["enter", "y"]);
        let first = world.change().unwrap();
        world.keys(&["esc", "j"]);
        world.dialog("s");
        world.type_text("late too");
        let outcome = outcome.map(|()| {
            ChangeDone::Agent(Changed {
                record: many(1, 1).remove(0),
                audit_seq: 7,
            })
        });
        world.net(NetEvent::Changed(Box::new(ChangeResult {
            change: first,
            outcome,
        })));
        let Some(Dialog::Confirm(confirm)) = &world.state.dialog else {
            panic!("the second dialog is gone");
        };
        assert_eq!(confirm.reason.value(), "late too");
        assert_eq!(confirm.note, None);
        assert!(!world.message().is_empty());
        world.keys(&["enter", "y"]);
        assert!(world.change().is_some());
    }
}

#[test]
fn secrets_that_come_together_are_shown_one_after_the_other() {
    let shown = |world: &World| match &world.state.dialog {
        Some(Dialog::Secret(dialog)) => dialog.issued.client_secret.to_string(),
        other => panic!("no secret: {other:?}"),
    };
    let mut world = World::live();
    world.issued("first");
    world.issued("second");
    assert_eq!(shown(&world), "first");
    world.wait(250);
    world.keys(&["space", "enter"]);
    assert_eq!(shown(&world), "second");
    world.wait(250);
    world.keys(&["space", "enter"]);
    assert!(world.state.dialog.is_none());
}
