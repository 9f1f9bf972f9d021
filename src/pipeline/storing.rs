//! The outbox's thread: alerts become durable before anything is sent, in groups, and are never dropped.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::alert::outbox::OutboxHandle;
use crate::durable::Ballast;
use crate::latency::{Clock, Latency, ReceiptBuilder, Stage};
use crate::types::Alert;

/// Wait before storing is tried again, while the disk is full or gone.
const RETRY: Duration = Duration::from_millis(500);

/// Alerts a transaction.
const GROUP_MAX: usize = 4096;

/// Runs until every shard has hung up.
pub fn run(
    outbox: &OutboxHandle,
    mut alerts: mpsc::Receiver<Vec<Alert>>,
    clock: Clock,
    latency: &Latency,
    ballast: &Ballast,
) {
    let mut recorder = latency.recorder(Stage::Outbox);
    while let Some(mut group) = alerts.blocking_recv() {
        while group.len() < GROUP_MAX {
            match alerts.try_recv() {
                Ok(more) => group.extend(more),
                Err(_) => break,
            }
        }
        let start_ns = clock.now_ns();
        for alert in &mut group {
            alert.receipt = ReceiptBuilder::extend(std::mem::take(&mut alert.receipt))
                .until("queue_outbox", start_ns)
                .finish();
        }
        while let Err(error) = outbox.store(&group, start_ns) {
            tracing::error!(%error, alerts = group.len(), "outbox not written, trying again; nothing is dropped");
            if error.is_full() {
                ballast.give_up();
            }
            std::thread::sleep(RETRY);
        }
        recorder.record(clock.now_ns() - start_ns, group.len() as u64);
    }
}
