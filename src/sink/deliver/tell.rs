//! What the worker shows of its sink, and says of attempts that failed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Counts, Due, Worker};
use crate::status::SinkStatus;

impl Worker {
    /// No attempt is made any more: what is due stays in the outbox for the next start.
    pub(super) fn close(&mut self, reason: &str) {
        self.paused_until_ns = i64::MAX;
        self.shown().attempts_failed_total.fetch_add(1, Ordering::Relaxed);
        self.show_error(Some(reason.to_owned()));
        self.shown().closed.store(true, Ordering::Relaxed);
        let sink = &self.delivery.sink.name;
        tracing::error!(
            sink,
            reason,
            "this sink delivers nothing any more; its alerts wait in the outbox for the next start"
        );
    }

    pub(super) fn tell_failure(&self, due: &Due, reason: &str, wait: Option<Duration>) {
        self.shown().attempts_failed_total.fetch_add(1, Ordering::Relaxed);
        self.show_error(Some(reason.to_owned()));
        let (sink, message, attempt) = (&self.delivery.sink.name, &due.message_id, due.attempts + 1);
        match wait {
            _ if due.early => tracing::warn!(sink, message, reason, "the receiver still takes nothing"),
            Some(wait) => {
                tracing::warn!(sink, message, attempt, reason, ?wait, "delivery failed, trying again")
            }
            None => tracing::error!(
                sink,
                message,
                attempt,
                reason,
                "delivery given up; it stays in the outbox, marked as failed"
            ),
        }
    }

    pub(super) fn shown(&self) -> &SinkStatus {
        &self.delivery.status.sinks[self.delivery.index]
    }

    pub(super) fn show(&self, counts: Counts) {
        let shown = self.shown();
        // What waits to be put together waits for no receiver.
        let queued = if self.delivery.sink.group.is_some() { counts.in_messages } else { counts.pending };
        shown.queued.store(queued, Ordering::Relaxed);
        shown.silenced.store(counts.silenced, Ordering::Relaxed);
        shown.failed.store(counts.failed, Ordering::Relaxed);
        shown.disabled.store(counts.disabled, Ordering::Relaxed);
    }

    pub(super) fn show_error(&self, error: Option<String>) {
        *self.shown().last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = error;
    }
}
