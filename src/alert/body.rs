//! The body every receiver is sent: `{"type", "timestamp", "data"}` of the Standard Webhooks
//! specification, where `data` is the decision and its receipt.

use jiff::Timestamp;
use serde::Serialize;

use crate::types::{About, Alert, ColumnEvidence, Decision, Receipt};

/// The specification asks for bodies below 20 kB.
pub const BODY_BYTES_MAX: usize = 20_000;

/// Room for `"columns_omitted":` and its number.
const OMITTED_BYTES: usize = 40;

/// The envelope; `data` is of an alert or of an incident.
#[derive(Serialize)]
pub(super) struct Body<D> {
    pub r#type: &'static str,
    pub timestamp: String,
    pub data: D,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(flatten)]
    decision: &'a Decision,
    /// Columns of the smallest shares, left out to keep the body small.
    #[serde(skip_serializing_if = "is_zero")]
    columns_omitted: usize,
    /// Where to say what it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback_url: Option<&'a str>,
    receipt: &'a Receipt,
}

pub(super) fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Compact JSON, below [`BODY_BYTES_MAX`]: where all columns do not fit, those with the largest
/// shares are kept in the stream's order and `columns_omitted` counts the others. Only a key of
/// several thousand bytes can still exceed the limit: a large alert is better than none.
pub fn encode(alert: &Alert) -> Result<String, serde_json::Error> {
    encode_linked(alert, None)
}

/// The same with a link to where people say what the alert was.
pub fn encode_linked(alert: &Alert, feedback_url: Option<&str>) -> Result<String, serde_json::Error> {
    let render =
        |decision: &Decision, omitted: usize| render(decision, omitted, feedback_url, &alert.receipt);
    let whole = render(&alert.decision, 0)?;
    if whole.len() < BODY_BYTES_MAX {
        return Ok(whole);
    }
    let with = |columns: Vec<ColumnEvidence>| {
        let mut decision = alert.decision.clone();
        if let About::Window(window) = &mut decision.about {
            window.columns = columns;
        }
        decision
    };
    let columns = alert.decision.columns();
    let bare_bytes = render(&with(Vec::new()), 0)?.len() + OMITTED_BYTES;
    let kept = largest_shares(columns, BODY_BYTES_MAX.saturating_sub(bare_bytes))?;
    let omitted = columns.len() - kept.len();
    render(&with(kept), omitted)
}

fn render(
    decision: &Decision,
    columns_omitted: usize,
    feedback_url: Option<&str>,
    receipt: &Receipt,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Body {
        r#type: decision.event_type(),
        timestamp: rfc3339(decision.happened().0),
        data: Data { decision, columns_omitted, feedback_url, receipt },
    })
}

/// The columns of the largest shares that take less than `budget` bytes together, in given order.
fn largest_shares(
    columns: &[ColumnEvidence],
    budget: usize,
) -> Result<Vec<ColumnEvidence>, serde_json::Error> {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by(|&a, &b| columns[b].share.total_cmp(&columns[a].share));
    let mut used = 0;
    let mut kept = Vec::new();
    for index in order {
        used += serde_json::to_string(&columns[index])?.len() + 1;
        if used >= budget {
            break;
        }
        kept.push(index);
    }
    kept.sort_unstable();
    Ok(kept.into_iter().map(|index| columns[index].clone()).collect())
}

