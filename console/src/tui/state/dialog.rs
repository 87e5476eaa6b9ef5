//! What stands over a screen and has all the keys.

use std::path::PathBuf;
use std::time::Duration;

use agentidp_shared::Timestamp;
use tui_input::Input;
use zeroize::Zeroizing;

use crate::client::Issued;
use crate::text::{inert, part, width, wrap};
use crate::tui::keys::{Binding, KeyMap, Place};

use super::audit::AuditEntry;
use super::bulk::Bulk;
use super::confirm::Confirm;

/// How long keys are dropped after a dialog opens: they were typed for what was there before.
pub(crate) const DEAF: Duration = Duration::from_millis(250);

/// How long a revealed secret stays revealed.
pub(crate) const REVEALED: Duration = Duration::from_mins(1);

/// By how many cells a table goes sideways.
const SIDEWAYS: usize = 16;

/// What stands around an entry's text: the margins and the frame, and the line of hints.
const AROUND: (u16, u16) = (8, 5);

/// A dialog.
#[derive(Debug)]
pub(crate) enum Dialog {
    Confirm(Box<Confirm>),
    Secret(Box<SecretDialog>),
    Bulk(Box<Bulk>),
    Reader(Box<Reader>),
    Help(Help),
}

/// A secret that is shown once.
#[derive(Debug)]
pub(crate) struct SecretDialog {
    pub(crate) issued: Issued,
    pub(crate) email: String,
    pub(crate) opened: Timestamp,
    /// Until when it can be read; none: it is masked.
    pub(crate) revealed_until: Option<Timestamp>,
    /// The operator says that it is stored.
    pub(crate) is_stored: bool,
    /// The name of a file to write it to, or a command to pipe it to, while it is being typed.
    pub(crate) path: Option<Input>,
    /// It is a command.
    pub(crate) is_pipe: bool,
    pub(crate) note: Option<String>,
}

impl SecretDialog {
    /// A dialog that has just opened, with the secret masked.
    pub(crate) fn new(issued: Issued, email: String, opened: Timestamp) -> Self {
        Self {
            issued,
            email,
            opened,
            revealed_until: None,
            is_stored: false,
            path: None,
            is_pipe: false,
            note: None,
        }
    }

    /// The secret as it may be shown now.
    pub(crate) fn shown(&self) -> Zeroizing<String> {
        let secret = self.issued.client_secret.as_str();
        if self.revealed_until.is_some() {
            return Zeroizing::new(secret.to_owned());
        }
        // Prefix and credential id are no secret, and tell which one it is.
        let open = secret.rfind('_').map_or(0, |at| at + 1).min(secret.len());
        let mut shown = Zeroizing::new(secret.get(..open).unwrap_or_default().to_owned());
        let hidden = secret.len() - shown.len();
        shown.extend(std::iter::repeat_n('*', hidden));
        shown
    }

    /// A file name that says what is in it.
    pub(crate) fn suggested_path(&self) -> PathBuf {
        format!("{}.secret", self.email.replace('@', "_at_")).into()
    }
}

/// A text that is read: a record or an audit entry in full, what a command answered.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) title: String,
    lines: Vec<String>,
    /// What `y` copies.
    pub(crate) copied: String,
    pub(crate) top: usize,
    /// A table: its lines are not broken, and what is shown of them begins at this cell.
    left: Option<usize>,
    /// The log was followed when this opened, and is again when it closes.
    pub(crate) was_following: bool,
}

impl Reader {
    /// JSON, indented, in its own order.
    pub(crate) fn json(title: impl Into<String>, json: &str) -> Self {
        Self {
            lines: indent(json),
            ..Self::text(title, json)
        }
    }

    /// Lines as they are.
    pub(crate) fn text(title: impl Into<String>, text: &str) -> Self {
        Self {
            title: title.into(),
            lines: text.lines().map(str::to_owned).collect(),
            copied: text.to_owned(),
            top: 0,
            left: None,
            was_following: false,
        }
    }

    /// What a command answered: text, or a table.
    pub(crate) fn answer(title: impl Into<String>, text: &str) -> Self {
        Self {
            left: has_headings(text).then_some(0),
            ..Self::text(title, text)
        }
    }

