//! Styles. A state is always a word and a symbol too: colour only helps the eye.

use agentidp_shared::{AgentStatus, CredentialStatus, KeyState, Outcome};
use ratatui::style::{Color, Modifier, Style};

/// Which styles the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Palette {
    /// The sixteen colours that every colour terminal has.
    Sixteen,
    /// Attributes only: `NO_COLOR` is set, or the terminal knows no colours.
    Mono,
}

impl Palette {
    /// Chosen from the environment: `NO_COLOR` (<https://no-color.org>) and `TERM`.
    pub(crate) fn choose(no_color: Option<&str>, term: &str) -> Self {
        let is_mono = no_color.is_some_and(|value| !value.is_empty())
            || term.starts_with("vt1")
            || term.starts_with("vt2")
            || term.ends_with("-mono")
            || term.ends_with("-m");
        if is_mono { Self::Mono } else { Self::Sixteen }
    }

    fn color(self, color: Color, otherwise: Modifier) -> Style {
        match self {
            Self::Sixteen => Style::new().fg(color),
            Self::Mono => Style::new().add_modifier(otherwise),
        }
    }

    /// Something good.
    pub(crate) fn good(self) -> Style {
        self.color(Color::Green, Modifier::empty())
    }

    /// Something to look at.
    pub(crate) fn warn(self) -> Style {
        self.color(Color::Yellow, Modifier::BOLD)
    }

    /// Something bad.
    pub(crate) fn bad(self) -> Style {
        self.color(Color::Red, Modifier::BOLD)
    }

    /// What can be pressed.
    pub(crate) fn key(self) -> Style {
        self.color(Color::Cyan, Modifier::BOLD)
    }

    /// Of an agent's status.
    pub(crate) fn agent(self, status: AgentStatus) -> Style {
        match status {
            AgentStatus::Active => self.good(),
            AgentStatus::Suspended => self.warn(),
            AgentStatus::Revoked => self.bad(),
            AgentStatus::Decommissioned | AgentStatus::Archived => faint(),
        }
    }

    /// Of a credential's status.
    pub(crate) fn credential(self, status: CredentialStatus) -> Style {
        match status {
            CredentialStatus::Active => self.good(),
            CredentialStatus::Retiring => self.warn(),
            CredentialStatus::Revoked => self.bad(),
            CredentialStatus::Expired => faint(),
        }
    }

    /// Of a signing key's state.
    pub(crate) fn signing_key(self, state: KeyState) -> Style {
        match state {
            KeyState::Active => self.good(),
            KeyState::Pending | KeyState::Retiring => self.warn(),
            KeyState::Retired | KeyState::Revoked => faint(),
        }
    }

    /// Of an entry's outcome.
    pub(crate) fn outcome(self, outcome: Outcome) -> Style {
        match outcome {
            Outcome::Success => Style::new(),
            Outcome::Denied => self.warn(),
            Outcome::Failed => self.bad(),
        }
    }
}

/// Something of less weight.
pub(crate) fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// A heading.
pub(crate) fn heading() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// What has the focus.
pub(crate) fn focus() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

/// The symbol beside an agent's status.
pub(crate) const fn agent_symbol(status: AgentStatus) -> &'static str {
    match status {
        AgentStatus::Active => "*",
        AgentStatus::Suspended => "~",
        AgentStatus::Revoked => "x",
        AgentStatus::Decommissioned | AgentStatus::Archived => "-",
    }
}

/// The symbol beside a credential's status.
pub(crate) const fn credential_symbol(status: CredentialStatus) -> &'static str {
    match status {
        CredentialStatus::Active => "*",
        CredentialStatus::Retiring => "-",
        CredentialStatus::Revoked => "x",
        CredentialStatus::Expired => "!",
    }
}

/// The symbol beside a signing key's state.
pub(crate) const fn key_symbol(state: KeyState) -> &'static str {
    match state {
        KeyState::Pending => "+",
        KeyState::Active => "*",
        KeyState::Retiring | KeyState::Retired => "-",
        KeyState::Revoked => "x",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_left_out_where_it_is_not_wanted() {
        for (no_color, term, palette) in [
            (None, "xterm-256color", Palette::Sixteen),
            (Some(""), "xterm", Palette::Sixteen),
            (Some("1"), "xterm", Palette::Mono),
            (None, "vt100", Palette::Mono),
            (None, "vt220", Palette::Mono),
            (None, "xterm-mono", Palette::Mono),
            (None, "linux", Palette::Sixteen),
        ] {
            assert_eq!(
                Palette::choose(no_color, term),
                palette,
                "{no_color:?} {term}"
            );
        }
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let mono = Palette::Mono;
        for style in [
            mono.good(),
            mono.warn(),
            mono.bad(),
            mono.key(),
            faint(),
            focus(),
            heading(),
        ] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
