//! Known events, and how the alerts stand to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sonic_rs::{JsonValueTrait, LazyValue};

use super::account::Alert;
use crate::config::show_duration;
use crate::source::replay;

const DAY_NS: f64 = 86_400e9;
const KEYS_SHOWN: usize = 10;

/// Something that went wrong with a key, `[start, end]`, event time ns.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    key: String,
    start: i64,
    end: i64,
}

#[derive(Deserialize)]
struct Line<'a> {
    /// As it is written: a number may have more digits than a float.
    #[serde(borrow)]
    key: LazyValue<'a>,
    start: Value,
    end: Value,
}

impl Event {
    /// Some of it lies within `span`, ns, both ends included.
    fn touches(&self, span: (i64, i64)) -> bool {
        self.start <= span.1 && self.end >= span.0
    }
}

/// Says so if some lie outside `span`, first and last row, ns: a unit was taken for another.
pub fn warn_of_other_times(events: &[Event], span: (i64, i64)) {
    let elsewhen = events.iter().filter(|event| !event.touches(span)).count();
    if elsewhen > 0 {
        eprintln!(
            "{elsewhen} labelled events lie outside the data's time: write their times as ISO 8601, or as seconds since 1970"
        );
    }
}

/// # Errors
/// If the file is no CSV with the columns key, start and end, or a time is none.
pub fn read(path: &Path) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for (row, message) in replay::Rows::open(path, "labels")?.enumerate() {
        let place = || format!("{}, row {}", path.display(), row + 1);
        let message = message?;
        let line: Line<'_> = sonic_rs::from_slice(&message.payload)
            .with_context(|| format!("{}: it needs the columns key, start and end", place()))?;
        let key = line.key.as_str().unwrap_or_else(|| line.key.as_raw_str()).to_owned();
        let (start, end) = (time(&line.start).with_context(place)?, time(&line.end).with_context(place)?);
        if end < start {
            bail!("{}: it ends before it starts", place());
        }
        events.push(Event { key, start, end });
    }
    Ok(events)
}

/// The keys of these events.
pub fn keys(events: &[Event]) -> BTreeSet<&[u8]> {
    events.iter().map(|event| event.key.as_bytes()).collect()
}

/// Some of these keys, to be read.
pub fn list(keys: &BTreeSet<&[u8]>) -> String {
    let mut names: Vec<_> = keys.iter().take(KEYS_SHOWN).map(|key| String::from_utf8_lossy(key)).collect();
    if keys.len() > KEYS_SHOWN {
        names.push(format!("and {} more", keys.len() - KEYS_SHOWN).into());
    }
    names.join(", ")
}

/// A number is seconds since 1970, a text ISO 8601.
fn time(value: &Value) -> Result<i64> {
    if let Some(seconds) = value.as_f64() {
        return Ok((seconds * 1e9) as i64);
    }
    let text = value.as_str().unwrap_or_default();
    let time: jiff::Timestamp = text
        .parse()
        .with_context(|| format!("{value} is no time: write 2026-01-07T07:30:00Z, or seconds since 1970"))?;
    Ok(i64::try_from(time.as_nanosecond())?)
}

/// Events and alerts, counted by where an alert opens: one that merely stands open while something happens has not
/// told of it.
#[derive(Debug, PartialEq, Serialize)]
pub struct Found {
    pub events: usize,
    /// Events in which an alert of their key opened.
    pub opened_in: usize,
    /// From the event's start to its first alert; `null` without any.
    pub delay_ns_median: Option<i64>,
    /// Alerts that opened outside every event of their key.
    pub false_alerts: usize,
    /// Of them, those whose first window still overlaps an event that is over.
    pub just_after: usize,
    pub false_alerts_a_day: f64,
    /// Share of the keys' time outside events that was in alert.
    pub standing_share: f64,
}

impl Found {
    /// `span`: first and last row, ns.
    pub fn of(events: &[Event], alerts: &[Alert], span: (i64, i64), keys: u64) -> Self {
        // A window holds what is before its end: one that ends with the event's beginning saw nothing of it, and the
        // window of a single payment ends right behind it.
        let within = |alert: &Alert, event: &Event| {
            alert.key == event.key && (event.start..=event.end).contains(&(alert.opened_ns - 1))
        };
        let mut delays: Vec<i64> = events
            .iter()
            .filter_map(|event| {
                let opened = alerts.iter().filter(|alert| within(alert, event)).map(|alert| alert.opened_ns);
                Some(opened.min()? - event.start)
            })
            .collect();
        delays.sort_unstable();
        let outside: Vec<&Alert> =
            alerts.iter().filter(|alert| !events.iter().any(|event| within(alert, event))).collect();
        let after = |alert: &&&Alert| {
            let own = events.iter().filter(|event| event.key == alert.key);
            own.clone().any(|event| (alert.onset_ns..alert.opened_ns).contains(&event.end))
        };
        let days = ((span.1 - span.0) as f64 / DAY_NS).max(f64::MIN_POSITIVE);
        Found {
            events: events.len(),
            opened_in: delays.len(),
            delay_ns_median: (!delays.is_empty()).then(|| delays[delays.len() / 2]),
            false_alerts: outside.len(),
            just_after: outside.iter().filter(after).count(),
            false_alerts_a_day: outside.len() as f64 / days,
            standing_share: standing(events, alerts, span, keys),
        }
    }

