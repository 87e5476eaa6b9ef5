//! Every screen, dialog, menu and line that is typed: what each looks like at three sizes, styles
//! included, and that no words of ours are cut on the smallest.
//!
//! Each is reached by way of the enums that the console has for them, so that a new one does not compile
//! here until it is in the row, and then has no snapshot.

use tui_input::Input;

use super::super::canvas::CUT;
use super::*;
use crate::tui::fixtures::{agent, agents, health, reviewed, sums};
use crate::tui::state::bulk::Stage;
use crate::tui::state::confirm::{Act, Confirm, Subject};
use crate::tui::state::credentials::Kind;
use crate::tui::state::detail::Tab;
use crate::tui::state::dialog::Dialog;
use crate::tui::state::{Menu, PromptKind, Screen};

/// All of a kind, by the one that comes after each.
fn all<T: Copy>(next: fn(Option<T>) -> Option<T>) -> Vec<T> {
    std::iter::successors(next(None), |it| next(Some(*it))).collect()
}

fn next_screen(it: Option<Screen>) -> Option<Screen> {
    Some(match it {
        None => Screen::Health,
        Some(Screen::Health) => Screen::Agents,
        Some(Screen::Agents) => Screen::Detail,
        Some(Screen::Detail) => Screen::Credentials,
        Some(Screen::Credentials) => Screen::Approvals,
        Some(Screen::Approvals) => Screen::Audit,
        Some(Screen::Audit) => Screen::Keys,
        Some(Screen::Keys) => return None,
    })
}

fn next_tab(it: Option<Tab>) -> Option<Tab> {
    Some(match it {
        None => Tab::Credentials,
        Some(Tab::Credentials) => Tab::Grants,
        Some(Tab::Grants) => Tab::Audit,
        Some(Tab::Audit) => return None,
    })
}

fn next_act(it: Option<Act>) -> Option<Act> {
    Some(match it {
        None => Act::Suspend,
        Some(Act::Suspend) => Act::Resume,
        Some(Act::Resume) => Act::Revoke,
        Some(Act::Revoke) => Act::Decommission,
        Some(Act::Decommission) => Act::Archive,
        Some(Act::Archive) => Act::Issue,
        Some(Act::Issue) => Act::Rotate,
        Some(Act::Rotate) => Act::RevokeCredential,
        Some(Act::RevokeCredential) => Act::RevokeTokens,
        Some(Act::RevokeTokens) => Act::RevokeCredentialTokens,
        Some(Act::RevokeCredentialTokens) => Act::RotateKey,
        Some(Act::RotateKey) => Act::WithdrawKey,
        Some(Act::WithdrawKey) => return None,
    })
}

fn next_stage(it: Option<Stage>) -> Option<Stage> {
    Some(match it {
        None => Stage::Counting,
        Some(Stage::Counting) => Stage::Deciding,
        Some(Stage::Deciding) => Stage::Working,
        Some(Stage::Working) => Stage::Stopping,
        Some(Stage::Stopping) => Stage::Over,
        Some(Stage::Over) => return None,
    })
}

fn next_menu(it: Option<Menu>) -> Option<Menu> {
    Some(match it {
        None => Menu::One,
        Some(Menu::One) => Menu::Marked,
        Some(Menu::Marked) => Menu::All,
        Some(Menu::All) => return None,
    })
}

fn next_prompt(it: Option<PromptKind>) -> Option<PromptKind> {
    Some(match it {
        None => PromptKind::Command,
        Some(PromptKind::Command) => PromptKind::Filter,
        Some(PromptKind::Filter) => PromptKind::Search,
        Some(PromptKind::Search) => PromptKind::Export,
        Some(PromptKind::Export) => return None,
    })
}

/// The dialogs, without what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Confirm,
    Secret,
    Bulk,
    Reader,
    Help,
}

const fn which(dialog: &Dialog) -> Which {
    match dialog {
        Dialog::Confirm(_) => Which::Confirm,
        Dialog::Secret(_) => Which::Secret,
        Dialog::Bulk(_) => Which::Bulk,
        Dialog::Reader(_) => Which::Reader,
        Dialog::Help(_) => Which::Help,
    }
}

fn next_dialog(it: Option<Which>) -> Option<Which> {
    Some(match it {
        None => Which::Confirm,
        Some(Which::Confirm) => Which::Secret,
        Some(Which::Secret) => Which::Bulk,
        Some(Which::Bulk) => Which::Reader,
        Some(Which::Reader) => Which::Help,
        Some(Which::Help) => return None,
    })
}

fn name(kind: &str, it: impl std::fmt::Debug) -> String {
    format!("{kind}_{it:?}").to_lowercase()
}

fn on_screen(screen: Screen) -> Vec<(String, World)> {
    let mut world = World::live();
    match screen {
        Screen::Agents => {}
        Screen::Health => world = in_health(),
        Screen::Detail => return all(next_tab).into_iter().map(on_tab).collect(),
        Screen::Credentials => return Kind::ALL.iter().map(|it| on_list(*it)).collect(),
        Screen::Approvals => world.key("4"),
        Screen::Audit => world.key("5"),
        Screen::Keys => world = World::at_keys("admin"),
    }
    assert_eq!(world.state.screen, screen);
    vec![(name("screen", screen), world)]
}

fn on_tab(tab: Tab) -> (String, World) {
    let mut world = World::in_detail();
    while world.state.detail.as_ref().unwrap().tab != tab {
        world.key("tab");
    }
    (name("detail", tab), world)
}

