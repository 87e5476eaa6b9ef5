//! Marking rows, one by one or a range of them.

use std::collections::BTreeSet;

use agentidp_shared::AgentId;

use super::Agents;

impl Agents {
    /// Marks the selected row, or takes its mark away, and goes on to the next.
    pub(crate) fn mark(&mut self, height: usize) -> Result<(), String> {
        let Some(agent) = self.selected().cloned() else {
            return Ok(());
        };
        self.marks.toggle(&agent)?;
        self.step(1, height);
        Ok(())
    }

    /// Begins a range at the selected row, or marks the one that was begun.
    pub(crate) fn mark_range(&mut self) -> Result<(), String> {
        let range = self.range();
        if range.is_empty() {
            self.marks.anchor = self.selected;
            return Ok(());
        }
        let rows = self.rows().map(|it| &it.agent);
        let agents: Vec<_> = rows
            .filter(|agent| range.contains(&agent.id))
            .cloned()
            .collect();
        self.marks.anchor = None;
        self.marks.add(&agents)
    }

    /// The rows from where a range was begun to the selected one; empty when none was.
    pub(crate) fn range(&self) -> BTreeSet<AgentId> {
        let (Some(anchor), Some(selected)) = (self.marks.anchor, self.selected_index()) else {
            return BTreeSet::new();
        };
        let Some(anchor) = self.rows().position(|it| it.agent.id == anchor) else {
            return BTreeSet::new();
        };
        let (from, to) = (anchor.min(selected), anchor.max(selected));
        let rows = self.rows().skip(from).take(to - from + 1);
        rows.map(|it| it.agent.id).collect()
    }
}
