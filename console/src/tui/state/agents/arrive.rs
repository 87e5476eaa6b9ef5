//! What comes from the daemon: pages, and single agents as they are now.

use std::collections::VecDeque;

use agentidp_proto::v1;
use agentidp_shared::{Agent, AgentId, AgentStatus};

use crate::client::{ListedAgent, Page};

use super::{Agents, PAGE, WINDOW};

impl Agents {
    /// Takes in a page that came.
    pub(crate) fn arrived(&mut self, page: usize, rows: Page<ListedAgent>, height: usize) {
        self.total = rows.total;
        if self.asked == v1::AgentFilter::default() {
            self.of = rows.total;
        }
        self.loading = None;
        self.failed = None;
        // Rows may come or go before those on the screen: the selected one keeps its place there.
        let place = self.index.saturating_sub(self.top);
        let was_on_top = self.top == 0;
        let end = self.first + self.pages.len();
        if self.pages.is_empty() || page == end {
            self.tokens.truncate(page + 1);
            self.tokens.extend(rows.next);
            if self.pages.is_empty() {
                self.first = page;
                if self.is_from_end && self.selected.is_none() {
                    self.selected = rows.items.first().map(|it| it.agent.id);
                }
            }
            self.pages.push_back(rows.items);
            if self.pages.len() > WINDOW {
                self.pages.pop_front();
                self.first += 1;
            }
        } else if page + 1 == self.first {
            self.first = page;
            self.pages.push_front(rows.items);
            if self.pages.len() > WINDOW {
                self.pages.pop_back();
            }
        } else if (self.first..end).contains(&page) {
            self.merge(page, rows);
            if was_on_top && self.comes_newest_first() {
                // Who looks at the newest sees what is new.
                self.settle(height);
                return;
            }
        }
        if let Some(index) = self.selected_index() {
            self.top = index.saturating_sub(place);
        }
        self.settle(height);
    }

    /// Takes in a page that was read again. Rows keep their places; new agents come first.
    fn merge(&mut self, page: usize, rows: Page<ListedAgent>) {
        let all = rows.items.clone();
        let mut fresh = Vec::new();
        let mut is_known = false;
        for listed in rows.items {
            if self.get(listed.agent.id).is_some() {
                is_known = true;
                self.patch(listed);
            } else {
                fresh.push(listed);
            }
        }
        if page != 0 {
            return;
        }
        let is_empty = self.pages.iter().all(Vec::is_empty);
        let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let is_room = self.loaded().count() + fresh.len() <= WINDOW * page;
        if !self.comes_newest_first() {
            // Where a new one belongs, the daemon tells when the list is read anew.
            return;
        }
        if is_empty || (is_known && is_room) {
            if let Some(first) = self.pages.front_mut() {
                first.splice(0..0, fresh);
            }
            if is_empty {
                self.tokens.truncate(1);
                self.tokens.extend(rows.next);
            }
        } else if !fresh.is_empty() {
            // So much is new that what was there does not adjoin any more, or has no room.
            self.pages = VecDeque::from([all]);
            self.tokens.truncate(1);
            self.tokens.extend(rows.next);
        }
    }

    /// Takes in one agent as it is now. One that the filter lets through no more leaves the list.
    pub(crate) fn patch(&mut self, listed: ListedAgent) {
        self.marks.patch(&listed.agent);
        let stays = self.stays(&listed.agent);
        for rows in &mut self.pages {
            if let Some(at) = rows.iter().position(|it| it.agent.id == listed.agent.id) {
                if stays {
                    if let Some(row) = rows.get_mut(at)
                        // An answer that was overtaken by a newer one is not taken back.
                        && row.agent.revision <= listed.agent.revision
                    {
                        *row = listed;
                    }
                } else {
                    rows.remove(at);
                    self.total = self.total.map(|total| total.saturating_sub(1));
                }
                return;
            }
        }
    }

    /// Takes in an agent's record as it is now; what hangs on it is as it was, but that one which
    /// has ended has no credentials.
    pub(crate) fn patch_record(&mut self, agent: Agent) {
        let Some(known) = self.loaded().find(|it| it.agent.id == agent.id).cloned() else {
            return;
        };
        let listed = if agent.status.is_final() {
            ListedAgent::new(agent, &[])
        } else {
            ListedAgent { agent, ..known }
        };
        self.patch(listed);
    }

    /// Whether what was asked for would still bring the agent, as far as its record tells.
    fn stays(&self, agent: &Agent) -> bool {
        let lets = |words: &Option<v1::Words>, value: &str| {
            words
                .as_ref()
                .is_none_or(|it| it.words.iter().any(|word| word == value) != it.is_not)
        };
        let is_shown = self.asked.status.is_some() || agent.status != AgentStatus::Archived;
        is_shown
            && lets(&self.asked.status, agent.status.as_str())
            && lets(&self.asked.owner, agent.owner.as_str())
            && lets(&self.asked.agent_type, agent.agent_type.as_str())
            && lets(&self.asked.deployment_env, agent.deployment_env.as_str())
    }

    /// An agent that is kept, to be changed in place.
    pub(crate) fn get_mut(&mut self, id: AgentId) -> Option<&mut Agent> {
        let mut agents = self.pages.iter_mut().flatten().map(|it| &mut it.agent);
        agents.find(|agent| agent.id == id)
    }
}
