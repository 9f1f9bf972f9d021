//! OpenTelemetry: a trace for each alert that is told, and the figures of `/metrics`, posted to a collector
//! as OTLP over HTTP with protobuf.
//!
//! Beside the flow: a trace is made of what the outbox holds and of attempts that are over, never of an event.
//! Whoever tells of something leaves it in a bounded queue; what finds no room there is dropped and counted.

mod context;
mod export;
mod incoming;
mod post;
pub mod proto;
mod spans;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

pub use context::{Parent, SpanId, TraceId, traceparent};
pub use export::Exporter;
pub use incoming::Incoming;
pub use post::TelemetryError;
pub use spans::{Attempt, attempt_id, of_alert, of_attempt, of_revision, origin};

use crate::status::Status;
use proto::Span;

/// Alerts and attempts that wait for the exporter.
const QUEUE_MAX: usize = 2048;

/// Where spans are left. Cheap to clone; one that is off takes nothing.
#[derive(Clone, Default)]
pub struct Tracer {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    queue: mpsc::Sender<Vec<Span>>,
    status: Arc<Status>,
}

impl Tracer {
    /// One that is on, and the end that the exporter takes from.
    pub fn on(status: Arc<Status>) -> (Self, mpsc::Receiver<Vec<Span>>) {
        let (queue, taken) = mpsc::channel(QUEUE_MAX);
        (Tracer { inner: Some(Arc::new(Inner { queue, status })) }, taken)
    }

    pub fn is_on(&self) -> bool {
        self.inner.is_some()
    }

    /// Leaves the spans of one alert or attempt. Never waits.
    pub fn tell(&self, spans: impl FnOnce() -> Vec<Span>) {
        let Some(inner) = &self.inner else { return };
        if inner.queue.try_send(spans()).is_err() {
            self.missed(1);
        }
    }

    /// So many alerts or attempts are not told of.
    pub fn missed(&self, count: u64) {
        if let Some(inner) = &self.inner {
            inner.status.telemetry.dropped_total.fetch_add(count, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
