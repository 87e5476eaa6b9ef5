//! `agentidpd`: the daemon.

use std::io::{self, Write as _};
use std::process::ExitCode;

use agentidp_daemon::args::{
    Arguments, BackupCommand, Command, ConfigCommand, ConfigFile, DevArguments, StoreCommand,
    StorePlace,
};
use agentidp_daemon::config::{Config, Environment, Warning, default_toml};
use agentidp_daemon::store_commands::{
    Place, check_store, compact_store, rebuild_store, try_index,
};
use agentidp_daemon::{
    accept_store, check, create_backup, dev, init, lifecycle, list_backups, restore_backup,
    rotate_log_key, run, verify_backup,
};
use clap::{CommandFactory as _, Parser as _};
use tikv_jemallocator::Jemalloc;

/// It gives memory back that a check or a burst has used; `.cargo/config.toml` has its settings.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    lifecycle::keep_files_private();
    let done = match Arguments::parse().command {
        Command::Init(file) => load(&file).and_then(|config| init(&config)),
        Command::Run(file) => load(&file).and_then(|config| {
            warn(config.unencrypted_backups().as_slice());
            run(&config)
        }),
        Command::Dev(arguments) => load_dev(&arguments).and_then(|config| dev(&config)),
        Command::Config(ConfigCommand::Check(file)) => check_config(&file),
        Command::Config(ConfigCommand::Default) => print(default_toml().as_bytes()),
        Command::Store(StoreCommand::Check { place, output }) => {
            let checked = store_place(&place).and_then(|place| check_store(&place, output));
            return checked.unwrap_or_else(|error| failed(&error));
        }
        Command::Store(StoreCommand::Compact(place)) => {
            store_place(&place).and_then(|place| compact_store(&place))
        }
        Command::Store(StoreCommand::Rebuild {
            place,
            backup,
            identity,
        }) => store_place(&place)
            .and_then(|place| rebuild_store(&place, backup.as_deref(), identity.as_deref())),
        Command::Store(StoreCommand::TryIndex { folder }) => try_index(&folder),
        Command::Store(StoreCommand::Accept { file, reason }) => {
            load(&file).and_then(|config| accept_store(&config, &reason))
        }
        Command::Store(StoreCommand::RotateLogKey {
            file,
            reason,
            overlap,
        }) => load(&file).and_then(|config| rotate_log_key(&config, &reason, overlap)),
        Command::Backup(command) => backup(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "agentidpd", &mut script);
            print(&script)
        }
    };
    done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn backup(command: BackupCommand) -> anyhow::Result<()> {
    match command {
        BackupCommand::Create { file, reason } => {
            load(&file).and_then(|config| create_backup(&config, reason.as_deref()))
        }
        BackupCommand::List { file, output } => {
            load(&file).and_then(|config| list_backups(&config, output))
        }
        BackupCommand::Verify { backup, identity } => verify_backup(&backup, identity.as_deref()),
        BackupCommand::Restore(it) => {
            lifecycle::forbid_core_dumps()?;
            restore_backup(
                &it.backup,
                it.identity.as_deref(),
                &it.into,
                it.journal.as_deref(),
                it.until.as_deref(),
                it.reason.as_deref(),
            )
        }
    }
}

/// 1, after a line that says why.
fn failed(error: &anyhow::Error) -> ExitCode {
    say(&format!("error: {error:#}"));
    ExitCode::FAILURE
}

fn store_place(place: &StorePlace) -> anyhow::Result<Place> {
    lifecycle::forbid_core_dumps()?;
    if let Some(store) = &place.store {
        let head = place.head_file.clone();
        return Ok(Place::of_folder(store.clone(), head));
    }
    let path = place.config.clone().unwrap_or_default();
    Ok(Place::of_config(&load(&ConfigFile { path })?))
}

fn load(file: &ConfigFile) -> anyhow::Result<Config> {
    // Before the first key is in memory.
    lifecycle::forbid_core_dumps()?;
    let (config, warnings) = Config::load(&file.path, &Environment::of_process())?;
    warn(&warnings);
    Ok(config)
}

fn load_dev(arguments: &DevArguments) -> anyhow::Result<Config> {
    lifecycle::forbid_core_dumps()?;
    let environment = Environment::of_process();
    let (config, warnings) = Config::dev(
        &arguments.dir,
        arguments.listen,
        &arguments.socket(),
        &environment,
    )?;
    warn(&warnings);
    Ok(config)
}

fn check_config(file: &ConfigFile) -> anyhow::Result<()> {
    warn(&check(&load(file)?)?);
    print(format!("{} is valid\n", file.path.display()).as_bytes())
}

fn warn(warnings: &[Warning]) {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
}

fn say(line: &str) {
    // When standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "agentidpd: {line}");
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