fn on_list(kind: Kind) -> (String, World) {
    let mut world = World::live();
    world.key("3");
    while world.state.credentials.kind != kind {
        world.key("tab");
    }
    let ticket = world.state.credentials.ticket;
    let page = crate::client::Page {
        items: (1..4).map(reviewed).collect(),
        next: None,
        total: None,
    };
    world.net(NetEvent::Credentials(ticket, Ok(page)));
    (name("credentials", kind), world)
}

fn in_health() -> World {
    let mut world = World::live();
    world.key("1");
    world.net(NetEvent::Health(Ok(Box::new(health()))));
    world.net(NetEvent::Others(1));
    world
}

/// A dialog that confirms this, with all that it asks for typed.
fn confirming(act: Act) -> (String, World) {
    let (mut world, subject) = match act {
        Act::RotateKey | Act::WithdrawKey => {
            let key = Box::new(keys().remove(0).key);
            (World::at_keys("admin"), Subject::Key(key))
        }
        act if act.is_of_credential() => {
            let (agent, of) = (agents().remove(0), credential(1, CredentialStatus::Active));
            let subject = Subject::Credential(Box::new(agent), Box::new(of));
            (World::in_detail(), subject)
        }
        act => {
            let status = match act {
                Act::Resume => AgentStatus::Suspended,
                Act::Archive => AgentStatus::Decommissioned,
                _ => AgentStatus::Active,
            };
            let agent = Box::new(agent(1, "invoice-matcher", status));
            (World::live(), Subject::Agent(agent))
        }
    };
    let mut confirm = Confirm::new(act, subject, world.now);
    confirm.reason = Input::new("leaked in CI log 4412".to_owned());
    confirm.typed = Input::new(confirm.ending());
    world.state.dialog = Some(Dialog::Confirm(Box::new(confirm)));
    world.stakes();
    (name("confirm", act), world)
}

fn of_many(stage: Stage) -> (String, World) {
    let mut world = World::live();
    world.key("/");
    world.type_text("owner=billing");
    world.key("enter");
    world.page(0, agents(), None);
    world.keys(&["A", "s"]);
    world.bulk(sums(), Some(Ok(())));
    let Some(Dialog::Bulk(bulk)) = &mut world.state.dialog else {
        panic!("no dialog of many");
    };
    bulk.stage = stage;
    (name("many", stage), world)
}

fn in_dialog(dialog: Which) -> Vec<(String, World)> {
    let mut world = World::in_detail();
    match dialog {
        Which::Confirm => return all(next_act).into_iter().map(confirming).collect(),
        Which::Bulk => return all(next_stage).into_iter().map(of_many).collect(),
        Which::Secret => world.issued(SECRET),
        Which::Reader => world.key("e"),
        Which::Help => world.key("?"),
    }
    vec![(name("dialog", dialog), world)]
}

fn in_menu(menu: Menu) -> (String, World) {
    let mut world = World::live();
    match menu {
        Menu::One => world.key("a"),
        Menu::Marked => world.keys(&["space", "a"]),
        Menu::All => {
            world.key("/");
            world.type_text("owner=billing");
            world.key("enter");
            world.page(0, agents(), None);
            world.key("A");
        }
    }
    assert_eq!(world.state.menu, Some(menu));
    (name("menu", menu), world)
}

fn at_prompt(kind: PromptKind) -> (String, World) {
    let mut world = World::live();
    match kind {
        PromptKind::Command => world.key(":"),
        PromptKind::Filter => world.key("/"),
        PromptKind::Search => world.keys(&["5", "s"]),
        PromptKind::Export => world.keys(&["5", "w"]),
    }
    assert_eq!(world.state.prompt.as_ref().unwrap().kind, kind);
    (name("prompt", kind), world)
}

fn cases() -> Vec<(String, World)> {
    let mut cases: Vec<_> = all(next_screen).into_iter().flat_map(on_screen).collect();
    for dialog in all(next_dialog) {
        let of_kind = in_dialog(dialog);
        for (name, world) in &of_kind {
            let shown = world.state.dialog.as_ref().map(which);
            assert_eq!(shown, Some(dialog), "{name}");
        }
        cases.extend(of_kind);
    }
    cases.extend(all(next_menu).into_iter().map(in_menu));
    cases.extend(all(next_prompt).into_iter().map(at_prompt));
    cases
}

#[test]
fn every_screen_and_dialog_looks_as_it_did() {
    for (name, mut world) in cases() {
        snapshot(&name, &mut world);
    }
}

#[test]
fn every_screen_and_dialog_says_the_same_without_colour() {
    for (name, mut world) in cases() {
        let coloured = text(&world.state);
        world.state.palette = Palette::Mono;
        assert_eq!(text(&world.state), coloured, "{name}");
        let plain = ratatui::style::Color::Reset;
        let buffer = buffer(&world.state);
        let mut cells = buffer.content().iter();
        assert!(cells.all(|it| (it.fg, it.bg) == (plain, plain)), "{name}");
    }
}

#[test]
fn no_words_of_ours_are_cut_at_80_columns() {
    let kid = keys().remove(0).key.kid;
    // What records hold may be longer than any column: `enter` and `e` show it whole.
    let is_data = |text: &str| {
        let issuer = "https://id.acme.example";
        let said = ["ledger:write", "odd requests"];
        let words = ["@acme.example", &kid, issuer, "note=", said[0], said[1]];
        words.iter().any(|it| text.contains(it))
    };
    let mut ours = Vec::new();
    for (name, world) in cases() {
        CUT.take();
        buffer(&world.state);
        let cut = CUT.take().into_iter().filter(|it| !is_data(it));
        ours.extend(cut.map(|it| format!("{name}: {it}")));
    }
    assert_eq!(ours, Vec::<String>::new());
}
