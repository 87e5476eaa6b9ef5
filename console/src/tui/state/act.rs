//! What can be done from the screen, and what each takes to be confirmed.

use agentidp_shared::Role;
use agentidp_shared::agent::Transition;

/// What is to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Suspend,
    Resume,
    Revoke,
    Decommission,
    Archive,
    Issue,
    Rotate,
    RevokeCredential,
    /// Every token of the agent that was issued until now.
    RevokeTokens,
    /// Every token that the credential proved the agent for.
    RevokeCredentialTokens,
    /// Replaces the key that signs.
    RotateKey,
    /// Withdraws a key that is compromised.
    WithdrawKey,
}

/// How much it takes to confirm it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// It can be taken back: y is enough.
    Reversible,
    /// It cannot: a reason, and the end of the id typed.
    Irreversible,
}

impl Act {
    /// What stands on the button.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Suspend => "Suspend",
            Self::Resume => "Resume",
            Self::Revoke
            | Self::RevokeCredential
            | Self::RevokeTokens
            | Self::RevokeCredentialTokens => "Revoke",
            Self::Decommission => "Decommission",
            Self::Archive => "Archive",
            Self::Issue => "Issue",
            Self::Rotate | Self::RotateKey => "Rotate",
            Self::WithdrawKey => "Withdraw",
        }
    }

    /// What stands over the dialog.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Suspend => "Suspend agent",
            Self::Resume => "Resume agent",
            Self::Revoke => "Revoke agent",
            Self::Decommission => "Decommission agent",
            Self::Archive => "Archive agent",
            Self::Issue => "Issue client secret",
            Self::Rotate => "Rotate credential",
            Self::RevokeCredential => "Revoke credential",
            Self::RevokeTokens => "Revoke the agent's tokens",
            Self::RevokeCredentialTokens => "Revoke the credential's tokens",
            Self::RotateKey => "Rotate signing key",
            Self::WithdrawKey => "Withdraw signing key",
        }
    }

    /// How much it takes.
    pub(crate) const fn tier(self) -> Tier {
        match self {
            Self::Suspend | Self::Resume | Self::Issue | Self::Rotate => Tier::Reversible,
            Self::Revoke
            | Self::Decommission
            | Self::Archive
            | Self::RevokeCredential
            | Self::RevokeTokens
            | Self::RevokeCredentialTokens
            | Self::RotateKey
            | Self::WithdrawKey => Tier::Irreversible,
        }
    }

    /// What it does to many agents at once, in a sentence or two.
    pub(crate) const fn consequence_for_many(self) -> &'static str {
        match self {
            Self::Suspend => {
                "They get no token until they are resumed. Those they have introspect inactive at once; \
                 resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Resume => "They may ask for tokens again. Those from before stay dead.",
            Self::Revoke => {
                "An incident: their credentials end now, for good. Their tokens introspect inactive at \
                 once; resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Decommission => {
                "End of life: their credentials end now, for good. Their tokens introspect inactive at \
                 once; resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Archive => {
                "They are hidden from lists that do not ask for them, for good. Their records and their \
                 entries in the log stay."
            }
            // Done to one at a time.
            one => one.consequence(),
        }
    }

    /// What it does, in a sentence or two.
    pub(crate) const fn consequence(self) -> &'static str {
        match self {
            Self::Suspend => {
                "It gets no token until it is resumed. Those it has introspect inactive at once; \
                 resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Resume => "It may ask for tokens again. Those from before stay dead.",
            Self::Revoke => {
                "An incident: its credentials end now, for good. Its tokens introspect inactive at \
                 once; resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Decommission => {
                "End of life: its credentials end now, for good. Its tokens introspect inactive at \
                 once; resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::Archive => {
                "It is hidden from lists that do not ask for it, for good. Its record and its \
                 entries in the log stay."
            }
            Self::Issue => "A new client secret, shown once. Those it has stay as they are.",
            Self::Rotate => {
                "A new client secret, shown once. The old one is accepted until its grace is over."
            }
            Self::RevokeCredential => {
                "It is accepted no more, for good. Tokens it got introspect inactive at once; \
                 resource servers that verify by JWKS alone accept them until they expire."
            }
            Self::RevokeTokens | Self::RevokeCredentialTokens => {
                "Every token issued until now introspects inactive at once; resource servers that \
                 verify by JWKS alone accept it until it expires. New ones may be asked for."
            }
            Self::RotateKey => {
                "A new key is published now, and signs once every copy of the JWKS knows it. This \
                 one stays published until the last token that it signed has expired."
            }
            Self::WithdrawKey => {
                "An emergency: it leaves the JWKS now, for good, and every token that it signed is \
                 dead. If it signs, a new one does at once. Copies of the JWKS are wrong for minutes."
            }
        }
    }

    /// The change of an agent's status that it is; none when it is about a credential.
    pub(crate) const fn transition(self) -> Option<Transition> {
        match self {
            Self::Suspend => Some(Transition::Suspend),
            Self::Resume => Some(Transition::Resume),
            Self::Revoke => Some(Transition::Revoke),
            Self::Decommission => Some(Transition::Decommission),
            Self::Archive => Some(Transition::Archive),
            Self::Issue
            | Self::Rotate
            | Self::RevokeCredential
            | Self::RevokeTokens
            | Self::RevokeCredentialTokens
            | Self::RotateKey
            | Self::WithdrawKey => None,
        }
    }

    /// The least role that may do it.
    pub(crate) const fn role(self) -> Role {
        match self {
            Self::RotateKey | Self::WithdrawKey => Role::Admin,
            _ => Role::Operator,
        }
    }

    /// Whether it is about a credential rather than its agent.
    pub(crate) const fn is_of_credential(self) -> bool {
        matches!(
            self,
            Self::Rotate | Self::RevokeCredential | Self::RevokeCredentialTokens
        )
    }

    /// Whether it ends something that agents may be using now.
    pub(crate) const fn has_stakes(self) -> bool {
        matches!(
            self,
            Self::Suspend
                | Self::Revoke
                | Self::Decommission
                | Self::Rotate
                | Self::RevokeCredential
                | Self::RevokeTokens
                | Self::RevokeCredentialTokens
        )
    }

    /// The fields and buttons, in the order that Tab goes through them: as they stand.
    pub(crate) const fn fields(self) -> &'static [Field] {
        match self {
            Self::Suspend => &[Field::Reason, Field::Cancel, Field::Go],
            Self::Resume => &[Field::Cancel, Field::Go],
            Self::Revoke
            | Self::Decommission
            | Self::RevokeCredential
            | Self::RevokeTokens
            | Self::RevokeCredentialTokens
            | Self::RotateKey
            | Self::WithdrawKey => &[Field::Reason, Field::Typed, Field::Cancel, Field::Go],
            Self::Archive => &[Field::Typed, Field::Cancel, Field::Go],
            Self::Issue | Self::Rotate => &[Field::Period, Field::Cancel, Field::Go],
        }
    }
}

/// What has the focus in a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Cancel,
    Reason,
    Typed,
    Period,
    Go,
}

impl Field {
    /// Whether it takes what is typed: it is no button.
    pub(crate) const fn is_typed(self) -> bool {
        !matches!(self, Self::Cancel | Self::Go)
    }
}
