//! What people order about alerts: silences, acknowledgements, and that failed deliveries are tried again.
//!
//! The first two are said once they stand in the control log, and are read from there at every start. Nothing the
//! engines do depends on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::alert::outbox::{OutboxError, OutboxHandle};
use crate::durable::{ControlEntry, ControlEvent};
use crate::latency::Clock;
use crate::pipeline::Common;
use crate::stage::{Done, Given, Intake, Notice, Order, Refused, What};
use crate::status::{Said, Status};
use crate::types::{Acknowledgement, Silence, SilenceDraft, silence};

/// Most silences that are in force or to come.
const SILENCES_MAX: usize = 1000;

/// Takes orders, one after the other.
pub struct Desk {
    status: Arc<Status>,
    clock: Clock,
    outbox: OutboxHandle,
    orders: mpsc::Receiver<Order>,
}

/// What the entries of a control log say, in order.
pub fn recall(said: &Said, entries: &[ControlEntry]) {
    let mut acknowledged = BTreeMap::<&str, &Acknowledgement>::new();
    for entry in entries {
        match &entry.event {
            ControlEvent::Silenced { silence } => said.silence(silence.clone()),
            ControlEvent::SilenceEnded { id, at_ns } => drop(said.end_silence(id, *at_ns)),
            ControlEvent::Acknowledged { acknowledgement } => {
                acknowledged.insert(&acknowledgement.id, acknowledgement);
            }
            _ => {}
        }
    }
    acknowledged.into_values().for_each(|acknowledgement| said.acknowledge(acknowledgement.clone()));
}

impl Desk {
    pub(super) fn new(common: &Common, outbox: &OutboxHandle, orders: mpsc::Receiver<Order>) -> Self {
        Desk { status: common.status.clone(), clock: common.clock, outbox: outbox.clone(), orders }
    }

    /// Runs for ever.
    pub async fn run(mut self, intake: &Intake) -> std::convert::Infallible {
        loop {
            match self.orders.recv().await {
                Some(order) => self.follow(order, Some(intake)).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Runs until nobody can give orders. Of several Eddys none has a control log that the others read.
    pub async fn run_without_a_log(mut self) {
        while let Some(order) = self.orders.recv().await {
            self.follow(order, None).await;
        }
    }

    async fn follow(&self, Order { what, answer }: Order, intake: Option<&Intake>) {
        let done = match what {
            What::Replay(given) => self.replay(given).await,
            _ if intake.is_none() => Err(Refused::Impossible(
                "an Eddy of a group keeps no silences or acknowledgements that the others would know of: silence at the \
                 receiver, as Alertmanager can"
                    .to_owned(),
            )),
            What::Silence(draft) => self.silence(&draft, intake).await,
            What::EndSilence { id } => self.end_silence(id, intake).await,
            What::Acknowledge { id, author, comment } => {
                self.acknowledge(Acknowledgement { id, at_ns: self.clock.now_ns(), author, comment }, intake).await
            }
        };
        // Whoever asked may have gone.
        let _ = answer.send(done);
    }

    async fn silence(&self, draft: &SilenceDraft, intake: Option<&Intake>) -> Result<Done, Refused> {
        let (said, now_ns) = (&self.status.said, self.clock.now_ns());
        let silence = Silence::new(draft, now_ns).map_err(Refused::Wrong)?;
        if said.silences().iter().filter(|silence| silence.ends_at_ns > now_ns).count() >= SILENCES_MAX {
            let full = format!("there are {SILENCES_MAX} silences already: end some, or use patterns");
            return Err(Refused::Impossible(full));
        }
        write(intake, Notice::Silenced { silence: silence.clone() }).await?;
        tracing::info!(id = silence.id, author = silence.author, "silenced");
        said.silence(silence.clone());
        Ok(Done::Silenced(silence))
    }

    async fn end_silence(&self, id: String, intake: Option<&Intake>) -> Result<Done, Refused> {
        let (said, at_ns) = (&self.status.said, self.clock.now_ns());
        let silences = said.silences();
        let known = silences.iter().find(|silence| silence.id == id);
        let known = known.ok_or_else(|| Refused::Unknown(format!("there is no silence {id}")))?;
        if known.ends_at_ns <= at_ns {
            return Ok(Done::Silenced(Silence::clone(known)));
        }
        write(intake, Notice::SilenceEnded { id: id.clone(), at_ns }).await?;
        tracing::info!(id, "a silence was ended");
        let ended = said.end_silence(&id, at_ns).unwrap_or_else(|| known.clone());
        // The outbox second: a worker that has it now may hold back by the silence as it was.
        self.outbox(move |outbox| outbox.end_silence(&id, at_ns)).await?;
        Ok(Done::Silenced(Silence::clone(&ended)))
    }

    async fn acknowledge(
        &self,
        acknowledgement: Acknowledgement,
        intake: Option<&Intake>,
    ) -> Result<Done, Refused> {
        silence::check_words(&acknowledgement.author, &acknowledgement.comment).map_err(Refused::Wrong)?;
        let id = acknowledgement.id.clone();
        let revisions = self.outbox(move |outbox| outbox.reader()?.alert(&id)).await?;
        let newest = revisions.last().ok_or_else(|| {
            Refused::Unknown(format!("there is no alert {}: see /api/v1/alerts", acknowledgement.id))
        })?;
        if !newest.alert.decision.state.is_firing() {
            let over = format!("alert {} is over: only what fires can be acknowledged", acknowledgement.id);
            return Err(Refused::Impossible(over));
        }
        write(intake, Notice::Acknowledged { acknowledgement: acknowledgement.clone() }).await?;
        self.status.said.acknowledge(acknowledgement.clone());
        Ok(Done::Acknowledged(acknowledgement))
    }

    async fn replay(&self, given: Given) -> Result<Done, Refused> {
        let now_ns = self.clock.now_ns();
        let replayed = self
            .outbox(move |outbox| match &given {
                Given::One { id, revision, receiver } => {
                    outbox.replay_failed(id, *revision, receiver, now_ns).map(u64::from)
                }
                Given::All { receiver } => outbox.replay_all_failed(receiver.as_deref(), now_ns),
            })
            .await?;
        if replayed == 0 {
            let none = "no such delivery has failed: see /api/v1/deliveries/failed";
            return Err(Refused::Unknown(none.to_owned()));
        }
        Ok(Done::Replayed(replayed))
    }

    /// On a thread that may block.
    async fn outbox<T: Send + 'static>(
        &self,
        call: impl FnOnce(&OutboxHandle) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, Refused> {
        let outbox = self.outbox.clone();
        let stopping = |_| Refused::Impossible("Eddy is stopping: ask again once it runs".to_owned());
        let done = tokio::task::spawn_blocking(move || call(&outbox)).await.map_err(stopping)?;
        done.map_err(|error| Refused::Impossible(error.to_string()))
    }
}

async fn write(intake: Option<&Intake>, notice: Notice) -> Result<(), Refused> {
    let logged = match intake {
        Some(intake) => intake.notice(notice).await.ok(),
        None => None,
    };
    let written = match logged {
        Some(logged) => logged.await.ok().and_then(Result::ok),
        None => None,
    };
    written.ok_or_else(|| {
        Refused::Impossible("the control log cannot be written: free disk space, and say it again".to_owned())
    })
}
