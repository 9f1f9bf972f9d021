//! What came of the faults: alerts matched to them, counted as they are.
//!
//! A fault is found by an alert that was raised on its pump about a window, or an onset's cell, holding a part of
//! it; its delay runs, in event time, from the fault's start to the end of that. A raised alert that matches
//! no fault is a false alert. An alert that stood open from before the fault finds nothing.

use std::collections::HashMap;

use serde::Serialize;

use super::faults::{Fault, Kind};
use super::plant::{SECOND_NS, pump_name};
use super::receiver::Received;
use crate::status::Status;
use crate::types::{AlertState, EventTime, StreamId};

/// What a run did, besides its alerts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    pub seed: u64,
    /// Seconds of event time a second of real time.
    pub speed: u32,
    pub real_s: f64,
    /// Event time reached, from the start of the run.
    pub event_s: i64,
    pub published: u64,
    pub acked: u64,
    pub scored: Scored,
    /// Webhooks delivered again with an id already received.
    pub webhook_duplicates: u64,
    /// Webhooks without a valid signature or body.
    pub webhook_refused: u64,
}

/// What the pipeline made of the published messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scored {
    pub events: u64,
    pub events_duplicate: u64,
    pub events_late: u64,
    pub windows: u64,
    pub windows_unscored: u64,
    pub windows_anomalous: u64,
}

impl Scored {
    pub fn of(status: &Status, stream: StreamId) -> Self {
        use std::sync::atomic::Ordering::{Acquire, Relaxed};
        status.stream(stream).iter().fold(Scored::default(), |sum, p| Scored {
            events: sum.events + p.events_total.load(Acquire),
            events_duplicate: sum.events_duplicate + p.duplicates_total.load(Relaxed),
            events_late: sum.events_late + p.late_total.load(Relaxed),
            windows: sum.windows + p.windows_total.load(Relaxed),
            windows_unscored: sum.windows_unscored + p.windows_unscored_total.load(Relaxed),
            windows_anomalous: sum.windows_anomalous + p.windows_anomalous_total.load(Relaxed),
        })
    }
}

/// One fault, and the first alert that found it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub fault: Fault,
    pub found: bool,
    /// Event time from the fault's start to the end of the window that raised the alert.
    pub delay_s: Option<f64>,
    /// Column with the largest share in that alert.
    pub top_column: Option<String>,
    /// That column is one the fault shows in.
    pub top_column_right: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindOutcome {
    pub kind: Kind,
    pub injected: usize,
    pub found: usize,
    pub missed: usize,
    pub delay_s_median: Option<f64>,
    pub top_column_right: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FalseAlert {
    pub id: String,
    pub pump: String,
    pub window_start: EventTime,
    pub window_end: EventTime,
    /// Of an onset there is none.
    pub p_value: Option<f64>,
}

/// Part of the receipts' time spent in one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageShare {
    pub stage: String,
    pub share: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub facts: Facts,
    pub injected: usize,
    pub found: usize,
    pub missed: usize,
    /// Faults that began so shortly before the end of the run that nothing could be said of them.
    pub cut_short: usize,
    pub alerts_raised: usize,
    pub alerts_false: usize,
    /// Real seconds from the start of the demo to the first alert that found a fault.
    pub first_true_alert_s: Option<f64>,
    pub receipt_ns_median: Option<u64>,
    pub receipt_stages: Vec<StageShare>,
    pub kinds: Vec<KindOutcome>,
    pub faults: Vec<Outcome>,
    pub false_alerts: Vec<FalseAlert>,
}

/// Does this alert speak of this fault?
pub fn matches(alert: &Received, fault: &Fault) -> bool {
    let decision = &alert.decision;
    decision.key == pump_name(fault.pump) && alert.start < fault.end && alert.end > fault.start
}

/// The first raising revision of every alert, in order of receipt.
pub fn raised(alerts: &[Received]) -> Vec<&Received> {
    let mut first: HashMap<&str, u32> = HashMap::new();
    let raising = || alerts.iter().filter(|a| a.decision.state == AlertState::Raised);
    for alert in raising() {
        let revision = first.entry(&alert.decision.id).or_insert(alert.decision.revision);
        *revision = (*revision).min(alert.decision.revision);
    }
    raising().filter(|a| first[a.decision.id.as_str()] == a.decision.revision).collect()
}

