//! Takes spans out of the queue and figures from `/metrics`, and posts both.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::TelemetryError;
use super::post::{Outcome, Post};
use super::proto::{
    KeyValue, Metric, Metrics, Resource, ResourceMetrics, ResourceSpans, Scope, ScopeMetrics, ScopeSpans,
    Span, Traces,
};
use crate::config::plan::TelemetryPlan;
use crate::latency::Clock;
use crate::status::{Status, TelemetrySignal};

/// What comes within this time goes together.
const GATHER: Duration = Duration::from_secs(1);
/// Alerts and attempts a request: some hundred kilobytes.
const LOT_MAX: usize = 256;
/// Before the second attempt; doubles. After the last attempt a lot is dropped.
const WAIT: Duration = Duration::from_secs(1);
const ATTEMPTS_MAX: u32 = 6;
/// No `Retry-After` holds a lot up for longer.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Of an attempt, once a stop was asked for, and of everything after it.
const LAST_ATTEMPT: Duration = Duration::from_secs(1);
const LAST_WORDS: Duration = Duration::from_millis(3_500);

/// Both signals of one process.
pub struct Exporter {
    pub traces: Signal,
    pub metrics: Signal,
    resource: Resource,
    every: Duration,
    status: Arc<Status>,
    clock: Clock,
    stop: CancellationToken,
}

/// Where one signal goes, and how that went last.
pub struct Signal {
    signal: TelemetrySignal,
    post: Post,
}

impl Exporter {
    /// `instance` tells this process from others of the same service.
    ///
    /// # Errors
    /// If there are no certificates for HTTPS.
    pub fn new(
        plan: &TelemetryPlan,
        instance: &str,
        status: Arc<Status>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Self, TelemetryError> {
        let signal = |signal, path| Ok(Signal { signal, post: Post::new(plan, path)? });
        let mut resource = plan.resource.clone();
        let mut own = |key: &str, value: &str| {
            resource.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        };
        own("service.name", "eddy");
        own("service.version", env!("CARGO_PKG_VERSION"));
        own("service.instance.id", instance);
        let attributes = resource.iter().map(|(key, value)| KeyValue::text(key, value)).collect();
        Ok(Exporter {
            traces: signal(TelemetrySignal::Traces, "v1/traces")?,
            metrics: signal(TelemetrySignal::Metrics, "v1/metrics")?,
            resource: Resource { attributes },
            every: plan.every,
            status,
            clock,
            stop,
        })
    }

    /// Until everybody who tells of something is gone, or a few seconds after the stop. `figures` reads what
    /// `/metrics` shows.
    pub async fn run(self, mut told: mpsc::Receiver<Vec<Span>>, figures: impl Fn() -> Vec<Metric>) {
        let stop = self.stop.clone();
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let Exporter { traces, metrics, resource, every, status, clock, stop } = &self;
        let sender = Sender { resource, status, clock: *clock, stop };
        tokio::select! {
            () = sender.clone().spans(traces, &mut told) => {}
            never = sender.clone().figures(metrics, *every, &figures) => match never {},
            () = overdue => {}
        }
        // The last attempts are counted in them.
        sender.push(metrics, &figures).await;
    }
}

#[derive(Clone)]
struct Sender<'a> {
    resource: &'a Resource,
    status: &'a Status,
    clock: Clock,
    stop: &'a CancellationToken,
}

impl Sender<'_> {
    async fn spans(self, signal: &Signal, told: &mut mpsc::Receiver<Vec<Span>>) {
        let mut lot = Vec::with_capacity(LOT_MAX);
        while told.recv_many(&mut lot, LOT_MAX).await > 0 {
            let until = Instant::now() + GATHER;
            while lot.len() < LOT_MAX && !self.stop.is_cancelled() {
                let room = LOT_MAX - lot.len();
                match timeout_at(until, told.recv_many(&mut lot, room)).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            let count = lot.len() as u64;
            let spans: Vec<Span> = lot.drain(..).flatten().collect();
            let sent = spans.len() as u64;
            let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans }];
            let resource_spans = vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans }];
            let rejected = self.deliver(signal, &Traces { resource_spans }).await;
            let total = if rejected.is_some_and(|rejected| rejected < sent) {
                &self.status.telemetry.exported_total
            } else {
                &self.status.telemetry.dropped_total
            };
            total.fetch_add(count, Relaxed);
        }
    }

    /// How many spans of it the collector refused; `None` if it took none. Tried again while that makes sense.
    async fn deliver(&self, signal: &Signal, traces: &Traces) -> Option<u64> {
        let mut wait = WAIT;
        for attempt in 1..=ATTEMPTS_MAX {
            let patience = if self.stop.is_cancelled() { LAST_ATTEMPT } else { Duration::MAX };
            let after = match self.note(signal, signal.post.send(traces, patience).await) {
                Outcome::Taken { rejected, .. } => return Some(rejected),
                Outcome::Refused { .. } => return None,
                Outcome::Later { after, .. } => after.unwrap_or(wait).min(WAIT_MAX),
            };
            if attempt == ATTEMPTS_MAX || self.stop.is_cancelled() {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = self.stop.cancelled() => {}
            }
            wait *= 2;
        }
        None
    }

    async fn figures(self, signal: &Signal, every: Duration, read: &impl Fn() -> Vec<Metric>) -> Infallible {
        let mut due = tokio::time::interval_at(Instant::now() + every, every);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.push(signal, read).await;
        }
    }

    /// Once: the next ones hold whatever these would have.
    async fn push(&self, signal: &Signal, read: &impl Fn() -> Vec<Metric>) {
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics: read() }];
        let resource_metrics = vec![ResourceMetrics { resource: Some(self.resource.clone()), scope_metrics }];
        let patience = if self.stop.is_cancelled() { LAST_ATTEMPT } else { Duration::MAX };
        let outcome = signal.post.send(&Metrics { resource_metrics }, patience).await;
        self.note(signal, outcome);
    }

    /// Counts a failure, shows it, and says so once until it is over.
    fn note(&self, Signal { signal, .. }: &Signal, outcome: Outcome) -> Outcome {
        let (shown, name) = (&self.status.telemetry, signal.as_str());
        let was_failing = shown.failing(*signal).is_some();
        // What the collector says is for the log alone: it may repeat what it was sent.
        let (reason, said) = match &outcome {
            Outcome::Taken { rejected: 0, .. } => {
                shown.took(*signal);
                if was_failing {
                    tracing::info!(signal = name, "the collector takes what it is sent again");
                }
                return outcome;
            }
            Outcome::Taken { rejected, said } => (format!("{rejected} were refused"), said.as_str()),
            Outcome::Later { reason, .. } | Outcome::Refused { reason } => (reason.clone(), ""),
        };
        shown.failures_total.fetch_add(1, Relaxed);
        let is_away = matches!(outcome, Outcome::Later { was_reached: false, .. });
        shown.failed(*signal, self.clock.now_ns(), reason.clone(), is_away);
        if !was_failing {
            tracing::warn!(
                signal = name,
                reason,
                said,
                "the collector does not take what it is sent; nothing waits for it, and what it misses is counted in \
                 eddy_telemetry_dropped_total. Look at `[telemetry]`"
            );
        }
        outcome
    }
}

fn scope() -> Scope {
    Scope { name: "eddy".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}
