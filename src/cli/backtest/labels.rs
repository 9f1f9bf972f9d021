//! Known events, and how the alerts stand to them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::Alert;
use crate::config::show_duration;
use crate::source::replay;

const DAY_NS: f64 = 86_400e9;

/// Something that went wrong with a key, `[start, end]`, event time ns.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    key: String,
    start: i64,
    end: i64,
}

#[derive(Deserialize)]
struct Line {
    key: Value,
    start: Value,
    end: Value,
}

/// # Errors
/// If the file is no CSV with the columns key, start and end, or a time is none.
pub fn read(path: &Path) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for (row, message) in replay::Rows::open(path, "labels")?.enumerate() {
        let place = || format!("{}, row {}", path.display(), row + 1);
        let line: Line = serde_json::from_slice(&message.payload)
            .with_context(|| format!("{}: it needs the columns key, start and end", place()))?;
        let key = line.key.as_str().map_or_else(|| line.key.to_string(), str::to_owned);
        let (start, end) = (time(&line.start).with_context(place)?, time(&line.end).with_context(place)?);
        if end < start {
            bail!("{}: it ends before it starts", place());
        }
        events.push(Event { key, start, end });
    }
    Ok(events)
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
        let within = |alert: &Alert, event: &Event| {
            alert.key == event.key && (event.start..=event.end).contains(&alert.opened_ns)
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

/// Episodes of one key do not overlap, and neither do its events: lengths may be added up.
fn standing(events: &[Event], alerts: &[Alert], span: (i64, i64), keys: u64) -> f64 {
    let overlap = |a: (i64, i64), b: (i64, i64)| (a.1.min(b.1) - a.0.max(b.0)).max(0) as f64;
    let whole = keys as f64 * (span.1 - span.0) as f64;
    let in_events: f64 = events.iter().map(|event| overlap((event.start, event.end), span)).sum();
    let in_alert: f64 = alerts
        .iter()
        .map(|alert| {
            let open = (alert.opened_ns, alert.closed_ns.unwrap_or(span.1).min(span.1));
            let own = events.iter().filter(|event| event.key == alert.key);
            let known: f64 = own.map(|event| overlap((event.start, event.end), open)).sum();
            (open.1 - open.0).max(0) as f64 - known
        })
        .sum();
    // Not -0: it is printed.
    (in_alert.max(0.0) / (whole - in_events).max(1.0)).min(1.0) + 0.0
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
            revisions: 1,
            p_value_min: None,
            column: None,
        }
    }

    #[test]
    fn an_event_is_found_by_an_alert_that_opens_in_it() {
        let event = |key: &str, start, end| Event { key: key.to_owned(), start, end };
        let events = [event("a", 100, 200), event("a", 400, 500), event("b", 100, 200)];
        let alerts = [
            alert("a", 90, 120, 180),  // in the first
            alert("a", 390, 395, 480), // stands open in the second, and opened before it
            alert("a", 490, 520, 540), // opened when it was over
            alert("c", 100, 120, 130), // another key
        ];
        let found = Found::of(&events, &alerts, (0, 1000), 4);
        assert_eq!((found.events, found.opened_in, found.delay_ns_median), (3, 1, Some(20)));
        assert_eq!((found.false_alerts, found.just_after), (3, 1));
        // Outside events: 0 + 5 + 20 + 10 of 4000 - 300.
        assert!((found.standing_share - 35.0 / 3700.0).abs() < 1e-12);
    }

    #[test]
    fn times_are_seconds_or_texts() {
        assert_eq!(time(&Value::from(1.5)).unwrap(), 1_500_000_000);
        assert_eq!(time(&Value::from("1970-01-01T00:01:00Z")).unwrap(), 60_000_000_000);
        assert!(time(&Value::from("noon")).unwrap_err().to_string().contains("seconds since 1970"));
    }
}
