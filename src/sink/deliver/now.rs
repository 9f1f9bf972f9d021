//! When the receiver is asked next, and that somebody wants it asked now.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Waiting, Worker};
use crate::status;

impl Worker {
    /// Whatever the receiver asked for: it is asked for one message, and for the others once it takes that.
    pub(super) fn take_in_asked(&mut self) {
        if self.delivery.outbox.is_asked_now(&self.delivery.sink.name) {
            self.pace.resume();
            self.breaker.is_to_ask();
            self.asked_now = true;
        }
    }

    /// One attempt at a time, and none before the receiver said it would take more: whoever wants it asked has its answer.
    pub(super) fn throttle(&mut self, now_ns: i64, retry_after: Option<Duration>) {
        self.width = 1;
        self.asked_now = false;
        self.pace.pause(now_ns, retry_after.unwrap_or_default());
    }

    pub(super) fn show_waiting(&self, waiting: Option<Waiting>, now_ns: i64) {
        let trying = !self.under_way.is_empty();
        let until_ns = self.pace.until_ns();
        let next_ns = |due_ns: i64| match until_ns? {
            // The next one is a probe, due or not.
            until_ns if self.breaker.is_open() && until_ns > now_ns => Some(until_ns),
            until_ns => Some(until_ns.max(due_ns)),
        };
        let waiting = waiting.map(|waiting| status::Waiting {
            oldest_stored_at_ns: waiting.oldest_stored_at_ns,
            attempts: waiting.attempts,
            trying,
            next_attempt_at_ns: if trying { None } else { next_ns(waiting.next_attempt_at_ns) },
        });
        let shown = self.shown();
        shown.paused_until.store(until_ns.unwrap_or(i64::MAX), Ordering::Relaxed);
        shown.set_waiting(waiting);
    }
}
