//! What is done to tokens and signing keys, and by whom.

use crate::tui::event::{Change, Command, NetEvent, TokensOf};
use crate::tui::fixtures::{World, agent_id, credential_id, keys};
use crate::tui::keys::{Deed, KeyMap, Place};
use crate::tui::state::dialog::Dialog;
use crate::tui::update::menu;

fn line(world: &World) -> String {
    match &world.state.dialog {
        Some(Dialog::Confirm(confirm)) => confirm.command_line(),
        other => panic!("no dialog to confirm: {other:?}"),
    }
}

#[test]
fn the_tokens_of_an_agent_or_of_one_credential_are_revoked_for_a_reason() {
    for (key, of, option, ending) in [
        (
            "t",
            TokensOf::Agent(agent_id(1)),
            "--agent invoice-matcher@acme.example",
            "839401",
        ),
        (
            "k",
            TokensOf::Credential(credential_id(1)),
            "--credential 0193f2c5-1a2b-7c3d-8e4f-50617283c001",
            "83c001",
        ),
    ] {
        let mut world = World::in_detail();
        world.dialog(key);
        world.type_text("leaked");
        world.key("tab");
        world.type_text(ending);
        assert_eq!(
            line(&world),
            format!("agentidp token revoke {option} --reason leaked --yes")
        );
        world.keys(&["tab", "tab", "enter"]);
        let reason = "leaked".to_owned();
        assert_eq!(world.change(), Some(Change::RevokeTokens { of, reason }));
    }
}

#[test]
fn a_signing_key_is_rotated_or_withdrawn_by_an_admin_who_types_its_name() {
    let kid = keys().remove(0).key.kid;
    for (key, withdrawn, options) in [
        ("r", None, String::new()),
        ("x", Some(kid.clone()), format!("--emergency --kid {kid} ")),
    ] {
        let mut world = World::at_keys("admin");
        world.dialog(key);
        world.type_text("yearly");
        world.key("tab");
        world.type_text("NzbLsXh");
        world.keys(&["tab", "tab", "enter"]);
        assert_eq!(world.change(), None, "a letter is missing");
        world.keys(&["tab"]);
        world.key("tab");
        world.type_text("8");
        assert_eq!(
            line(&world),
            format!("agentidp key rotate {options}--reason yearly --yes")
        );
        world.keys(&["tab", "tab", "enter"]);
        let reason = "yearly".to_owned();
        assert_eq!(
            world.change(),
            Some(Change::RotateKey { withdrawn, reason })
        );
    }
}

#[test]
fn an_operator_is_told_who_may_touch_signing_keys() {
    let mut world = World::at_keys("operator");
    world.key("a");
    for action in menu(&world.state) {
        assert_eq!(
            action.why_not.as_deref(),
            Some("needs the role admin; yours is operator")
        );
    }
    let mut world = World::at_keys("admin");
    world.state.status.as_mut().unwrap().caller.organizations = Some(Vec::new());
    world.key("a");
    for action in menu(&world.state) {
        assert_eq!(
            action.why_not.as_deref(),
            Some("needs the role admin for all organizations")
        );
    }
}

#[test]
fn a_new_signing_key_above_it_leaves_the_selection_where_it_was() {
    let mut world = World::at_keys("admin");
    world.key("j");
    let mut rows = keys();
    let mut new = rows[0].clone();
    new.key.kid = "new".to_owned();
    rows.insert(0, new);
    world.net(NetEvent::Keys(Ok(rows)));
    let selected = world.state.keys.selected().unwrap();
    assert_eq!(selected.key.kid, keys()[0].key.kid);
}

#[test]
fn no_key_but_undo_asks_for_a_change_by_itself() {
    for binding in KeyMap::default().bindings() {
        if binding.deed == Deed::Undo {
            continue;
        }
        let mut world = match binding.place {
            Place::Detail => World::in_detail(),
            Place::Keys => World::at_keys("admin"),
            _ => World::live_as("admin"),
        };
        let screens = [
            (Place::Health, "1"),
            (Place::Credentials, "3"),
            (Place::Audit, "5"),
        ];
        if let Some((_, screen)) = screens.iter().find(|(it, _)| *it == binding.place) {
            world.key(screen);
        }
        let name = match binding.first_key() {
            "home" | "end" | "pgdn" | "pgup" => continue,
            name => name.to_owned(),
        };
        world.key(&name);
        let changes = world
            .sent()
            .into_iter()
            .filter(|it| matches!(it, Command::Change(_) | Command::Bulk(_)));
        assert_eq!(changes.count(), 0, "{name} {}", binding.help);
    }
}
