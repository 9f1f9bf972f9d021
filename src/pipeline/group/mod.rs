//! Several Eddys as one: each has some partitions of a topic, and all come to what one would.
//!
//! ```text
//! topic ─► driver thread ─► shard threads ─► driver: one transaction ─► alerts topic ─► delivery thread ─► outbox ─► sinks
//!            ▲                                  │                        (whoever has a partition of it)
//!            └───────── state topic ◄───────────┴─► offsets of the group
//! ```
//! What people say of alerts goes by the state topic too, beside all that: see [`words`].
//!
//! *Kafka is the log.* Positions are offsets, arrival is the message's timestamp, nothing of it goes to a log here: what is
//! decided is a function of the partition's messages and its control records.
//!
//! *One transaction* holds the alerts of some messages, what happened by the wall clock meanwhile, and the offsets
//! behind them. So who reads what is committed sees each revision once, and offsets never run ahead of alerts. The
//! group's offsets go in with what the group knows of the member, and it refuses one that has lost its partitions.
//!
//! *A partition that comes* is restored from the state topic. What lies between its snapshot and the group's offset is read
//! again and judged again, and what comes of it is dropped: it was told. From there on all is new.
//!
//! *Whatever cannot be mended* ends the session: everything known is dropped, and a new one begins with what is committed.

mod aside;
mod clients;
mod deal;
mod delivery;
mod errand;
mod giving;
mod hand;
mod hanging;
mod keeping;
mod manifest;
pub(super) mod member;
mod members;
mod owned;
mod refusals;
mod session;
mod shelf;
mod taking;
mod topics;
mod watching;
pub(super) mod words;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use errand::Errand;

use super::common::{Common, Outward};
use super::grounds::Grounds;
use super::logging::Logged;
use super::open::{Mismatch, loaded_models, stream_fingerprint};
use super::running::{Running, Sources, Threads};
use super::{ALERT_GROUPS_MAX, BATCHES_MAX, beat, dead, schemas, start_dead, start_shards};
use crate::config::plan::{KafkaPlan, Plan, SharedPlan};
use crate::decode::{DeadLetters, ROTATE_BYTES};
use crate::durable::DirLock;
use crate::engine::Engine;
use crate::latency::Clock;
use crate::model::Model;
use crate::schemas::{Passage, Schemas};
use crate::status::Status;
use crate::types::{PartitionId, Point, StreamId};
use delivery::Delivery;
use errand::KnownModels;
use hand::{Ends, Hand};
use manifest::Terms;
use session::Session;
use words::Words;

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Why a session is over.
#[derive(Debug)]
enum End {
    /// The shards are gone, and the process with them.
    Stopped,
    /// A new one may do better.
    Again(String),
    /// This member would decide otherwise than the group has; the text names the remedy.
    Refused(String),
}

/// What outlives sessions.
struct Driver {
    plan: Arc<Plan>,
    kafka: KafkaPlan,
    shared: SharedPlan,
    member: String,
    models: KnownModels,
    /// By stream.
    checksums: Vec<Option<String>>,
    hand: Hand,
    passage: Passage,
    status: Arc<Status>,
    clock: Clock,
    beats: mpsc::Receiver<Logged>,
    stop: CancellationToken,
    runtime: Handle,
}

/// As [`super::start`], of a deployment that several processes share.
///
/// # Errors
/// If the data folder, a model, a port or a sink cannot be used; the text names the remedy.
pub async fn start(plan: Plan, kafka: KafkaPlan, shared: SharedPlan) -> Result<Running> {
    let common = Common::new(plan);
    let lock = DirLock::acquire(&common.plan.durable.path)?;
    let member = member::name(&common.plan.durable.path)?;
    let models = loaded_models(&common.plan)?;
    common.ballast.hold();
    let engines = engines(&common.plan, &models)?;
    // What the page asks for is not to be had here.
    let words = Words::new();
    let Grounds { outbox, page, points, asks: _, desk, mut workers, stop_workers } =
        Grounds::lay(&common, &[], words.known()).await?;
    let (mut threads, stop) = (Threads::default(), CancellationToken::new());
    let (of, stops) = ((&kafka, &shared, member.as_str()), (&stop, &stop_workers));
    let teller = words.start(&common, of, &outbox, stops, (&mut threads, &mut workers))?;
    let stopped = stop_workers.clone();
    workers.spawn(async move {
        tokio::select! {
            never = desk.run_in_a_group(&teller) => match never {},
            () = stopped.cancelled() => {}
        }
    });
    let (beats_to, beats) = mpsc::channel(BATCHES_MAX);
    let beater = beat::Beater::new(&beats_to, engines.len());
    let registered = schemas::load(&common.plan)?;
    let door = schemas::door(&common, 0, &registered, &stop)?;
    let hand = start_hand(&common, (engines, registered), points, &mut threads)?;
    start_delivery(&common, (&kafka, &shared, &member), &outbox, &stop, &mut threads)?;
    let driver = Driver {
        plan: common.plan.clone(),
        kafka,
        shared,
        member,
        hand,
        passage: Passage::through(door),
        checksums: models.iter().map(|model| model.as_deref().map(checksum)).collect(),
        models: models.iter().flatten().map(|model| (checksum(model), model.clone())).collect(),
        status: common.status.clone(),
        clock: common.clock,
        beats,
        stop: stop.clone(),
        runtime: Handle::current(),
    };
    let (ended_to, ended) = oneshot::channel();
    threads.spawn("eddy-group", move || {
        let _beats = beats_to;
        let _ = ended_to.send(driver.run());
    })?;
    let task = tokio::spawn(async move {
        let ended = ended.await.context("the group's thread is gone")?;
        ended.map_err(|reason| Mismatch::Group(reason).into())
    });
    let (status, latency) = (common.status, common.latency);
    let sources = Sources::of(task, stop);
    Ok(Running { status, latency, outbox, beater, page, lock, sources, threads, workers, stop_workers })
}

