//! A change of many agents about to be made: first counted, then confirmed by typing the count,
//! then watched.

use agentidp_shared::Timestamp;
use agentidp_shared::agent::Transition;
use tui_input::Input;

use crate::client::Refused;
use crate::command_line::{transition, transition_many};
use crate::tui::event::BulkOrder;

use super::confirm::{Act, Field};
use super::marks::Pinned;

/// How many refusals are kept to be shown.
const REFUSED: usize = 100;

/// Which agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Many {
    /// These, each at the revision that was seen.
    Marked(Vec<Pinned>),
    /// All that the filter, as it was typed and as the daemon takes it, lets through.
    Filter(String, Box<agentidp_proto::v1::AgentFilter>),
}

/// What a change of many came to, so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// How many agents are meant.
    pub(crate) matched: u64,
    /// How many were moved, or would be.
    pub(crate) done: u64,
    /// How many were there already.
    pub(crate) unchanged: u64,
    /// How many could not be moved.
    pub(crate) refused: u64,
    /// The first of those.
    pub(crate) first_refused: Vec<Refused>,
}

impl Sums {
    /// What would become of pinned agents, as far as they are known here.
    pub(crate) fn of(pinned: &[Pinned], transition: Transition) -> Self {
        let mut sums = Self {
            matched: pinned.len() as u64,
            ..Self::default()
        };
        for agent in pinned {
            match agent.would_move(transition) {
                Ok(true) => sums.done += 1,
                Ok(false) => sums.unchanged += 1,
                Err(message) => sums.refuse([Refused {
                    agent_id: agent.id.to_string(),
                    email: agent.email.clone(),
                    code: String::new(),
                    message,
                }]),
            }
        }
        sums
    }

