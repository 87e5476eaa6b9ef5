//! The list of agents: a window of pages over a registry of any size.

mod arrive;
mod mark;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use agentidp_proto::v1;
use agentidp_shared::{Agent, AgentId, Timestamp};

use crate::agent_filter;
use crate::client::{AgentQuery, ListedAgent};

use super::filter::Filter;
use super::marks::Marks;
use super::order::{By, Order};

/// How many agents a page has.
pub(crate) const PAGE: u32 = 200;

/// How many pages are kept: a registry of a million costs no more than one of two thousand.
const WINDOW: usize = 10;

/// How often the list follows the log at most.
const FOLLOW: Duration = Duration::from_millis(500);

/// How many changed agents are read at once.
const FOLLOW_AT_ONCE: usize = 20;

/// The keys of the filter, which the daemon understands.
pub(crate) const FILTER_KEYS: &[&str] = agent_filter::KEYS;

/// The list of agents.
#[derive(Debug)]
pub(crate) struct Agents {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    /// The pages come from the end of the order: the daemon is asked the other way round, and the
    /// rows are turned over.
    is_from_end: bool,
    pub(crate) marks: Marks,
    /// What of the filter the daemon is asked for.
    asked: v1::AgentFilter,
    /// How many agents the daemon says there are, where it does.
    pub(crate) total: Option<u64>,
    /// How many there were when nothing was filtered, as far as that is known.
    pub(crate) of: Option<u64>,
    pages: VecDeque<Vec<ListedAgent>>,
    /// The number of the first page that is kept.
    first: usize,
    /// What to ask each page with, as far as it is known.
    tokens: Vec<String>,
    /// Changes when the list begins anew, so that late answers are not taken for new ones.
    pub(crate) ticket: u64,
    /// The page that was asked for and has not come.
    pub(crate) loading: Option<usize>,
    pub(crate) selected: Option<AgentId>,
    /// Where the selected row was last, for when its agent leaves the list.
    index: usize,
    /// The first row on the screen.
    pub(crate) top: usize,
    pub(crate) failed: Option<String>,
    /// The log says that there are new agents.
    pub(crate) has_new: bool,
    /// Agents that changed, according to the log.
    pub(crate) changed: BTreeSet<AgentId>,
    /// When what the log says was last acted on.
    followed: Option<Timestamp>,
}

impl Default for Agents {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            order: Order::default(),
            is_from_end: false,
            marks: Marks::default(),
            asked: v1::AgentFilter::default(),
            total: None,
            of: None,
            pages: VecDeque::new(),
            first: 0,
            tokens: vec![String::new()],
            ticket: 0,
            loading: None,
            selected: None,
            index: 0,
            top: 0,
            failed: None,
            has_new: false,
            changed: BTreeSet::new(),
            followed: None,
        }
    }
}

/// What to ask the daemon for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) page: usize,
    pub(crate) token: String,
}

impl Agents {
    /// Forgets the rows and begins anew with `filter`; the selection stays by id. Refuses a filter
    /// that the daemon would, and then changes nothing.
    pub(crate) fn restart(&mut self, filter: Filter, now: Timestamp) -> Result<(), String> {
        let mut asked = v1::AgentFilter::default();
        for term in &filter.pairs {
            agent_filter::add(&mut asked, term, now)?;
        }
        *self = Self {
            filter,
            asked,
            order: self.order,
            marks: std::mem::take(&mut self.marks),
            of: self.of,
            ticket: self.ticket + 1,
            selected: self.selected,
            ..Self::default()
        };
        Ok(())
    }

    /// Forgets the rows and begins anew in another order; the selection stays by id.
    pub(crate) fn reorder(&mut self, order: Order) {
        self.order = order;
        self.begin(false, self.selected);
    }

