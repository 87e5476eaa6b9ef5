//! What must not happen on any screen: text that is cut, that acts, or that cannot be told apart.

use super::*;
use crate::tui::fixtures::entry_of;

#[test]
fn a_long_name_does_not_run_into_the_tabs() {
    let mut world = World::in_detail();
    let email = format!("{}@acme.example", "n".repeat(60));
    world.state.detail.as_mut().unwrap().agent.email = email.parse().unwrap();
    let shown = text(&world.state);
    assert!(
        shown.contains("nnn.. [Credentials]  Grants   Audit "),
        "{shown}"
    );
}

#[test]
fn an_archived_agent_is_offered_no_credential() {
    let mut world = World::in_detail();
    let detail = world.state.detail.as_mut().unwrap();
    detail.credentials = Some(Vec::new());
    assert!(text(&world.state).contains("a i issues a client secret"));
    let detail = world.state.detail.as_mut().unwrap();
    detail.agent.status = AgentStatus::Archived;
    let shown = text(&world.state);
    assert!(
        shown.contains("no credentials") && !shown.contains("a i"),
        "{shown}"
    );
}

#[test]
fn a_credential_that_is_revoked_has_no_end_to_come() {
    let mut world = World::in_detail();
    let mut revoked = credential(1, CredentialStatus::Revoked);
    revoked.expires_at = Some(world.state.now);
    let detail = world.state.detail.as_mut().unwrap();
    detail.credentials = Some(vec![revoked]);
    let shown = text(&world.state);
    assert!(
        !shown.contains("over") && !shown.contains("never "),
        "{shown}"
    );
}

#[test]
fn colours_that_are_told_apart_by_all_are_used() {
    let mut world = World::live();
    world.state.palette = Palette::Colours(crate::tui::style::Colours::SAFE);
    let style = style_of(&world.state, "x revoked");
    assert_eq!(style.fg, Some(ratatui::style::Color::LightMagenta));
}

#[test]
fn a_denial_names_its_agent_on_the_smallest_terminal() {
    let mut world = World::live();
    let json = format!(
        r#"{{"v":1,"seq":88413,"time":"2026-11-21T04:43:00.000Z","actor":{{"kind":"agent","via":"http","address":"127.0.0.1"}},"action":"token.issue","outcome":"denied","code":"AGENT_SUSPENDED","agent_id":"{}"}}"#,
        agent_id(3)
    );
    let entry = agentidp_proto::v1::AuditEntry {
        seq: 88_413,
        json: json.into_bytes(),
    };
    world.net(NetEvent::Audit(AuditRow::Entry(Box::new(AuditEntry::new(
        &entry,
    )))));
    world.key("5");
    let text = text(&world.state);
    assert!(text.contains("AGENT_SUSPENDED ledger-sync-eu"), "{text}");
}