fn checksum(model: &Model) -> String {
    model.checksum().to_owned()
}

fn engines(plan: &Plan, models: &[Option<Arc<Model>>]) -> Result<Vec<Engine>> {
    let mut engines: Vec<Engine> = (0..plan.shards).map(|_| Engine::new(plan)).collect();
    for engine in &mut engines {
        for (stream, model) in models.iter().enumerate() {
            if let Some(model) = model {
                engine.activate(StreamId(stream as u16), model.clone())?;
            }
        }
    }
    Ok(engines)
}

/// The shards and the dead letters, and the driver's end of them.
fn start_hand(
    common: &Common,
    (engines, registered): (Vec<Engine>, Arc<Schemas>),
    points: mpsc::Sender<Vec<Point>>,
    threads: &mut Threads,
) -> Result<Hand> {
    let (alerts_to, alerts) = mpsc::channel(ALERT_GROUPS_MAX);
    let outward = Outward { alerts: alerts_to, dead: start_file(common, threads)?, points };
    let (shards, spare) = start_shards(common, engines, &outward, threads)?;
    let ends = Ends { shards, spare, alerts, dead: outward.dead };
    Ok(Hand::new(ends, common, registered))
}

fn start_file(common: &Common, threads: &mut Threads) -> Result<mpsc::Sender<dead::Dead>> {
    let path = common.plan.durable.path.join("dead-letters.ndjson");
    let letters = DeadLetters::open(&path, ROTATE_BYTES).context("cannot open the dead-letter file")?;
    let (keep, _) = mpsc::channel(1);
    start_dead(common, letters.without_a_log(), None, keep, threads)
}

fn start_delivery(
    common: &Common,
    (kafka, shared, member): (&KafkaPlan, &SharedPlan, &str),
    outbox: &super::OutboxHandle,
    stop: &CancellationToken,
    threads: &mut Threads,
) -> Result<()> {
    let delivery = Delivery {
        kafka: kafka.clone(),
        shared: shared.clone(),
        member: member.to_owned(),
        outbox: outbox.clone(),
        clock: common.clock,
        ballast: common.ballast.clone(),
        status: common.status.clone(),
        stop: stop.clone(),
    };
    threads.spawn("eddy-delivery", move || delivery.run())
}

impl Driver {
    /// Until told to stop, session after session.
    ///
    /// # Errors
    /// Why this member cannot be one of the group, with the remedy.
    fn run(mut self) -> Result<(), String> {
        let (mut backoff, mut told) = (BACKOFF_MIN, None);
        self.status.sources[0].kafka.set_lag(None);
        while !self.stop.is_cancelled() {
            let began = Instant::now();
            let ended = Session::begin(&mut self).and_then(|mut session| {
                let ended = session.run();
                session.end();
                ended
            });
            let reason = match ended {
                Ok(()) | Err(End::Stopped) => break,
                Err(End::Refused(reason)) => return Err(reason),
                Err(End::Again(reason)) => reason,
            };
            if began.elapsed() >= BACKOFF_MAX {
                (backoff, told) = (BACKOFF_MIN, None);
            }
            let source = &self.status.sources[0];
            if told.as_ref() != Some(&reason) {
                tracing::warn!(
                    source = source.name,
                    reason,
                    "no member of the group, trying again until it is"
                );
                told = Some(reason.clone());
            }
            source.down(reason);
            source.kafka.partitions.store(0, Relaxed);
            source.kafka.partitions_waiting.store(0, Relaxed);
            source.kafka.set_lag(None);
            if self.forget_all().is_err() {
                break;
            }
            self.wait(backoff.mul_f64(rand::random_range(0.5..1.0)));
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        self.status.sources[0].connected.store(false, Relaxed);
        Ok(())
    }

    /// What was judged and not told is judged again by whoever has its partition next.
    fn forget_all(&mut self) -> Result<(), hand::Gone> {
        for partition in 0..crate::types::PARTITIONS {
            self.hand.forget(PartitionId(partition as u8))?;
        }
        self.hand.drop_all()
    }

    fn wait(&self, pause: Duration) {
        let began = Instant::now();
        while began.elapsed() < pause && !self.stop.is_cancelled() {
            std::thread::sleep(LOOK);
        }
    }

    /// What each stream's state must have been made under.
    fn terms(&self, partitions: i32) -> Vec<Terms> {
        let streams = self.plan.streams.iter().zip(&self.checksums);
        let of = |(stream, model): (&_, &Option<String>)| Terms {
            config: stream_fingerprint(&self.plan, stream),
            model: model.clone(),
            partitions,
        };
        streams.map(of).collect()
    }
}
