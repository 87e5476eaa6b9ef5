//! The table of keys: what each does, and where.

use super::keys::{Deed, Place};

/// A row as it is written below.
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) deed: Deed,
    pub(super) name: &'static str,
    pub(super) keys: &'static str,
    pub(super) help: &'static str,
    pub(super) hint: &'static str,
}

macro_rules! rows {
    ($( $place:ident: $deed:ident, $keys:literal, $help:literal, $hint:literal; )+) => {
        &[$( Row {
            place: Place::$place,
            deed: Deed::$deed,
            name: stringify!($deed),
            keys: $keys,
            help: $help,
            hint: $hint,
        } ),+]
    };
}

/// The table.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = rows! {
    Agents: Open, "enter", "open the agent", "open";
    Agents: Menu, "a", "actions on the agent, or on those marked", "actions";
    Agents: MenuOfAll, "A", "actions on all that the filter lets through", "";
    Agents: Filter, "/", "filter: see Filter of agents below", "filter";
    Agents: Mark, "space", "mark, or take the mark away, and go to the next row", "mark";
    Agents: Range, "v", "begin a range here; again: mark it", "";
    Agents: Unmark, "u", "take all marks away", "";
    Agents: Sort, "s", "sort by the next: created email last_auth expires", "sort";
    Agents: Reverse, "S", "the other way round", "";
    Agents: Time, "t", "times as age, local or UTC", "";
    Agents: Copy, "y", "copy the agent's id", "";
    Agents: Json, "e", "the agent's record as JSON", "";
    Detail: Menu, "a", "actions on the agent and the credential", "actions";
    Detail: NextTab, "tab", "credentials, grants, audit", "next";
    Detail: TabBefore, "backtab", "the tab before", "";
    Detail: Open, "enter", "open the audit entry", "";
    Detail: Time, "t", "times as age, local or UTC", "time";
    Detail: Copy, "y", "copy the id of what is selected", "copy";
    Detail: Json, "e", "the record as JSON", "json";
    Health: Reload, "^r", "ask the daemon again", "";
    Credentials: Open, "enter", "open the credential's agent", "open";
    Credentials: NextKind, "tab", "expiring, retiring and still used, never used", "next";
    Credentials: Time, "t", "times as age, local or UTC", "time";
    Credentials: Copy, "y", "copy the credential's id", "copy";
    Credentials: Json, "e", "the credential's record as JSON", "json";
    Audit: Follow, "f", "follow the log", "follow";
    Audit: Freeze, "p", "freeze what is shown, or follow again", "freeze";
    Audit: Filter, "/", "filter: action=X outcome=X agent=X, a word, !word", "filter";
    Audit: Search, "s", "search for a text in what is shown", "search";
    Audit: NextMatch, "n", "the next that has the text, downwards", "";
    Audit: MatchBefore, "N", "the one before it, upwards", "";
    Audit: Open, "enter", "open the entry", "open";
    Audit: Time, "t", "times in UTC, local or as age", "";
    Audit: Copy, "y", "copy the entry as it is stored", "";
    Audit: Export, "w", "write what is shown to a file, as NDJSON", "";
    Keys: Menu, "a", "actions on the signing keys", "actions";
    Keys: Time, "t", "times as age, local or UTC", "time";
    Keys: Copy, "y", "copy the key's kid", "copy";
    Keys: Json, "e", "the key's record as JSON", "json";
    List: Down, "j down", "next row", "";
    List: Up, "k up", "row before", "";
    List: Top, "g home", "first row", "";
    List: Bottom, "G end", "last row", "";
    List: PageDown, "^d pgdn", "half a screen down", "";
    List: PageUp, "^u pgup", "half a screen up", "";
    List: Reload, "^r", "read everything again", "";
    Anywhere: Undo, "U", "undo the last suspend or resume", "";
    Anywhere: Back, "esc q", "back", "";
    Anywhere: CommandLine, ":", "command: see Commands below", "cmd";
    Anywhere: CommandLog, "@", "what was done here, as command lines", "";
    Anywhere: Help, "?", "this help", "help";
    Anywhere: Health, "1", "health", "";
    Anywhere: Agents, "2", "agents", "";
    Anywhere: Credentials, "3", "credentials of all agents", "";
    Anywhere: Approvals, "4", "approvals", "";
    Anywhere: Audit, "5", "audit", "";
    Anywhere: Keys, "6", "signing keys", "";
    Anywhere: Cancel, "^c", "cancel the thing at hand", "";
    Anywhere: Redraw, "^l", "draw the screen anew", "";
    Anywhere: Stop, "^z", "stop; fg comes back", "";
};
