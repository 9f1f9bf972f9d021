//! Alerts that are over, told and old go from the outbox, a few at a time: storing and delivery wait for a step at most.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::alert::outbox::OutboxHandle;
use crate::latency::Clock;

/// From one pass over the outbox to the next.
const EVERY: Duration = Duration::from_secs(3600);
/// From one step of a pass to the next: others have the outbox in between.
const PAUSE: Duration = Duration::from_millis(100);
/// Revisions a step.
const LOT: usize = 100;

/// Runs until `stop`.
pub async fn run(outbox: OutboxHandle, retain: Duration, clock: Clock, stop: CancellationToken) {
    let retain_ns = i64::try_from(retain.as_nanos()).unwrap_or(i64::MAX);
    let mut removed = 0;
    loop {
        let before_ns = clock.now_ns().saturating_sub(retain_ns);
        let step = outbox.run(move |outbox| outbox.prune(before_ns, LOT)).await;
        let more = step.as_ref().is_ok_and(|step| step.more);
        match step {
            Ok(step) => removed += step.alerts,
            Err(error) => tracing::warn!(%error, "old alerts stay in the outbox"),
        }
        if !more && removed > 0 {
            tracing::info!(alerts = removed, "removed alerts that were over for `durable.retain_alerts`");
            removed = 0;
        }
        tokio::select! {
            () = tokio::time::sleep(if more { PAUSE } else { EVERY }) => {}
            () = stop.cancelled() => return,
        }
    }
}
