//! MQTT 3.1.1 and 5, QoS 0 and 1: a persistent session whose PUBACKs follow the log.
//!
//! *Acks.* A PUBACK is sent in receive order, after the fsync of its batch. A new client and event loop
//! are made for every connection, and an ack goes to the client whose connection received the message.
//! When that connection is gone its event loop is dropped, and with it every ack it still held: no
//! packet id of an earlier connection can be acknowledged on a later one. The broker redelivers; the
//! windows drop duplicates. (Polling one event loop across reconnects would not do: it yields packets
//! read before the error after the next CONNACK, and sends acks queued since.)
//!
//! *Back-pressure.* At most 65,535 QoS 1 packet ids can be unacknowledged, so a queue of more messages
//! than that does not block the poller, and keep-alive pings go out however slow the log is. (The
//! broker's own window is no bound: Mosquitto 2.0.11, set to 20, was seen with 476 on their way.) Two
//! things can still fill up: the queue's messages, by QoS 0, and its byte budget. Then the socket is not
//! read. TCP holds the broker back, which queues or drops by its own limits; if that lasts longer than
//! 1.5 keep-alives the broker closes the connection, and Eddy comes back once the log has caught up.

mod acks;
mod v3;
mod v5;
mod wire;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use super::{Context, Ended, overdue};
use crate::config::plan::MqttPlan;
use crate::mqtt::link::{Client, Link};
use crate::mqtt::reasons::explain_connect;
use crate::mqtt::rivals::Rivals;
use crate::mqtt::{Full, GOODBYE_MAX};
use crate::stage::NotSafe;
use crate::types::{Arrival, Message};
use acks::{Acks, Received, Stopped};
use wire::{Delivery, Event, open, subscribe};

/// Messages received and not yet submitted. More than there are packet ids: see the module's text.
const QUEUE_MESSAGES_MAX: usize = u16::MAX as usize + 1;
/// Bytes received and not yet logged.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// What a message takes besides topic and payload, about.
const MESSAGE_OVERHEAD_BYTES: usize = 128;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Receives until told to stop; waits for a broker that is away, for as long as it takes.
pub async fn run(plan: &MqttPlan, source: Arc<str>, context: Context) -> Ended {
    let rivals = Rivals::new(context.source_status().rival.clone());
    let mut mqtt = Mqtt { plan, source, context, subscribed: false, connections: 0, rivals };
    let (mut backoff, mut told) = (BACKOFF_MIN, None);
    let shutdown = mqtt.context.shutdown.clone();
    while !shutdown.is_cancelled() {
        let started = Instant::now();
        let reason = tokio::select! {
            ended = mqtt.session() => ended,
            () = overdue(&shutdown) => {
                tracing::warn!(source = &*mqtt.source, "the log did not answer in time; what was not acknowledged is redelivered");
                break;
            }
        };
        let Err(reason) = reason else { break };
        // Two that put each other out would do so all the faster.
        if started.elapsed() >= BACKOFF_MAX && !mqtt.rivals.are_there() {
            (backoff, told) = (BACKOFF_MIN, None);
        }
        // Once an outage: attempts that fail for the same reason are not told again.
        if told.as_ref() != Some(&reason) {
            tracing::warn!(source = &*mqtt.source, reason, "nothing is received, trying again until it is");
            told = Some(reason.clone());
        }
        mqtt.context.source_status().down(reason);
        // Half to all of it, so that many clients do not come back at the same moment.
        let jittered = backoff.mul_f64(rand::random_range(0.5..1.0));
        backoff = (backoff * 2).min(BACKOFF_MAX);
        let _ = timeout(jittered, shutdown.cancelled()).await;
    }
    mqtt.context.source_status().connected.store(false, Ordering::Relaxed);
    Ended::Shutdown
}

struct Mqtt<'a> {
    plan: &'a MqttPlan,
    source: Arc<str>,
    context: Context,
    /// The broker has confirmed our filters for its present session.
    subscribed: bool,
    connections: u64,
    rivals: Rivals,
}

