//! What people order about alerts: silences, acknowledgements, that failed deliveries are tried again or waiting ones at
//! once, and what an alert was.
//!
//! All but what is tried again is said once they stand in the control log, and are read from
//! there at every start. Of all of it the engines depend on what an alert was alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

use crate::alert::outbox::{OutboxError, OutboxHandle, Replayed};
use crate::config::plan::Plan;
use crate::durable::{ControlEntry, ControlEvent};
use crate::latency::Clock;
use crate::pipeline::Common;
use crate::stage::{Done, Given, Intake, Notice, Order, Refused, What};
use crate::status::{Said, Status};
use crate::types::{Acknowledgement, Feedback, Silence, SilenceDraft, rule, silence};

/// Most silences that are in force or to come.
const SILENCES_MAX: usize = 1000;

/// Takes orders, one after the other.
pub struct Desk {
    plan: Arc<Plan>,
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
            ControlEvent::Feedback { stream, feedback } => said.hear(stream, feedback.clone()),
            _ => {}
        }
    }
    acknowledged.into_values().for_each(|acknowledgement| said.acknowledge(acknowledgement.clone()));
}

impl Desk {
    pub(super) fn new(common: &Common, outbox: &OutboxHandle, orders: mpsc::Receiver<Order>) -> Self {
        let (plan, status) = (common.plan.clone(), common.status.clone());
        Desk { plan, status, clock: common.clock, outbox: outbox.clone(), orders }
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
            What::Retry { receiver } => self.retry(receiver).await,
            What::Feedback { stream, feedback } => self.feedback(stream, feedback, intake).await,
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
        silence.check_names(&self.plan.names()).map_err(Refused::Wrong)?;
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
        let mut ended = known.clone();
        if known.ends_at_ns > at_ns {
            write(intake, Notice::SilenceEnded { id: id.clone(), at_ns }).await?;
            tracing::info!(id, "a silence was ended");
            ended = said.end_silence(&id, at_ns).unwrap_or(ended);
        }
        // The outbox second: a worker that has it now may hold back by the silence as it was. And again of one that was ended
        // before, when this may have failed.
        let released = self.outbox(move |outbox| outbox.end_silence(&id, at_ns)).await;
        released.map_err(|_| {
            let held = "the silence is ended, but what it held back could not be let go: free disk space, and end it again";
            Refused::Unsure(held.to_owned())
        })?;
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

    /// Also where it can change nothing, it is a label: it is not refused.
    async fn feedback(
        &self,
        stream: String,
        feedback: Feedback,
        intake: Option<&Intake>,
    ) -> Result<Done, Refused> {
        if intake.is_none() {
            return Ok(Done::Heard(Err(
                "an Eddy of a group keeps no control log that the others read, so this is a label and nothing more: \
                 silence at the receiver, or give the stream an `alert_budget`"
                    .to_owned(),
            )));
        }
        if feedback.rule == rule::NO_DATA {
            let why = "how long a key may say nothing is not learnt from feedback, so this is a label and nothing more: \
                       set `no_data` of the stream";
            return Ok(Done::Heard(Err(why.to_owned())));
        }
        if self.status.said.says(&feedback) {
            return Ok(Done::Heard(Ok(())));
        }
        let feedback = Feedback { number: self.status.said.words() + 1, ..feedback };
        write(intake, Notice::Feedback { stream: stream.as_str().into(), feedback: feedback.clone() })
            .await?;
        tracing::info!(alert = feedback.alert, word = feedback.word.as_str(), who = feedback.who, "feedback");
        self.status.said.hear(&stream, feedback);
        Ok(Done::Heard(Ok(())))
    }

    async fn replay(&self, given: Given) -> Result<Done, Refused> {
        let now_ns = self.clock.now_ns();
        if let Given::One { receiver, .. } | Given::All { receiver: Some(receiver) } = &given {
            self.plan.sink_at(receiver).map_err(Refused::Unknown)?;
        }
        let replayed = self
            .outbox(move |outbox| match &given {
                Given::One { id, revision, receiver } => {
                    outbox.replay_failed(id, *revision, receiver, now_ns)
                }
                Given::All { receiver } => outbox.replay_all_failed(receiver.as_deref(), now_ns),
            })
            .await?;
        let Replayed { deliveries, superseded } = replayed;
        if deliveries + superseded == 0 {
            let none = "no such delivery has failed: see /api/v1/deliveries/failed";
            return Err(Refused::Unknown(none.to_owned()));
        }
        Ok(Done::Replayed { deliveries, superseded })
    }

    /// Nothing is written down: the outbox has what waits, and its worker asks the receiver.
    async fn retry(&self, receiver: String) -> Result<Done, Refused> {
        let at = self.plan.sink_at(&receiver).map_err(Refused::Unknown)?;
        if self.status.sinks[at].closed.load(Relaxed) {
            let closed = "nobody reads standard output any more: restart Eddy with a reader";
            return Err(Refused::Impossible(closed.to_owned()));
        }
        let grouped = self.plan.sinks[at].group.is_some();
        let name = receiver.clone();
        let counts = self.outbox.run(move |outbox| outbox.counts(&name)).await;
        let counts = counts.map_err(|error| Refused::Impossible(error.to_string()))?;
        if counts.disabled {
            let gone = format!(
                "{receiver} has answered 410 Gone, and nothing is sent to it: replay a delivery that was given up, which takes it up again"
            );
            return Err(Refused::Impossible(gone));
        }
        let waiting = counts.waiting(grouped);
        if waiting > 0 {
            tracing::info!(sink = receiver, waiting, "asked for at once");
            self.outbox.ask_now(&receiver);
        }
        Ok(Done::Asked { waiting })
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
    let stopping = || Refused::Impossible("Eddy is stopping: ask again once it runs".to_owned());
    let logged = intake.ok_or_else(stopping)?.notice(notice).await.map_err(|_| stopping())?;
    // What failed may be on the disk all the same.
    logged.await.ok().and_then(Result::ok).ok_or_else(|| {
        let unsure = "the control log could not be written: free disk space, look whether it was done, and say it again";
        Refused::Unsure(unsure.to_owned())
    })
}
