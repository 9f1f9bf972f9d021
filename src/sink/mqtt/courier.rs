//! The task that keeps the connection: it makes one when there is something to send, and answers every attempt in time.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::flights::Flights;
use super::refusals::{answer, beyond, lost, silent, stuck};
use super::wire::{Event, Limits, Receipt, open, packet_bytes, publish};
use crate::config::plan::MqttSinkPlan;
use crate::mqtt::link::{Client, Link};
use crate::mqtt::reasons::{explain, explain_connect};
use crate::mqtt::rivals::Rivals;
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
    pub rivals: Rivals,
}

/// What a connection ended by.
enum End {
    Lost(Fault),
    /// Something is late, and nothing at all was acknowledged for as long as a message may take.
    Silent,
    /// The library holds a message back for ever.
    Stuck,
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
        let (client, mut link, limits) = match self.connect(&mut first).await {
            Ok(connected) => connected,
            Err(reason) => {
                self.rivals.unmade();
                return self.refuse(first, &reason);
            }
        };
        self.rivals.made();
        let began = Instant::now();
        tracing::info!(sink = self.sink, broker = self.plan.broker.address(), "connected");
        let state = State { flights: Flights::default(), heard: Instant::now(), has_refused: false };
        let desk = Desk { plan: &self.plan, client, limits, state: Mutex::new(state) };
        // Polled to its end or dropped: a poll that is cut short may lose what it took to send.
        let mut listening = pin!(desk.listen(&mut link));
        let end = tokio::select! {
            end = &mut listening => end,
            end = desk.hand_over(first, &mut self.errands) => end,
        };
        let reason = match end {
            End::Lost(fault) => {
                let MqttSinkPlan { broker, version, .. } = &self.plan;
                let lasted = began.elapsed();
                // A broker may close behind what it refuses.
                let reason = match desk.state().has_refused {
                    true => {
                        self.rivals.unmade();
                        explain(broker, *version, &fault)
                    }
                    false => self.rivals.ended(broker, *version, lasted, &fault),
                };
                lost(&self.plan, &fault, reason)
            }
            End::Silent => {
                self.rivals.unmade();
                silent(&self.plan)
            }
            End::Stuck => {
                self.rivals.unmade();
                stuck(&self.plan)
            }
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
        for flight in std::mem::take(&mut desk.state().flights).into_lost() {
            flight.end(Answer::unsent(&reason));
        }
    }

    async fn connect(&self, first: &mut Ask) -> Result<(Client, Link, Limits), String> {
        let (client, mut link) = open(&self.plan).await?;
        let polled = tokio::select! {
            polled = timeout_at(first.deadline, link.poll()) => polled.unwrap_or(Err(Fault::Silent)),
            // Nobody waits for it any more: Eddy is being stopped.
            () = first.answer.closed() => Err(Fault::Silent),
        };
        match polled {
            Ok(Event::Connected(limits)) => Ok((client, link, limits)),
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

/// A message on its way.
enum Flight {
    Awaited(Ask),
    /// It was answered as failed. Its acknowledgement may come still, and its packet id is not free until then.
    Late,
}

impl Flight {
    /// Of a late one it changes nothing.
    fn end(self, answer: Answer) {
        if let Flight::Awaited(ask) = self {
            let _ = ask.answer.send(answer);
        }
    }
}

struct State {
    /// Of this connection: what an earlier one had on its way is answered.
    flights: Flights<Flight>,
    /// When the broker last acknowledged anything. That it answers pings says nothing of messages.
    heard: Instant,
    /// A message of this connection was refused.
    has_refused: bool,
}

/// One connection that stands.
struct Desk<'a> {
    plan: &'a MqttSinkPlan,
    client: Client,
    limits: Limits,
    state: Mutex<State>,
}

impl Desk<'_> {
    /// Never waits: both who fill and who empty it are one task.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls the connection until it ends, and says why.
    async fn listen(&self, link: &mut Link) -> End {
        loop {
            match link.poll().await {
                Ok(event) => {
                    if let Some(end) = self.hear(event) {
                        return end;
                    }
                }
                Err(fault) => {
                    // Read before the connection broke: what was acknowledged by then is told.
                    while let Some(event) = link.leftover() {
                        self.hear(event);
                    }
                    return End::Lost(fault);
                }
            }
        }
    }

    fn hear(&self, event: Event) -> Option<End> {
        match event {
            Event::Sent { pkid } => self.state().flights.send(pkid),
            Event::Held { pkid } => self.state().flights.hold(pkid),
            Event::Acked { pkid, receipt } => {
                let mut state = self.state();
                state.heard = Instant::now();
                let is_refusal = matches!(receipt, Receipt::Refused { .. });
                state.has_refused |= is_refusal;
                let is_stuck = is_refusal && state.flights.held() == Some(pkid);
                if let Some(flight) = state.flights.acknowledge(pkid) {
                    flight.end(answer(self.plan, receipt));
                }
                return is_stuck.then_some(End::Stuck);
            }
            Event::Connected(_) | Event::Other => {}
        }
        None
    }

    /// Takes errands until there is one to leave, or the broker is silent for longer than it may.
    async fn hand_over(&self, first: Ask, errands: &mut mpsc::Receiver<Errand>) -> End {
        self.publish(first);
        loop {
            let next = self.next_look();
            let late = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                errand = errands.recv() => match errand {
                    Some(Errand::Tell(ask)) => self.publish(ask),
                    Some(Errand::Leave(left)) => return End::Leave(Some(left)),
                    None => return End::Leave(None),
                },
                () = late => if self.is_silent() {
                    return End::Silent;
                },
            }
        }
    }

    /// When something will be late, or silence too long.
    fn next_look(&self) -> Option<Instant> {
        let state = self.state();
        let at = |flight: &Flight| match flight {
            Flight::Awaited(ask) => ask.deadline,
            Flight::Late => state.heard + self.plan.timeout,
        };
        state.flights.iter().map(at).min()
    }

    /// Answers what is late. A broker may take long for one message and go on with others.
    fn is_silent(&self) -> bool {
        let (mut state, now) = (self.state(), Instant::now());
        let mut any_late = false;
        for flight in state.flights.iter_mut() {
            if matches!(flight, Flight::Awaited(ask) if ask.deadline <= now) {
                std::mem::replace(flight, Flight::Late).end(Answer::unsent(&silent(self.plan)));
            }
            any_late |= matches!(flight, Flight::Late);
        }
        any_late && state.heard + self.plan.timeout <= now
    }

    fn publish(&self, ask: Ask) {
        let asked = type_of(&ask.outgoing.body).map_err(|error| error.to_string()).and_then(|kind| {
            let packet_bytes = packet_bytes(self.plan, &ask.outgoing, kind);
            match beyond(self.plan, self.limits, packet_bytes) {
                Some(reason) => Err(reason),
                None => {
                    publish(&self.client, self.plan, &ask.outgoing, kind).map_err(|Full| silent(self.plan))
                }
            }
        });
        match asked {
            Ok(()) => self.state().flights.ask(Flight::Awaited(ask)),
            Err(reason) => {
                let _ = ask.answer.send(Answer::unsent(&reason));
            }
        }
    }
}
