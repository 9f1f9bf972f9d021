//! The wiring, sink first: the only place that knows every station.
//!
//! ```text
//! sources ─► log thread ─► decode thread ─► shard threads ─► outbox thread ─► delivery workers
//!    ▲  ack after fsync         │                │
//!                               └─► dead letters ◄┘            page and metrics look on
//! ```
//! Every hand-off is bounded. Stopping is the same chain: sources end, and each station ends when the
//! one before it has hung up.

mod dead;
mod decoding;
mod logging;
mod open;
mod recovery;
mod shard;
mod storing;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alert::outbox::{Outbox, OutboxHandle};
use crate::config::plan::Plan;
use crate::dashboard;
use crate::decode::{DeadLetters, Decoder};
use crate::engine::Engine;
use crate::latency::{Clock, Latency};
use crate::sink;
use crate::source;
use crate::stage::{Intake, Validate};
use crate::status::Status;
use crate::types::{Alert, StreamId};
use crate::watch::Watch;
use decoding::DecodeStation;
use logging::LogStation;
use open::Opened;
use recovery::{Recovery, Replay};
use shard::{Shard, Work};

/// Hand-offs hold this many items; a full one makes the station before it wait.
const SUBMISSIONS_MAX: usize = 256;
const BATCHES_MAX: usize = 8;
const ALERT_GROUPS_MAX: usize = 65_536;
const DEAD_MAX: usize = 4096;
const POINT_GROUPS_MAX: usize = 1024;

/// A running appliance.
pub struct Running {
    pub status: Arc<Status>,
    pub latency: Latency,
    pub outbox: OutboxHandle,
    /// Where the page answers, if there is one.
    pub page: Option<SocketAddr>,
    recovered: Option<oneshot::Receiver<()>>,
    sources: JoinSet<Result<()>>,
    stop_sources: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    workers: JoinSet<()>,
    stop_workers: CancellationToken,
}

/// Opens the data folder, recovers, and starts every station.
///
/// # Errors
/// If the data folder, a model, a port or a sink cannot be used; the text names the remedy.
pub async fn start(plan: Plan) -> Result<Running> {
    let plan = Arc::new(plan);
    let clock = Clock::start();
    let latency = Latency::new();
    let status = Arc::new(Status::new(&plan, clock.now_ns()));
    let opened = open::open(&plan)?;
    let outbox = open_outbox(&plan)?;
    let watch = Arc::new(Watch::default());
    let stop_workers = CancellationToken::new();
    let mut workers = JoinSet::new();

    start_sinks(&plan, &outbox, &status, &latency, clock, &stop_workers, &mut workers)?;
    let (points_to, points) = mpsc::channel(POINT_GROUPS_MAX);
    let page = view::start(&plan, &status, &latency, &outbox, &watch, points, &stop_workers, &mut workers).await?;

    let mut threads = Threads::default();
    let (alerts_to, alerts) = mpsc::channel::<Vec<Alert>>(ALERT_GROUPS_MAX);
    threads.spawn("eddy-outbox", {
        let (outbox, latency) = (outbox.clone(), latency.clone());
        move || storing::run(&outbox, alerts, clock, &latency)
    })?;
    let (dead_to, dead) = mpsc::channel(DEAD_MAX);
    let letters = DeadLetters::open(&plan.durable.path.join("dead-letters.ndjson"))?;
    threads.spawn("eddy-dead", {
        let (plan, status) = (plan.clone(), status.clone());
        move || dead::run(letters, dead, &plan, &status)
    })?;

    let (spare_to, spare) = mpsc::channel(plan.shards * BATCHES_MAX);
    let mut shards = Vec::new();
    for index in 0..plan.shards {
        let (work_to, work) = mpsc::channel::<Work>(BATCHES_MAX);
        let shard = Shard {
            engine: Engine::new(&plan),
            work,
            spare: spare_to.clone(),
            alerts: alerts_to.clone(),
            dead: dead_to.clone(),
            points: points_to.clone(),
            status: status.clone(),
            watch: watch.clone(),
            clock,
        };
        let latency = latency.clone();
        threads.spawn(&format!("eddy-shard-{index}"), move || shard.run(&latency))?;
        shards.push(work_to);
    }
    drop((alerts_to, points_to, spare_to));

    let idempotency = source::http::IdempotencyIndex::default();
    let (logged_to, logged) = mpsc::channel(BATCHES_MAX);
    let (recovered_to, recovered) = oneshot::channel();
    let validate = validator(&plan);
    let Opened { log, reading, control, entries, models, ended, lock } = opened;
    let decode = DecodeStation {
        decoder: Decoder::new(&plan),
        logged,
        shards,
        spare,
        dead: dead_to,
        status: status.clone(),
        clock,
        filling: (0..plan.shards).map(|_| Box::default()).collect(),
        streams_of: streams_of(&plan),
    };
    let counted = Arc::new(source::replay::Counted::default());
    let recovery = Recovery {
        log: reading,
        replay: Replay {
            control: entries.into(),
            models,
            stream_ids: plan.streams.iter().map(|s| s.name.clone()).collect(),
            streams_of: streams_of(&plan),
            observe: {
                let (idempotency, validate, counted) = (idempotency.clone(), validate.clone(), counted.clone());
                Box::new(move |message| {
                    counted.add(message);
                    idempotency.remember(message, &validate);
                })
            },
            position: crate::types::Position(0),
        },
    };
    threads.spawn("eddy-decode", {
        let latency = latency.clone();
        move || decode.run(recovery, recovered_to, &latency)
    })?;

    let (intake_to, intake) = mpsc::channel(SUBMISSIONS_MAX);
    let station = LogStation { log, control, intake, next: logged_to, status: status.clone(), clock };
    threads.spawn("eddy-log", {
        let latency = latency.clone();
        move || {
            station.run(&latency);
            // Held until the log is closed: nobody else may open it before.
            drop(lock);
        }
    })?;

    let _ = ended;
    let stop_sources = CancellationToken::new();
    let sources = JoinSet::new();
    let _ = (intake_to, validate, idempotency, counted);
    Ok(Running {
        status,
        latency,
        outbox,
        page,
        recovered: Some(recovered),
        sources,
        stop_sources,
        threads: threads.0,
        workers,
        stop_workers,
    })
}
