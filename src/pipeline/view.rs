//! The page beside the flow: it looks on, and nothing waits for it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use jiff::tz::TimeZone;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::alert::outbox::{self, AlertFilter, FailedDelivery, OutboxHandle, OutboxReader, StoredAlert};
use crate::config::plan::Plan;
use crate::dashboard::{
    self, AlertQuery, AlertRow, AlertsView, AppState, DeliveryRow, DeliveryState, FailedRow, History, Parts,
    TlsDoor,
};
use crate::latency::{Clock, Latency};
use crate::pipeline::Mismatch;
use crate::stage::{Ask, Order};
use crate::status::Status;
use crate::types::Point;
use crate::watch::Watch;

/// What the page looks at.
pub struct Sights {
    pub plan: Arc<Plan>,
    pub status: Arc<Status>,
    pub latency: Latency,
    pub clock: Clock,
    pub watch: Arc<Watch>,
    pub points: mpsc::Receiver<Vec<Point>>,
    pub ask: mpsc::Sender<Ask>,
    pub order: mpsc::Sender<Order>,
}

/// Serves the page if the plan has one; gives its address.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn start(
    sights: Sights,
    outbox: &OutboxHandle,
    shutdown: &CancellationToken,
    workers: &mut JoinSet<()>,
) -> Result<Option<SocketAddr>> {
    let Sights { plan, status, latency, clock, watch, points, ask, order } = sights;
    let history = Arc::new(History::new(watch.clone()));
    workers.spawn(history.clone().collect(points));
    if !plan.dashboard.enabled {
        // Nobody will ask which keys there are.
        drop(watch.names());
        return Ok(None);
    }
    let access = Arc::new(Access::open(&plan.durable.path)?);
    let wanted = plan.dashboard.listen;
    if !wanted.ip().is_loopback() && !access.has_tokens()? {
        return Err(Mismatch::Strangers { listen: wanted }.into());
    }
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!("cannot listen on {wanted} for the dashboard; choose another `[dashboard] listen`, or stop what holds it")
    })?;
    let address = listener.local_addr()?;
    let door = plan.dashboard.tls.clone();
    let alerts = alerts_view(outbox.reader()?, status.clone());
    let zone = TimeZone::system();
    let shutdown = shutdown.clone();
    let orders = order;
    let parts =
        Parts { plan, status, latency, history, watch, alerts, access, ask, orders, clock, zone, shutdown };
    let state = tokio::task::spawn_blocking(move || AppState::new(parts)).await?;
    workers.spawn(dashboard::sample_each_second(state.clone()));
    // The config has looked into the files; they may have gone since.
    match &door {
        Some(tls) => {
            let door = TlsDoor::new(listener, tls).map_err(|problem| {
                anyhow::anyhow!("dashboard.tls.{}: {}. {}", problem.key, problem.fault, problem.remedy)
            })?;
            workers.spawn(dashboard::serve(door, state));
        }
        None => drop(workers.spawn(dashboard::serve(listener, state))),
    }
    Ok(Some(address))
}

/// The outbox as the page sees it, over a connection of its own.
fn alerts_view(reader: OutboxReader, status: Arc<Status>) -> AlertsView {
    let reader = Arc::new(Mutex::new(reader));
    let failed = reader.clone();
    AlertsView {
        failed: Box::new(move |limit| {
            let reader = failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let found = reader.failed(limit).map_err(|error| error.to_string())?;
            Ok(found.into_iter().map(failed_row).collect())
        }),
        page: Box::new(move |query| {
            // Reading leaves nothing half done, so a panic elsewhere does not spoil the connection.
            let reader = reader.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let found = match query {
                AlertQuery::Page { before, limit, stream, key } => {
                    reader.alerts_page(before, limit, &AlertFilter { stream, key })
                }
                AlertQuery::One { id } => reader.alert(&id),
                AlertQuery::Open => reader.open_alerts(),
            };
            let row = |stored| row(stored, &status);
            found.map(|alerts| alerts.into_iter().map(row).collect()).map_err(|error| error.to_string())
        }),
    }
}

fn failed_row(failed: FailedDelivery) -> FailedRow {
    let FailedDelivery { id, revision, stream, key, onset_ns, delivery } = failed;
    FailedRow {
        id,
        revision,
        stream,
        key,
        onset_ns,
        receiver: delivery.receiver,
        attempts: delivery.attempts,
        last_status: delivery.last_status,
        reason: delivery.last_error.unwrap_or_default(),
        incident: delivery.incident,
    }
}

fn row(stored: StoredAlert, status: &Status) -> AlertRow {
    let stored_at_ns = stored.stored_at_ns;
    // What falls due while its receiver is sent nothing goes when that is over.
    let paused_until_ns = |receiver: &str| {
        let sink = status.sinks.iter().find(|sink| sink.name == receiver);
        sink.map_or(i64::MAX, |sink| sink.paused_until.load(Ordering::Relaxed))
    };
    let next_ns = |d: &outbox::Delivery| {
        let next_ns = d.next_attempt_at_ns?.max(paused_until_ns(&d.receiver));
        (next_ns < i64::MAX).then_some(next_ns)
    };
    let delivery = |d: outbox::Delivery| DeliveryRow {
        next_attempt_at_ns: next_ns(&d),
        waits_for: d.waits_for,
        receiver: d.receiver,
        state: match d.state {
            outbox::DeliveryState::Pending => DeliveryState::Pending,
            outbox::DeliveryState::Delivered => DeliveryState::Delivered,
            outbox::DeliveryState::Failed => DeliveryState::Failed,
            outbox::DeliveryState::Silenced => DeliveryState::Silenced,
        },
        attempts: d.attempts,
        last_status: d.last_status,
        last_error: d.last_error,
        stored_to_2xx_ns: d.delivered_at_ns.map(|at| at - stored_at_ns),
        silenced_by: d.silenced_by,
        incident: d.incident,
    };
    AlertRow {
        seq: stored.seq,
        stored_at_ns,
        alert: stored.alert,
        deliveries: stored.deliveries.into_iter().map(delivery).collect(),
    }
}
