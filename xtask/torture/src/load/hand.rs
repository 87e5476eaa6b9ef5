//! One who acts: asks for something, and has noted what it came to before anything else is asked.

use std::sync::Arc;
use std::time::Duration;

use agentidp_shared::RequestId;
use anyhow::{Context as _, bail, ensure};
use tokio::time::timeout;

use super::calls::Acknowledgement;
use crate::http::{Answer, Client, Http, Token};
use crate::operator::{Called, Operator};
use crate::oracle::{Intent, Oracle, Outcome};
use crate::random::Random;
use crate::running::Running;

/// What the token endpoint says when the disk has little room left.
const LOW_ON_SPACE: &str = "low on space";
/// The daemon looks every second how much room there is.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One who acts.
pub(crate) struct Hand {
    pub(crate) operator: Operator,
    pub(crate) http: Http,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) random: Random,
    /// Whether the daemon may say that it cannot write.
    tolerates: bool,
    /// Whether it has said that its disk has little room left.
    was_low: bool,
}

/// What the token endpoint said.
pub(crate) enum Asked {
    /// A token.
    Token,
    /// That the client has no right to one.
    Refused,
    /// Nothing, or that nothing can be written.
    Nothing,
}

impl Hand {
    pub(crate) async fn new(
        running: &Running,
        oracle: &Arc<Oracle>,
        random: Random,
        tolerates: bool,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            operator: running.operator().await?,
            http: Http::new(running.address()?),
            oracle: Arc::clone(oracle),
            random,
            tolerates,
            was_low: false,
        })
    }

    /// Whether the daemon has said that its disk had little room left, since this was asked last; then
    /// waits until it says that it has enough again.
    pub(crate) async fn has_waited_for_room(&mut self) -> anyhow::Result<bool> {
        if !std::mem::take(&mut self.was_low) {
            return Ok(false);
        }
        let is_low = async || {
            anyhow::Ok(
                self.operator
                    .status()
                    .await?
                    .store
                    .is_some_and(|it| it.is_low_on_space),
            )
        };
        let waiting = async {
            while is_low().await? {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, waiting)
            .await
            .context("the disk has room, and the daemon does not go on")??;
        Ok(true)
    }

    /// Does an operation, and notes it before and after; `None` when nobody knows what it came to.
    pub(super) async fn change<T: Acknowledgement, C>(
        &mut self,
        intent: Intent,
        call: impl FnOnce(RequestId) -> C,
    ) -> anyhow::Result<Option<T>>
    where
        C: Future<Output = anyhow::Result<Called<T>>>,
    {
        let what = format!("{} of {:?}", intent.action, intent.target);
        let power = self.oracle.power();
        let id = self.oracle.begin(&mut self.random, intent);
        let answer = call(id).await?;
        if !self.oracle.counts(power) {
            self.oracle.settle(id, Outcome::Unknown);
            return Ok(None);
        }
        match answer {
            Called::Done(answer) => {
                let outcome = Outcome::Acknowledged {
                    seq: answer.seq(),
                    records: answer.records(),
                };
                self.oracle.settle(id, outcome);
                Ok(Some(answer))
            }
            Called::Refused(why) => {
                self.oracle.settle(id, Outcome::Nothing);
                bail!("the daemon refused {what}: {why}")
            }
            Called::LowOnSpace => {
                self.oracle.settle(id, Outcome::Nothing);
                ensure!(self.tolerates, "the daemon is low on space, for {what}");
                self.was_low = true;
                Ok(None)
            }
            Called::Unavailable(why) if !self.tolerates => {
                bail!("the daemon cannot write, for {what}: {why}")
            }
            Called::Unavailable(_) | Called::Gone => {
                self.oracle.settle(id, Outcome::Unknown);
                Ok(None)
            }
        }
    }

    /// Asks for a token.
    pub(crate) async fn token(&mut self, client: &Client) -> anyhow::Result<Asked> {
        let power = self.oracle.power();
        self.oracle.asks(client);
        let answer = self.http.token(client).await?;
        if !self.oracle.counts(power) {
            self.oracle.unanswered();
            return Ok(Asked::Nothing);
        }
        match answer {
            Answer::Status(200, body) => {
                let token = Token::in_answer(&body)?;
                self.oracle.answered(client, Some(&token), &mut self.random);
                Ok(Asked::Token)
            }
            Answer::Status(401, _) => {
                self.oracle.answered(client, None, &mut self.random);
                Ok(Asked::Refused)
            }
            Answer::Status(503, body) if self.tolerates => {
                self.was_low |= body.to_string().contains(LOW_ON_SPACE);
                self.oracle.unanswered();
                Ok(Asked::Nothing)
            }
            Answer::Gone => {
                self.oracle.unanswered();
                Ok(Asked::Nothing)
            }
            other @ Answer::Status(..) => bail!("{other:?} to a request for a token"),
        }
    }

    /// Asks for a token that has to be given, or has not.
    pub(crate) async fn token_if(
        &mut self,
        client: &Client,
        is_due: bool,
        why: &str,
    ) -> anyhow::Result<Option<()>> {
        match self.token(client).await? {
            Asked::Nothing => Ok(None),
            asked => {
                let is_given = matches!(asked, Asked::Token);
                ensure!(
                    is_given == is_due,
                    "agent {}, credential {}: {} {why}",
                    client.id,
                    client.credential,
                    if is_given { "a token" } else { "no token" }
                );
                Ok(Some(()))
            }
        }
    }
}
