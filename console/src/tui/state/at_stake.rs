//! What hangs on a change, told in the dialog that confirms it.

use agentidp_shared::CredentialId;

use crate::audit_text::short_id;
use crate::text::thousands;
use crate::tui::event::Stakes;

use super::confirm::{Act, Confirm};

impl Confirm {
    /// What hangs on it, in a sentence or two.
    pub(crate) fn stakes_text(&self) -> String {
        let stakes = match &self.stakes {
            None => return "Reading what hangs on it.".to_owned(),
            Some(Err(why)) => return format!("What hangs on it is not known: {why}"),
            Some(Ok(stakes)) => stakes,
        };
        let credential = self.credential().map(|it| it.id);
        stakes.sentence(credential, self.act != Act::RevokeCredentialTokens)
    }
}

impl Stakes {
    /// What hangs on the agent or, when it is given, on this credential of it alone, in a sentence or two;
    /// with what could take the credential's place, if it ends.
    pub(crate) fn sentence(&self, credential: Option<CredentialId>, ends: bool) -> String {
        let stakes = self;
        let concerned = |id| credential.is_none_or(|it| it == id);
        let more = if stakes.is_more { " or more" } else { "" };
        let by: Vec<_> = stakes
            .tokens
            .iter()
            .filter(|(id, _)| concerned(**id))
            .collect();
        let count: u64 = by.iter().map(|(_, count)| **count).sum();
        let mut text = match count {
            0 => format!(
                "No live tokens{}.",
                if stakes.is_more {
                    " in the entries read"
                } else {
                    ""
                }
            ),
            1 => format!("1{more} live token"),
            _ => format!("{}{more} live tokens", thousands(count)),
        };
        if credential.is_none() && by.len() > 1 {
            let by = by.iter().map(|(id, count)| {
                format!("{} by {}", thousands(**count), short_id(&id.to_string()))
            });
            text.extend([format!(" ({})", by.collect::<Vec<_>>().join(", "))]);
        }
        if count > 0 {
            text.push('.');
        }
        let addresses: std::collections::BTreeSet<_> = stakes
            .addresses
            .iter()
            .filter(|(id, _)| concerned(**id))
            .flat_map(|(_, addresses)| addresses)
            .collect();
        match addresses.len() {
            0 => text.push_str(" Not used in 24h."),
            1 => text.push_str(" Used in 24h from 1 address"),
            count => text.extend([format!(" Used in 24h from {count} addresses")]),
        }
        if !addresses.is_empty() {
            let some: Vec<_> = addresses.iter().take(2).map(|it| it.as_str()).collect();
            let rest = if addresses.len() > 2 { ", .." } else { "" };
            text.extend([format!(" ({}{rest}).", some.join(", "))]);
        }
        if let Some(credential) = credential
            && ends
        {
            let others = stakes.accepted.iter().filter(|id| **id != credential);
            match others.count() {
                0 => text.push_str(" No replacement exists."),
                1 => text.push_str(" 1 other credential is accepted."),
                count => text.extend([format!(" {count} other credentials are accepted.")]),
            }
        }
        text
    }
}
