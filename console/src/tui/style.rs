//! Styles. A state is always a word and a symbol too: colour only helps the eye.

use agentidp_shared::{AgentStatus, CredentialStatus, KeyState, Outcome};
use ratatui::style::{Color, Modifier, Style};

/// Which styles the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Palette {
    /// These colours.
    Colours(Colours),
    /// Attributes only: `NO_COLOR` is set, or the terminal knows no colours.
    Mono,
}

/// What stands out, and in which colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colours {
    pub(crate) good: Color,
    pub(crate) warn: Color,
    pub(crate) bad: Color,
    pub(crate) key: Color,
}

impl Colours {
    /// Of the sixteen that every colour terminal has.
    pub(crate) const SIXTEEN: Self = Self {
        good: Color::Green,
        warn: Color::Yellow,
        bad: Color::Red,
        key: Color::Cyan,
    };

    /// Of those sixteen, told apart also by those who do not tell red from green.
    pub(crate) const SAFE: Self = Self {
        good: Color::LightBlue,
        warn: Color::Yellow,
        bad: Color::LightMagenta,
        key: Color::White,
    };

    /// The colour of a name in a file.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Color> {
        match name {
            "good" => Some(&mut self.good),
            "warn" => Some(&mut self.warn),
            "bad" => Some(&mut self.bad),
            "key" => Some(&mut self.key),
            _ => None,
        }
    }
}

impl Palette {
    /// The sixteen colours that every colour terminal has.
    pub(crate) const SIXTEEN: Self = Self::Colours(Colours::SIXTEEN);

    /// Chosen from the environment: `NO_COLOR` (<https://no-color.org>) and `TERM`.
    pub(crate) fn choose(no_color: Option<&str>, term: &str) -> Self {
        let is_mono = no_color.is_some_and(|value| !value.is_empty())
            || term.starts_with("vt1")
            || term.starts_with("vt2")
            || term.ends_with("-mono")
            || term.ends_with("-m");
        if is_mono { Self::Mono } else { Self::SIXTEEN }
    }

    fn color(self, color: fn(Colours) -> Color, otherwise: Modifier) -> Style {
        match self {
            Self::Colours(colours) => Style::new().fg(color(colours)),
            Self::Mono => Style::new().add_modifier(otherwise),
        }
    }

    /// Something good.
    pub(crate) fn good(self) -> Style {
        self.color(|it| it.good, Modifier::empty())
    }

    /// Something to look at.
    pub(crate) fn warn(self) -> Style {
        self.color(|it| it.warn, Modifier::BOLD)
    }

    /// Something bad.
    pub(crate) fn bad(self) -> Style {
        self.color(|it| it.bad, Modifier::BOLD)
    }

    /// What can be pressed.
    pub(crate) fn key(self) -> Style {
        self.color(|it| it.key, Modifier::BOLD)
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
            (None, "xterm-256color", Palette::SIXTEEN),
            (Some(""), "xterm", Palette::SIXTEEN),
            (Some("1"), "xterm", Palette::Mono),
            (None, "vt100", Palette::Mono),
            (None, "vt220", Palette::Mono),
            (None, "xterm-mono", Palette::Mono),
            (None, "linux", Palette::SIXTEEN),
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
