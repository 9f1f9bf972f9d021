//! What people order about alerts: silences, acknowledgements, that failed deliveries are tried again or waiting ones at
//! once, and what an alert was.
//!
//! All but what is tried again is said once they stand in the control log, and are read from
//! there at every start; of several Eddys the state topic has silences and acknowledgements, and each reads them there. Of all of it
//! the engines depend on what an alert was alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

use crate::alert::outbox::{OutboxError, OutboxHandle, Replayed};
use crate::config::plan::Plan;
use crate::durable::{ControlEntry, ControlEvent};
use crate::latency::Clock;
use crate::pipeline::Common;
use crate::pipeline::group::words::{Teller, Word};
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

/// Where what is said stands, from which it holds.
#[derive(Clone, Copy)]
enum Book<'a> {
    /// One Eddy's own.
    Log(&'a Intake),
    /// Of all Eddys of a group. None has a control log that the others read.
    Group(&'a Teller),
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
    pub async fn run(self, intake: &Intake) -> std::convert::Infallible {
        self.follow_all(Book::Log(intake)).await
    }

    /// The same of one of several Eddys.
    pub async fn run_in_a_group(self, teller: &Teller) -> std::convert::Infallible {
        self.follow_all(Book::Group(teller)).await
    }

    async fn follow_all(mut self, book: Book<'_>) -> std::convert::Infallible {
        loop {
            match self.orders.recv().await {
                Some(order) => self.follow(order, book).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn follow(&self, Order { what, answer }: Order, book: Book<'_>) {
        let done = match what {
            What::Replay(given) => self.replay(given).await,
            What::Retry { receiver } => self.retry(receiver).await,
            What::Feedback { stream, feedback } => self.feedback(stream, feedback, book).await,
            What::Silence(draft) => self.silence(&draft, book).await,
            What::EndSilence { id } => self.end_silence(id, book).await,
            What::Acknowledge { id, author, comment } => {
                self.acknowledge(Acknowledgement { id, at_ns: self.clock.now_ns(), author, comment }, book)
                    .await
            }
        };
        // Whoever asked may have gone.
        let _ = answer.send(done);
    }

    async fn silence(&self, draft: &SilenceDraft, book: Book<'_>) -> Result<Done, Refused> {
        let (said, now_ns) = (&self.status.said, self.clock.now_ns());
        let silence = Silence::new(draft, now_ns).map_err(Refused::Wrong)?;
        silence.check_names(&self.plan.names()).map_err(Refused::Wrong)?;
        if said.silences().iter().filter(|silence| silence.ends_at_ns > now_ns).count() >= SILENCES_MAX {
            let full = format!("there are {SILENCES_MAX} silences already: end some, or use patterns");
            return Err(Refused::Impossible(full));
        }
        match book {
            Book::Log(intake) => {
                write(intake, Notice::Silenced { silence: silence.clone() }).await?;
                said.silence(silence.clone());
            }
            Book::Group(teller) => {
                silence.check_for_several().map_err(Refused::Wrong)?;
                teller.tell(Word::Silence(silence.clone())).await?;
            }
        }
        tracing::info!(id = silence.id, author = silence.author, "silenced");
        Ok(Done::Silenced(silence))
    }

    async fn end_silence(&self, id: String, book: Book<'_>) -> Result<Done, Refused> {
        let (said, at_ns) = (&self.status.said, self.clock.now_ns());
        let silences = said.silences();
        let known = silences.iter().find(|silence| silence.id == id);
        let known = known.ok_or_else(|| Refused::Unknown(format!("there is no silence {id}")))?;
        let mut ended = Silence::clone(known);
        if known.ends_at_ns > at_ns {
            ended.ends_at_ns = at_ns;
            match book {
                Book::Log(intake) => {
                    write(intake, Notice::SilenceEnded { id: id.clone(), at_ns }).await?;
                    said.end_silence(&id, at_ns);
                }
                Book::Group(teller) => teller.tell(Word::Silence(ended.clone())).await?,
            }
            tracing::info!(id, "a silence was ended");
        }
        // The outbox second: a worker that has it now may hold back by the silence as it was. And again of one that was ended
        // before, when this may have failed.
        let released = self.outbox(move |outbox| outbox.end_silence(&id, at_ns)).await;
        released.map_err(|_| {
            let held = "the silence is ended, but what it held back could not be let go: free disk space, and end it again";
            Refused::Unsure(held.to_owned())
        })?;
        Ok(Done::Silenced(ended))
    }

    async fn acknowledge(&self, acknowledgement: Acknowledgement, book: Book<'_>) -> Result<Done, Refused> {
        silence::check_words(&acknowledgement.author, &acknowledgement.comment).map_err(Refused::Wrong)?;
        let id = acknowledgement.id.clone();
        let revisions = self.outbox(move |outbox| outbox.reader()?.alert(&id)).await?;
        let newest = revisions.last().ok_or_else(|| {
            let id = &acknowledgement.id;
            Refused::Unknown(match book {
                Book::Log(_) => format!("there is no alert {id}: see /api/v1/alerts"),
                Book::Group(_) => {
                    format!("this member has no alert {id}: ask the one that has, each lists its own at /api/v1/alerts")
                }
            })
        })?;
        if !newest.alert.decision.state.is_firing() {
            let over = format!("alert {} is over: only what fires can be acknowledged", acknowledgement.id);
            return Err(Refused::Impossible(over));
        }
        match book {
            Book::Log(intake) => {
                write(intake, Notice::Acknowledged { acknowledgement: acknowledgement.clone() }).await?;
                self.status.said.acknowledge(acknowledgement.clone());
            }
            Book::Group(teller) => teller.tell(Word::Acknowledgement(acknowledgement.clone())).await?,
        }
        Ok(Done::Acknowledged(acknowledgement))
    }

    /// Also where it can change nothing, it is a label: it is not refused.
    async fn feedback(&self, stream: String, feedback: Feedback, book: Book<'_>) -> Result<Done, Refused> {
        let Book::Log(intake) = book else {
            return Ok(Done::Heard(Err(
                "an Eddy of a group keeps no control log that the others read, so this is a label and nothing more: \
                 silence what is expected, or give the stream an `alert_budget`"
                    .to_owned(),
            )));
        };
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

async fn write(intake: &Intake, notice: Notice) -> Result<(), Refused> {
    let stopping = || Refused::Impossible("Eddy is stopping: ask again once it runs".to_owned());
    let logged = intake.notice(notice).await.map_err(|_| stopping())?;
    // What failed may be on the disk all the same.
    logged.await.ok().and_then(Result::ok).ok_or_else(|| {
        let unsure = "the control log could not be written: free disk space, look whether it was done, and say it again";
        Refused::Unsure(unsure.to_owned())
    })
}
