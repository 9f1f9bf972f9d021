//! The delivery worker, one a sink: a slow or dead receiver holds up nobody else.
//!
//! The outbox decides what is due and remembers what became of it; the worker keeps only what is
//! under way. It may die at any point: whatever was not recorded is sent again, same id, same bytes.

mod again;
mod breaker;
mod damper;
mod look;
mod now;
mod pace;
mod tell;
mod trace;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::schedule::wait_before_next;
use super::step::Watch;
use super::{Answer, Outgoing, Receiver, SinkError};
use crate::alert::outbox::{Attempt, Counts, Due, Next, Outbox, OutboxError, OutboxHandle, Waiting};
use crate::config::plan::SinkPlan;
use crate::latency::{Clock, Latency, Stage};
use crate::status::Status;
use crate::telemetry::Tracer;
use breaker::Breaker;
use damper::Damper;
use pace::Pace;

/// After a stop is asked for, what is due is still sent for this long.
const DRAIN: Duration = Duration::from_secs(3);

/// Wait after an outbox that could not be read or written.
const OUTBOX_RETRY: Duration = Duration::from_secs(1);

/// With nothing to do, look again after this long at the latest.
const IDLE: Duration = Duration::from_secs(3600);

/// While something waits: times are of the wall clock, which may be set, and what is shown must stay true.
const LOOK: Duration = Duration::from_secs(30);

/// Everything a worker needs.
#[derive(Clone)]
pub struct Delivery {
    pub sink: SinkPlan,
    /// Of the sink in `Status::sinks`.
    pub index: usize,
    pub outbox: OutboxHandle,
    pub status: Arc<Status>,
    pub latency: Latency,
    pub clock: Clock,
    /// Told of each attempt.
    pub tracer: Tracer,
    /// [`super::schedule::SCHEDULE`], except in tests.
    pub schedule: &'static [Duration],
    /// How often a receiver that forgets is told again: [`super::alertmanager::AGAIN`], except in tests.
    pub again: Duration,
    pub shutdown: CancellationToken,
}

/// Delivers until `shutdown`, then for at most 3 s more what is already due or under way.
/// Fails only if the sink cannot be set up at all.
pub async fn run(delivery: Delivery) -> Result<(), SinkError> {
    let receiver = Receiver::connect(&delivery.sink, &delivery.status.sinks[delivery.index])?;
    run_to(receiver, delivery).await;
    Ok(())
}

/// As [`run`], to a receiver that is set up already.
pub async fn run_to(receiver: Receiver, delivery: Delivery) {
    let receiver = Arc::new(receiver);
    let mut worker = Worker {
        target: receiver.target(),
        width: receiver.width(),
        again_at: receiver.forgets().then(|| Instant::now() + delivery.again),
        receiver,
        delivery,
        attached: false,
        under_way: JoinSet::new(),
        held: HashSet::new(),
        unrecorded: Vec::new(),
        delivered_ns: Vec::new(),
        pace: Pace::default(),
        asked_now: false,
        gather_at_ns: i64::MIN,
        breaker: Breaker::default(),
        damper: Damper::default(),
        watch: Watch::default(),
    };
    worker.work().await;
    worker.say_unsaid(Instant::now(), true);
    worker.receiver.close().await;
}

struct Worker {
    delivery: Delivery,
    receiver: Arc<Receiver>,
    target: String,
    attached: bool,
    under_way: JoinSet<Finished>,
    /// Alerts that are under way or not recorded yet: still due in the outbox, not to be sent again.
    held: HashSet<String>,
    unrecorded: Vec<Attempt>,
    /// Outbox to 2xx, of the unrecorded attempts that were accepted.
    delivered_ns: Vec<i64>,
    /// Attempts at once; 1 after the receiver said it is overloaded, until it accepts again.
    width: usize,
    pace: Pace,
    /// Somebody wants the receiver asked before its time: the next message is a probe.
    asked_now: bool,
    /// When alerts are next put together; only where they are.
    gather_at_ns: i64,
    /// When a receiver that forgets is next told again.
    again_at: Option<Instant>,
    breaker: Breaker,
    damper: Damper,
    watch: Watch,
}

struct Finished {
    due: Due,
    started_at_ns: i64,
    finished_at_ns: i64,
    answer: Answer,
}

impl Worker {
    async fn work(&mut self) {
        let shutdown = self.delivery.shutdown.clone();
        let mut work = self.delivery.outbox.work();
        let mut deadline: Option<Instant> = None;
        loop {
            let wait = match self.turn().await {
                Ok(wait) => wait,
                Err(OutboxError::Stopping) => return,
                Err(error) => {
                    tracing::error!(sink = self.delivery.sink.name, %error, "the outbox cannot be used, trying again");
                    OUTBOX_RETRY
                }
            };
            if deadline.is_some_and(|deadline| self.held.is_empty() || Instant::now() >= deadline) {
                return self.under_way.shutdown().await;
            }
            let until = Instant::now() + wait;
            tokio::select! {
                Some(finished) = self.under_way.join_next() => self.collect(finished),
                _ = work.changed() => {}
                _ = tokio::time::sleep_until(deadline.map_or(until, |deadline| deadline.min(until))) => {}
                _ = shutdown.cancelled(), if deadline.is_none() => deadline = Some(Instant::now() + DRAIN),
            }
        }
    }

