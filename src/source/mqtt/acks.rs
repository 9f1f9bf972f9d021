//! From the socket's queue to the log, and from the log back to PUBACKs in receive order.

use std::collections::VecDeque;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::wire::ack;
use crate::mqtt::Full;
use crate::mqtt::link::Client;
use crate::stage::{Intake, NotSafe};
use crate::types::Message;

/// A submission holds at most this many messages ...
const BATCH_MESSAGES_MAX: usize = 1024;
/// ... or the message that brings it over this many bytes.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Submissions that may wait for their fsync at once: enough that the log is never idle.
const FLIGHTS_MAX: usize = 8;

/// One PUBLISH taken from a connection.
pub(super) struct Received {
    /// Packet id to acknowledge; 0 for QoS 0, which has none.
    pub pkid: u16,
    /// `None` for a retained message that is dropped: it keeps its place in the order of acks.
    pub message: Option<Message>,
    /// Permits of the byte budget it holds.
    pub room: u32,
}

/// Why acknowledging stopped before the queue was over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The log refused; `qos0_lost` messages cannot be asked for again.
    NotSafe { qos0_lost: usize },
    /// More acks than packet ids exist: the broker reuses ids that are in flight.
    AckOverflow,
}

/// A submission and what to do once it is durable.
#[derive(Default)]
struct Flight {
    pkids: Vec<u16>,
    qos0: usize,
    room: usize,
    /// `None` when there was nothing to log.
    logged: Option<oneshot::Receiver<Result<(), NotSafe>>>,
}

/// One connection's way to the log and back. Acks go to the client of that connection alone.
pub(super) struct Acks<'a> {
    pub intake: &'a Intake,
    pub client: &'a Client,
    /// Byte budget of the queue, given back when the log has the bytes.
    pub room: &'a Semaphore,
    pub shutdown: &'a CancellationToken,
}

impl Acks<'_> {
    /// Runs until the queue is over (the connection is lost or, on shutdown, closed here) and every
    /// submission is settled.
    pub async fn run(&self, mut queue: mpsc::Receiver<Received>) -> Result<(), Stopped> {
        let mut flights = VecDeque::with_capacity(FLIGHTS_MAX);
        match self.work(&mut queue, &mut flights).await {
            Err(Stopped::NotSafe { qos0_lost }) => {
                self.room.close();
                let lost = qos0_lost + settle(&mut queue, &mut flights).await;
                Err(Stopped::NotSafe { qos0_lost: lost })
            }
            other => other,
        }
    }

    async fn work(
        &self,
        queue: &mut mpsc::Receiver<Received>,
        flights: &mut VecDeque<Flight>,
    ) -> Result<(), Stopped> {
        let (mut open, mut closing) = (true, false);
        while open || !flights.is_empty() {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled(), if !closing => {
                    closing = true;
                    queue.close();
                    self.room.close();
                }
                outcome = oldest(flights), if !flights.is_empty() => {
                    let flight = flights.pop_front().unwrap_or_default();
                    outcome.map_err(|NotSafe| Stopped::NotSafe { qos0_lost: flight.qos0 })?;
                    self.acknowledge(&flight)?;
                }
                first = queue.recv(), if open && flights.len() < FLIGHTS_MAX => match first {
                    Some(first) => flights.push_back(self.submit(first, queue).await?),
                    None => open = false,
                },
            }
        }
        Ok(())
    }

    /// Submits `first` and whatever else is there already: a lone message goes at once.
    async fn submit(&self, first: Received, queue: &mut mpsc::Receiver<Received>) -> Result<Flight, Stopped> {
        let mut flight = Flight::default();
        let mut messages = Vec::new();
        let mut next = Some(first);
        while let Some(received) = next {
            flight.room += received.room as usize;
            if received.pkid != 0 {
                flight.pkids.push(received.pkid);
            } else if received.message.is_some() {
                flight.qos0 += 1;
            }
            messages.extend(received.message);
            let full = messages.len() >= BATCH_MESSAGES_MAX || flight.room >= BATCH_BYTES_MAX;
            next = if full { None } else { queue.try_recv().ok() };
        }
        if !messages.is_empty() {
            let submitted = self.intake.submit(messages).await;
            flight.logged = Some(submitted.map_err(|NotSafe| Stopped::NotSafe { qos0_lost: flight.qos0 })?);
        }
        Ok(flight)
    }

    /// Never waits: the request channel has room for every packet id there is.
    fn acknowledge(&self, flight: &Flight) -> Result<(), Stopped> {
        for &pkid in &flight.pkids {
            ack(self.client, pkid).map_err(|Full| Stopped::AckOverflow)?;
        }
        self.room.add_permits(flight.room);
        Ok(())
    }
}

/// Waits for the oldest submission. Cancel-safe: the receiver stays in its flight.
async fn oldest(flights: &mut VecDeque<Flight>) -> Result<(), NotSafe> {
    match flights.front_mut().and_then(|flight| flight.logged.as_mut()) {
        // A log that dropped its end will not answer any more: the same as a refusal.
        Some(logged) => logged.await.unwrap_or(Err(NotSafe)),
        None => Ok(()),
    }
}

/// After a refusal nothing more is acknowledged, since acks go in receive order. What is on its way is
/// waited for, so that the next connection's messages come behind it. Returns the QoS 0 messages lost.
async fn settle(queue: &mut mpsc::Receiver<Received>, flights: &mut VecDeque<Flight>) -> usize {
    let mut lost = 0;
    while !flights.is_empty() {
        let outcome = oldest(flights).await;
        let flight = flights.pop_front().unwrap_or_default();
        lost += if outcome.is_err() { flight.qos0 } else { 0 };
    }
    queue.close();
    while let Ok(received) = queue.try_recv() {
        lost += usize::from(received.pkid == 0 && received.message.is_some());
    }
    lost
}