#[test]
fn a_refusal_closes_up_by_a_column_s_whole_room_or_not_at_all() {
    let places: std::collections::BTreeSet<_> = (1..60)
        .filter_map(|length| {
            let mut world = World::live();
            let scope = "a".repeat(length);
            let more = format!(r#","code":"INTERNAL","scope":"{scope}""#);
            world.net(NetEvent::Audit(entry_of(
                88_413,
                "token.issue",
                "denied",
                &more,
            )));
            world.key("5");
            text(&world.state).rfind("INTERNAL").map(|at| at % 80)
        })
        .collect();
    let places: Vec<_> = places.into_iter().collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(places[1] - places[0] > 4, "{places:?}");
}

#[test]
fn why_a_secret_could_not_be_written_is_told_whole() {
    let mut world = World::in_detail();
    world.issued(SECRET);
    let why = "cannot make /home/somebody/secrets/of/agents/screener-001.secret: No such file or \
               directory (os error 2)";
    world.event(Event::SecretWritten(Err(why.to_owned())));
    let text = text(&world.state);
    assert!(text.contains("screener-001.secret: No such"), "{text}");
    assert!(text.contains("(os error 2)"), "{text}");
    world.wait(250);
    world.key("w");
    assert!(super::text(&world.state).contains("^u empty the line"));
}

#[test]
fn no_message_of_ours_is_cut_on_the_smallest_terminal() {
    for (keys, text) in [
        ("/", "stat=active"),
        ("5/", "when=now"),
        (":", "agent show nobody"),
        (
            ":",
            "a very long command that nobody would ever type in here",
        ),
    ] {
        let mut world = World::live();
        world.type_text(keys);
        world.type_text(text);
        world.key("enter");
        let message = world.message().to_owned();
        assert!(footer(&world.state).contains(&message), "{message}");
    }
    for why in [
        "there is no socket at /home/somebody/agentidp/.agentidp/operator.sock; start the daemon, \
         or name its socket with --socket PATH or AGENTIDP_SOCKET",
        "nobody listens on /home/somebody/agentidp/.agentidp/operator.sock; the daemon is not \
         running: start it (systemctl start agentidpd), or look why it ended (journalctl -u \
         agentidpd)",
    ] {
        let mut world = World::live();
        world.net(NetEvent::Lost(why.to_owned()));
        let footer = footer(&world.state);
        assert!(footer.contains(why), "{footer}");
    }
    for number in ["3", "4"] {
        let mut world = World::live();
        world.key(number);
        let below: String = text(&world.state).chars().skip(80).collect();
        assert!(!below.contains(".."), "{below}");
    }
}

#[test]
fn no_line_of_the_help_is_cut_on_the_smallest_terminal() {
    for line in Help::new(&[], &KeyMap::default()).lines() {
        if let HelpLine::Key(key, what) = line {
            assert!(key.len() <= 21, "{key}");
            assert!(what.len() <= 51, "{what}");
        }
    }
}

#[test]
fn an_id_beside_the_list_is_whole() {
    for width in [120, 200] {
        let mut world = World::live();
        world.event(Event::Resize(width, 60));
        assert!(text(&world.state).contains(&agent_id(1).to_string()));
    }
}

#[test]
fn nothing_breaks_at_any_size() {
    let mut world = World::in_detail();
    for opened in ["", "?", "5", "a", "i", "1", "3", "4", "6"] {
        if !opened.is_empty() && world.state.dialog.is_some() {
            world.key("esc");
        }
        if !opened.is_empty() {
            world.key(opened);
        }
        for width in [0, 1, 2, 10, 79, 80, 81, 119, 120, 200] {
            for height in [0, 1, 2, 3, 23, 24, 25, 60] {
                world.event(Event::Resize(width, height));
                buffer(&world.state);
            }
        }
        world.event(Event::Resize(80, 24));
    }
}

#[test]
fn text_from_agents_is_inert() {
    let mut world = World::in_detail();
    world.event(Event::Resize(200, 60));
    let text = text(&world.state);
    assert!(text.contains(r"evil \u{1b}[2J\u{202e}text"), "{text}");
    assert!(!text.contains(crate::text::is_active));
}

#[test]
fn without_colour_the_cursor_is_still_seen() {
    let mut world = World::live();
    world.state.palette = Palette::Mono;
    let buffer = buffer(&world.state);
    let has_colour = |cell: &ratatui::buffer::Cell| {
        let plain = ratatui::style::Color::Reset;
        cell.fg != plain || cell.bg != plain
    };
    assert!(!buffer.content().iter().any(has_colour));
    assert!(buffer[(5, 4)].modifier.contains(Modifier::REVERSED));
}

#[test]
fn a_second_that_changes_nothing_changes_no_cell() {
    let mut world = World::live();
    let before = buffer(&world.state);
    world.wait(1_000);
    assert_eq!(before, buffer(&world.state));
}

#[test]
fn more_connections_than_there_is_room_for_are_counted() {
    let mut world = World::live();
    world.key("1");
    let status = world.state.status.as_mut().unwrap();
    let one = status.connections[1].clone();
    status.connections.extend(std::iter::repeat_n(one, 4));
    let shown = text(&world.state);
    assert!(shown.contains("and 4 more: agentidp status"), "{shown}");
    world.event(Event::Resize(80, 60));
    let shown = text(&world.state);
    assert!(shown.contains("alice operator for 1h, this one"), "{shown}");
}

#[test]
fn agents_of_the_same_name_are_told_apart_in_the_log_by_their_organization() {
    let mut world = World::live();
    let acme = world.state.organizations[0].clone();
    let more = format!(r#","organization_id":"{}""#, acme.id);
    let entry = || entry_of(88_410, "token.issue", "success", &more);
    world.state.audit.restart(vec![entry()]);
    world.key("5");
    assert!(text(&world.state).contains(" invoice-matcher "));
    // With another organization the name alone does not tell whose it is.
    let globex = agentidp_shared::Organization {
        id: "0193f2c4-0000-7000-8000-0000000000ff".parse().unwrap(),
        name: "globex".parse().unwrap(),
        ..acme
    };
    world.state.organizations.push(globex);
    assert!(text(&world.state).contains(" acme/invoice-matcher "));
    world.event(Event::Resize(120, 40));
    assert!(text(&world.state).contains(" invoice-matcher@acme.example "));
}

#[test]
fn how_to_get_to_the_other_screens_stands_on_every_one() {
    for key in ["1", "2", "3", "4", "5", "6"] {
        let mut world = World::live();
        world.key(key);
        let shown = text(&world.state);
        assert!(
            shown.contains("1-6 screen") || shown.contains("5 audit 6 keys"),
            "{key}: {shown}"
        );
    }
}
