//! Traces of alerts are made of what the outbox holds, so that nothing on the way of an alert knows of them: a task
//! looks what is new there, as the page does, and never holds up storing.

use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alert::outbox::{AlertFilter, OutboxError, OutboxHandle, OutboxReader, StoredAlert};
use crate::metrics;
use crate::pipeline::common::Common;
use crate::pipeline::group::member;
use crate::telemetry::{Exporter, Tracer, of_alert, origin};

/// What is stored within this time is read at once.
const GATHER: Duration = Duration::from_millis(500);
/// Alerts read at a time, and at most at once: in a storm the oldest of it have no trace.
const PAGE: usize = 64;
const AT_ONCE_MAX: usize = 1024;

/// Starts what sends to the collector, if there is one. Ends with `workers`, shortly after `stop`.
///
/// # Errors
/// If the outbox cannot be read, or there are no certificates for HTTPS.
pub(super) async fn start(
    common: &Common,
    outbox: &OutboxHandle,
    stop: &CancellationToken,
    workers: &mut JoinSet<()>,
) -> Result<Tracer> {
    for warning in &common.plan.warnings {
        tracing::warn!("{warning} {}", common.plan.without_warned());
    }
    let Some(plan) = &common.plan.telemetry else { return Ok(Tracer::default()) };
    let instance = match common.plan.shared() {
        Some(_) => member::name(&common.plan.durable.path)?,
        None => common.plan.deployment.clone(),
    };
    let exporter = Exporter::new(plan, &instance, common.status.clone(), common.clock, stop.clone())?;
    let (tracer, told) = Tracer::on(common.status.clone());
    let shown = common.clone();
    let figures = move || metrics::collect(&shown.plan, &shown.status, &shown.latency, shown.clock.now_ns());
    workers.spawn(exporter.run(told, figures));
    let opened = outbox.clone();
    let reader = tokio::task::spawn_blocking(move || {
        let reader = opened.reader()?;
        let newest = reader.alerts_page(None, 1, &AlertFilter::default())?;
        let seen = newest.first().map_or(0, |alert| alert.seq);
        Ok::<_, OutboxError>(Look { reader, seen })
    });
    let follower = Follower {
        common: common.clone(),
        outbox: outbox.clone(),
        tracer: tracer.clone(),
        stop: stop.clone(),
    };
    workers.spawn(follower.follow(reader.await??));
    Ok(tracer)
}

struct Follower {
    common: Common,
    outbox: OutboxHandle,
    tracer: Tracer,
    stop: CancellationToken,
}

/// How far the outbox was looked at.
struct Look {
    reader: OutboxReader,
    seen: i64,
}

impl Follower {
    /// Until the stop, and once more then: by that time everything is stored.
    async fn follow(self, mut look: Look) {
        let mut work = self.outbox.work();
        loop {
            let goes_on = tokio::select! {
                changed = work.changed() => changed.is_ok(),
                () = self.stop.cancelled() => false,
            };
            if goes_on {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = self.stop.cancelled() => {}
                }
                work.mark_unchanged();
            }
            let read = tokio::task::spawn_blocking(move || {
                let new = look.again();
                (look, new)
            });
            let Ok((read, new)) = read.await else { return };
            look = read;
            match new {
                Ok((alerts, missed)) => self.tell(&alerts, missed),
                Err(error) => {
                    tracing::warn!(%error, "the outbox was not read for traces; tried again with the next alert")
                }
            }
            if !goes_on {
                return;
            }
        }
    }

    fn tell(&self, alerts: &[StoredAlert], missed: u64) {
        self.tracer.missed(missed);
        let Common { plan, incoming, .. } = &self.common;
        for StoredAlert { alert, .. } in alerts {
            self.tracer.tell(|| {
                let linked = incoming.at(alert.receipt.start_ns);
                of_alert(alert, &origin(plan, &alert.decision.stream), linked)
            });
        }
    }
}

impl Look {
    /// Alerts stored since the last look, in order, and how many of them were passed over.
    fn again(&mut self) -> Result<(Vec<StoredAlert>, u64), OutboxError> {
        let mut found: Vec<StoredAlert> = Vec::new();
        let is_whole = loop {
            let before = found.last().map(|alert| alert.seq);
            let page = self.reader.alerts_page(before, PAGE, &AlertFilter::default())?;
            let is_last = page.len() < PAGE;
            let (all, count) = (page.len(), found.len());
            found.extend(page.into_iter().take_while(|alert| alert.seq > self.seen));
            if is_last || found.len() - count < all {
                break true;
            }
            if found.len() >= AT_ONCE_MAX {
                break false;
            }
        };
        let oldest = found.last().map_or(self.seen, |alert| alert.seq);
        let missed = if is_whole { 0 } else { (oldest - self.seen - 1).max(0) as u64 };
        self.seen = found.first().map_or(self.seen, |alert| alert.seq);
        found.reverse();
        Ok((found, missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::outbox::Outbox;
    use crate::types::{About, Alert, AlertState, Decision, EventTime, NoDataEvidence, Receipt};

    fn alert(number: usize) -> Alert {
        let (last_seen, due) = (EventTime(1), EventTime(2));
        let about = About::NoData(NoDataEvidence { last_seen, expected_every_ns: 1, due, resumed: None });
        let (id, stream, key) = (format!("a{number}"), "s".into(), "k".into());
        let (state, rule, onset) = (AlertState::Raised, "no_data".into(), EventTime(1));
        Alert {
            decision: Decision { id, revision: 1, state, stream, key, rule, onset, about },
            receipt: Receipt::default(),
        }
    }

    #[test]
    fn each_alert_is_seen_once_in_order_and_of_a_storm_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(&folder.path().join("outbox.db"), &[]).unwrap();
        let mut look = Look { reader: outbox.reader().unwrap(), seen: 0 };
        // Stores these and looks: which of them are seen is expected, and how many are missed told.
        let mut seen = |stored: std::ops::Range<usize>, expected: std::ops::Range<usize>| {
            outbox.store(&stored.map(alert).collect::<Vec<_>>(), 10).unwrap();
            let (alerts, missed) = look.again().unwrap();
            let ids: Vec<String> = alerts.into_iter().map(|stored| stored.alert.decision.id).collect();
            assert_eq!(ids, expected.map(|number| format!("a{number}")).collect::<Vec<_>>());
            missed
        };
        assert_eq!(seen(0..5, 0..5), 0);
        assert_eq!(seen(0..5, 0..0), 0, "a recovery hands them in again");
        // As many as a page has, and more than one.
        let (page, pages) = (5..5 + PAGE, 5 + PAGE..205 + PAGE);
        assert_eq!(seen(page.clone(), page), 0);
        assert_eq!(seen(pages.clone(), pages.clone()), 0);
        let storm = pages.end..pages.end + AT_ONCE_MAX + 30;
        assert_eq!(seen(storm.clone(), storm.end - AT_ONCE_MAX..storm.end), 30);
        assert_eq!(seen(0..0, 0..0), 0);
    }
}
