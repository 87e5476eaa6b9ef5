//! Every screen and dialog as an operator sees it, at a fixed time.

use std::fmt::Write as _;

use agentidp_shared::{AgentStatus, CredentialStatus};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::render;
use crate::tui::event::{Change, Event, NetEvent};
use crate::tui::fixtures::{SECRET, World, agent_id, credential, keys};
use crate::tui::keys::KeyMap;
use crate::tui::state::State;
use crate::tui::state::audit::{AuditEntry, AuditRow};
use crate::tui::state::dialog::{Help, HelpLine};
use crate::tui::style::Palette;

mod every;
mod limits;
mod room;

fn screen(state: &State) -> TestBackend {
    let (width, height) = state.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| {
            if let Some(cursor) = render(state, frame.buffer_mut()) {
                frame.set_cursor_position(cursor);
            }
        })
        .unwrap();
    terminal.backend().clone()
}

fn buffer(state: &State) -> Buffer {
    let (width, height) = state.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    render(state, &mut buffer);
    buffer
}

fn text(state: &State) -> String {
    let buffer = buffer(state);
    buffer
        .content()
        .iter()
        .map(ratatui::buffer::Cell::symbol)
        .collect()
}

/// A snapshot on the smallest terminal, and on ones with room: what is shown, and with which styles.
fn snapshot(name: &str, world: &mut World) {
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        world.event(Event::Resize(width, height));
        let (screen, styles) = (screen(&world.state), styles(&buffer(&world.state)));
        insta::assert_snapshot!(
            format!("{name}_{width}x{height}"),
            format!("{screen}{styles}")
        );
    }
    world.event(Event::Resize(80, 24));
}

/// Which cells of each row have a style of their own: the columns from and to, and the style.
fn styles(buffer: &Buffer) -> String {
    let mut lines = String::new();
    let rows = buffer.content().chunks(usize::from(buffer.area.width));
    for (row, cells) in rows.enumerate() {
        let mut at = 0;
        let mut runs = Vec::new();
        for run in cells.chunk_by(|one, other| one.style() == other.style()) {
            let style = run[0].style();
            let from = at;
            at += run.len();
            let colours = [("", style.fg), ("on ", style.bg)].into_iter();
            let colours = colours.filter_map(|(on, it)| match it? {
                ratatui::style::Color::Reset => None,
                colour => Some(format!(" {on}{colour}")),
            });
            let mut words: String = colours.collect();
            if !style.add_modifier.is_empty() {
                let _ = write!(words, " {:?}", style.add_modifier);
            }
            if !words.is_empty() {
                runs.push(format!("{from}-{}{words}", at - 1));
            }
        }
        if !runs.is_empty() {
            let _ = writeln!(lines, "{row:2}: {}", runs.join(", "));
        }
    }
    lines
}

#[test]
fn agents_before_the_first_connection() {
    let mut world = World::fresh();
    insta::assert_snapshot!("connecting_80x24", screen(&world.state));
    world.net(NetEvent::Lost("there is no socket".to_owned()));
    insta::assert_snapshot!("not_connected_80x24", screen(&world.state));
}

#[test]
fn agents_while_the_daemon_is_away() {
    let mut world = World::live();
    world.net(NetEvent::Lost("nobody listens on the socket".to_owned()));
    world.wait(40_000);
    insta::assert_snapshot!("stale_80x24", screen(&world.state));
}

#[test]
fn agents_with_a_filter() {
    let mut world = World::live();
    world.key("/");
    world.type_text("poster");
    insta::assert_snapshot!("filter_typed_80x24", screen(&world.state));
    world.key("enter");
    insta::assert_snapshot!("filter_80x24", screen(&world.state));
}

#[test]
fn the_menu_shows_what_cannot_be_done_and_why() {
    let mut world = World::live();
    world.key("a");
    insta::assert_snapshot!("menu_80x24", screen(&world.state));
    let mut world = World::live_as("auditor");
    world.key("a");
    insta::assert_snapshot!("menu_of_an_auditor_80x24", screen(&world.state));
}