impl Report {
    /// `event_end` is the event time reached; faults are judged if at least `judged_after_s` of them
    /// (one window) had passed by then.
    pub fn new(
        facts: Facts,
        faults: &[Fault],
        event_end: EventTime,
        judged_after_s: i64,
        alerts: &[Received],
    ) -> Self {
        let raised = raised(alerts);
        let begun = faults.iter().filter(|f| f.start < event_end);
        let (judged, cut): (Vec<&Fault>, Vec<&Fault>) =
            begun.partition(|f| f.start.0 + judged_after_s * SECOND_NS <= event_end.0);
        let outcomes: Vec<Outcome> = judged.iter().map(|f| outcome(f, &raised)).collect();
        let is_true = |a: &Received| faults.iter().any(|f| matches(a, f));
        let false_alerts: Vec<FalseAlert> =
            raised.iter().filter(|a| !is_true(a)).map(|a| unmatched(a)).collect();
        let first_true = raised.iter().filter(|a| is_true(a)).map(|a| a.at_s).min_by(f64::total_cmp);
        let found = outcomes.iter().filter(|o| o.found).count();
        Report {
            injected: outcomes.len(),
            found,
            missed: outcomes.len() - found,
            cut_short: cut.len(),
            alerts_raised: raised.len(),
            alerts_false: false_alerts.len(),
            first_true_alert_s: first_true,
            receipt_ns_median: median(raised.iter().map(|a| a.receipt.total_ns as f64)).map(|ns| ns as u64),
            receipt_stages: stage_shares(&raised),
            kinds: Kind::ALL.iter().map(|kind| of_kind(*kind, &outcomes)).collect(),
            faults: outcomes,
            false_alerts,
            facts,
        }
    }
}

fn outcome(fault: &Fault, raised: &[&Received]) -> Outcome {
    let first = raised.iter().filter(|a| matches(a, fault)).min_by_key(|a| a.end);
    let delay_s = first.map(|a| (a.end.0 - fault.start.0) as f64 / SECOND_NS as f64);
    let top_column = first.and_then(|a| a.decision.top_column()).map(str::to_owned);
    let top_column_right =
        top_column.as_ref().map(|top| fault.columns.iter().any(|column| column.as_str() == top));
    Outcome { fault: fault.clone(), found: first.is_some(), delay_s, top_column, top_column_right }
}

fn unmatched(alert: &Received) -> FalseAlert {
    let decision = &alert.decision;
    FalseAlert {
        id: decision.id.clone(),
        pump: decision.key.clone(),
        window_start: alert.start,
        window_end: alert.end,
        p_value: decision.window().map(|window| window.p_value),
    }
}

fn of_kind(kind: Kind, outcomes: &[Outcome]) -> KindOutcome {
    let own: Vec<&Outcome> = outcomes.iter().filter(|o| o.fault.kind == kind).collect();
    let found = own.iter().filter(|o| o.found).count();
    KindOutcome {
        kind,
        injected: own.len(),
        found,
        missed: own.len() - found,
        delay_s_median: median(own.iter().filter_map(|o| o.delay_s)),
        top_column_right: own.iter().filter(|o| o.top_column_right == Some(true)).count(),
    }
}

/// Share of each stage in the summed time of all receipts, in the order of the way.
fn stage_shares(raised: &[&Received]) -> Vec<StageShare> {
    let total_ns: u64 = raised.iter().map(|a| a.receipt.total_ns).sum();
    let mut stages: Vec<(String, u64)> = Vec::new();
    for segment in raised.iter().flat_map(|a| &a.receipt.segments) {
        match stages.iter_mut().find(|(stage, _)| *stage == segment.stage) {
            Some((_, ns)) => *ns += segment.ns,
            None => stages.push((segment.stage.clone(), segment.ns)),
        }
    }
    let share = |ns: u64| if total_ns == 0 { 0.0 } else { ns as f64 / total_ns as f64 };
    stages.into_iter().map(|(stage, ns)| StageShare { stage, share: share(ns) }).collect()
}

pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "report_fixtures.rs"]
pub mod fixtures;
