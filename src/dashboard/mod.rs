//! The page, its API and `/metrics`. Reads what the stations publish; nothing waits for it.
//!
//! A sampler takes one [`Snapshot`] a second. The page is rendered from it, the API
//! serves it, live updates carry it: see [`doc`] for how every number stays the API's own.

mod alerts;
mod answer;
mod api;
mod aside;
mod assets;
mod audit;
mod chart;
mod doc;
mod door;
mod drift;
mod feedback;
mod first_event;
mod fitting;
pub(crate) mod format;
mod gather;
mod guard;
mod history;
mod host;
mod key;
mod key_part;
mod keys;
mod knowing;
mod listed;
mod listing;
mod live;
mod login;
mod models;
mod openapi;
mod orders;
mod page;
mod pages;
mod problems;
mod reduce;
mod roster;
mod sampler;
mod series;
mod shell;
mod snapshot;
#[cfg(test)]
#[path = "../../tests/dashboard/fixture.rs"]
pub(crate) mod testing;
mod tiles;
mod ways;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use jiff::tz::TimeZone;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use alerts::{AlertQuery, AlertRow, AlertsView, DeliveryRow, DeliveryState, FailedRow};
pub use door::TlsDoor;
pub use history::{History, POINTS_MAX};

use crate::access::Access;
use crate::config::plan::Plan;
use crate::connections::{self, Limits};
use crate::latency::{Clock, Latency};
use crate::stage::{Ask, Order};
use crate::status::Status;
use crate::watch::Watch;
use gather::Subject;
use roster::Roster;
use sampler::Frames;
use snapshot::Snapshot;
use words::Words;

const LIMITS: Limits =
    Limits { connections: 512, head: Duration::from_secs(30), body: Duration::from_secs(30) };

/// Live connections at a time; more are told to poll.
const LIVE_MAX: usize = 64;

/// What the dashboard is built from.
pub struct Parts {
    pub plan: Arc<Plan>,
    pub status: Arc<Status>,
    pub latency: Latency,
    pub history: Arc<History>,
    pub watch: Arc<Watch>,
    pub alerts: AlertsView,
    /// Who may ask what, and what was done.
    pub access: Arc<Access>,
    /// Where questions about models go.
    pub ask: mpsc::Sender<Ask>,
    /// Where orders about alerts go.
    pub orders: mpsc::Sender<Order>,
    pub clock: Clock,
    /// The zone times are shown in.
    pub zone: TimeZone,
    /// Ends live connections, the sampler and [`serve`].
    pub shutdown: CancellationToken,
}

/// Shared by all handlers.
#[derive(Clone)]
pub struct AppState {
    parts: Arc<Parts>,
    frames: Arc<Frames>,
    roster: Arc<Roster>,
    words: Arc<Words>,
    live: Arc<Semaphore>,
}

impl AppState {
    /// Takes the first snapshot, which reads the stored alerts: blocks.
    pub fn new(parts: Parts) -> Self {
        let now_ns = parts.clock.now_ns();
        Self::at(parts, now_ns)
    }

    fn at(parts: Parts, time_ns: i64) -> Self {
        let first = take(&parts, time_ns, 1, None);
        let live = Arc::new(Semaphore::new(LIVE_MAX));
        let roster = Arc::new(Roster::new(&parts.watch, parts.plan.streams.len()));
        AppState {
            parts: Arc::new(parts),
            frames: Arc::new(Frames::new(first)),
            roster,
            words: Arc::default(),
            live,
        }
    }

    /// Takes the next snapshot. Blocks like [`AppState::new`]; one caller at a time.
    pub fn sample(&self) {
        self.sample_at(self.parts.clock.now_ns());
    }

    fn sample_at(&self, time_ns: i64) {
        self.roster.take_in();
        let before = self.frames.before(time_ns);
        let seq = self.frames.newest().snapshot.seq + 1;
        self.frames.push(take(&self.parts, time_ns, seq, before.as_ref().map(|frame| &frame.snapshot)));
    }
}

fn take(parts: &Parts, time_ns: i64, seq: u64, before: Option<&Snapshot>) -> Snapshot {
    let Parts { plan, status, latency, .. } = parts;
    let now = jiff::Timestamp::from_nanosecond(i128::from(time_ns)).unwrap_or_default();
    let offset_s = parts.zone.to_offset(now).seconds();
    let listed = sampler::list_alerts(&parts.alerts, &status.said, time_ns);
    Snapshot::take(&Subject { plan, status, latency }, listed, seq, time_ns, offset_s, before)
}

/// Takes a snapshot a second until shutdown.
pub async fn sample_each_second(state: AppState) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = second.tick() => {}
            () = state.parts.shutdown.cancelled() => return,
        }
        let sampled = state.clone();
        if let Err(error) = spawn_blocking(move || sampled.sample()).await {
            tracing::error!(%error, "the dashboard's snapshot failed; the page shows an older one");
        }
    }
}

/// Serves until shutdown, then lets open requests finish. `listener`: in clear, or a [`TlsDoor`].
pub async fn serve(listener: impl Listener<Addr = SocketAddr>, state: AppState) {
    let shutdown = state.parts.shutdown.clone();
    connections::serve(listener, ways::router(state), shutdown, LIMITS).await;
}

#[cfg(test)]
mod tests;