    /// Notes who refused.
    pub(crate) fn refuse(&mut self, refused: impl IntoIterator<Item = Refused>) {
        for one in refused {
            self.refused += 1;
            if self.first_refused.len() < REFUSED {
                self.first_refused.push(one);
            }
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The daemon counts.
    Counting,
    /// The operator decides.
    Deciding,
    /// The daemon works.
    Working,
    /// It has been told to stop, and what was done is not known yet.
    Stopping,
    /// It is over.
    Over,
}

impl Stage {
    /// Whether the fields and buttons are there.
    pub(crate) const fn has_fields(self) -> bool {
        matches!(self, Self::Counting | Self::Deciding)
    }
}

/// A change of many agents.
#[derive(Debug)]
pub(crate) struct Bulk {
    /// Tells its answers from those of another.
    pub(crate) ticket: u64,
    pub(crate) act: Act,
    pub(crate) many: Many,
    pub(crate) sums: Sums,
    /// What was counted of marked agents before: of those, only the ones that would change are asked for.
    left: Option<Sums>,
    pub(crate) stage: Stage,
    pub(crate) reason: Input,
    pub(crate) typed: Input,
    pub(crate) focus: Field,
    pub(crate) opened: Timestamp,
    pub(crate) note: Option<String>,
}

impl Bulk {
    /// A dialog that has just opened. Marked agents are counted here, others by the daemon.
    pub(crate) fn new(ticket: u64, act: Act, many: Many, opened: Timestamp) -> Self {
        let (sums, stage) = match (&many, act.transition()) {
            (Many::Marked(pinned), Some(transition)) => {
                (Sums::of(pinned, transition), Stage::Deciding)
            }
            _ => (Sums::default(), Stage::Counting),
        };
        let mut bulk = Self {
            ticket,
            act,
            many,
            left: (stage == Stage::Deciding).then(|| sums.clone()),
            sums,
            stage,
            reason: Input::default(),
            typed: Input::default(),
            focus: Field::Cancel,
            opened,
            note: None,
        };
        bulk.focus = bulk.fields().first().copied().unwrap_or(Field::Cancel);
        bulk
    }

    /// The fields and buttons, in the order that Tab goes through them: as they stand.
    pub(crate) fn fields(&self) -> &'static [Field] {
        match self.act {
            Act::Resume | Act::Archive => &[Field::Typed, Field::Cancel, Field::Go],
            _ => &[Field::Reason, Field::Typed, Field::Cancel, Field::Go],
        }
    }

    /// The field that has the focus, when it is one to type in.
    pub(crate) fn input(&mut self) -> Option<&mut Input> {
        match self.focus {
            Field::Reason => Some(&mut self.reason),
            Field::Typed => Some(&mut self.typed),
            Field::Period | Field::Cancel | Field::Go => None,
        }
    }

    /// Moves the focus by one.
    pub(crate) fn turn(&mut self, is_forward: bool) {
        let fields = self.fields();
        let at = fields.iter().position(|it| *it == self.focus).unwrap_or(0);
        let by = if is_forward { 1 } else { fields.len() - 1 };
        if let Some(field) = fields.get((at + by) % fields.len()) {
            self.focus = *field;
        }
    }

    /// What is typed to unlock it: how many agents would change.
    pub(crate) fn count(&self) -> String {
        self.sums.done.to_string()
    }

    /// Takes in how far the daemon is. Those whom it was not asked about, because they would not change,
    /// stay among the sums.
    pub(crate) fn went_on(&mut self, sums: Sums) {
        let Some(left) = &self.left else {
            self.sums = sums;
            return;
        };
        self.sums = Sums {
            matched: sums.matched + left.unchanged + left.refused,
            unchanged: sums.unchanged + left.unchanged,
            ..left.clone()
        };
        self.sums.done = sums.done;
        self.sums.refused += sums.refused;
        let first = sums.first_refused.into_iter();
        self.sums.first_refused.splice(0..0, first);
    }

    /// Begins the change, of which nothing is done yet: what was counted before only tells who is meant.
    pub(crate) fn begin(&mut self) {
        self.stage = Stage::Working;
        let meant = match &self.left {
            Some(counted) => counted.done,
            None => self.sums.matched,
        };
        self.went_on(Sums {
            matched: meant,
            ..Sums::default()
        });
    }

    /// Whether something else than the count was typed.
    pub(crate) fn is_mistyped(&self) -> bool {
        let typed = self.typed.value().trim();
        !typed.is_empty() && typed != self.count()
    }

    /// Why it cannot be done yet; none when it can.
    pub(crate) fn why_locked(&self) -> Option<String> {
        match self.stage {
            Stage::Counting => return Some("the daemon counts".to_owned()),
            Stage::Working | Stage::Stopping => return Some("under way".to_owned()),
            Stage::Over => return Some("it is over".to_owned()),
            Stage::Deciding => {}
        }
        if self.sums.done == 0 {
            return Some("there is nothing to do".to_owned());
        }
        if self.fields().contains(&Field::Reason) && self.reason.value().trim().is_empty() {
            return Some("a reason is missing".to_owned());
        }
        if self.typed.value().trim() != self.count() {
            return Some(format!("type {} to unlock", self.count()));
        }
        None
    }

    /// What to ask the connection for.
    pub(crate) fn order(&self, is_dry_run: bool) -> Option<BulkOrder> {
        let transition = self.act.transition()?;
        let many = match &self.many {
            // Those that would not move are left alone.
            Many::Marked(pinned) => Many::Marked(
                pinned
                    .iter()
                    .filter(|it| it.would_move(transition) == Ok(true))
                    .cloned()
                    .collect(),
            ),
            filter @ Many::Filter(..) => filter.clone(),
        };
        Some(BulkOrder {
            ticket: self.ticket,
            transition,
            reason: self.reason.value().trim().to_owned(),
            many,
            expected: (!is_dry_run).then_some(self.sums.matched),
            is_dry_run,
        })
    }

    /// The command lines that do the same: one for a filter, and one for each marked agent.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        let Some(order) = self.order(false) else {
            return Vec::new();
        };
        order.command_lines()
    }
}

impl BulkOrder {
    /// The command lines that do the same.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        match &self.many {
            Many::Filter(text, _) => vec![transition_many(self.transition, text, &self.reason)],
            Many::Marked(pinned) => pinned
                .iter()
                .map(|it| transition(self.transition, &it.email, it.revision, &self.reason))
                .collect(),
        }
    }
}
