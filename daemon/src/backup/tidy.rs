//! What goes once there is another backup: those that are beyond what is kept, and the part of the
//! journal that two have.

use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::{Action, Actor, Code, Outcome, Target, TargetKind};

use super::job::{Asked, Backups};
use super::{file, folder};
use crate::config;
use crate::store::{Commit, Store as _};

/// How many verified backups must have something before the journal lets go of it.
const COVERS: usize = 2;

impl Backups {
    /// Removes backups beyond what is kept, and what of the journal the newest cover; nothing once a check
    /// has found the store damaged, for the new backups have that damage, and the old ones and the journal
    /// may be all that does not.
    pub(super) async fn tidy(self: &Arc<Self>, settings: config::Backup) {
        let checked = self.store.status().upkeep.checked;
        if checked.is_some_and(|it| it.findings > 0) {
            tracing::warn!(
                "old backups and the journal are kept: the last check of the store found damage"
            );
            return;
        }
        let job = Arc::clone(self);
        let work = move || {
            let removed = job.prune(&settings);
            job.trim(&settings);
            removed
        };
        let removed = match tokio::task::spawn_blocking(work).await {
            Ok(removed) => removed,
            Err(error) => return tracing::error!(%error, "old backups could not be looked at"),
        };
        let system = Asked {
            actor: Actor::system(),
            reason: None,
            request_id: None,
        };
        for (name, result) in removed {
            let outcome = match &result {
                Ok(()) => Outcome::Success,
                Err(error) => {
                    tracing::error!(name, %error, "an old backup could not be removed");
                    Outcome::Failed
                }
            };
            let mut entry = self.entry(&system, Action::BackupPrune, outcome);
            entry.code = result.err().map(|_| Code::Internal);
            entry.target = Some(Target {
                kind: TargetKind::Backup,
                id: name,
                revision: None,
                digest: None,
            });
            if let Err(error) = self.store.commit(Commit::new(entry)).await {
                tracing::error!(%error, "that a backup was removed could not be put into the audit log");
            }
        }
    }

    fn prune(&self, settings: &config::Backup) -> Vec<(String, std::io::Result<()>)> {
        let listed = match folder::list(&settings.folder) {
            Ok(listed) => listed,
            Err(error) => {
                tracing::error!(%error, "the backups could not be listed");
                return Vec::new();
            }
        };
        let days = Duration::from_hours(24) * settings.keep_days;
        let (store, now) = (self.store.id(), self.clock.now());
        folder::surplus(&listed, store, settings.keep, days, now)
            .into_iter()
            .map(|it| (it.name(), std::fs::remove_file(&it.path)))
            .collect()
    }

    /// Removes the segments of the journal that the newest two backups have, once both have been read
    /// back.
    fn trim(&self, settings: &config::Backup) {
        let listed = folder::list(&settings.folder).unwrap_or_default();
        let ours = listed
            .iter()
            .filter_map(|it| Some((&it.path, &it.of(self.store.id())?.cut)));
        let mut cuts = Vec::new();
        for (path, cut) in ours.take(COVERS) {
            let is_known = self.verified.lock().contains(path);
            if !is_known {
                if let Err(error) = file::verify(path) {
                    tracing::error!(%error, "the journal is kept, because a backup is not whole");
                    return;
                }
                self.verified.lock().insert(path.clone());
            }
            cuts.push(cut);
        }
        if cuts.len() < COVERS {
            return;
        }
        match self.store.trim_journal(&cuts) {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "the journal let go of what two backups have"),
            Err(error) => {
                tracing::error!(%error, "the journal could not let go of what backups have");
            }
        }
    }
}