    /// Forgets the rows and begins at the one end of the order or the other.
    fn begin(&mut self, is_from_end: bool, selected: Option<AgentId>) {
        *self = Self {
            filter: std::mem::take(&mut self.filter),
            asked: std::mem::take(&mut self.asked),
            order: self.order,
            is_from_end,
            marks: std::mem::take(&mut self.marks),
            total: self.total,
            of: self.of,
            ticket: self.ticket + 1,
            selected,
            ..Self::default()
        };
    }

    /// Goes to the first agent of all, not only of those that are kept.
    pub(crate) fn go_first(&mut self, height: usize) {
        if self.is_kept(false) {
            self.select(0, height);
        } else {
            self.begin(false, None);
        }
    }

    /// Goes to the last agent of all, not only of those that are kept.
    pub(crate) fn go_last(&mut self, height: usize) {
        if self.is_kept(true) {
            self.select(usize::MAX, height);
        } else {
            self.begin(true, None);
        }
    }

    /// Whether the first, or the last, agent of all is among those that are kept.
    fn is_kept(&self, last: bool) -> bool {
        if self.pages.is_empty() {
            // Nothing came yet: what comes first is where it begins.
            return self.is_from_end == last;
        }
        if self.is_from_end == last {
            self.first == 0
        } else {
            self.is_complete() || self.is_full_of_others()
        }
    }

    /// What the daemon is to give.
    pub(crate) fn query(&self) -> AgentQuery {
        let order = if self.order.by == By::Created {
            String::new()
        } else {
            self.order.by.word().to_owned()
        };
        AgentQuery {
            filter: self.asked.clone(),
            order,
            is_ascending: self.order.is_ascending != self.is_from_end,
        }
    }

    /// What of the filter the daemon is asked for.
    pub(crate) const fn asked(&self) -> &v1::AgentFilter {
        &self.asked
    }

    /// Every agent that is kept, in the order they stand.
    pub(crate) fn loaded(&self) -> impl Iterator<Item = &ListedAgent> {
        let rows = self.pages.iter().flatten();
        let turned = self.is_from_end.then(|| rows.clone().rev());
        let straight = (!self.is_from_end).then_some(rows);
        straight
            .into_iter()
            .flatten()
            .chain(turned.into_iter().flatten())
    }

