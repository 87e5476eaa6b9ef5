//! The end of the audit log, as far as this console keeps it.

use std::collections::{HashMap, VecDeque};

use agentidp_proto::v1;
use agentidp_shared::{Action, AgentId, Entry, Outcome, Timestamp};

use super::filter::Filter;
use super::times::Clock;
use crate::text::{inert, nearest};
use crate::when;

/// How many rows are kept.
pub(crate) const KEPT: usize = 2_000;

/// The keys of the filter.
pub(crate) const FILTER_KEYS: &[&str] = &["action", "outcome", "agent", "since", "until"];

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuditRow {
    /// An entry.
    Entry(Box<AuditEntry>),
    /// These entries are not here, the last one included.
    Gap { from: u64, to: u64 },
}

/// An entry as it is stored, and read when this version can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    pub(crate) seq: u64,
    pub(crate) entry: Option<Entry>,
    pub(crate) json: String,
}

impl AuditEntry {
    pub(crate) fn new(entry: &v1::AuditEntry) -> Self {
        Self {
            seq: entry.seq,
            entry: serde_json::from_slice(&entry.json).ok(),
            json: String::from_utf8_lossy(&entry.json).into_owned(),
        }
    }

    /// The agents that it concerns, by id.
    pub(crate) fn agents(&self) -> Vec<String> {
        let agents = self.entry.iter().flat_map(crate::audit_text::agents);
        agents.collect()
    }
}

impl AuditRow {
    /// The first sequence number that it stands for.
    pub(crate) fn seq(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.seq,
            Self::Gap { from, .. } => *from,
        }
    }
}

/// The audit log's end.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Oldest first.
    rows: VecDeque<AuditRow>,
    pub(crate) filter: Filter,
    /// What of the filter is about time: from then on, and before then.
    pub(crate) span: (Option<Timestamp>, Option<Timestamp>),
    /// The agents that the filter names, as far as the daemon has told which they are.
    named: HashMap<String, AgentId>,
    /// The text that is looked for; empty: none.
    pub(crate) search: String,
    /// How many rows there were when it was frozen; none while it follows.
    frozen: Option<usize>,
    /// The row that the cursor is on while frozen, by its first sequence number.
    pub(crate) selected: Option<u64>,
    /// The first row on the screen while frozen, by its place among the shown.
    pub(crate) top: usize,
    /// How many gaps the daemon told of.
    pub(crate) gaps: usize,
}

impl Audit {
    /// Begins anew with what the daemon gave.
    pub(crate) fn restart(&mut self, rows: Vec<AuditRow>) {
        *self = Self {
            rows: rows.into(),
            filter: std::mem::take(&mut self.filter),
            span: self.span,
            named: std::mem::take(&mut self.named),
            search: std::mem::take(&mut self.search),
            ..Self::default()
        };
        while self.rows.len() > KEPT {
            self.rows.pop_front();
        }
    }

    /// Shows what `filter` lets through; refuses one that can let nothing through, and then changes
    /// nothing. Gives the agents that it names: only the daemon knows which they are.
    pub(crate) fn filter_by(
        &mut self,
        filter: Filter,
        clock: &Clock,
    ) -> Result<Vec<String>, String> {
        let mut span = (None, None);
        let mut names = Vec::new();
        for term in &filter.pairs {
            let (key, value) = (term.key.as_str(), term.value.as_str());
            let told = |rule: &str| format!("{key} {rule}");
            for value in value.split(',') {
                match key {
                    "action" => check_action(value)?,
                    "outcome" => {
                        let parsed = value.parse::<Outcome>();
                        parsed.map_err(|error| told(error.rule))?;
                    }
                    _ => {}
                }
            }
            match key {
                "since" | "until" if term.is_not => {
                    return Err(told("can only be asked for with ="));
                }
                "since" => span.0 = Some(moment(value, clock).map_err(|rule| told(&rule))?),
                "until" => span.1 = Some(moment(value, clock).map_err(|rule| told(&rule))?),
                "agent" => names.extend(value.split(',').map(str::to_owned)),
                _ => {}
            }
        }
        if let (Some(since), Some(until)) = span
            && since >= until
        {
            return Err("since is not before until: nothing is between them".to_owned());
        }
        self.filter = filter;
        self.span = span;
        self.named.clear();
        Ok(names)
    }

    /// The daemon told which agent the filter names.
    pub(crate) fn name(&mut self, name: String, id: AgentId) {
        self.named.insert(name, id);
    }

    /// Takes in what the stream brought.
    pub(crate) fn push(&mut self, row: AuditRow) {
        if matches!(row, AuditRow::Gap { .. }) {
            self.gaps += 1;
        }
        self.rows.push_back(row);
        match self.frozen {
            None if self.rows.len() > KEPT => {
                self.rows.pop_front();
            }
            // What is frozen stays. What comes is kept too, to as many rows again; then a gap
            // says what was let go.
            Some(frozen) if self.rows.len() > frozen + KEPT => self.let_go(frozen),
            _ => {}
        }
    }

    fn let_go(&mut self, at: usize) {
        let (Some(first), Some(second)) = (self.rows.remove(at), self.rows.remove(at)) else {
            return;
        };
        let to = match second {
            AuditRow::Gap { to, .. } => to,
            AuditRow::Entry(entry) => entry.seq,
        };
        self.rows.insert(
            at,
            AuditRow::Gap {
                from: first.seq(),
                to,
            },
        );
    }

