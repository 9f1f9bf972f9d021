//! What the worker shows of its sink, and says of attempts that failed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::damper::Unsaid;
use super::{Counts, Due, Worker};
use crate::status::SinkStatus;

impl Worker {
    /// No attempt is made any more: what is due stays in the outbox for the next start.
    pub(super) fn close(&mut self, reason: &str) {
        self.pace.close();
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

    pub(super) fn tell_failure(&mut self, due: &Due, reason: &str, wait: Option<Duration>) {
        self.shown().attempts_failed_total.fetch_add(1, Ordering::Relaxed);
        self.show_error(Some(reason.to_owned()));
        let (now, sink) = (Instant::now(), &self.delivery.sink.name);
        let message = &due.message_id;
        if wait.is_some() || due.early {
            if let Some(attempts_failed) = self.damper.failed(reason, now) {
                tracing::warn!(
                    sink,
                    message,
                    reason,
                    attempts_failed,
                    "deliveries fail, and are tried again"
                );
            }
        } else if self.damper.gave_up(now) {
            let attempt = due.attempts + 1;
            tracing::error!(
                sink,
                message,
                attempt,
                reason,
                "delivery given up; it stays in the outbox, marked as failed"
            );
        }
    }

    /// All that waits is given up with this one.
    pub(super) fn tell_gone(&self, due: &Due, reason: &str) {
        self.shown().attempts_failed_total.fetch_add(1, Ordering::Relaxed);
        self.show_error(Some(reason.to_owned()));
        let (sink, message) = (&self.delivery.sink.name, &due.message_id);
        // Others under way have the same answer.
        if self.shown().disabled.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(
            sink,
            message,
            reason,
            "this and all else that waits for the receiver is given up, marked as failed in the outbox: replay one of them, \
             which takes it up again, or give the sink a living address"
        );
    }

    pub(super) fn tell_taken(&mut self) {
        let sink = &self.delivery.sink.name;
        if let Some(attempts_failed) = self.damper.accepted(Instant::now()) {
            tracing::info!(sink, attempts_failed, "the receiver takes messages again");
        }
    }

    /// Says what was only counted, once it may be said; gives the wait until there is more.
    pub(super) fn until_unsaid(&mut self) -> Option<Duration> {
        let now = Instant::now();
        self.say_unsaid(now, false);
        self.damper.unsaid_at().map(|at| at.saturating_duration_since(now))
    }

    pub(super) fn say_unsaid(&mut self, now: Instant, at_once: bool) {
        let sink = &self.delivery.sink.name;
        let Unsaid { takes_after, given_up } = self.damper.unsaid(now, at_once);
        if let Some(attempts_failed) = takes_after {
            tracing::info!(sink, attempts_failed, "the receiver takes messages again");
        }
        if given_up > 0 {
            tracing::error!(
                sink,
                deliveries = given_up,
                "more deliveries were given up; they stay in the outbox, marked as failed"
            );
        }
    }

    pub(super) fn shown(&self) -> &SinkStatus {
        &self.delivery.status.sinks[self.delivery.index]
    }

    pub(super) fn show(&self, counts: Counts) {
        let shown = self.shown();
        shown.queued.store(counts.waiting(self.delivery.sink.group.is_some()), Ordering::Relaxed);
        shown.silenced.store(counts.silenced, Ordering::Relaxed);
        shown.failed.store(counts.failed, Ordering::Relaxed);
        shown.disabled.store(counts.disabled, Ordering::Relaxed);
    }

    pub(super) fn show_error(&self, error: Option<String>) {
        *self.shown().last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = error;
    }
}