    pub fn print(&self) {
        let delay = self.delay_ns_median.map_or(String::new(), |ns| {
            let delay = std::time::Duration::from_secs((ns / 1_000_000_000).max(0) as u64);
            format!(", median delay {}", show_duration(delay))
        });
        println!("  alerts opened in {} of {} events{delay}", self.opened_in, self.events);
        println!(
            "  {} false alerts ({:.2} a day), {} of them just after an event; {:.2} % of normal time in alert",
            self.false_alerts,
            self.false_alerts_a_day,
            self.just_after,
            self.standing_share * 100.0
        );
    }
}

/// Share of the keys' time outside events that was in alert. An alert of silence may overlap one of a window.
fn standing(events: &[Event], alerts: &[Alert], span: (i64, i64), keys: u64) -> f64 {
    let whole = keys as f64 * (span.1 - span.0) as f64;
    let mut of_keys: BTreeMap<&str, (Vec<Span>, Vec<Span>)> = BTreeMap::new();
    for event in events {
        of_keys.entry(&event.key).or_default().0.push((event.start, event.end));
    }
    for alert in alerts {
        let closed = alert.closed_ns.unwrap_or(span.1);
        of_keys.entry(&alert.key).or_default().1.push((alert.opened_ns, closed));
    }
    let (mut in_events, mut in_alert) = (0.0, 0.0);
    for (of_events, of_alerts) in of_keys.into_values() {
        let either = covered([&of_events[..], &of_alerts].concat(), span);
        let known = covered(of_events, span);
        in_events += known;
        in_alert += either - known;
    }
    in_alert / (whole - in_events).max(1.0)
}

type Span = (i64, i64);

/// How much of `within` these stretches of time cover, ns.
fn covered(mut spans: Vec<Span>, within: Span) -> f64 {
    spans.sort_unstable();
    let (mut sum, mut reached) = (0, within.0);
    for (start, end) in spans {
        let end = end.min(within.1);
        sum += (end - start.max(reached)).max(0);
        reached = reached.max(end);
    }
    sum as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(key: &str, onset: i64, opened: i64, closed: i64) -> Alert {
        Alert {
            id: format!("{key}{onset}"),
            key: key.to_owned(),
            rule: "window".to_owned(),
            onset_ns: onset,
            opened_ns: opened,
            closed_ns: Some(closed),
            resolution: None,
            revisions: 1,
            p_value_min: None,
            score: None,
            column: None,
        }
    }

    #[test]
    fn an_event_is_found_by_an_alert_that_opens_in_it() {
        let event = |key: &str, start, end| Event { key: key.to_owned(), start, end };
        let events = [event("a", 100, 200), event("a", 400, 500), event("b", 100, 200), event("d", 300, 300)];
        let alerts = [
            alert("a", 90, 120, 180),  // in the first
            alert("a", 390, 395, 480), // stands open in the second, and opened before it
            alert("a", 490, 520, 540), // opened when it was over
            alert("c", 100, 120, 130), // another key
            alert("c", 100, 125, 132), // silence of the same
            alert("d", 300, 301, 310), // a payment's window ends right behind it
            alert("d", 100, 300, 301), // ends where the event begins
        ];
        let found = Found::of(&events, &alerts, (0, 1000), 4);
        assert_eq!((found.events, found.opened_in, found.delay_ns_median), (4, 2, Some(20)));
        assert_eq!((found.false_alerts, found.just_after), (5, 1));
        // Outside events: 0 + 5 + 20 + 12 + 10 of 4000 - 300.
        assert!((found.standing_share - 47.0 / 3700.0).abs() < 1e-12);
    }

    #[test]
    fn times_are_seconds_or_texts() {
        assert_eq!(time(&Value::from(1.5)).unwrap(), 1_500_000_000);
        assert_eq!(time(&Value::from("1970-01-01T00:01:00Z")).unwrap(), 60_000_000_000);
        assert!(time(&Value::from("noon")).unwrap_err().to_string().contains("seconds since 1970"));
    }
}
