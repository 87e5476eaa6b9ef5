//! The console as an operator uses it: finding something, opening its menu, and confirming.

use agentidp_tests::{TestConsole, TestDaemon};

use super::Place;

const ESC: &str = "\u{1b}";
/// Empties a line.
const CLEAR: &str = "\u{15}";
const REASON: &str = "it's the test";

/// An action of a menu.
pub(super) struct Offer {
    pub(super) place: Place,
    pub(super) key: char,
}

/// The console, wide enough that nothing is cut.
pub(super) struct Screen(TestConsole);

impl Screen {
    pub(super) fn open(daemon: &TestDaemon) -> Self {
        let mut console = TestConsole::start(&daemon.installation.config.socket);
        console.resize(60, 200);
        console.wait_for("LIVE");
        Self(console)
    }

    /// Goes to the place, and there to the first of `agents` or to both.
    fn go(&mut self, place: Place, agents: &[String; 2]) {
        let console = &mut self.0;
        if place == Place::Keys {
            console.press("6");
            console.wait_for("Signing keys");
            console.wait_for("ES256");
            return;
        }
        console.press("2");
        console.wait_for("LAST AUTH");
        // Of how many a filter finds some is known when all were read.
        let counted = |line: &str| {
            let count = line.trim_start().strip_prefix("Agents ");
            count.is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()))
        };
        console.wait_until("all agents", |screen| screen.lines().any(counted));
        let both = matches!(place, Place::Marked | Place::All);
        let filter = if both {
            agents[0].split("a@").next().unwrap().to_owned()
        } else {
            agents[0].clone()
        };
        console.press(&format!("/{CLEAR}email={filter}\r"));
        let count = if both { 2 } else { 1 };
        let is_found = |line: &str| {
            let counted = line.trim_start().strip_prefix("Agents ");
            counted.is_some_and(|it| it.starts_with(&format!("{count}/")))
                && line.contains(&format!("/email={filter} "))
        };
        console.wait_until("the agents", |screen| screen.lines().any(is_found));
        match place {
            Place::Marked => {
                console.press("u");
                console.press("g  ");
                console.wait_for("2 marked");
            }
            Place::Agent => {
                console.press("\r");
                console.wait_for("[Credentials]");
                console.wait_for("client_secret");
            }
            _ => {}
        }
    }

    /// Opens the menu of a place.
    fn open_menu(&mut self, place: Place, agents: &[String; 2]) {
        self.go(place, agents);
        let key = if place == Place::All { "A" } else { "a" };
        self.0.press(key);
        // A screen is drawn from the top; what stands last is there last.
        self.0.wait_until("the whole menu", |screen| {
            screen.contains(" Actions") && screen.contains("esc  nothing")
        });
    }

    /// The keys and labels of a place's menu.
    pub(super) fn menu(&mut self, place: Place, agents: &[String; 2]) -> Vec<(char, String)> {
        self.open_menu(place, agents);
        let screen = self.0.screen();
        let lines = screen.lines().skip_while(|it| !it.contains(" Actions"));
        let actions = lines.skip(1).take_while(|it| !it.contains("esc  nothing"));
        let actions = actions
            .map(|line| {
                let mut chars = line.trim().chars();
                let key = chars.next().unwrap();
                let rest = chars.as_str().trim();
                // Why it cannot be done stands behind it.
                (key, rest.split("  (").next().unwrap().to_owned())
            })
            .collect();
        self.0.press(ESC);
        self.0
            .wait_until("no menu", |screen| !screen.contains(" Actions"));
        actions
    }

    /// What the help tells of every menu.
    pub(super) fn menus(&mut self) -> Vec<String> {
        self.0.press("?/actions");
        self.0.wait_until("the whole help", |screen| {
            screen.contains("/actions ")
                && screen.contains("actions on the signing keys")
                && screen.contains("esc close")
        });
        let screen = self.0.screen();
        let menus = screen
            .lines()
            .filter_map(|line| Some(line.split_at(line.find("actions on ")?).1))
            .map(|it| it.split('|').next().unwrap_or_default().trim().to_owned())
            .collect();
        self.0.press(ESC);
        self.0
            .wait_until("no help", |screen| !screen.contains("/actions "));
        menus
    }

    /// Opens an action's dialog and fills it in; all but the last key.
    fn fill_in(&mut self, offer: &Offer, agents: &[String; 2]) {
        self.open_menu(offer.place, agents);
        let console = &mut self.0;
        console.press(&offer.key.to_string());
        console.wait_for("same as: ");
        // What is typed to confirm stands below the count, and is drawn after it.
        console.wait_until("the count", |it| {
            !it.contains("counting")
                && !it.contains("DRY RUN")
                && (it.contains("Type ") || !it.contains("would change"))
        });
        let screen = console.screen();
        // Keys are dropped for a moment; a letter that stands there tells that it is over.
        if screen.contains("Reason  ") {
            console.press_until("z", "Reason   z");
            console.press(CLEAR);
            console.press(REASON);
            console.wait_for(&format!("Reason   {REASON}"));
            console.press("\t");
        }
        if let Some(line) = screen.lines().find(|it| it.contains("Type ")) {
            let at = line.find("Type ").unwrap();
            let label = line[at..].split(": ").next().unwrap().to_owned();
            let word = label.split(' ').nth(1).unwrap().to_owned();
            console.press_until("z", &format!("{label}:  z"));
            console.press(CLEAR);
            console.press(&word);
            console.wait_for(&format!("{label}:  {word}"));
            console.press("\t");
        }
        // The button stands below the line, and is drawn after it. It is unlocked before all is
        // typed; the keys that are named beside it are others when the focus has left the fields.
        console.wait_until("a button", |screen| {
            let has_left = screen.contains("tab next   esc") || screen.contains("enter cancel");
            screen.contains("[ Cancel ]")
                && !screen.contains("(locked)")
                && (has_left || !screen.contains("Reason  "))
        });
    }

    /// The command line that an action's dialog names. Nothing is done.
    pub(super) fn name(&mut self, offer: &Offer, agents: &[String; 2]) -> String {
        self.fill_in(offer, agents);
        let line = command_line(&self.0.screen());
        self.0
            .press_until_screen(ESC, "no dialog", |screen| !screen.contains("same as: "));
        line
    }

    /// Does an action.
    pub(super) fn act(&mut self, offer: &Offer, agents: &[String; 2]) {
        self.fill_in(offer, agents);
        let console = &mut self.0;
        let many = matches!(offer.place, Place::Marked | Place::All);
        if many {
            console.press("\t\r");
            console.wait_until("the end of it", |screen| {
                screen.contains("2 of 2 agents done") && screen.contains(" OVER ")
            });
            console.press("\r");
            console.wait_until("no dialog", |screen| {
                screen.contains("2 agents done") && !screen.contains(" OVER ")
            });
        } else {
            let is_over = |screen: &str| !screen.contains("[ Cancel ]");
            if console.screen().contains("IRREVERSIBLE") {
                console.press("\t\r");
                console.wait_until("no dialog", is_over);
            } else {
                // A period that is proposed has the focus.
                console.press_until("\t", "y/N");
                console.press_until_screen("y", "no dialog", is_over);
            }
            console.wait_for("(audit ");
        }
        if console.screen().contains("SHOWN ONCE") {
            console.press_until(" ", "[x]");
            console.press("\r");
            console.wait_for("forgotten here");
        }
    }

    /// Takes the last action back.
    pub(super) fn undo(&mut self, status: &str) {
        self.0.press("U");
        self.0.wait_for(&format!("is {status} (audit "));
    }

    /// The newest lines of the log of commands, oldest first.
    pub(super) fn last_lines(&mut self, count: usize) -> Vec<String> {
        self.0.press("@");
        self.0.wait_until("the whole log", |screen| {
            screen.contains(" done   agentidp ") && screen.contains("j k move   esc close")
        });
        let screen = self.0.screen();
        let mut lines: Vec<_> = screen
            .lines()
            .filter_map(|line| line.split(" done   ").nth(1))
            .filter(|it| it.starts_with("agentidp "))
            .map(|it| it.split('|').next().unwrap_or_default().trim().to_owned())
            .collect();
        self.0.press(ESC);
        self.0
            .wait_until("no log", |screen| !screen.contains(" done   agentidp "));
        lines.split_off(lines.len() - count)
    }
}

/// The line that a dialog names, put together again where it was broken at a space.
fn command_line(screen: &str) -> String {
    const INSIDE: usize = 106;
    const BEGIN: &str = "same as: ";
    let mut lines = screen
        .lines()
        .skip_while(|it| !it.contains(BEGIN))
        .peekable();
    let first = lines.peek().expect("a dialog");
    // What is beside the dialog stays there.
    let left = first.chars().count() - first.split_once(BEGIN).unwrap().1.chars().count();
    let left = left - BEGIN.len();
    let inside = |line: &str| {
        let inside: String = line.chars().skip(left).take(INSIDE).collect();
        inside.trim().to_owned()
    };
    let parts: Vec<_> = lines.map(inside).take_while(|it| !it.is_empty()).collect();
    parts.join(" ").replacen(BEGIN, "", 1)
}
