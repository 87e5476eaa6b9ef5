//! What agents are ordered by.

/// What agents are ordered by, and which way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) by: By,
    pub(crate) is_ascending: bool,
}

/// What agents are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Created,
    Email,
    LastAuth,
    Expires,
}

impl By {
    /// The word that the daemon knows.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Email => "email",
            Self::LastAuth => "last_auth",
            Self::Expires => "expires",
        }
    }

    /// The order that begins with what one looks for: the newest, the first in the alphabet, the
    /// last to come, the first to expire.
    const fn usual(self) -> Order {
        Order {
            by: self,
            is_ascending: matches!(self, Self::Email | Self::Expires),
        }
    }
}

impl Default for Order {
    fn default() -> Self {
        By::Created.usual()
    }
}

impl Order {
    /// By what comes after this one.
    pub(crate) const fn next(self) -> Self {
        match self.by {
            By::Created => By::Email,
            By::Email => By::LastAuth,
            By::LastAuth => By::Expires,
            By::Expires => By::Created,
        }
        .usual()
    }

    /// The other way round.
    pub(crate) const fn reversed(self) -> Self {
        Self {
            by: self.by,
            is_ascending: !self.is_ascending,
        }
    }

    /// How it is written over the list.
    pub(crate) fn label(self) -> String {
        format!("{} {}", self.by.word(), self.arrow())
    }

    /// Which way it goes.
    pub(crate) const fn arrow(self) -> &'static str {
        if self.is_ascending { "^" } else { "v" }
    }
}
