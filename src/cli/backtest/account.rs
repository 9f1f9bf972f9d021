//! The alerts of a run, put together from their revisions.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::Outputs;
use crate::types::{AlertState, Decision, Resolution};

/// Lines of alerts that are printed; the JSON has all.
const PRINTED_MAX: usize = 20;

/// One alert as its last revision left it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    pub id: String,
    pub key: String,
    pub rule: String,
    pub onset_ns: i64,
    /// When it would have been raised, event time.
    pub opened_ns: i64,
    /// `null`: it was open at the end of the data.
    pub closed_ns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    pub revisions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_value_min: Option<f64>,
    /// How strong an onset it was when it was raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The column with the largest share of the surprise, or that left its range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

#[derive(Default)]
pub struct Account {
    alerts: BTreeMap<String, Alert>,
    pub retracted: u64,
}

impl Account {
    /// Takes what a step gave, and leaves it empty.
    pub fn take(&mut self, out: &mut Outputs) {
        for raised in out.raised.drain(..) {
            self.add(raised.decision);
        }
        out.clear();
    }

    fn add(&mut self, decision: Decision) {
        if decision.state == AlertState::Retracted {
            self.retracted += u64::from(self.alerts.remove(&decision.id).is_some());
            return;
        }
        let happened = decision.happened().0;
        let p_value_min = decision.window().map(|window| window.p_value_min);
        let alert = self.alerts.entry(decision.id.clone()).or_insert_with(|| Alert {
            id: decision.id.clone(),
            key: decision.key.clone(),
            rule: decision.rule.clone(),
            onset_ns: decision.onset.0,
            opened_ns: happened,
            closed_ns: None,
            resolution: None,
            revisions: 0,
            p_value_min,
            score: decision.set_in().map(|onset| onset.score),
            column: decision.top_column().map(str::to_owned),
        });
        alert.revisions = decision.revision;
        alert.p_value_min = p_value_min.or(alert.p_value_min);
        alert.resolution = decision.window().and_then(|window| window.resolution);
        alert.closed_ns = (decision.state == AlertState::Resolved).then_some(happened);
    }

    /// In order of time.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut alerts: Vec<Alert> = self.alerts.values().cloned().collect();
        alerts.sort_by(|a, b| (a.opened_ns, &a.id).cmp(&(b.opened_ns, &b.id)));
        alerts
    }
}

/// How many of them each rule told, those that told none left out: `3 window, 1 onset`.
pub fn by_rule(alerts: &[Alert]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    alerts.iter().for_each(|alert| *counts.entry(&alert.rule).or_default() += 1);
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.iter().map(|(rule, count)| format!("{count} {rule}")).collect::<Vec<_>>().join(", ")
}

/// A line an alert, `mark` before each.
pub fn print(alerts: &[Alert], mark: &str) {
    for alert in alerts.iter().take(PRINTED_MAX) {
        let why = match (&alert.column, alert.p_value_min, alert.score) {
            (Some(column), Some(p), _) => format!("{column}, p {p:.1e}"),
            (Some(column), None, Some(score)) => format!("{column}, {} of score {score:.2}", alert.rule),
            _ => alert.rule.clone(),
        };
        let until =
            alert.closed_ns.map_or("open at the end".to_owned(), |closed| format!("until {}", time(closed)));
        let stood = if alert.resolution == Some(Resolution::Standing) { " (it stood)" } else { "" };
        println!("{mark} {}  {}  {until}{stood}  {why}", time(alert.opened_ns), alert.key);
    }
    if let Some(more) = alerts.len().checked_sub(PRINTED_MAX).filter(|more| *more > 0) {
        println!("{mark} and {more} more; --json FILE has all");
    }
}

fn time(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| ns.to_string(), |time| format!("{time:.0}"))
}
