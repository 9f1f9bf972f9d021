//! The wiring, sink first: the only place that knows every station.
//!
//! ```text
//! sources ─► log thread ─► decode thread ─► shard threads ─► outbox thread ─► delivery workers
//!    ▲  ack after fsync         │                │
//!                               └─► dead letters ◄┘            page and metrics look on
//! ```
//! Snapshots of a shard's state go by way of the outbox and the dead letters to a thread of their own.
//! Every hand-off is bounded. Stopping is the same chain: sources end, and each station ends when the
//! one before it has hung up.

pub mod beat;
mod challenge;
mod common;
mod dead;
mod decoding;
pub mod desk;
pub mod gather;
mod grounds;
mod group;
mod idle;
pub mod keeping;
mod keys;
mod lateness;
pub mod ledger;
mod letters;
pub mod logging;
mod models;
mod noting;
mod open;
mod pruning;
mod publish;
mod receipts;
mod recovery;
mod refit;
pub mod restore;
mod risks;
pub mod rounds;
mod running;
mod sample;
mod schemas;
mod shard;
mod sorting;
mod storing;
mod telemetry;
mod unfitted;
mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use challenge::description;
pub use dead::Dead;
pub use models::Models;
pub use open::{Mismatch, check_model, fits};
pub use restore::RestoreError;
pub use running::Running;
pub use sorting::{Unsorted, were_sorted};

use crate::alert::outbox::OutboxHandle;
use crate::config::plan::Plan;
use crate::connections;
use crate::decode::{DeadLetters, Decoder, ROTATE_BYTES};
use crate::engine::Engine;
use crate::source::http::IdempotencyIndex;
use crate::stage::{Intake, Validate};
use crate::types::Arrival;
use common::{Common, Outward};
use dead::DeadStation;
use decoding::DecodeStation;
use gather::Gatherer;
use grounds::Grounds;
use keeping::Keeper;
use logging::{LogStation, Recorders, Retention};
use open::Opened;
use recovery::{Recovery, Replay};
use refit::Refits;
use rounds::Rounds;
use running::{Sources, Threads};
use shard::{Shard, Work};

/// Hand-offs hold this many items; a full one makes the station before it wait.
const SUBMISSIONS_MAX: usize = 256;
const BATCHES_MAX: usize = 8;
const ALERT_GROUPS_MAX: usize = 65_536;
const DEAD_MAX: usize = 4096;
const POINT_GROUPS_MAX: usize = 1024;
const ASKS_MAX: usize = 16;

/// Every station's thread is called by this and its name.
pub const THREAD_PREFIX: &str = "eddy-";

/// Opens the data folder and starts every station. Sources start once the log has been read back.
///
/// # Errors
/// If the data folder, a model, a port or a sink cannot be used; the text names the remedy.
pub async fn start(mut plan: Plan) -> Result<Running> {
    connections::raise_open_files();
    let (backend, gpu) = plan.backend.find(plan.shards, plan.ring_bytes()).context("backend = \"cuda\"")?;
    plan.backend = backend;
    if let Some(gpu) = gpu {
        tracing::info!(gpu = gpu.name, "windows are scored on the GPU");
    }
    match plan.shared() {
        Some((kafka, shared)) => {
            let (kafka, shared) = (kafka.clone(), shared.clone());
            group::start(plan, kafka, shared).await
        }
        None => start_alone(plan).await,
    }
}

