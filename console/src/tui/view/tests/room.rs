//! What a terminal has room for: names that can be told apart, and nothing that is said cut off.

use super::*;
use crate::tui::event::{ChangeResult, Doubt, NotDone};
use crate::tui::fixtures::{agent, agents, health, sums};
use crate::tui::state::dialog::Dialog;
use crate::tui::state::marks::Pinned;

/// The rows of the screen.
fn rows(state: &State) -> Vec<String> {
    let width = usize::from(state.size.0);
    let shown: Vec<char> = text(state).chars().collect();
    shown
        .chunks(width)
        .map(|row| row.iter().collect())
        .collect()
}

/// Many agents of one name stem.
fn alike() -> Vec<agentidp_shared::Agent> {
    let of = |number: u8| {
        let status = if number == 3 {
            AgentStatus::Decommissioned
        } else {
            AgentStatus::Active
        };
        let mut agent = agent(number, &format!("invoice-matcher-{number:03}"), status);
        let email = format!("invoice-matcher-{number:03}@globex-international.example");
        agent.email = email.parse().unwrap();
        agent.owner = "team-with-a-long-name".parse().unwrap();
        agent
    };
    (1..13).map(of).collect()
}

#[test]
fn a_wider_terminal_never_shows_less_of_a_name() {
    let mut world = World::live();
    world.key("s");
    world.page(0, alike(), None);
    // From 120 columns on there is the selected one beside the list.
    let (mut least, mut before) = (0, 0);
    for width in 80..=220 {
        world.event(Event::Resize(width, 24));
        let heading = rows(&world.state)[3].clone();
        let shown = heading.find("OWNER").unwrap() - heading.find("AGENT").unwrap();
        if width == 80 || width == 120 {
            assert!(shown >= least, "{width}: {shown} of {least}");
            (least, before) = (shown, shown);
        }
        assert!(shown >= before, "{width}: {shown} after {before}");
        before = shown;
        let shown = text(&world.state);
        for number in 1..13 {
            let name = format!("invoice-matcher-{number:03}@glo");
            assert!(shown.contains(&name), "{width}: {name}");
        }
    }
    let shown = text(&world.state);
    assert!(
        shown.contains(" team-with-a-long-name  ") && shown.contains(" - decommissioned  "),
        "{shown}"
    );
}

#[test]
fn an_e_mail_beside_the_list_is_not_broken_within_a_word() {
    let mut world = World::live();
    world.event(Event::Resize(120, 40));
    world.key("s");
    world.page(0, alike(), None);
    let shown = rows(&world.state);
    let beside: Vec<_> = shown[3..5].iter().map(|row| row[83..].trim()).collect();
    assert_eq!(
        beside,
        ["invoice-matcher-001@globex-", "international.example"]
    );
}

#[test]
fn a_dialog_s_refusal_and_whom_it_is_about_are_whole_at_every_size() {
    let why = "cannot reach the daemon: the connection ended (keep-alive timed out); what was asked \
               may have been done, which agentidp audit list shows; agentidp status tells whether it \
               is back";
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut world = World::live();
        world.key("s");
        world.page(0, alike(), None);
        world.event(Event::Resize(size.0, size.1));
        world.dialog("x");
        world.stakes();
        world.type_text("leak");
        world.key("enter");
        let Some(Dialog::Confirm(confirm)) = &mut world.state.dialog else {
            panic!("no dialog");
        };
        confirm.typed = tui_input::Input::new(confirm.ending());
        world.keys(&["enter", "enter"]);
        let change = world.change().unwrap();
        let is = Doubt::Unanswered;
        let why = why.to_owned();
        world.net(NetEvent::Changed(Box::new(ChangeResult {
            change,
            outcome: Err(NotDone { why, is }),
        })));
        let shown = rows(&world.state).join(" ").replace('|', " ");
        let words: Vec<_> = shown.split_whitespace().collect();
        let shown = words.join(" ");
        for part in [
            "what was asked may have been done, which agentidp audit list shows",
            "whether it is back",
            "(team-with-a-long-name) active rev 41",
            "[ Revoke ]",
            "same as: agentidp agent revoke",
        ] {
            assert!(shown.contains(part), "{size:?} {part}: {shown}");
        }
    }
}

#[test]
fn of_many_that_are_meant_it_is_said_how_many_are_not_named() {
    let mut world = World::live();
    world.key("s");
    world.page(0, alike(), None);
    world.keys(&["v", "G", "v"]);
    world.dialog("h");
    for size in [(80, 24), (120, 40), (200, 60)] {
        world.event(Event::Resize(size.0, size.1));
        let shown = rows(&world.state);
        let line = |part: &str| shown.iter().find(|row| row.contains(part));
        assert!(line("of 12 agents 1 would change").is_some(), "{shown:#?}");
        assert!(line("Type 1 to archive it").is_some(), "{shown:#?}");
        let more = shown
            .iter()
            .filter(|row| row.contains("and ") && row.contains(" more"));
        assert!(more.count() >= 1, "{shown:#?}");
        let named = shown.iter().filter(|row| row.contains("example: ")).count();
        let rest = format!("  and {} more", 11 - named);
        assert!(line(&rest).is_some(), "{rest}: {shown:#?}");
    }
}

