//! The outbox's thread: alerts become durable before anything is sent, in groups, and are never dropped.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::alert::outbox::OutboxHandle;
use crate::durable::Ballast;
use crate::latency::{Clock, Latency, ReceiptBuilder, Stage, StageRecorder};
use crate::pipeline::dead::Dead;
use crate::pipeline::keeping::Kept;
use crate::types::Alert;

/// Wait before storing is tried again, while the disk is full or gone.
const RETRY: Duration = Duration::from_millis(500);

/// Alerts a transaction.
const GROUP_MAX: usize = 4096;

/// What a shard sends, in its order.
pub enum Outgoing {
    Alerts(Vec<Alert>),
    /// Follows the alerts that came out of the messages it covers.
    Keep(Kept),
}

/// Runs until every shard has hung up.
pub fn run(
    outbox: &OutboxHandle,
    mut outgoing: mpsc::Receiver<Outgoing>,
    dead: &mpsc::Sender<Dead>,
    clock: Clock,
    latency: &Latency,
    ballast: &Ballast,
) {
    let mut recorder = latency.recorder(Stage::Outbox);
    while let Some(first) = outgoing.blocking_recv() {
        let mut group = Vec::new();
        let mut kept = None;
        let mut next = Some(first);
        while let Some(received) = next.take() {
            match received {
                Outgoing::Alerts(alerts) => group.extend(alerts),
                Outgoing::Keep(state) => {
                    kept = Some(state);
                    break;
                }
            }
            if group.len() < GROUP_MAX {
                next = outgoing.try_recv().ok();
            }
        }
        if !group.is_empty() {
            store(outbox, &mut group, clock, &mut recorder, ballast);
        }
        if let Some(kept) = kept {
            // If there is no room, it is its turn again.
            let _ = dead.try_send(Dead::Keep(kept));
        }
    }
}

fn store(
    outbox: &OutboxHandle,
    group: &mut [Alert],
    clock: Clock,
    recorder: &mut StageRecorder,
    ballast: &Ballast,
) {
    let start_ns = clock.now_ns();
    for alert in &mut *group {
        alert.receipt = ReceiptBuilder::extend(std::mem::take(&mut alert.receipt))
            .until("queue_outbox", start_ns)
            .finish();
    }
    while let Err(error) = outbox.store(group, start_ns) {
        tracing::error!(%error, alerts = group.len(), "outbox not written, trying again; nothing is dropped");
        if error.is_full() {
            ballast.give_up();
        }
        std::thread::sleep(RETRY);
    }
    recorder.record(clock.now_ns() - start_ns, group.len() as u64);
}
