//! The store that a configuration describes, and what is done to it while no daemon has it open.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::{Action, Actor, Entry, Outcome, Reason, StoreId};

use crate::clock::{Clock as _, System, random};
use crate::config::Config;
use crate::crypto::Sealer;
use crate::service::log::{self, Handover};
use crate::service::{grace, init, time_of};
use crate::store::durable::{JournaledStore, OpenError, StoreOptions};
use crate::store::{Commit, Store as _};

/// How long a command waits for the store's head file, which is written each second.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// The store that `config` describes.
pub(crate) fn options(config: &Config) -> StoreOptions {
    let now = System::default().now();
    StoreOptions {
        reserve: config.store.reserve,
        trial: Some(trial),
        ..StoreOptions::new(
            config.store.path.clone(),
            config.store.head_file.clone(),
            now,
        )
    }
}

/// This program, told to try whether an index opens. It needs nothing of the environment.
pub(crate) fn trial(folder: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["store", "try-index"]).arg(folder).env_clear();
    Ok(command)
}

/// What seals, with the configured key-encryption keys.
pub(crate) fn sealer(config: &Config) -> anyhow::Result<Sealer> {
    let sealer = Sealer::new(config.keys.load_key_encryption_key()?.expose())?;
    Ok(match config.keys.load_previous_key_encryption_key()? {
        Some(previous) => sealer.with_previous(previous.expose())?,
        None => sealer,
    })
}

/// Makes the store that `config` describes.
///
/// # Errors
///
/// When there is one already, or it cannot be made.
pub(crate) fn create_store(config: &Config) -> anyhow::Result<()> {
    let system = System::default();
    let sealer = Sealer::new(config.keys.load_key_encryption_key()?.expose())?;
    let now = system.now();
    let id = StoreId::new(now, random(&system));
    let (first, key) = init::first_commit(id, &sealer, &system, now)?;
    JournaledStore::create(&options(config), id, now, first, &key)?;
    Ok(())
}

/// Why there is no store where `config` says.
pub(crate) fn missing_store(config: &Config) -> OpenError {
    JournaledStore::missing(&options(config))
}

/// Whether the store that `config` describes has been made.
pub(crate) fn store_exists(config: &Config) -> bool {
    JournaledStore::exists(&options(config))
}

/// Accepts the store that `config` describes as it is, whatever its head file says, and puts that
/// into its audit log.
///
/// # Errors
///
/// When the store cannot be opened for another reason, or not be written.
pub(crate) fn accept_store(config: &Config, actor: Actor, reason: Reason) -> anyhow::Result<()> {
    let refused = JournaledStore::head_of(&options(config));
    let store = JournaledStore::open_accepting(&options(config))?;
    let mut entry = Entry::new(
        System::default().now(),
        actor,
        Action::StoreAccept,
        Outcome::Success,
    );
    entry.reason = Some(reason);
    entry.refused_head = refused;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(store.commit(Commit::new(entry)))?;
    store.close().map_err(anyhow::Error::msg)
}

/// Gives the log of the store that `config` describes another key; the key of before signs for `overlap`
/// more.
///
/// # Errors
///
/// When a daemon has the store open, its keys do not open with the key-encryption key, or it cannot be
/// written.
pub(crate) fn rotate_log_key(
    config: &Config,
    actor: Actor,
    reason: Reason,
    overlap: Duration,
) -> anyhow::Result<Handover> {
    let sealer = sealer(config)?;
    let store = JournaledStore::open(&options(config))?;
    let time = time_of(&store, Arc::new(System::default()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(grace::note_leap(&store, &time))?;
    let mut entry = Entry::new(time.now(), actor, Action::KeyRotate, Outcome::Success);
    entry.reason = Some(reason);
    let source = System::default();
    let rotation = log::rotate(&store, &sealer, &source, entry, overlap, HEAD_PATIENCE);
    let rotated = runtime.block_on(rotation);
    store.give_back();
    Ok(rotated?)
}