/// The style of the first cell of `text` on the screen.
fn style_of(state: &State, text: &str) -> ratatui::style::Style {
    let buffer = buffer(state);
    let width = usize::from(buffer.area.width);
    let cells: Vec<_> = buffer.content().iter().collect();
    let lines = cells.chunks(width);
    for line in lines {
        let shown: String = line.iter().map(|it| it.symbol()).collect();
        if let Some(at) = shown.find(text) {
            let before = shown[..at].chars().count();
            return line[before].style();
        }
    }
    panic!("{text} is not on the screen");
}

#[test]
fn marked_agents_and_a_range() {
    let mut world = World::live();
    world.keys(&["space", "v", "j"]);
    world.key("s");
    world.page(0, crate::tui::fixtures::agents(), None);
    snapshot("marked", &mut world);
    let style = style_of(&world.state, "+  invoice-matcher");
    assert_eq!(style.fg, Some(ratatui::style::Color::Cyan));
    world.key("a");
    insta::assert_snapshot!("menu_of_many_80x24", screen(&world.state));
    world.key("x");
    world.wait(250);
    world.type_text("host broken into");
    snapshot("bulk_marked", &mut world);
    let style = style_of(&world.state, "Revoke (locked)");
    assert!(style.add_modifier.contains(Modifier::DIM));
}

#[test]
fn all_that_a_filter_lets_through() {
    let mut world = World::live();
    world.key("/");
    world.type_text("owner=billing");
    world.key("enter");
    world.page(0, crate::tui::fixtures::agents(), None);
    world.keys(&["A", "s"]);
    insta::assert_snapshot!("bulk_counting_80x24", screen(&world.state));
    world.bulk(crate::tui::fixtures::sums(), Some(Ok(())));
    snapshot("bulk_filter", &mut world);
    let style = style_of(&world.state, "  refund-bot@acme.example");
    assert_eq!(style.fg, Some(ratatui::style::Color::Yellow));
}

#[test]
fn what_a_command_may_go_on_with() {
    let mut world = World::live();
    world.key(":");
    world.type_text("agent show inv");
    world.keys(&["tab", "tab"]);
    snapshot("completion", &mut world);
    let style = style_of(&world.state, "invoice-matcher@acme.example  invoice-poster");
    assert!(style.add_modifier.contains(Modifier::REVERSED));
}

#[test]
fn what_was_done_is_read_as_command_lines() {
    let mut world = World::live();
    world.key("@");
    assert!(text(&world.state).contains("Nothing was done"));
    world.key("esc");
    world.dialog("s");
    world.type_text("leak");
    world.keys(&["enter", "y"]);
    let change = world.change().unwrap();
    world.changed_agent(change, AgentStatus::Suspended, 42);
    world.key("@");
    insta::assert_snapshot!("command_log_80x24", screen(&world.state));
}

#[test]
fn audit() {
    let mut world = World::live();
    world.net(NetEvent::Audit(AuditRow::Gap {
        from: 88_413,
        to: 89_616,
    }));
    world.key("5");
    snapshot("audit_gap", &mut world);
    world.key("k");
    insta::assert_snapshot!("audit_frozen_80x24", screen(&world.state));
    world.key("enter");
    insta::assert_snapshot!("audit_entry_80x24", screen(&world.state));
}

#[test]
fn health() {
    let mut world = World::live();
    world.key("1");
    world.net(NetEvent::Health(Ok(Box::new(
        crate::tui::fixtures::health(),
    ))));
    for seq in 0..20 {
        let outcome = if seq % 5 == 0 { "denied" } else { "success" };
        let entry = crate::tui::fixtures::entry_of(seq, "token.issue", outcome, "");
        world.net(NetEvent::Audit(entry));
        if seq % 4 == 0 {
            world.wait(1_000);
        }
    }
    world.net(NetEvent::Others(1));
    let style = style_of(&world.state, "OK   daemon");
    assert_eq!(style.fg, Some(ratatui::style::Color::Green));
    let style = style_of(&world.state, "expiring<7d");
    assert_eq!(style.fg, Some(ratatui::style::Color::Yellow));
    let status = world.state.status.as_mut().unwrap();
    status.ready = false;
    "the disk is full".clone_into(&mut status.not_ready_reason);
    insta::assert_snapshot!("health_not_ready_80x24", screen(&world.state));
}