    /// Whether there is something beside what is shown on a terminal of `size`.
    pub(crate) fn goes_sideways(&self, size: (u16, u16)) -> bool {
        self.left.is_some() && self.beyond(size) > 0
    }

    /// Shows what is further to the right, or to the left.
    pub(crate) fn go_sideways(&mut self, is_right: bool, size: (u16, u16)) {
        let beyond = self.beyond(size);
        if let Some(left) = &mut self.left {
            *left = if is_right {
                left.saturating_add(SIDEWAYS).min(beyond)
            } else {
                left.saturating_sub(SIDEWAYS)
            };
        }
    }

    /// How many cells its widest line has beyond those that there is room for.
    fn beyond(&self, size: (u16, u16)) -> usize {
        let room = usize::from(size.0.saturating_sub(AROUND.0));
        let widths = self.lines.iter().map(|line| width(&inert(line)));
        widths.max().unwrap_or(0).saturating_sub(room)
    }

    /// An audit entry as it is stored.
    pub(crate) fn entry(entry: &AuditEntry) -> Self {
        Self::json(format!("Audit entry {}", entry.seq), &entry.json)
    }

    /// The rows that its lines take on a terminal of `size`, each with its indent.
    pub(crate) fn rows(&self, size: (u16, u16)) -> Vec<(u16, String)> {
        let room = size.0.saturating_sub(AROUND.0);
        if let Some(left) = self.left {
            let cut = |line: &String| (0, part(&inert(line), left, usize::from(room)));
            return self.lines.iter().map(cut).collect();
        }
        let mut rows = Vec::new();
        for line in &self.lines {
            let text = line.trim_start();
            let indent = u16::try_from(line.len() - text.len()).unwrap_or(u16::MAX);
            let indent = indent.min(room / 2);
            let parts = wrap(&inert(text.trim_end()), usize::from(room - indent));
            rows.extend(parts.into_iter().map(|part| (indent, part)));
        }
        rows
    }

    /// How many rows are shown at once.
    pub(crate) fn height(size: (u16, u16)) -> usize {
        usize::from(size.1.saturating_sub(AROUND.1)).max(1)
    }
}

/// Whether `text` is a table of the command line: a line of headings stands above it.
fn has_headings(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let is_heading = |c: char| c.is_ascii_uppercase() || c == ' ';
    first.contains("  ") && first.chars().all(is_heading)
}

/// Breaks JSON into lines between its tokens and leaves every token as it is. What is no JSON
/// comes out on some lines too.
fn indent(json: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut depth: usize = 0;
    let mut is_string = false;
    let mut is_escaped = false;
    let mut before = None;
    for c in json.chars() {
        let opens = !is_string && matches!(c, '{' | '[');
        let closes = !is_string && matches!(c, '}' | ']');
        let is_empty = closes && matches!(before, Some('{' | '['));
        before = Some(c);
        if closes {
            depth = depth.saturating_sub(1);
        }
        if is_empty {
            // What is empty stands on one line.
            lines.pop();
        } else if closes {
            lines.push("  ".repeat(depth));
        }
        let Some(line) = lines.last_mut() else { break };
        line.push(c);
        if is_string {
            is_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        is_string = c == '"';
        if c == ':' {
            line.push(' ');
        }
        depth += usize::from(opens);
        if opens || c == ',' {
            lines.push("  ".repeat(depth));
        }
    }
    lines
}

/// The help.
#[derive(Debug)]
pub(crate) struct Help {
    /// The place whose keys stand first: where it was asked for.
    pub(crate) first: Place,
    /// The keys that are in force.
    bindings: Vec<Binding>,
    pub(crate) filter: Input,
    /// Whether the filter is being typed.
    pub(crate) is_typing: bool,
    pub(crate) top: usize,
}

impl Help {
    /// The help for someone in `places`, the nearest first.
    pub(crate) fn new(places: &[Place], map: &KeyMap) -> Self {
        Self {
            first: places.first().copied().unwrap_or(Place::Anywhere),
            bindings: map.bindings().to_vec(),
            filter: Input::default(),
            is_typing: false,
            top: 0,
        }
    }

    /// How many lines are shown at once.
    pub(crate) fn height(size: (u16, u16)) -> usize {
        usize::from(size.1.saturating_sub(6)).max(1)
    }

    /// Its lines, as many as pass the filter.
    pub(crate) fn lines(&self) -> Vec<HelpLine<'_>> {
        let filter = self.filter.value().trim().to_lowercase();
        let passes = |title: &str, key: &str, what: &str| {
            let line = format!("{title} {key} {what}");
            line.to_lowercase().contains(&filter)
        };
        let mut lines = Vec::new();
        let mut title = "";
        let (first, others): (Vec<_>, Vec<_>) =
            self.bindings.iter().partition(|it| it.place == self.first);
        for binding in first.into_iter().chain(others) {
            if !passes(binding.place.title(), &binding.label, binding.help) {
                continue;
            }
            if title != binding.place.title() {
                title = binding.place.title();
                lines.push(HelpLine::Title(title));
            }
            lines.push(HelpLine::Key(&binding.label, binding.help));
        }
        for (title, rows) in HELP_MORE {
            let rows = rows.iter().filter(|(key, what)| passes(title, key, what));
            let mut rows = rows.peekable();
            if rows.peek().is_some() {
                lines.push(HelpLine::Title(title));
            }
            lines.extend(rows.map(|(key, what)| HelpLine::Key(key, what)));
        }
        lines
    }
}