#[test]
fn an_undo_of_many_is_shown_for_as_long_as_there_is_one() {
    let shows_undo = |world: &World| text(&world.state).contains("U undo");
    let over = |moved: Vec<Pinned>| {
        let mut world = World::live();
        world.keys(&["v", "j", "v"]);
        world.dialog("s");
        world.type_text("leak");
        world.key("enter");
        world.type_text("2");
        world.keys(&["enter", "enter"]);
        let ticket = world.state.bulk_ticket;
        world.net(NetEvent::Bulk {
            ticket,
            sums: Box::new(sums()),
            over: Some(Ok(())),
            moved,
        });
        assert!(text(&world.state).contains("enter close"));
        world
    };
    let moved = agents().into_iter().take(2).map(|agent| Pinned {
        status: AgentStatus::Suspended,
        ..Pinned::new(&agent)
    });
    let mut world = over(moved.collect());
    assert!(shows_undo(&world));
    world.wait(30_000);
    assert!(!shows_undo(&world), "the offer has run out");
    assert!(
        !shows_undo(&over(Vec::new())),
        "too many to be taken back by a key"
    );
}

#[test]
fn those_who_cannot_are_still_there_when_the_others_are_done() {
    let mut world = World::live();
    world.keys(&["v", "G", "v"]);
    world.dialog("s");
    assert!(text(&world.state).contains("of 4 agents 2 would change, 1 need not, 1 cannot"));
    world.type_text("leak");
    world.key("enter");
    world.type_text("2");
    world.keys(&["enter", "enter"]);
    let sums = crate::tui::state::bulk::Sums {
        matched: 2,
        done: 2,
        ..Default::default()
    };
    world.bulk(sums, Some(Ok(())));
    let shown = text(&world.state);
    assert!(
        shown.contains("2 of 4 agents done, 1 needed nothing, 1 refused"),
        "{shown}"
    );
    assert!(shown.contains("  refund-bot@acme.example: "), "{shown}");
}

#[test]
fn nothing_is_counted_while_the_daemon_is_away() {
    let mut world = World::fresh();
    world.key("1");
    let shown = text(&world.state);
    assert!(shown.contains("ISSUED/s    not counted while"), "{shown}");
    let mut world = World::live();
    world.key("1");
    world.net(NetEvent::Health(Ok(Box::new(health()))));
    world.net(NetEvent::Lost("gone".to_owned()));
    let shown = text(&world.state);
    for part in ["ISSUED/s    not counted", "CONNECTED   not known"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for part in ["store rw", " now ", "this one"] {
        assert!(!shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn an_end_to_come_is_told_by_the_clock_where_times_are() {
    let mut world = World::live();
    assert!(text(&world.state).contains(" 9d "));
    world.keys(&["t", "t"]);
    let shown = text(&world.state);
    assert!(
        shown.contains("2026-11-30") && !shown.contains(" 9d "),
        "{shown}"
    );
    world.key("enter");
    world.detail(agents().remove(0));
    let shown = text(&world.state);
    assert!(
        shown.contains("2026-11-30") && !shown.contains(" 9d "),
        "{shown}"
    );
}

#[test]
fn who_sees_a_part_is_told_so_where_it_counts() {
    let mut world = World::live();
    let acme = world.state.organizations[0].id.to_string();
    let status = world.state.status.as_mut().unwrap();
    status.caller.organizations = Some(vec![acme]);
    assert!(text(&world.state).contains("alice operator of acme only"));
    world.key("1");
    assert!(text(&world.state).contains(" peak  of acme only"));
}

#[test]
fn the_row_that_one_is_on_is_told() {
    let mut world = World::live();
    world.keys(&["j", "j"]);
    assert!(rows(&world.state)[1].contains("row 3   sort:"));
}

#[test]
fn grants_beyond_the_screen_are_gone_to() {
    let mut world = World::in_detail();
    world.key("tab");
    let scopes: Vec<_> = (0..30).map(|it| format!("thing:do-{it:02}")).collect();
    let detail = world.state.detail.as_mut().unwrap();
    detail.agent.capabilities = scopes.join(" ").parse().unwrap();
    assert!(text(&world.state).contains("more below: j and k move"));
    assert!(!text(&world.state).contains("thing:do-29"));
    world.key("G");
    assert!(text(&world.state).contains("thing:do-29"));
}
