//! What stands over a screen and has all the keys.

use std::path::PathBuf;
use std::time::Duration;

use agentidp_shared::Timestamp;
use tui_input::Input;
use zeroize::Zeroizing;

use crate::client::Issued;

use super::audit::AuditEntry;
use super::confirm::Confirm;

/// How long keys are dropped after a dialog opens: they were typed for what was there before.
pub(crate) const DEAF: Duration = Duration::from_millis(250);

/// How long a revealed secret stays revealed.
pub(crate) const REVEALED: Duration = Duration::from_mins(1);

/// A dialog.
#[derive(Debug)]
pub(crate) enum Dialog {
    Confirm(Box<Confirm>),
    Secret(Box<SecretDialog>),
    Entry(Box<EntryDialog>),
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
    /// The name of a file to write it to, while it is being typed.
    pub(crate) path: Option<Input>,
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

/// One audit entry, in full.
#[derive(Debug)]
pub(crate) struct EntryDialog {
    pub(crate) entry: AuditEntry,
    pub(crate) top: usize,
}

impl EntryDialog {
    /// The entry's lines: the JSON that is stored, indented, in its own order.
    pub(crate) fn lines(&self) -> Vec<String> {
        indent(&self.entry.json)
    }
}

/// Breaks JSON into lines between its tokens and leaves every token as it is. What is no JSON
/// comes out on some lines too.
fn indent(json: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut depth: usize = 0;
    let mut is_string = false;
    let mut is_escaped = false;
    for c in json.chars() {
        let opens = !is_string && matches!(c, '{' | '[');
        let closes = !is_string && matches!(c, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
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
#[derive(Debug, Default)]
pub(crate) struct Help {
    pub(crate) filter: Input,
    pub(crate) top: usize,
}

#[cfg(test)]
mod tests {
    use super::indent;

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
