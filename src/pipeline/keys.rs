//! Watches the number of keys of streams with an alert budget, and has it written down as it grows: shards
//! share nothing, so it is from the control log that each partition learns how large its part of the stream is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::config::plan::Plan;
use crate::judge::budget::keys_due;
use crate::stage::{Intake, Notice};
use crate::status::Status;
use crate::types::StreamId;

const LOOK: Duration = Duration::from_secs(1);

/// A stream that shares a budget.
struct Watched {
    stream: StreamId,
    name: Arc<str>,
    /// As last written here; what was written before this start is in [`Status::keys_noted`].
    written: u64,
}

/// Runs for ever.
pub async fn watch(plan: &Plan, status: &Status, intake: &Intake) -> ! {
    let budgeted = plan.streams.iter().enumerate().filter(|(_, plan)| plan.alarm.budget_per_day().is_some());
    let mut watched: Vec<Watched> = budgeted
        .map(|(id, plan)| Watched {
            stream: StreamId(id as u16),
            name: plan.name.as_str().into(),
            written: 0,
        })
        .collect();
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        for watched in &mut watched {
            let keys =
                status.stream(watched.stream).iter().map(|partition| partition.keys.load(Relaxed)).sum();
            let noted = status.keys_noted(watched.stream).load(Relaxed).max(watched.written);
            if !keys_due(noted, keys) {
                continue;
            }
            // Refused by a full disk, it is tried again at the next look.
            if let Ok(logged) = intake.notice(Notice::Keys { stream: watched.name.clone(), keys }).await
                && matches!(logged.await, Ok(Ok(())))
            {
                watched.written = keys;
            }
        }
    }
}