async fn start_alone(plan: Plan) -> Result<Running> {
    let common = Common::new(plan);
    let clock = common.clock;
    let mut opened = open::open(&common.plan, &common.models, Arrival(clock.now_ns()))?;
    common.ballast.hold();
    let mut engines: Vec<Engine> = (0..common.plan.shards).map(|_| Engine::new(&common.plan)).collect();
    let restored = opened.restore(&common.plan, &common.watch, &mut engines)?;
    let Grounds { outbox, page, points, asks, desk, workers, stop_workers } =
        Grounds::lay(&common, &opened.entries, watch::channel(true).1).await?;
    let registered = schemas::load(&common.plan)?;
    let (mut threads, stop) = (Threads::default(), CancellationToken::new());
    let Opened { lock, log, reading, control, entries, models, snapshots } = opened;
    let floor = Arc::new(AtomicU64::new(0));
    let keeper = Keeper::new(snapshots, common.plan.clone(), floor.clone());
    let outward = start_stores(&common, &outbox, points, keeper, (&stop, &mut threads))?;
    let (shards, spare) = start_shards(&common, engines, &outward, &mut threads)?;

    let (logged_to, logged) = mpsc::channel(BATCHES_MAX);
    let beater = beat::Beater::new(&logged_to, shards.len());
    let refits = Refits::new(&common, Gatherer::new(&logged_to, shards.len()), asks, &entries);
    let risks = risks::Watch::new(&common, Gatherer::new(&logged_to, shards.len()), &entries);
    let answered = IdempotencyIndex::default();
    let (recovered_to, recovered) = oneshot::channel();
    let decode = DecodeStation {
        decoder: Decoder::with_schemas(&common.plan, registered.clone()),
        logged,
        next: restored.start,
        rounds: Rounds::new(common.plan.durable.snapshot_every, clock.now_ns(), &restored.partitions),
        ledger: restored.ledger,
        answered: answered.clone(),
        plan: common.plan.clone(),
        models: common.models.clone(),
        filling: shards.iter().map(|_| crate::ring::Slot::default()).collect(),
        shards,
        spare,
        dead: outward.dead.clone(),
        status: common.status.clone(),
        clock,
        streams_of: recovery::streams_of(&common.plan),
    };
    let replay = Replay {
        control: entries.into(),
        models,
        stream_ids: common.plan.streams.iter().map(|s| s.name.clone()).collect(),
        streams_of: recovery::streams_of(&common.plan),
        position: restored.start,
    };
    let latency = common.latency.clone();
    threads.spawn("eddy-decode", move || {
        decode.run(Recovery { log: reading, replay }, recovered_to, &latency);
    })?;

    common.status.log_next.store(log.next_position().0, Relaxed);
    let (intake_to, intake) = mpsc::channel(SUBMISSIONS_MAX);
    let station = LogStation {
        log,
        control,
        intake,
        next: logged_to,
        dead: outward.dead,
        status: common.status.clone(),
        ballast: Some(common.ballast.clone()),
        clock,
        recorders: Recorders::new(&common.latency),
        retention: Retention::new(&common.plan.durable, floor),
    };
    threads.spawn("eddy-log", move || station.run())?;
    let sources = Sources::start(
        &common,
        (Intake { sender: intake_to, clock }, registered),
        validate(&common.plan),
        answered,
        recovered,
        (refits, risks, desk),
        stop,
    );
    Ok(Running {
        status: common.status,
        latency: common.latency,
        outbox,
        beater,
        page,
        lock,
        sources,
        threads,
        workers,
        stop_workers,
    })
}

/// The outbox's, the dead letters' and the snapshots' threads.
fn start_stores(
    common: &Common,
    outbox: &OutboxHandle,
    points: mpsc::Sender<Vec<crate::types::Point>>,
    keeper: Keeper,
    (stop, threads): (&CancellationToken, &mut Threads),
) -> Result<Outward> {
    let (alerts, stored) = mpsc::channel(ALERT_GROUPS_MAX);
    let (outbox, latency, clock) = (outbox.clone(), common.latency.clone(), common.clock);
    let path = common.plan.durable.path.join("dead-letters.ndjson");
    let letters = DeadLetters::open(&path, ROTATE_BYTES).context("cannot open the dead-letter file")?;
    let topics = letters::Writer::new(common.plan.clone(), stop.clone());
    let (keep, kept) = mpsc::channel(1);
    let dead = start_dead(common, letters, Some(topics), keep, threads)?;
    let (late, ballast) = (dead.clone(), common.ballast.clone());
    threads.spawn("eddy-outbox", move || storing::run(&outbox, stored, &late, clock, &latency, &ballast))?;
    let status = common.status.clone();
    threads.spawn("eddy-keep", move || keeper.run(kept, &status.snapshots, clock))?;
    Ok(Outward { alerts, dead, points })
}

fn start_dead(
    common: &Common,
    file: DeadLetters,
    topics: Option<letters::Writer>,
    keep: mpsc::Sender<keeping::Kept>,
    threads: &mut Threads,
) -> Result<mpsc::Sender<Dead>> {
    let (dead_to, dead) = mpsc::channel(DEAD_MAX);
    let (plan, status, ballast) = (common.plan.clone(), common.status.clone(), common.ballast.clone());
    let station = DeadStation { file, topics, dead, keep, plan, status, ballast };
    threads.spawn("eddy-dead", move || station.run())?;
    Ok(dead_to)
}

type ShardsEnd = (Vec<mpsc::Sender<Work>>, mpsc::Receiver<crate::ring::Slot>);

fn start_shards(
    common: &Common,
    engines: Vec<Engine>,
    outward: &Outward,
    threads: &mut Threads,
) -> Result<ShardsEnd> {
    let shards = engines.len();
    let (spare_to, spare) = mpsc::channel(shards * BATCHES_MAX);
    let mut ends = Vec::with_capacity(shards);
    for (index, engine) in engines.into_iter().enumerate() {
        let (work_to, work) = mpsc::channel(BATCHES_MAX);
        let shard = Shard {
            engine,
            work,
            spare: spare_to.clone(),
            alerts: outward.alerts.clone(),
            dead: outward.dead.clone(),
            points: outward.points.clone(),
            status: common.status.clone(),
            plan: common.plan.clone(),
            watch: common.watch.clone(),
            clock: common.clock,
            tells_once: common.plan.shared().is_some(),
        };
        let latency = common.latency.clone();
        threads.spawn(&format!("eddy-shard-{index}"), move || shard.run(&latency))?;
        ends.push(work_to);
    }
    Ok((ends, spare))
}

/// Decodes without effect, for the HTTP source.
fn validate(plan: &Plan) -> Validate {
    let decoder = Decoder::new(plan);
    Arc::new(move |message| decoder.report(message))
}