    /// The rows that pass the filter's words.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &ListedAgent> {
        self.loaded().filter(|it| {
            self.filter.words.is_empty() || self.filter.matches(&searchable(&it.agent))
        })
    }

    /// How many agents are known, and whether there are no more.
    pub(crate) fn extent(&self) -> (usize, bool) {
        let loaded = self.loaded().count();
        let before = self.first * usize::try_from(PAGE).unwrap_or(0);
        (before + loaded, self.is_complete())
    }

    /// Words are matched against what is kept. They do not walk through a registry of a million
    /// in search of a match: that is what the daemon's filters are for.
    fn is_full_of_others(&self) -> bool {
        !self.filter.words.is_empty() && self.pages.len() >= WINDOW
    }

    fn is_complete(&self) -> bool {
        !self.pages.is_empty() && self.tokens.len() <= self.first + self.pages.len()
    }

    /// An agent that is kept.
    pub(crate) fn get(&self, id: AgentId) -> Option<&Agent> {
        let mut agents = self.loaded().map(|it| &it.agent);
        agents.find(|agent| agent.id == id)
    }

    /// The selected agent.
    pub(crate) fn selected(&self) -> Option<&Agent> {
        self.selected
            .and_then(|id| self.rows().find(|it| it.agent.id == id))
            .map(|it| &it.agent)
    }

    fn selected_index(&self) -> Option<usize> {
        let id = self.selected?;
        self.rows().position(|it| it.agent.id == id)
    }

    /// Which row of all the selected one is, counted from 1; none while that is not known.
    pub(crate) fn place(&self) -> Option<usize> {
        let before = self.first * usize::try_from(PAGE).unwrap_or(0);
        let is_known = !self.is_from_end && (before == 0 || self.filter.words.is_empty());
        let index = self.selected_index().filter(|_| is_known)?;
        Some(before + index + 1)
    }

    fn id_at(&self, index: usize) -> Option<AgentId> {
        self.rows().nth(index).map(|it| it.agent.id)
    }

    /// Moves the selection by `by` rows, and the screen of `height` rows with it.
    pub(crate) fn step(&mut self, by: isize, height: usize) {
        let from = self.selected_index().unwrap_or(self.index);
        self.select(from.saturating_add_signed(by), height);
    }

    /// Selects the row at `index`, or the last one.
    pub(crate) fn select(&mut self, index: usize, height: usize) {
        let count = self.rows().count();
        self.index = index.min(count.saturating_sub(1));
        self.selected = self.id_at(self.index);
        self.settle(height);
    }

    /// Brings selection and screen in line with the rows.
    pub(crate) fn settle(&mut self, height: usize) {
        if let Some(index) = self.selected_index() {
            self.index = index;
        } else {
            let count = self.rows().count();
            self.index = self.index.min(count.saturating_sub(1));
            self.selected = self.id_at(self.index);
        }
        let lowest = self.index.saturating_sub(height.saturating_sub(1));
        // No screen begins so low that it ends in nothing.
        let last_top = self.rows().count().saturating_sub(height);
        self.top = self.top.clamp(lowest, self.index).min(last_top);
    }

    /// What is missing around a screen of `height` rows; asks for one page at a time.
    pub(crate) fn want(&self, height: usize) -> Option<Want> {
        if self.loading.is_some() || self.failed.is_some() {
            return None;
        }
        let is_low = self.index < height;
        let is_high = self.index + height >= self.rows().count();
        let (is_near_start, is_near_end) = if self.is_from_end {
            (is_high, is_low)
        } else {
            (is_low, is_high)
        };
        let page = if self.pages.is_empty() {
            self.first
        } else if self.is_full_of_others() {
            return None;
        } else if is_near_end && !self.is_complete() {
            self.first + self.pages.len()
        } else if is_near_start && self.first > 0 {
            self.first - 1
        } else {
            return None;
        };
        self.ask(page)
    }

    /// The page of the selected row, to be read again.
    pub(crate) fn want_again(&self) -> Option<Want> {
        if self.loading.is_some() {
            return None;
        }
        let page = self
            .pages
            .iter()
            .position(|rows| rows.iter().any(|it| Some(it.agent.id) == self.selected))
            .unwrap_or(0);
        self.ask(self.first + page)
    }

    /// What to read because the log says that it changed: a few agents, and the first page. Not
    /// more often than [`FOLLOW`], so that a storm in the log is no storm of questions.
    pub(crate) fn want_changed(&mut self, now: Timestamp) -> (Vec<AgentId>, Option<Want>) {
        if self.followed.is_some_and(|last| now.since(last) < FOLLOW)
            || (self.changed.is_empty() && !(self.has_new && self.comes_newest_first()))
        {
            return (Vec::new(), None);
        }
        self.followed = Some(now);
        let changed = std::iter::from_fn(|| self.changed.pop_first());
        let changed: Vec<_> = changed.take(FOLLOW_AT_ONCE).collect();
        // Where the first page is not kept, the new agents come with it; and in another order than
        // that of registration they may be anywhere.
        let is_newest_first = self.comes_newest_first();
        self.has_new &= self.first == 0 || !is_newest_first;
        let is_free = self.has_new && is_newest_first && self.loading.is_none();
        let first = is_free.then(|| self.ask(0)).flatten();
        if first.is_some() {
            self.has_new = false;
        }
        (changed, first)
    }

    fn comes_newest_first(&self) -> bool {
        self.order == Order::default() && !self.is_from_end
    }

    fn ask(&self, page: usize) -> Option<Want> {
        let token = self.tokens.get(page)?.clone();
        Some(Want { page, token })
    }
}

fn searchable(agent: &Agent) -> String {
    format!(
        "{} {} {} {} {} {}",
        agent.email, agent.owner, agent.status, agent.agent_type, agent.deployment_env, agent.id
    )
}