    /// How many rows are kept, in all.
    pub(crate) fn kept(&self) -> usize {
        self.rows.len()
    }

    /// How many rows came since it was frozen; none while it follows.
    pub(crate) fn held_back(&self) -> Option<usize> {
        self.frozen
            .map(|frozen| self.rows.len().saturating_sub(frozen))
    }

    /// The rows to show, oldest first: those that pass the filter, up to where it is frozen. Gaps
    /// always pass: what is not here might have passed.
    pub(crate) fn shown(&self, name_agent: impl Fn(&str) -> String) -> Vec<&AuditRow> {
        self.rows
            .iter()
            .take(self.frozen.unwrap_or(usize::MAX))
            .filter(|row| match row {
                AuditRow::Entry(entry) => self.passes(entry, &name_agent),
                AuditRow::Gap { .. } => true,
            })
            .collect()
    }

    /// Stops at what is there now.
    pub(crate) fn freeze(&mut self) {
        if self.frozen.is_none() {
            self.frozen = Some(self.rows.len());
        }
    }

    /// Shows the newest again.
    pub(crate) fn follow(&mut self) {
        self.frozen = None;
        self.selected = None;
        while self.rows.len() > KEPT {
            self.rows.pop_front();
        }
    }

    /// Whether it is frozen.
    pub(crate) const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    fn passes(&self, entry: &AuditEntry, name_agent: &impl Fn(&str) -> String) -> bool {
        let filter = &self.filter;
        if filter.pairs.is_empty() && filter.words.is_empty() {
            return true;
        }
        let pairs = filter.pairs.iter().all(|term| {
            let Some(entry) = &entry.entry else {
                return false;
            };
            let mut values = term.value.split(',');
            let is_so = match term.key.as_str() {
                "action" => values.any(|it| entry.action.as_str() == it),
                "outcome" => values.any(|it| entry.outcome.as_str() == it),
                "since" => self.span.0.is_none_or(|since| entry.time >= since),
                "until" => self.span.1.is_none_or(|until| entry.time < until),
                _ => values.any(|it| self.concerns(entry, it, name_agent)),
            };
            is_so != term.is_not
        });
        pairs && filter.matches(&entry.json)
    }

    fn concerns(&self, entry: &Entry, agent: &str, name_agent: &impl Fn(&str) -> String) -> bool {
        let is_named = self
            .named
            .get(agent)
            .is_some_and(|id| entry.concerns_agent(*id));
        let ids = [
            entry.agent_id.map(|id| id.to_string()),
            entry.actor.id.clone(),
            entry.target.as_ref().map(|target| target.id.clone()),
        ];
        is_named
            || entry.actor.name.as_deref() == Some(agent)
            || ids
                .iter()
                .flatten()
                .any(|id| id == agent || name_agent(id) == agent)
    }
}

/// A moment, in the zone that the log is shown in.
fn moment(text: &str, clock: &Clock) -> Result<Timestamp, String> {
    when::parse_in(text, clock.now, &clock.zone)
}

/// Refuses what is no action, with the one that may be meant.
fn check_action(text: &str) -> Result<(), String> {
    if text.parse::<Action>().is_ok() {
        return Ok(());
    }
    let meant = nearest(text, Action::ALL.iter().map(|it| it.as_str()));
    let meant = meant.map_or_else(String::new, |it| format!(" did you mean {it}?"));
    let text = inert(text);
    Err(format!("there is no action {text}:{meant} tab shows all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64) -> AuditRow {
        AuditRow::Entry(Box::new(AuditEntry::new(&v1::AuditEntry {
            seq,
            json: format!("{{\"seq\":{seq}}}").into_bytes(),
        })))
    }

    fn seqs(audit: &Audit) -> Vec<u64> {
        let rows = audit.shown(|_| String::new());
        rows.iter().map(|row| row.seq()).collect()
    }

    #[test]
    fn following_keeps_the_newest() {
        let mut audit = Audit::default();
        for seq in 0..KEPT as u64 + 5 {
            audit.push(row(seq));
        }
        assert_eq!(audit.kept(), KEPT);
        assert_eq!(seqs(&audit).first(), Some(&5));
    }

    #[test]
    fn what_is_frozen_stays_and_what_is_let_go_is_named() {
        let mut audit = Audit::default();
        for seq in 0..10 {
            audit.push(row(seq));
        }
        audit.freeze();
        for seq in 10..KEPT as u64 + 20 {
            audit.push(row(seq));
        }
        assert_eq!(seqs(&audit), (0..10).collect::<Vec<_>>());
        assert_eq!(audit.kept(), 10 + KEPT);
        audit.frozen = None;
        let rows = audit.shown(|_| String::new());
        assert_eq!(rows[10], &AuditRow::Gap { from: 10, to: 20 });
        assert_eq!(rows[11].seq(), 21);
    }

    #[test]
    fn a_gap_is_shown_whatever_the_filter() {
        let mut audit = Audit::default();
        audit.push(row(1));
        audit.push(AuditRow::Gap { from: 2, to: 9 });
        audit.filter = Filter::parse("outcome=denied", FILTER_KEYS).unwrap();
        assert_eq!(seqs(&audit), [2]);
        assert_eq!(audit.gaps, 1);
    }
}