impl Mqtt<'_> {
    /// One connection, from CONNECT to its end. `Ok` after an orderly stop, else the reason with its
    /// remedy. May be dropped at any await: nothing of it is used again.
    async fn session(&mut self) -> Result<(), String> {
        let (client, mut link) = open(self.plan).await.inspect_err(|_| self.rivals.unmade())?;
        let shutdown = self.context.shutdown.clone();
        tokio::select! {
            connected = self.connect(&client, &mut link) => connected?,
            () = shutdown.cancelled() => return Ok(()),
        }
        let intake = self.context.intake.clone();
        let room = Semaphore::new(QUEUE_BYTES_MAX);
        let (sender, queue) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let acks = Acks { intake: &intake, client: &client, room: &room, shutdown: &shutdown };
        let mut receive = pin!(self.receive(&mut link, sender, &room));
        let mut log = pin!(acks.run(queue));
        tokio::select! {
            lost = &mut receive => {
                // What was received goes into the log all the same: QoS 0 would not come again.
                match log.await {
                    Err(Stopped::NotSafe { qos0_lost }) if qos0_lost > 0 => Err(not_safe(qos0_lost)),
                    _ => Err(lost),
                }
            }
            logged = &mut log => match logged {
                Ok(()) => {
                    // The request channel is first in, first out: the DISCONNECT follows the last ack. The
                    // broker closes; closing first with unread bytes could reset the connection under them.
                    client.disconnect();
                    let _ = timeout(GOODBYE_MAX, receive).await;
                    Ok(())
                }
                Err(Stopped::NotSafe { qos0_lost }) => Err(not_safe(qos0_lost)),
                Err(Stopped::AckOverflow) => Err("the broker reuses packet ids that are in flight; \
                    update it, or lower its `max_inflight_messages`".to_owned()),
            },
        }
    }

    /// Connects and, unless the broker's session still holds our confirmed filters, subscribes. Not at
    /// every reconnect: each SUBSCRIBE brings all retained messages again.
    async fn connect(&mut self, client: &Client, link: &mut Link) -> Result<(), String> {
        let (broker, version) = (&self.plan.broker, self.plan.protocol.version());
        let event = link.poll().await.map_err(|fault| {
            self.rivals.unmade();
            explain_connect(broker, version, &fault)
        })?;
        let Event::Connected { session_present } = event else {
            self.rivals.unmade();
            return Err("the broker did not answer CONNECT with CONNACK; check that it speaks MQTT".into());
        };
        self.rivals.made();
        self.subscribed &= session_present;
        if self.subscribed {
            self.up();
        } else {
            subscribe(client, self.plan).map_err(|Full| {
                format!("{:?} is not a list of topic filters; correct `topics`", self.plan.topics)
            })?;
        }
        self.connections += 1;
        if self.connections > 1 {
            self.context.source_status().reconnects_total.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn up(&self) {
        self.context.source_status().up();
        tracing::info!(
            source = &*self.source,
            host = self.plan.broker.host,
            port = self.plan.broker.port,
            "receiving"
        );
    }

    /// Polls the connection until it ends and says why. Never cancelled while the connection is used.
    async fn receive(&mut self, link: &mut Link, queue: mpsc::Sender<Received>, room: &Semaphore) -> String {
        let (clock, began) = (self.context.intake.clock, Instant::now());
        let mut arrival = Arrival(clock.now_ns());
        loop {
            // One clock reading serves a burst.
            let burst_begins = link.burst_begins();
            let event = match link.poll().await {
                Ok(event) => event,
                Err(fault) => {
                    self.salvage(link, arrival, &queue, room).await;
                    let (broker, version) = (&self.plan.broker, self.plan.protocol.version());
                    return self.rivals.ended(broker, version, began.elapsed(), &fault);
                }
            };
            if burst_begins {
                arrival = Arrival(clock.now_ns());
            }
            match event {
                Event::Message(message) => self.take(message, arrival, &queue, room).await,
                Event::Subscribed(answers) => {
                    if let Err(refused) = self.confirm(&answers) {
                        return refused;
                    }
                }
                Event::Acked => {
                    self.context.source_status().acked_total.fetch_add(1, Ordering::Relaxed);
                }
                Event::Connected { .. } | Event::Other => {}
            }
        }
    }

    /// Packets of the burst in which the connection broke. QoS 1 comes again; QoS 0 would not.
    async fn salvage(
        &self,
        link: &mut Link,
        arrival: Arrival,
        queue: &mpsc::Sender<Received>,
        room: &Semaphore,
    ) {
        while let Some(event) = link.leftover() {
            if let Event::Message(message) = event
                && message.pkid == 0
            {
                self.take(message, arrival, queue, room).await;
            }
        }
    }

    /// Queues a message, waiting while the queue is full. During a stop it is left to the broker.
    async fn take(
        &self,
        delivery: Delivery,
        arrival: Arrival,
        queue: &mpsc::Sender<Received>,
        room: &Semaphore,
    ) {
        let bytes = delivery.payload.len() + delivery.topic.len() + MESSAGE_OVERHEAD_BYTES;
        let permits = bytes.min(QUEUE_BYTES_MAX) as u32;
        match room.acquire_many(permits).await {
            Ok(held) => held.forget(),
            Err(_stopping) => return,
        }
        let status = self.context.source_status();
        let dropped = delivery.retain && !self.plan.retained;
        let message = (!dropped).then(|| Message {
            source: self.source.clone(),
            topic: delivery.topic,
            payload: delivery.payload,
            arrival,
            idempotency_key: None,
            origin: None,
        });
        if queue.send(Received { pkid: delivery.pkid, message, room: permits }).await.is_err() {
            return;
        }
        if dropped {
            status.retained_dropped_total.fetch_add(1, Ordering::Relaxed);
        } else {
            status.messages_total.fetch_add(1, Ordering::Relaxed);
            status.last_arrival.store(arrival.0, Ordering::Relaxed);
        }
    }

    /// Reads the broker's answer to our filters. An error when it granted none of them.
    fn confirm(&mut self, granted: &[Option<u8>]) -> Result<(), String> {
        let answers = self.plan.topics.iter().zip(granted);
        let refused: Vec<&str> =
            answers.clone().filter(|(_, qos)| qos.is_none()).map(|(topic, _)| topic.as_str()).collect();
        let text = format!(
            "the broker refused to subscribe {}; allow client {:?} to read it in the broker's access list, \
             or correct `topics`",
            refused.join(", "),
            self.plan.broker.client_id
        );
        if granted.iter().all(Option::is_none) {
            return Err(text);
        }
        self.subscribed = refused.is_empty();
        self.up();
        let status = self.context.source_status();
        if !refused.is_empty() {
            tracing::error!(source = &*self.source, "{text}");
            *status.last_error.lock().unwrap_or_else(|e| e.into_inner()) = Some(text);
        }
        for (topic, qos) in answers {
            if self.plan.qos == 1 && *qos == Some(0) {
                tracing::warn!(
                    source = &*self.source,
                    topic,
                    "the broker grants only QoS 0: messages sent while eddy is away are lost; raise the broker's maximum QoS"
                );
            }
        }
        Ok(())
    }
}

/// The log refused. QoS 0 messages among what it refused cannot be asked for again.
fn not_safe(qos0_lost: usize) -> String {
    let lost = match qos0_lost {
        0 => String::new(),
        n => format!(" ({n} QoS 0 messages are lost; publish with QoS 1 to have them kept)"),
    };
    format!("{}{lost}", NotSafe)
}
