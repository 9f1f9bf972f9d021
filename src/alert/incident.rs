//! What a receiver is sent of alerts that belong together: what they share, how many there are, and the first of them.
//!
//! The alerts keep their ids, and each is found under its own in the API.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::body::{BODY_BYTES_MAX, Body, is_zero, rfc3339};
use crate::types::{AlertState, Decision, EventTime};

/// Room for what stands around the alerts.
const SPARE_BYTES: usize = 64;
/// Columns named with the number of their alerts.
const COLUMNS_MAX: usize = 10;

/// One message of an incident.
pub struct Incident<'a> {
    pub id: &'a str,
    pub revision: u32,
    /// Labels by which it was put together, with their values.
    pub group: BTreeMap<String, String>,
    /// The newest revision of each of its alerts, and whether the receiver has yet to hear of it.
    pub alerts: &'a [(Decision, bool)],
}

#[derive(Serialize)]
struct Data<'a> {
    id: &'a str,
    revision: u32,
    state: &'static str,
    group: &'a BTreeMap<String, String>,
    shared: Shared<'a>,
    alerts_firing: usize,
    alerts_resolved: usize,
    /// Columns of the most alerts, with their number.
    columns: Vec<(&'a str, usize)>,
    /// Those this message is about first, of them the firing, and the rarest first.
    alerts: Vec<Line<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    alerts_omitted: usize,
}

/// What is the same of all alerts.
#[derive(Serialize)]
struct Shared<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<&'a str>,
    /// How all keys begin, up to a separator: their place, where keys name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_prefix: Option<&'a str>,
    onset_first: i64,
    onset_last: i64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    revision: u32,
    state: AlertState,
    stream: &'a str,
    key: &'a str,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<&'a str>,
    onset: EventTime,
    /// When it was so, event time.
    happened: EventTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_value_min: Option<f64>,
}

impl Incident<'_> {
    pub fn firing(&self) -> usize {
        self.alerts.iter().filter(|(decision, _)| decision.state.is_firing()).count()
    }

    fn state(&self) -> AlertState {
        match self.revision {
            _ if self.firing() == 0 => AlertState::Resolved,
            1 => AlertState::Raised,
            _ => AlertState::Revised,
        }
    }
}

/// Compact JSON below [`BODY_BYTES_MAX`], with as many alerts as fit; `alerts_omitted` counts the others.
pub fn encode(incident: &Incident<'_>) -> Result<String, serde_json::Error> {
    let (r#type, state) = match incident.state() {
        AlertState::Raised => ("incident.raised", "raised"),
        AlertState::Revised => ("incident.revised", "revised"),
        AlertState::Resolved | AlertState::Retracted => ("incident.resolved", "resolved"),
    };
    let decisions = || incident.alerts.iter().map(|(decision, _)| decision);
    let firing = incident.firing();
    let mut body = Body {
        r#type,
        timestamp: rfc3339(decisions().map(|decision| decision.happened().0).max().unwrap_or(0)),
        data: Data {
            id: incident.id,
            revision: incident.revision,
            state,
            group: &incident.group,
            shared: shared(incident.alerts),
            alerts_firing: firing,
            alerts_resolved: incident.alerts.len() - firing,
            columns: columns(incident.alerts),
            alerts: Vec::new(),
            alerts_omitted: incident.alerts.len(),
        },
    };
    let mut used = serde_json::to_string(&body)?.len() + SPARE_BYTES;
    for line in in_order(incident.alerts) {
        used += serde_json::to_string(&line)?.len() + 1;
        if used >= BODY_BYTES_MAX {
            break;
        }
        body.data.alerts.push(line);
        body.data.alerts_omitted -= 1;
    }
    serde_json::to_string(&body)
}

fn in_order(alerts: &[(Decision, bool)]) -> Vec<Line<'_>> {
    let p_value = |decision: &Decision| decision.window().map(|window| window.p_value_min);
    let mut order: Vec<&(Decision, bool)> = alerts.iter().collect();
    order.sort_by(|(a, a_told), (b, b_told)| {
        let rank = |decision: &Decision, told: &bool| (!told, !decision.state.is_firing());
        let rare = |decision| p_value(decision).unwrap_or(0.0);
        rank(a, a_told)
            .cmp(&rank(b, b_told))
            .then(rare(a).total_cmp(&rare(b)))
            .then_with(|| (&a.key, &a.id).cmp(&(&b.key, &b.id)))
    });
    order.into_iter().map(|(decision, _)| line_of(decision, p_value(decision))).collect()
}

fn line_of(decision: &Decision, p_value_min: Option<f64>) -> Line<'_> {
    Line {
        id: &decision.id,
        revision: decision.revision,
        state: decision.state,
        stream: &decision.stream,
        key: &decision.key,
        rule: &decision.rule,
        column: decision.top_column(),
        onset: decision.onset,
        happened: decision.happened(),
        p_value_min,
    }
}

fn shared(alerts: &[(Decision, bool)]) -> Shared<'_> {
    let decisions = || alerts.iter().map(|(decision, _)| decision);
    let streams: BTreeSet<&str> = decisions().map(|decision| decision.stream.as_str()).collect();
    let rules: BTreeSet<&str> = decisions().map(|decision| decision.rule.as_str()).collect();
    let columns: BTreeSet<Option<&str>> = decisions().map(Decision::top_column).collect();
    let keys: BTreeSet<&str> = decisions().map(|decision| decision.key.as_str()).collect();
    let onsets = || decisions().map(|decision| decision.onset.0);
    Shared {
        stream: only(&streams),
        rule: only(&rules),
        column: only(&columns).flatten(),
        key_prefix: prefix(&keys),
        onset_first: onsets().min().unwrap_or(0),
        onset_last: onsets().max().unwrap_or(0),
    }
}

fn only<T: Copy + Ord>(values: &BTreeSet<T>) -> Option<T> {
    values.first().copied().filter(|_| values.len() == 1)
}

/// How the first and the last of several keys both begin, and with them all between, up to a separator.
fn prefix<'a>(keys: &BTreeSet<&'a str>) -> Option<&'a str> {
    let (first, last) = (*keys.first()?, *keys.last()?);
    let common = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    let separator = |byte: &u8| matches!(byte, b'/' | b'.' | b':' | b'-' | b'_' | b' ');
    let end = first.as_bytes()[..common].iter().rposition(separator)? + 1;
    (keys.len() > 1).then(|| &first[..end])
}

fn columns(alerts: &[(Decision, bool)]) -> Vec<(&str, usize)> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for column in alerts.iter().filter_map(|(decision, _)| decision.top_column()) {
        *counts.entry(column).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    counts.truncate(COLUMNS_MAX);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_share_how_they_begin_up_to_a_separator() {
        let of = |keys: &[&'static str]| prefix(&keys.iter().copied().collect());
        assert_eq!(of(&["plant/hall-3/pump-1", "plant/hall-3/pump-22"]), Some("plant/hall-3/pump-"));
        assert_eq!(of(&["hall-3.a", "hall-4.a"]), Some("hall-"));
        assert_eq!(of(&["pump1", "pump2"]), None, "half a name is no place");
        assert_eq!(of(&["hall-3/pump-1"]), None, "one key shares nothing");
        assert_eq!(of(&["ä/1", "ä/2", "ä/3"]), Some("ä/"));
        assert_eq!(of(&[]), None);
    }
}
