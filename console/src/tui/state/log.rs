//! What was done in this console, as the command lines that do the same.

use std::collections::VecDeque;

use agentidp_shared::Timestamp;

use crate::tui::event::{Change, Doubt, NotDone};

/// How many lines are kept.
const KEPT: usize = 500;

/// What an answer belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AnswerTo {
    Change(Change),
    /// A change of many, by its ticket.
    Bulk(u64),
    /// A command that was typed, by its number.
    Run(u64),
}

/// How something that was done ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The answer has not come.
    Open,
    Done,
    Failed(String),
    /// The answer was lost: it may have been done.
    Unknown(String),
}

impl From<Result<(), String>> for Ending {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(why) => Self::Failed(why),
        }
    }
}

impl From<&NotDone> for Ending {
    fn from(not: &NotDone) -> Self {
        match not.is {
            Doubt::Unanswered => Self::Unknown(not.why.clone()),
            Doubt::Refused | Doubt::Overtaken => Self::Failed(not.why.clone()),
        }
    }
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    asked: AnswerTo,
    pub(crate) time: Timestamp,
    /// One line, or one for each agent.
    pub(crate) lines: Vec<String>,
    pub(crate) ending: Ending,
}

/// What was done, oldest first. It is in memory alone: a reason may say what no file should.
#[derive(Debug, Default)]
pub(crate) struct CommandLog(VecDeque<Logged>);

impl CommandLog {
    /// Notes what is being done.
    pub(crate) fn begin(&mut self, time: Timestamp, asked: AnswerTo, lines: Vec<String>) {
        self.0.push_back(Logged {
            asked,
            time,
            lines,
            ending: Ending::Open,
        });
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// Notes how it ended.
    pub(crate) fn end(&mut self, asked: &AnswerTo, ending: impl Into<Ending>) {
        let open = self
            .0
            .iter_mut()
            .find(|it| it.ending == Ending::Open && it.asked == *asked);
        if let Some(logged) = open {
            logged.ending = ending.into();
        }
    }

    /// As a text: each line with its time and its end.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for logged in &self.0 {
            let time = logged.time.to_string();
            let time = time.get(11..19).unwrap_or_default();
            let ending = match &logged.ending {
                Ending::Open => "asked",
                Ending::Done => "done",
                Ending::Failed(_) => "FAILED",
                Ending::Unknown(_) => "UNSURE",
            };
            for line in &logged.lines {
                text.extend([format!("{time}Z {ending:<6} {line}\n")]);
            }
            if let Ending::Failed(why) | Ending::Unknown(why) = &logged.ending {
                text.extend([format!("                 {why}\n")]);
            }
        }
        if text.is_empty() {
            text.push_str("Nothing was done in this console yet.");
        }
        text
    }
}