/// RFC 3339 in UTC of `ns` since the Unix epoch.
pub(super) fn rfc3339(ns: i64) -> String {
    // 64 bits of ns span 1677 to 2262, all of it inside jiff's range: the default is never taken.
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AlertState, EventTime, NoDataEvidence, OnsetEvidence, Watched, WindowEvidence};
    use serde_json::Value;

    fn alert(columns: usize) -> Alert {
        let column = |index: usize| ColumnEvidence {
            column: format!("channel_{index}"),
            unit: Some("mm/s".into()),
            cell_end: None,
            value: Some(7.9),
            expected: 2.75,
            expected_low: 2.1,
            expected_high: 3.4,
            // Shares grow with the index, so the first columns are the ones to leave out.
            share: index as f64 / columns as f64,
        };
        Alert {
            decision: Decision {
                id: "a1b2".into(),
                revision: 2,
                state: AlertState::Raised,
                stream: "pumps".into(),
                key: "pump-17".into(),
                rule: "window".into(),
                onset: EventTime(1_700_000_000_000_000_000),
                about: About::Window(WindowEvidence {
                    window_start: EventTime(1_700_000_000_000_000_000),
                    window_end: EventTime(1_700_000_064_500_000_000),
                    epoch: 28_333_334,
                    model: "m".into(),
                    log_likelihood: -91.5,
                    p_value: 1e-5,
                    threshold: 1e-4,
                    p_value_min: 1e-5,
                    transactions_anomalous: None,
                    coverage: 1.0,
                    confidence: Some(0.75),
                    resolution: None,
                    columns: (0..columns).map(column).collect(),
                }),
            },
            receipt: Receipt::default(),
        }
    }

    #[test]
    fn body_is_the_specified_envelope_around_decision_and_receipt() {
        let alert = alert(2);
        let text = encode(&alert).unwrap();
        assert!(!text.contains('\n') && !text.contains(": "), "compact: {text}");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["type"], "anomaly.raised");
        assert_eq!(body["timestamp"], "2023-11-14T22:14:24.5Z");
        assert!(body["data"].get("columns_omitted").is_none());
        let decision: Decision = serde_json::from_value(body["data"].clone()).unwrap();
        assert_eq!(decision, alert.decision);
        assert_eq!(body["data"]["receipt"]["total_ns"], 0);
    }

    #[test]
    fn a_link_is_in_the_body_of_whatever_size() {
        let link = "https://eddy.example.com/feedback/a1b2?until=5&sig=x";
        for columns in [2, 500] {
            let text = encode_linked(&alert(columns), Some(link)).unwrap();
            assert!(text.len() < BODY_BYTES_MAX, "{} bytes", text.len());
            let body: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(body["data"]["feedback_url"], link);
        }
    }

    #[test]
    fn a_silence_is_told_without_a_number_that_was_not_there() {
        let mut alert = alert(2);
        alert.decision.rule = "no_data".into();
        let silence = NoDataEvidence {
            last_seen: EventTime(1_700_000_000_000_000_000),
            expected_every_ns: 1_000_000_000,
            due: EventTime(1_700_000_030_000_000_000),
            resumed: None,
        };
        alert.decision.about = About::NoData(silence.clone());
        let body: Value = serde_json::from_str(&encode(&alert).unwrap()).unwrap();
        assert_eq!(
            (&body["type"], &body["timestamp"]),
            (&"no_data.raised".into(), &"2023-11-14T22:13:50Z".into())
        );
        let fields: Vec<&String> = body["data"].as_object().unwrap().keys().collect();
        let of_rule = ["last_seen", "expected_every_ns", "due"];
        let common = ["id", "revision", "state", "stream", "key", "rule", "onset", "receipt"];
        assert_eq!(fields.len(), of_rule.len() + common.len(), "{fields:?}");
        assert!(of_rule.iter().chain(&common).all(|name| body["data"].get(name).is_some()), "{fields:?}");
        alert.decision.state = AlertState::Resolved;
        let resumed = Some(EventTime(1_700_000_090_000_000_000));
        alert.decision.about = About::NoData(NoDataEvidence { resumed, ..silence });
        let body: Value = serde_json::from_str(&encode(&alert).unwrap()).unwrap();
        assert_eq!(
            (&body["type"], &body["timestamp"]),
            (&"no_data.resolved".into(), &"2023-11-14T22:14:50Z".into())
        );
        assert_eq!(serde_json::from_value::<Decision>(body["data"].clone()).unwrap(), alert.decision);
    }

    #[test]
    fn an_onset_is_told_with_what_left_its_range() {
        let mut alert = alert(2);
        alert.decision.rule = "onset".into();
        let cell_end = EventTime(1_700_000_001_000_000_000);
        let onset = OnsetEvidence {
            cell_start: EventTime(1_700_000_000_000_000_000),
            cell_end,
            epoch: 28_333_333,
            column: "vibration".into(),
            unit: None,
            watched: Watched::Value,
            value: 7.5,
            range_low: 2.0,
            range_high: 4.0,
            score: 1.75,
            score_threshold: 0.05,
            ended: None,
        };
        let of_rule = [
            "cell_start",
            "cell_end",
            "epoch",
            "column",
            "watched",
            "value",
            "range_low",
            "range_high",
            "score",
            "score_threshold",
        ];
        let common = ["id", "revision", "state", "stream", "key", "rule", "onset", "receipt"];
        for (state, ended, name, timestamp) in [
            (AlertState::Raised, None, "onset.raised", "2023-11-14T22:13:21Z"),
            (AlertState::Revised, None, "onset.revised", "2023-11-14T22:13:21Z"),
            (
                AlertState::Resolved,
                Some(EventTime(cell_end.0 + 1_000_000_000)),
                "onset.resolved",
                "2023-11-14T22:13:22Z",
            ),
        ] {
            alert.decision.state = state;
            alert.decision.about = About::Onset(OnsetEvidence { ended, ..onset.clone() });
            let body: Value = serde_json::from_str(&encode(&alert).unwrap()).unwrap();
            assert_eq!((&body["type"], &body["timestamp"]), (&name.into(), &timestamp.into()));
            let fields = body["data"].as_object().unwrap();
            assert_eq!(
                fields.len(),
                of_rule.len() + common.len() + usize::from(ended.is_some()),
                "{fields:?}"
            );
            assert!(of_rule.iter().chain(&common).all(|name| fields.contains_key(*name)), "{fields:?}");
            assert_eq!(serde_json::from_value::<Decision>(body["data"].clone()).unwrap(), alert.decision);
        }
    }

    #[test]
    fn a_wide_alert_is_trimmed_to_its_largest_shares_and_says_so() {
        let text = encode(&alert(500)).unwrap();
        assert!(text.len() < BODY_BYTES_MAX, "{} bytes", text.len());
        assert!(text.len() > BODY_BYTES_MAX - 300, "as many as fit: {} bytes", text.len());
        let body: Value = serde_json::from_str(&text).unwrap();
        let columns = body["data"]["columns"].as_array().unwrap();
        assert_eq!(body["data"]["columns_omitted"], 500 - columns.len());
        let names: Vec<_> = columns.iter().map(|c| c["column"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<_> = (500 - columns.len()..500).map(|i| format!("channel_{i}")).collect();
        assert_eq!(names, expected);
    }
}