/// A line of the help.
#[derive(Debug)]
pub(crate) enum HelpLine<'a> {
    Title(&'a str),
    Key(&'a str, &'a str),
}

/// What the table of keys does not have.
const HELP_MORE: &[(&str, &[(&str, &str)])] = &[
    (
        "Filter of agents",
        &[
            (
                "status=active",
                "or suspended revoked decommissioned archived",
            ),
            ("owner=billing,ops", "several values by commas: any of them"),
            ("type=screener", "what the agent does"),
            ("env=production", "or staging development"),
            (
                "owner!=billing",
                "none of them: of status, owner, type, env",
            ),
            ("org=acme", "the organization, by name or id"),
            ("capability=res:read", "a scope that it may be granted"),
            ("email=scr", "how its e-mail begins; a whole e-mail will do"),
            ("expires-within=7d", "a credential of it expires by then"),
            ("text=invoice", "in e-mail, owner, capabilities, metadata"),
            ("word  !word", "in the rows that are loaded, or not in them"),
        ],
    ),
    (
        "Filter of the log",
        &[
            ("outcome=denied", "or success failed; several by commas"),
            ("action=token.issue", "what was done or tried"),
            ("agent=a@b.c", "whom it concerns, by e-mail or id"),
            ("since=2h  until=02:40", "how long ago, or a time in UTC"),
            ("word  !word", "in the entry as it is stored"),
        ],
    ),
    (
        "Commands",
        &[
            (":q", "quit"),
            (":health :agents ..", "go to a screen, by its name"),
            (
                ":agent show a@b.c",
                "what the command line has, without agentidp",
            ),
            ("tab, up, down", "complete; lines from before"),
            (":clock", "the clock, which writes each second"),
        ],
    ),
    (
        "Actions and dialogs",
        &[
            (
                "a, then a letter",
                "actions; one that cannot be done says why",
            ),
            ("tab, y, n, esc", "in a dialog: next field, yes, no, cancel"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::indent;

    #[test]
    fn what_is_empty_stands_on_one_line() {
        let lines = indent(r#"{"a":[],"b":{},"c":[[]],"d":"[","e":[1]}"#);
        assert_eq!(
            lines,
            [
                "{",
                r#"  "a": [],"#,
                r#"  "b": {},"#,
                r#"  "c": ["#,
                "    []",
                "  ],",
                r#"  "d": "[","#,
                r#"  "e": ["#,
                "    1",
                "  ]",
                "}",
            ]
        );
    }

    #[test]
    fn json_is_indented_and_its_tokens_are_left_alone() {
        let lines = indent(r#"{"b":"x{,:\\\"}","a":[1,{"c":null}]}"#);
        assert_eq!(
            lines,
            [
                "{",
                r#"  "b": "x{,:\\\"}","#,
                r#"  "a": ["#,
                "    1,",
                "    {",
                r#"      "c": null"#,
                "    }",
                "  ]",
                "}",
            ]
        );
    }
}
