//! Typed commands: completion, history, what is run and what is not.

use crate::tui::event::{Effect, Event};
use crate::tui::fixtures::World;
use crate::tui::run::Output;
use crate::tui::state::dialog::Dialog;

fn typed(world: &mut World, line: &str) {
    world.key(":");
    world.type_text(line);
    world.key("enter");
}

fn line(world: &World) -> &str {
    world
        .state
        .prompt
        .as_ref()
        .map_or("", |it| it.input.value())
}

fn output(is_done: bool, data: &str, told: &str) -> Output {
    Output {
        is_done,
        code: Some(if is_done { 0 } else { 3 }),
        data: data.to_owned(),
        told: told.to_owned(),
        is_cut: false,
    }
}

#[test]
fn a_command_of_the_command_line_is_run_and_its_answer_shown() {
    let mut world = World::live();
    typed(&mut world, "agent show 'a b' -o json");
    let words = ["agent", "show", "a b", "-o", "json"].map(str::to_owned);
    assert_eq!(world.effects, [Effect::Run(1, words.to_vec())]);
    // One at a time.
    typed(&mut world, "status");
    assert!(world.effects.is_empty() && world.message().contains("still runs"));
    world.event(Event::Ran(
        1,
        Box::new(output(false, "", "there is no such agent")),
    ));
    let Some(Dialog::Reader(reader)) = &world.state.dialog else {
        panic!("no answer");
    };
    assert_eq!(reader.title, "agentidp agent show 'a b' -o json");
    assert!(reader.copied.contains("there is no such agent"));
    assert!(reader.copied.contains("exit code 3"));
    assert!(
        world
            .state
            .log
            .text()
            .contains("FAILED agentidp agent show 'a b' -o json")
    );
}

#[test]
fn the_command_line_s_own_help_and_errors_are_shown_and_nothing_is_run() {
    for (line, part) in [
        ("agent suspend --help", "no token until they are resumed"),
        ("agent suspend", "required"),
        ("agent fly", "unrecognized"),
    ] {
        let mut world = World::live();
        typed(&mut world, line);
        assert!(world.effects.is_empty());
        let Some(Dialog::Reader(reader)) = &world.state.dialog else {
            panic!("no answer to {line}");
        };
        assert!(reader.copied.contains(part), "{}", reader.copied);
    }
}

#[test]
fn a_table_is_not_broken_and_goes_sideways() {
    let mut world = World::live();
    typed(&mut world, "agent list");
    let row = format!("{}  {}", "a".repeat(70), "b".repeat(20));
    let table = format!("ID{}  EMAIL\n{row}\n", " ".repeat(68));
    world.event(Event::Ran(1, Box::new(output(true, &table, ""))));
    let shown = |world: &World| match &world.state.dialog {
        Some(Dialog::Reader(reader)) => {
            assert!(reader.goes_sideways((80, 24)));
            reader.rows((80, 24))
        }
        _ => panic!("no answer"),
    };
    assert_eq!(world.state.size, (80, 24));
    let rows = shown(&world);
    assert_eq!((rows.len(), &rows[1].1), (2, &row[..72].to_owned()));
    world.keys(&["l", "l", "l"]);
    assert_eq!(shown(&world)[1].1, row[row.len() - 72..]);
    world.keys(&["h", "h", "h"]);
    assert_eq!(shown(&world), rows);
}

#[test]
fn what_would_print_a_secret_or_never_end_is_not_run() {
    for (line, part) in [
        ("credential issue a@b.c", "print a secret"),
        ("credential rotate 1", "print a secret"),
        ("credential -o json issue a@b.c", "print a secret"),
        ("credential rotate -o json 1", "print a secret"),
        ("audit tail", "would not end"),
        ("audit -o json tail", "would not end"),
        ("agent list --watch=5s", "would not end"),
        ("agent show 'a", "quote"),
        ("fly", "no command :fly"),
    ] {
        let mut world = World::live();
        typed(&mut world, line);
        assert!(world.effects.is_empty(), "{line}");
        assert!(world.message().contains(part), "{}", world.message());
    }
    let mut world = World::live();
    typed(&mut world, "credential issue a@b.c --secret-out s");
    assert_eq!(world.effects.len(), 1);
}

#[test]
fn a_read_only_console_runs_what_reads() {
    for (line, is_run) in [
        ("agent list", true),
        ("status", true),
        ("agent suspend a --reason x --yes", false),
        ("org create acme", false),
        ("key rotate --reason x --yes", false),
        ("org hold acme --reason x --yes", false),
        ("org hold acme --dry-run", true),
        ("audit prune --older-than 1d", false),
        ("audit prune --older-than 1d --dry-run", true),
    ] {
        let mut world = World::live();
        world.state.is_read_only = true;
        typed(&mut world, line);
        assert_eq!(
            !world.effects.is_empty(),
            is_run,
            "{line}: {}",
            world.message()
        );
    }
}

#[test]
fn a_command_that_runs_is_ended_by_cancel() {
    let mut world = World::live();
    typed(&mut world, "status");
    world.key("^c");
    assert_eq!(world.effects, [Effect::StopRun]);
    world.event(Event::Ran(1, Box::new(output(true, "late", ""))));
    assert!(world.state.dialog.is_none());
}

#[test]
fn tab_goes_on_with_what_is_certain_and_then_through_what_is_possible() {
    let mut world = World::live();
    world.key(":");
    world.type_text("agent show inv");
    world.key("tab");
    assert_eq!(line(&world), "agent show invoice-");
    world.key("tab");
    assert_eq!(line(&world), "agent show invoice-matcher@acme.example");
    world.key("tab");
    assert_eq!(line(&world), "agent show invoice-poster@acme.example");
    world.key("backtab");
    assert_eq!(line(&world), "agent show invoice-matcher@acme.example");
    world.type_text(" -");
    world.key("tab");
    assert!(line(&world).ends_with(" --"), "{}", line(&world));
    world.keys(&["esc", "/"]);
    world.type_text("stat");
    world.key("tab");
    assert_eq!(line(&world), "status=");
}

#[test]
fn commands_of_before_come_back() {
    let mut world = World::live();
    typed(&mut world, "clock");
    typed(&mut world, "agents");
    world.key(":");
    world.type_text("cl");
    world.key("up");
    assert_eq!(line(&world), "agents");
    world.keys(&["up", "up"]);
    assert_eq!(line(&world), "clock");
    world.keys(&["down", "down"]);
    assert_eq!(line(&world), "cl");
}