#[test]
fn credentials_of_all_agents() {
    let mut world = World::live();
    world.key("3");
    let ticket = world.state.credentials.ticket;
    let items = (1..4).map(crate::tui::fixtures::reviewed).collect();
    let page = crate::client::Page {
        items,
        next: None,
        total: None,
    };
    world.net(NetEvent::Credentials(ticket, Ok(page)));
    let style = style_of(&world.state, "* active");
    assert!(style.add_modifier.contains(Modifier::REVERSED));
}

#[test]
fn keys_that_are_shown_and_a_console_that_is_read_only() {
    let mut world = World::live();
    world.state.demo = Some(crate::tui::state::Demo::default());
    world.state.is_read_only = true;
    world.keys(&["j", "a"]);
    snapshot("demo", &mut world);
}

#[test]
fn a_text_that_is_looked_for() {
    let mut world = World::live();
    world.keys(&["5", "s"]);
    world.type_text("ledger");
    insta::assert_snapshot!("search_typed_80x24", screen(&world.state));
    world.key("enter");
    snapshot("search", &mut world);
}

#[test]
fn confirming_what_is_for_good() {
    let mut world = World::in_detail();
    world.dialog("c");
    world.type_text("leaked in CI log 4412");
    world.key("tab");
    world.type_text("83c0");
    insta::assert_snapshot!("revoke_credential_reading_80x24", screen(&world.state));
    world.stakes();
    let style = style_of(&world.state, "IRREVERSIBLE");
    assert!(style.add_modifier.contains(Modifier::BOLD));
}

#[test]
fn a_secret_is_masked() {
    let mut world = World::in_detail();
    world.issued(SECRET);
    assert!(!text(&world.state).contains(&SECRET[28..]));
}

#[test]
fn a_secret_is_seen_when_it_is_revealed_and_gone_from_the_cells_after() {
    let mut world = World::in_detail();
    world.issued(SECRET);
    world.wait(250);
    world.key("v");
    insta::assert_snapshot!("secret_revealed_80x24", screen(&world.state));
    assert_eq!(SECRET.len(), agentidp_shared::secret::LENGTH);
    assert!(text(&world.state).contains(SECRET));
    world.event(Event::Resize(80, 24));
    assert!(!text(&world.state).contains(&SECRET[28..]));
}

#[test]
fn help() {
    let mut world = World::live();
    world.key("?");
    world.key("/");
    world.type_text("free");
    insta::assert_snapshot!("help_filtered_80x24", screen(&world.state));
}

#[test]
fn what_an_undo_would_do_is_said() {
    let mut world = World::live();
    let change = Change::Transition {
        transition: agentidp_shared::agent::Transition::Suspend,
        agent: agent_id(1),
        reason: "leak".to_owned(),
        revision: 41,
    };
    world.changed_agent(change, agentidp_shared::AgentStatus::Suspended, 42);
    insta::assert_snapshot!("undo_80x24", screen(&world.state));
}

/// What stands below the list, over its lines, with the margins taken off.
fn footer(state: &State) -> String {
    let cells: Vec<_> = text(state).chars().collect();
    let lines = cells.chunks(80).map(|line| line.iter().collect::<String>());
    let lines: Vec<_> = lines.map(|it| it.trim().to_owned()).collect();
    lines[20..23].join(" ")
}

#[test]
fn a_terminal_too_small_gets_a_notice() {
    let mut world = World::live();
    world.event(Event::Resize(60, 10));
    insta::assert_snapshot!("too_small_60x10", screen(&world.state));
}

#[test]
fn what_is_done_to_signing_keys_takes_the_beginning_of_the_key_s_name() {
    let mut world = World::at_keys("admin");
    world.key("a");
    snapshot("menu_of_keys", &mut world);
    world.key("esc");
    for (key, name) in [("r", "rotate_key"), ("x", "withdraw_key")] {
        world.dialog(key);
        world.type_text("yearly");
        world.key("tab");
        world.type_text("NzbL");
        insta::assert_snapshot!(format!("{name}_80x24"), screen(&world.state));
        assert!(!text(&world.state).contains("reading"));
        world.key("esc");
    }
}
