//! Messages that say what an earlier event turned out to be.
use super::*;
use crate::types::Reason;

fn payments() -> StreamPlan {
    let terminal = ColumnPlan { aggregate: Aggregate::Risk, ..column("terminal", "at") };
    StreamPlan {
        columns: vec![column("amount", "sum"), terminal],
        outcome: Some(json_path("fraud")),
        ..pumps()
    }
}

#[test]
fn an_outcome_repeats_its_event_and_says_what_it_was() {
    let of = |label: &str| {
        let payload = format!(r#"{{"ts":1740830400000,"sum":9.5,"at":"t-7"{label}}}"#);
        let (mut events, dead) = decode(payments(), payload);
        assert_eq!(dead, []);
        events.remove(0)
    };
    let event = of("");
    assert_eq!(event.outcome, None);
    assert_eq!(of(r#","fraud":null"#), event, "who writes every field says nothing by null");
    let labels = [
        ("true", true),
        ("1", true),
        (r#""true""#, true),
        ("false", false),
        ("0", false),
        (r#""false""#, false),
    ];
    for (label, fraud) in labels {
        let outcome = of(&format!(r#","fraud":{label}"#));
        assert_eq!(outcome.outcome, Some(fraud), "{label}");
        assert_eq!(Event { outcome: None, ..outcome }, event);
    }
}

#[test]
fn a_label_that_is_none_is_a_dead_letter_with_the_remedy() {
    for label in ["2", "-1", "0.5", "1.0", r#""yes""#, r#""TRUE""#, "{}", "[true]"] {
        let payload = format!(r#"{{"ts":1740830400000,"sum":9.5,"at":"t-7","fraud":{label}}}"#);
        let (events, dead) = decode(payments(), payload);
        assert_eq!((events.len(), dead.len(), dead[0].reason), (0, 1, Reason::BadValue), "{label}");
        assert!(dead[0].detail.starts_with("`fraud` is "), "{}", dead[0].detail);
        assert!(dead[0].detail.contains("send true or 1 for a fraud"), "{}", dead[0].detail);
    }
    let elsewhere = StreamPlan { outcome: None, ..payments() };
    let (events, _) = decode(elsewhere, r#"{"ts":1740830400000,"sum":9.5,"fraud":"yes"}"#);
    assert_eq!(events[0].outcome, None, "where no outcomes are, the field is any other");
}
