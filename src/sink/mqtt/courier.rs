//! The task that keeps the connection: it makes one when there is something to send, and answers every attempt in time.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::flights::Flights;
use super::refusals::{answer, beyond, lost, silent};
use super::wire::{Client, Event, Limits, Link, open, packet_bytes};
use crate::config::plan::MqttSinkPlan;
use crate::mqtt::reasons::{explain_connect, unusable};
use crate::mqtt::{Fault, Full, GOODBYE_MAX};
use crate::sink::format::type_of;
use crate::sink::{Answer, Outgoing};

pub(super) enum Errand {
    Tell(Ask),
    /// Says goodbye to the broker, and then that it is done.
    Leave(oneshot::Sender<()>),
}

/// An attempt. Who made it may have stopped waiting.
pub(super) struct Ask {
    pub outgoing: Outgoing,
    pub deadline: Instant,
    pub answer: oneshot::Sender<Answer>,
}

pub(super) struct Courier {
    pub sink: String,
    pub plan: MqttSinkPlan,
    pub errands: mpsc::Receiver<Errand>,
}

/// What a connection ended by.
enum End {
    Lost(Fault),
    /// Something was not acknowledged in time. A broker acknowledges in order, so what was sent later would not be either.
    Silent,
    Leave(Option<oneshot::Sender<()>>),
}

impl Courier {
    /// Until nobody has errands any more.
    pub async fn run(mut self) {
        while let Some(errand) = self.errands.recv().await {
            match errand {
                Errand::Tell(first) => self.connection(first).await,
                Errand::Leave(left) => {
                    let _ = left.send(());
                }
            }
        }
    }

    /// One connection, from CONNECT for the first message to its end.
    async fn connection(&mut self, mut first: Ask) {
        let connected = match open(&self.plan) {
            Ok((client, mut link)) => match self.connect(&mut link, &mut first).await {
                Ok(limits) => Ok((client, link, limits)),
                Err(reason) => Err(reason),
            },
            Err(problem) => Err(unusable(&problem)),
        };
        let (client, mut link, limits) = match connected {
            Ok(connected) => connected,
            Err(reason) => return self.refuse(first, &reason),
        };
        tracing::info!(sink = self.sink, broker = self.plan.broker.address(), "connected");
        let desk = Desk { plan: &self.plan, client, limits, flights: Mutex::default() };
        // Polled to its end or dropped: a poll that is cut short may lose what it took to send.
        let mut listening = pin!(desk.listen(&mut link));
        let end = tokio::select! {
            fault = &mut listening => End::Lost(fault),
            end = desk.hand_over(first, &mut self.errands) => end,
        };
        let reason = match end {
            End::Lost(fault) => lost(&self.plan, &fault),
            End::Silent => silent(&self.plan),
            End::Leave(left) => {
                desk.client.disconnect();
                let _ = timeout(GOODBYE_MAX, listening).await;
                if let Some(left) = left {
                    let _ = left.send(());
                }
                return;
            }
        };
        tracing::warn!(sink = self.sink, reason, "the connection has ended; the next message makes another");
        for ask in std::mem::take(&mut *desk.flights()).into_lost() {
            let _ = ask.answer.send(Answer::unsent(&reason));
        }
    }

    async fn connect(&self, link: &mut Link, first: &mut Ask) -> Result<Limits, String> {
        let polled = tokio::select! {
            polled = timeout_at(first.deadline, link.poll()) => polled.unwrap_or(Err(Fault::Silent)),
            // Nobody waits for it any more: Eddy is being stopped.
            () = first.answer.closed() => Err(Fault::Silent),
        };
        match polled {
            Ok(Event::Connected(limits)) => Ok(limits),
            Ok(_) => {
                Err("the broker did not answer CONNECT with CONNACK; check that it speaks MQTT".to_owned())
            }
            Err(fault) => Err(explain_connect(&self.plan.broker, self.plan.version, &fault)),
        }
    }

    /// What came while the broker was not to be reached has found out as much.
    fn refuse(&mut self, first: Ask, reason: &str) {
        let _ = first.answer.send(Answer::unsent(reason));
        while let Ok(errand) = self.errands.try_recv() {
            match errand {
                Errand::Tell(ask) => {
                    let _ = ask.answer.send(Answer::unsent(reason));
                }
                Errand::Leave(left) => {
                    let _ = left.send(());
                }
            }
        }
    }
}

/// One connection that stands.
struct Desk<'a> {
    plan: &'a MqttSinkPlan,
    client: Client,
    limits: Limits,
    /// Its own: what an earlier connection had on its way is answered.
    flights: Mutex<Flights<Ask>>,
}

impl Desk<'_> {
    /// Never waits: both who fill and who empty it are one task.
    fn flights(&self) -> MutexGuard<'_, Flights<Ask>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls the connection until it ends, and says why.
    async fn listen(&self, link: &mut Link) -> Fault {
        loop {
            match link.poll().await {
                Ok(event) => self.hear(event),
                Err(fault) => {
                    // Read before the connection broke: what was acknowledged by then is told.
                    while let Some(event) = link.leftover() {
                        self.hear(event);
                    }
                    return fault;
                }
            }
        }
    }

    fn hear(&self, event: Event) {
        match event {
            Event::Sent { pkid } => self.flights().send(pkid),
            Event::Acked { pkid, receipt } => {
                if let Some(ask) = self.flights().acknowledge(pkid) {
                    let _ = ask.answer.send(answer(self.plan, receipt));
                }
            }
            Event::Connected(_) | Event::Other => {}
        }
    }

    /// Takes errands until there is one to leave, or something waits for longer than it may.
    async fn hand_over(&self, first: Ask, errands: &mut mpsc::Receiver<Errand>) -> End {
        self.publish(first);
        loop {
            let deadline = self.flights().iter().map(|ask| ask.deadline).min();
            let late = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                errand = errands.recv() => match errand {
                    Some(Errand::Tell(ask)) => self.publish(ask),
                    Some(Errand::Leave(left)) => return End::Leave(Some(left)),
                    None => return End::Leave(None),
                },
                // It may have been acknowledged since.
                () = late => if self.is_overdue() {
                    return End::Silent;
                },
            }
        }
    }

    fn is_overdue(&self) -> bool {
        let now = Instant::now();
        self.flights().iter().any(|ask| ask.deadline <= now)
    }

    fn publish(&self, ask: Ask) {
        let asked = type_of(&ask.outgoing.body).map_err(|error| error.to_string()).and_then(|kind| {
            let packet_bytes = packet_bytes(self.plan, &ask.outgoing, kind);
            match beyond(self.plan, self.limits, packet_bytes) {
                Some(reason) => Err(reason),
                None => self.client.publish(self.plan, &ask.outgoing, kind).map_err(|Full| silent(self.plan)),
            }
        });
        match asked {
            Ok(()) => self.flights().ask(ask),
            Err(reason) => {
                let _ = ask.answer.send(Answer::unsent(&reason));
            }
        }
    }
}
