//! Telling a receiver that forgets what it was told before.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use crate::sink::alertmanager::{Alertmanager, ENDED_AGAIN};
use crate::sink::{Answer, Receiver};

/// Alerts a request.
const LOT: usize = 256;

impl Receiver {
    /// Whether it has to be told again what it was told.
    pub(super) fn forgets(&self) -> bool {
        matches!(self, Receiver::Alertmanager(_))
    }
}

impl Worker {
    pub(super) fn is_to_say_again(&self) -> bool {
        let due = self.again_at.is_some_and(|at| at <= Instant::now());
        due && !self.delivery.shutdown.is_cancelled()
    }

    /// Until it next is; `None` if never, or if it is by now.
    pub(super) fn until_again(&self) -> Option<Duration> {
        let until = self.again_at?.saturating_duration_since(Instant::now());
        (!until.is_zero()).then_some(until)
    }

    /// One round, while nothing is under way and everything is written down. One that fails is made up by the next.
    pub(super) async fn say_again(&mut self, now_ns: i64) {
        let (receiver, shutdown) = (Arc::clone(&self.receiver), self.delivery.shutdown.clone());
        if let Receiver::Alertmanager(alertmanager) = &*receiver {
            tokio::select! {
                () = self.say_all(alertmanager, now_ns) => {}
                () = shutdown.cancelled() => {}
            }
        }
        self.again_at = Some(Instant::now() + self.delivery.again);
    }

    async fn say_all(&self, alertmanager: &Alertmanager, now_ns: i64) {
        let (outbox, status) = (self.delivery.outbox.clone(), Arc::clone(&self.delivery.status));
        let (name, since_ns) =
            (self.delivery.sink.name.clone(), now_ns.saturating_sub(ENDED_AGAIN.as_nanos() as i64));
        let read = move || outbox.reader()?.told(&name, since_ns, &status.said.active(now_ns));
        let Ok(Ok(told)) = tokio::task::spawn_blocking(read).await else { return };
        for lot in told.chunks(LOT) {
            let answer = alertmanager.push(lot.iter().map(|body| &body[..])).await;
            if let Answer::Failed { reason, .. } = answer {
                tracing::debug!(sink = self.delivery.sink.name, reason, "what fires was not said again");
                return;
            }
        }
    }
}
