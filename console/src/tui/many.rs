//! Changes of many agents, as the connection makes them: those that a filter lets through by one
//! call, and marked ones one after the other, each at the revision that was seen.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client::{Bulk, Client, Refused};
use crate::error::Error;

use super::event::{BulkOrder, NetEvent};
use super::serve::sentence;
use super::state::bulk::{Many, Sums};
use super::state::marks::{MOST, Pinned};

/// How a change ends that the operator stops.
const STOPPED: &str = "stopped: what was done stays";

/// Makes the change, and tells how far it is and, however it ends, what was changed. It goes on until `stop`.
pub(super) async fn run(
    client: Client,
    order: BulkOrder,
    events: mpsc::Sender<NetEvent>,
    stop: CancellationToken,
) {
    let teller = Teller {
        ticket: order.ticket,
        events,
    };
    match order.many.clone() {
        Many::Marked(pinned) => marked(&client, &order, pinned, &teller, &stop).await,
        Many::Filter(_, filter) => {
            let bulk = Bulk {
                filter: *filter,
                transition: order.transition,
                reason: order.reason.clone(),
                is_dry_run: order.is_dry_run,
                expected: order.expected,
            };
            let mut sums = Sums::default();
            let mut moved = Vec::new();
            let all = filtered(&client, bulk, (&mut sums, &mut moved), &teller);
            let over = tokio::select! {
                // What the daemon has told is taken in first. It stops when it finds nobody who listens.
                biased;
                over = all => over.map_err(sentence),
                () = stop.cancelled() => Err(STOPPED.to_owned()),
            };
            // So many are taken back by another command, not by a key.
            moved.truncate(if moved.len() > MOST { 0 } else { MOST });
            teller.tell(&sums, Some(over), moved).await;
        }
    }
}

/// Tells the console how far it is.
struct Teller {
    ticket: u64,
    events: mpsc::Sender<NetEvent>,
}

impl Teller {
    async fn tell(&self, sums: &Sums, over: Option<Result<(), String>>, moved: Vec<Pinned>) {
        let event = NetEvent::Bulk {
            ticket: self.ticket,
            sums: Box::new(sums.clone()),
            over,
            moved,
        };
        // When the console is gone, this is dropped with it.
        let _ = self.events.send(event).await;
    }
}

async fn filtered(
    client: &Client,
    bulk: Bulk,
    (sums, moved): (&mut Sums, &mut Vec<Pinned>),
    teller: &Teller,
) -> Result<(), Error> {
    let status = bulk.transition.target();
    let mut progress = client.transition_many(bulk).await?;
    while let Some((message, refused)) = progress.next().await? {
        sums.matched = message.matched;
        sums.done = message.done;
        sums.unchanged = message.unchanged;
        sums.refuse(refused);
        if moved.len() <= MOST {
            moved.extend(message.moved.into_iter().filter_map(|it| {
                Some(Pinned {
                    id: it.agent_id.parse().ok()?,
                    email: it.email,
                    status,
                    revision: it.revision,
                })
            }));
        }
        teller.tell(sums, None, Vec::new()).await;
    }
    Ok(())
}

async fn marked(
    client: &Client,
    order: &BulkOrder,
    pinned: Vec<Pinned>,
    teller: &Teller,
    stop: &CancellationToken,
) {
    let mut sums = Sums {
        matched: pinned.len() as u64,
        ..Sums::default()
    };
    let mut moved = Vec::new();
    for agent in pinned {
        if stop.is_cancelled() {
            let over = Some(Err(STOPPED.to_owned()));
            return teller.tell(&sums, over, moved).await;
        }
        let done = client
            .transition(
                order.transition,
                agent.id.to_string(),
                order.reason.clone(),
                agent.revision,
            )
            .await;
        match done {
            Ok(changed) => {
                sums.done += 1;
                moved.push(Pinned::new(&changed.record));
            }
            Err(error @ Error::Unreachable { .. }) => {
                let over = Some(Err(sentence(error)));
                return teller.tell(&sums, over, moved).await;
            }
            Err(error) => sums.refuse([Refused {
                agent_id: agent.id.to_string(),
                email: agent.email,
                code: String::new(),
                message: error.to_string(),
            }]),
        }
        teller.tell(&sums, None, Vec::new()).await;
    }
    teller.tell(&sums, Some(Ok(())), moved).await;
}
