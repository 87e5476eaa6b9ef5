//! Mixed load: several at once who do what operators and agents do, and note what they are told.
//!
//! Who changes something owns it, so there is at most one change under way for each record and what it
//! comes to is known. Tokens are asked for by everyone for everything, also while it is suspended or
//! revoked: the order of the log tells whether one was given that must not have been.

pub(crate) mod calls;
pub(crate) mod hand;
mod tenants;
mod tokens;
mod walker;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::http::Client;
use crate::oracle::Oracle;
use crate::random::Random;
use crate::running::Running;
use hand::Hand;
use tenants::Tenants;
use walker::Walker;

/// The organizations whose agents ask for tokens.
const ORGANIZATIONS: [&str; 2] = ["acme", "globex"];
/// Agents of each of them that nobody touches.
const STEADY: usize = 2;
/// How many register, change and end agents at once.
const WALKERS: usize = 3;
/// How many ask for tokens at once.
const ASKERS: usize = 3;

/// What a change comes to for who makes load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It goes on.
    Goes,
    /// The daemon is gone, or can write no more.
    Ends,
}

/// Everyone who makes load.
pub(crate) struct Crowd {
    oracle: Arc<Oracle>,
    random: Random,
    readers: Vec<Client>,
    steady: Vec<Client>,
    walkers: Vec<Walker>,
    tenants: Tenants,
    rounds: u64,
}

impl Crowd {
    /// Makes what the load stands on, on a daemon that nobody else uses.
    ///
    /// # Errors
    ///
    /// When the daemon does not do it.
    pub(crate) async fn gather(
        running: &Running,
        oracle: &Arc<Oracle>,
        random: Random,
    ) -> anyhow::Result<Self> {
        let mut hand = Hand::new(running, oracle, random.fork(0), false).await?;
        let (mut readers, mut steady) = (Vec::new(), Vec::new());
        for name in ORGANIZATIONS {
            hand.create_organization(name).await?.context(NOT_MADE)?;
            let reader = format!("reader@{name}.example");
            // With something besides, because it asks for tokens too.
            let capability = "tokens:read resume:read";
            readers.push(
                hand.enrol(name, &reader, capability)
                    .await?
                    .context(NOT_MADE)?,
            );
            for number in 0..STEADY {
                let email = format!("steady-{number}@{name}.example");
                let client = hand.enrol(name, &email, "resume:read").await?;
                steady.push(client.context(NOT_MADE)?);
            }
        }
        let walkers = (0..WALKERS).map(|number| {
            let organization = ORGANIZATIONS.get(number % ORGANIZATIONS.len());
            Walker::new(number, organization.copied().unwrap_or_default())
        });
        Ok(Self {
            oracle: Arc::clone(oracle),
            random,
            readers,
            steady,
            walkers: walkers.collect(),
            tenants: Tenants::default(),
            rounds: 0,
        })
    }

    /// Who may introspect.
    pub(crate) fn reader(&self) -> Option<&Client> {
        self.readers.first()
    }

    /// Sets everyone to work. With `tolerates` the daemon may say that it cannot write.
    ///
    /// # Errors
    ///
    /// When what the daemon says of what was under way cannot be read.
    pub(crate) async fn start(
        &mut self,
        running: &Running,
        tolerates: bool,
    ) -> anyhow::Result<Load> {
        self.rounds += 1;
        let operator = running.operator().await?;
        for walker in &mut self.walkers {
            walker.look_again(&operator).await?;
        }
        self.tenants.look_again(&operator).await?;
        let random = self.random.fork(self.rounds);
        let mut tasks = JoinSet::new();
        for (number, mut walker) in (100..).zip(std::mem::take(&mut self.walkers)) {
            let mut hand = Hand::new(running, &self.oracle, random.fork(number), tolerates).await?;
            tasks.spawn(async move {
                while walker.step(&mut hand).await? == Flow::Goes {}
                Ok(Back::Walker(walker))
            });
        }
        let mut tenants = std::mem::take(&mut self.tenants);
        let mut hand = Hand::new(running, &self.oracle, random.fork(200), tolerates).await?;
        tasks.spawn(async move {
            while tenants.step(&mut hand).await? == Flow::Goes {}
            Ok(Back::Tenants(tenants))
        });
        for number in 0..ASKERS {
            let number = u64::try_from(number)?;
            let mut hand =
                Hand::new(running, &self.oracle, random.fork(300 + number), tolerates).await?;
            let steady = self.steady.clone();
            tasks.spawn(async move {
                while tokens::step(&mut hand, &steady).await? == Flow::Goes {}
                Ok(Back::Nothing)
            });
        }
        Ok(Load(tasks))
    }

    /// Waits until everyone has seen that the daemon is gone.
    ///
    /// # Errors
    ///
    /// What one of them saw that must not be.
    pub(crate) async fn join(&mut self, load: Load) -> anyhow::Result<()> {
        let Load(mut tasks) = load;
        let mut seen = Ok(());
        while let Some(back) = tasks.join_next().await {
            match back? {
                Ok(Back::Walker(walker)) => self.walkers.push(walker),
                Ok(Back::Tenants(tenants)) => self.tenants = tenants,
                Ok(Back::Nothing) => {}
                Err(error) => seen = seen.and(Err(error)),
            }
        }
        self.walkers.sort_by_key(Walker::number);
        seen
    }
}

const NOT_MADE: &str = "the daemon went away before anything was asked of it";

/// What comes back from who made load.
enum Back {
    Walker(Walker),
    Tenants(Tenants),
    Nothing,
}

/// Load that goes on until the daemon is gone.
pub(crate) struct Load(JoinSet<anyhow::Result<Back>>);
