//! One who acts: asks for something, and has noted what it came to before anything else is asked.

use std::sync::Arc;

use agentidp_shared::RequestId;
use anyhow::{bail, ensure};

use super::calls::Acknowledgement;
use crate::http::{Answer, Client, Http, Token};
use crate::operator::{Called, Operator};
use crate::oracle::{Intent, Oracle, Outcome};
use crate::random::Random;
use crate::running::Running;

/// One who acts.
pub(crate) struct Hand {
    pub(crate) operator: Operator,
    pub(crate) http: Http,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) random: Random,
    /// Whether the daemon may say that it cannot write.
    tolerates: bool,
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
        })
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
            Answer::Status(503, _) if self.tolerates => {
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
