//! Health, credentials of all agents, searching and exporting the log, the keys that are shown.

use crate::client::Page;
use crate::tui::event::{Command, Effect, Event, HealthData, NetEvent};
use crate::tui::fixtures::{World, agent_id, credential_id, entry_of, health, history, reviewed};
use crate::tui::state::audit::AuditRow;
use crate::tui::state::credentials::Kind;
use crate::tui::state::{Demo, Screen};

fn page(world: &mut World, numbers: std::ops::Range<u8>, next: Option<&str>) {
    let ticket = world.state.credentials.ticket;
    world.net(NetEvent::Credentials(
        ticket,
        Ok(Page {
            items: numbers.map(reviewed).collect(),
            next: next.map(str::to_owned),
            total: None,
        }),
    ));
}

#[test]
fn credentials_are_read_page_by_page_as_one_goes_down() {
    let mut world = World::live();
    world.key("3");
    let asked = |world: &World| match world.sent()[..] {
        [Command::Credentials { kind, token, .. }] => Some((*kind, token.clone())),
        _ => None,
    };
    assert_eq!(asked(&world), Some((Kind::Expiring, String::new())));
    page(&mut world, 1..60, Some("more"));
    assert_eq!(asked(&world), None);
    world.key("G");
    assert_eq!(asked(&world), Some((Kind::Expiring, "more".to_owned())));
    page(&mut world, 60..70, None);
    assert_eq!(world.state.credentials.rows.len(), 69);
    assert_eq!(world.state.credentials.selected, Some(credential_id(59)));
    world.key("tab");
    assert_eq!(asked(&world), Some((Kind::RetiringUsed, String::new())));
}

#[test]
fn a_late_page_of_another_list_is_not_taken() {
    let mut world = World::live();
    world.key("3");
    let ticket = world.state.credentials.ticket;
    world.key("tab");
    let page = Page {
        items: vec![reviewed(1)],
        next: None,
        total: None,
    };
    world.net(NetEvent::Credentials(ticket, Ok(page)));
    assert!(world.state.credentials.rows.is_empty());
}

#[test]
fn a_credential_leads_to_its_agent() {
    let mut world = World::live();
    world.key("3");
    page(&mut world, 1..3, None);
    world.keys(&["j", "enter"]);
    assert_eq!(world.sent(), [&Command::Detail(agent_id(1))]);
    world.detail(crate::tui::fixtures::agents().remove(0));
    assert_eq!(world.state.screen, Screen::Detail);
    let detail = world.state.detail.as_ref().unwrap();
    assert_eq!(detail.credential().unwrap().id, credential_id(2));
    // And back to where one was.
    world.key("esc");
    assert_eq!(world.state.screen, Screen::Credentials);
    assert_eq!(world.state.credentials.selected, Some(credential_id(2)));
}

#[test]
fn health_is_asked_for_again_only_while_it_is_shown() {
    let mut world = World::live();
    world.key("1");
    assert_eq!(world.sent(), [&Command::Health]);
    world.net(NetEvent::Health(Ok(Box::new(health()))));
    world.wait(1_900);
    assert!(world.sent().is_empty());
    world.wait(100);
    assert_eq!(world.sent(), [&Command::Health]);
    world.key("2");
    world.wait(60_000);
    assert!(world.sent().is_empty());
    let HealthData { counts, .. } = health();
    assert_eq!(world.state.health.counts, Some(counts));
}

#[test]
fn what_an_agent_got_is_asked_for_again_only_while_it_is_shown() {
    let mut world = World::live();
    world.key("enter");
    world.detail(crate::tui::fixtures::agents().remove(0));
    assert_eq!(world.sent(), [&Command::Activity(agent_id(1))]);
    let activity = crate::tui::fixtures::activity();
    world.net(NetEvent::Activity(agent_id(1), Ok(activity.clone())));
    world.net(NetEvent::Activity(agent_id(2), Err("gone".to_owned())));
    world.wait(9_900);
    assert!(world.sent().is_empty());
    world.wait(100);
    assert_eq!(world.sent(), [&Command::Activity(agent_id(1))]);
    world.net(NetEvent::Activity(agent_id(1), Err("busy".to_owned())));
    let detail = world.state.detail.as_ref().unwrap();
    assert_eq!(
        detail.activity,
        Some(activity),
        "the last that was read stays"
    );
    world.key("q");
    world.wait(60_000);
    assert!(world.sent().is_empty());
}

#[test]
fn what_the_log_brings_is_counted_by_the_second() {
    let mut world = World::live();
    for seq in 0..3 {
        world.net(NetEvent::Audit(entry_of(seq, "token.issue", "success", "")));
    }
    let many = r#","code":"AGENT_SUSPENDED","count":40"#;
    world.net(NetEvent::Audit(entry_of(3, "token.issue", "denied", many)));
    world.wait(1_000);
    let rates = &world.state.health.rates;
    let (issued, denied) = rates.lines(world.now);
    assert_eq!((issued.len(), issued[59]), (60, 3));
    // What was counted of a minute is not all of its last second.
    let most = denied.iter().max();
    assert_eq!((denied.iter().sum(), most), (40_u64, Some(&1)));
    assert_eq!(rates.entries_in_ten_seconds(world.now), 4);
    let top = rates
        .top_denied(world.now)
        .map(|(_, of_hundred)| of_hundred);
    assert_eq!(top, Some(100));
    world.wait(61_000);
    let (issued, _) = world.state.health.rates.lines(world.now);
    assert!(issued.iter().all(|count| *count == 0));
}

#[test]
fn a_text_is_found_upwards_and_downwards() {
    let mut world = World::live();
    world.keys(&["5", "s"]);
    world.type_text("token.ISSUE");
    world.key("enter");
    let selected = |world: &World| world.state.audit.selected;
    assert_eq!(selected(&world), Some(88_412));
    world.key("N");
    assert_eq!(selected(&world), Some(88_410));
    world.key("N");
    assert_eq!(selected(&world), Some(88_410));
    assert!(world.message().contains("no entry above"));
    world.key("n");
    assert_eq!(selected(&world), Some(88_412));
    assert!(world.state.audit.is_frozen());
}

#[test]
fn what_is_shown_is_written_to_a_file_with_its_gaps() {
    let mut world = World::live();
    world.net(NetEvent::Audit(AuditRow::Gap {
        from: 88_413,
        to: 88_420,
    }));
    world.key("5");
    world.key("w");
    let suggested = world
        .state
        .prompt
        .as_ref()
        .unwrap()
        .input
        .value()
        .to_owned();
    assert_eq!(suggested, "audit-20261121044334.ndjson");
    world.key("enter");
    let [Effect::Export(path, text)] = &world.effects[..] else {
        panic!("{:?}", world.effects);
    };
    assert_eq!(path.to_str(), Some(suggested.as_str()));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), history().len() + 1);
    assert_eq!(lines[3], r#"{"gap":{"from":88413,"to":88420}}"#);
    world.event(Event::Exported(Err("it is there already".to_owned())));
    assert_eq!(world.message(), "it is there already");
}

#[test]
fn pressed_keys_are_shown_for_a_while() {
    let mut world = World::live();
    world.state.demo = Some(Demo::default());
    world.keys(&["j", "^d"]);
    let keys = |world: &World| -> Vec<String> {
        let demo = world.state.demo.as_ref().unwrap();
        demo.keys().map(str::to_owned).collect()
    };
    assert_eq!(keys(&world), ["j", "^d"]);
    world.wait(3_000);
    assert!(keys(&world).is_empty());
}
