//! What goes once there is another backup: those that are beyond what is kept, and the part of the
//! journal that two have.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::{Action, Actor, Code, Entry, Outcome, Target, TargetKind};

use super::job::{Asked, Backups};
use super::{BackupError, file, folder};
use crate::config;
use crate::store::durable::{Cut, ImageError};
use crate::store::{Commit, CommitError, Store as _};

/// How many verified backups must have something before anything else lets go of it.
const COVERS: usize = 2;

/// What there is beside the newest backups, which have been read back.
struct Found {
    /// What the newest have.
    cuts: Vec<Cut>,
    /// The name and the path of those that are beyond what is kept.
    surplus: Vec<(String, PathBuf)>,
}

impl Backups {
    /// Removes backups beyond what is kept, and what of the journal the newest cover; nothing once a check
    /// has found the store damaged, for the new backups have that damage, and the old ones and the journal
    /// may be all that does not. Nor does anything go while one of the newest is not whole.
    pub(super) async fn tidy(self: &Arc<Self>, settings: config::Backup) {
        let checked = self.store.status().upkeep.checked;
        if checked.is_some_and(|it| it.findings > 0) {
            tracing::warn!(
                "old backups and the journal are kept: the last check of the store found damage"
            );
            return;
        }
        let job = Arc::clone(self);
        let found = tokio::task::spawn_blocking(move || job.look_through(&settings)).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::error!(%error, "old backups and the journal are kept, because a backup is not whole");
                return;
            }
            Err(error) => return tracing::error!(%error, "old backups could not be looked at"),
        };
        for (name, path) in found.surplus {
            if let Err(error) = self.remove(&name, path).await {
                tracing::error!(name, %error, "an old backup is kept: that it goes could not be put into the audit log");
            }
        }
        let job = Arc::clone(self);
        let trimmed = tokio::task::spawn_blocking(move || job.trim(&found.cuts)).await;
        if let Err(error) = trimmed {
            tracing::error!(%error, "the journal could not be looked at");
        }
    }

    /// Reads back the newest, unless that has been done, and looks for what is beyond what is kept.
    fn look_through(&self, settings: &config::Backup) -> Result<Found, BackupError> {
        let listed = folder::list(&settings.folder)?;
        let (store, now) = (self.store.id(), self.clock.now());
        let mut others = HashSet::new();
        for (it, manifest) in folder::made_until(&listed, store, now) {
            let is_ours = self.store.has_come_by(&manifest.cut);
            if is_ours.map_err(ImageError::from)? == Some(false) {
                others.insert(it.path.clone());
            }
        }
        let is_other = |it: &folder::Listed| others.contains(&it.path);
        let newest: Vec<_> = folder::made_until(&listed, store, now)
            .filter(|(it, _)| !is_other(it))
            .take(COVERS)
            .collect();
        let mut cuts = Vec::new();
        for (it, manifest) in &newest {
            let is_known = self.verified.lock().contains(&it.path);
            if !is_known {
                file::verify(&it.path)?;
            }
            cuts.push(manifest.cut.clone());
        }
        // Of the others nothing is asked any more.
        let known = newest.iter().map(|(it, _)| it.path.clone());
        *self.verified.lock() = known.collect();
        let days = Duration::from_hours(24) * settings.keep_days;
        let surplus = folder::surplus(&listed, store, settings.keep, days, now, is_other);
        let surplus = surplus.iter().map(|it| (it.name(), it.path.clone()));
        Ok(Found {
            cuts,
            surplus: surplus.collect(),
        })
    }

    /// Says in the audit log that a backup goes, and removes it; once more, when it could not.
    async fn remove(&self, name: &str, path: PathBuf) -> Result<(), CommitError> {
        self.store
            .commit(Commit::new(self.removal(name, Outcome::Success)))
            .await?;
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
        let Err(error) = removed.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) else {
            return Ok(());
        };
        tracing::error!(name, %error, "an old backup could not be removed");
        let mut entry = self.removal(name, Outcome::Failed);
        entry.code = Some(Code::Internal);
        self.store.commit(Commit::new(entry)).await.map(drop)
    }

    fn removal(&self, name: &str, outcome: Outcome) -> Entry {
        let system = Asked {
            actor: Actor::system(),
            reason: None,
            request_id: None,
        };
        let mut entry = self.entry(&system, Action::BackupPrune, outcome);
        entry.target = Some(Target {
            kind: TargetKind::Backup,
            id: name.to_owned(),
            revision: None,
            digest: None,
        });
        entry
    }

    /// Removes the segments of the journal that the newest two backups have.
    fn trim(&self, cuts: &[Cut]) {
        if cuts.len() < COVERS {
            return;
        }
        match self.store.trim_journal(&cuts.iter().collect::<Vec<_>>()) {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "the journal let go of what two backups have"),
            Err(error) => {
                tracing::error!(%error, "the journal could not let go of what backups have");
            }
        }
    }
}