    /// Records what finished, starts what is due; gives the wait until something else falls due.
    async fn turn(&mut self) -> Result<Duration, OutboxError> {
        let now_ns = self.delivery.clock.now_ns();
        let back_ns = self.watch.look(now_ns);
        self.pace.set_back(back_ns);
        self.gather_at_ns = self.gather_at_ns.saturating_sub(back_ns);
        self.take_in_asked();
        let paused_ns = self.pace.left_ns(now_ns);
        // Nothing new is begun until what is under way is over: told again in between, the beginning of an alert could
        // overtake its end.
        let again = self.is_to_say_again();
        // In a steady stream there is always something under way.
        let held_off = paused_ns > 0 || again || self.asked_now && !self.under_way.is_empty();
        let room = if held_off { 0 } else { self.width.saturating_sub(self.under_way.len()) };
        let look = self.look(room).await?;
        self.delivered_ns.clear();
        for attempt in self.unrecorded.drain(..) {
            self.held.remove(&attempt.id);
        }
        self.show(look.counts);
        if again && paused_ns <= 0 && self.under_way.is_empty() {
            self.say_again(now_ns).await;
            return Ok(Duration::ZERO);
        }
        let at_once = if self.receiver.spacing().is_zero() { room } else { room.min(1) };
        let fresh = look.due.into_iter().filter(|due| !self.held.contains(&due.id)).take(at_once);
        fresh.collect::<Vec<Due>>().into_iter().for_each(|due| self.start(due));
        self.show_waiting(look.waiting, now_ns);
        let next_ns = look.next_due_at_ns.map(|at_ns| at_ns - look.now_ns);
        let paused_ns = self.pace.left_ns(now_ns);
        let wait_ns = if paused_ns > 0 { Some(paused_ns) } else { next_ns };
        let idle = if look.waiting.is_some() { LOOK } else { IDLE };
        let wait = wait_ns.map_or(idle, |ns| Duration::from_nanos(ns.max(0) as u64)).min(idle);
        Ok([self.until_again(), self.until_unsaid()].into_iter().flatten().fold(wait, Duration::min))
    }

    fn start(&mut self, due: Due) {
        self.held.insert(due.id.clone());
        let (receiver, clock) = (Arc::clone(&self.receiver), self.delivery.clock);
        let (status, index) = (Arc::clone(&self.delivery.status), self.delivery.index);
        let started_at_ns = clock.now_ns();
        self.space(started_at_ns);
        let outgoing = Outgoing {
            id: due.id.clone(),
            message_id: due.message_id.clone(),
            body: due.body.clone(),
            traceparent: self.traceparent(&due, started_at_ns),
        };
        self.under_way.spawn(async move {
            let answer = receiver.send(&outgoing, &status.sinks[index]).await;
            Finished { due, started_at_ns, finished_at_ns: clock.now_ns(), answer }
        });
    }

    /// Takes in this one and whatever else has finished: they share one sync of the disk.
    fn collect(&mut self, first: Result<Finished, JoinError>) {
        let mut next = Some(first);
        while let Some(finished) = next {
            match finished {
                Ok(finished) => self.settle(finished),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Aborted: only the end of the worker does that.
                    Err(_) => return,
                },
            }
            next = self.under_way.try_join_next();
        }
    }

    /// Decides what comes after an attempt; it is written down at the next turn.
    fn settle(&mut self, finished: Finished) {
        let Finished { due, started_at_ns, finished_at_ns, answer } = finished;
        // The first attempt has asked how far apart they must be.
        self.space(started_at_ns);
        let (status, error, next) = match answer {
            Answer::Accepted { status } => {
                self.delivered_ns.push(finished_at_ns - due.stored_at_ns);
                self.width = self.receiver.width();
                self.breaker.accepted(&due.id);
                self.shown().circuit_open.store(self.breaker.is_open(), Ordering::Relaxed);
                self.shown().delivered_total.fetch_add(1, Ordering::Relaxed);
                self.shown().last_success.store(finished_at_ns, Ordering::Relaxed);
                self.show_error(None);
                self.tell_taken();
                (status, None, Next::Delivered)
            }
            Answer::Failed { status, reason, busy, retry_after } => {
                if busy {
                    self.throttle(finished_at_ns, retry_after);
                }
                let probing = self.width == 1 && self.under_way.is_empty();
                if let Some(pause) = self.breaker.failed(&due.id, probing) {
                    self.throttle(finished_at_ns, Some(pause));
                    self.shown().circuit_open.store(self.breaker.is_open(), Ordering::Relaxed);
                }
                let wait =
                    wait_before_next(self.delivery.schedule, &due.message_id, due.attempts + 1, retry_after);
                let next = match wait {
                    _ if due.early => Next::Waits,
                    Some(wait) => {
                        Next::Retry { at_ns: finished_at_ns.saturating_add(wait.as_nanos() as i64) }
                    }
                    None => Next::GiveUp,
                };
                self.tell_failure(&due, &reason, wait);
                (status, Some(reason), next)
            }
            Answer::Closed { reason } => {
                self.close(&reason);
                (None, Some(reason), Next::Retry { at_ns: finished_at_ns })
            }
            Answer::Gone { status } => {
                let reason = "answered 410 Gone: the receiver is disabled".to_owned();
                self.tell_gone(&due, &reason);
                (Some(status), Some(reason), Next::Disable)
            }
        };
        self.trace(&due, (started_at_ns, finished_at_ns), status, error.as_deref());
        let Due { id, revision, incident, .. } = due;
        self.unrecorded.push(Attempt {
            id,
            revision,
            incident,
            started_at_ns,
            finished_at_ns,
            status,
            error,
            next,
        });
    }
}

/// A recorder hands its samples over when it is dropped. One that was kept would hold the last ones
/// back until the next delivery, which may be days away.
fn record_latency(latency: &Latency, delivered_ns: &[i64]) {
    if !delivered_ns.is_empty() {
        let mut recorder = latency.recorder(Stage::Deliver);
        delivered_ns.iter().for_each(|&ns| recorder.record(ns, 1));
    }
}
