//! The page, its API and `/metrics`. Reads what the stations publish; nothing waits for it.
//!
//! A sampler takes one [`Snapshot`] a second. The page is rendered from it, the API
//! serves it, live updates carry it: see [`doc`] for how every number stays the API's own.

mod alerts;
mod api;
mod aside;
mod assets;
mod chart;
mod doc;
mod drift;
mod first_event;
pub(crate) mod format;
mod gather;
mod history;
mod host;
mod key;
mod key_part;
mod listing;
mod live;
mod models;
mod orders;
mod page;
mod problems;
mod reduce;
mod sampler;
mod series;
mod snapshot;
#[cfg(test)]
#[path = "../../tests/dashboard/fixture.rs"]
pub(crate) mod testing;
mod tiles;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};
use jiff::tz::TimeZone;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use alerts::{AlertQuery, AlertRow, AlertsView, DeliveryRow, DeliveryState, FailedRow};
pub use history::{History, POINTS_MAX};

use crate::config::plan::Plan;
use crate::latency::{Clock, Latency};
use crate::stage::{Ask, Order};
use crate::status::Status;
use crate::watch::Watch;
use gather::Subject;
use sampler::Frames;
use snapshot::Snapshot;

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
        AppState { parts: Arc::new(parts), frames: Arc::new(Frames::new(first)), live }
    }

    /// Takes the next snapshot. Blocks like [`AppState::new`]; one caller at a time.
    pub fn sample(&self) {
        self.sample_at(self.parts.clock.now_ns());
    }

    fn sample_at(&self, time_ns: i64) {
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

/// Serves until shutdown, then lets open requests finish.
pub async fn serve(listener: TcpListener, state: AppState) -> std::io::Result<()> {
    let shutdown = state.parts.shutdown.clone();
    axum::serve(listener, router(state)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

pub fn router(state: AppState) -> Router {
    let guarded = Router::new()
        .route("/", get(page::index))
        .route("/fragment/{name}", get(page::fragment))
        .route("/assets/{file}", get(assets::asset))
        .route("/metrics", get(api::metrics))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/latency", get(api::latency))
        .route("/api/v1/streams", get(api::streams))
        .route("/api/v1/partitions", get(api::partitions))
        .route("/api/v1/keys", get(api::keys))
        .route("/api/v1/series", get(api::series))
        .route("/api/v1/chart.svg", get(api::chart))
        .route("/api/v1/alerts", get(api::alerts))
        .route("/api/v1/alerts/{id}", get(api::alert))
        .route("/api/v1/alerts/{id}/acknowledge", post(orders::acknowledge))
        .route("/api/v1/silences", get(orders::silences).post(orders::silence))
        .route("/api/v1/silences/{id}", delete(orders::end_silence))
        .route("/api/v1/deliveries/failed", get(orders::failed))
        .route("/api/v1/deliveries/replay", post(orders::replay))
        .route("/api/v1/models", get(models::list))
        .route("/api/v1/models/sample", get(models::sample))
        .route("/api/v1/models/sample.svg", get(models::sample_chart))
        .route("/api/v1/models/rollback", post(models::roll_back))
        .route("/api/v1/live", get(live::live))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::not_allowed)
        .layer(from_fn_with_state(state.clone(), host::allow_only_this_box));
    Router::new()
        .route("/livez", get(api::livez))
        .route("/readyz", get(api::readyz))
        .merge(guarded)
        .layer(from_fn(host::security_headers))
        .with_state(state)
}

#[cfg(test)]
mod tests;
