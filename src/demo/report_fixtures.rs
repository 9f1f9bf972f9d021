//! Hand-made alerts for tests.

use super::super::plant::SECOND_NS;
use super::super::receiver::Received;
use crate::types::{
    About, AlertState, ColumnEvidence, Decision, EventTime, Receipt, Segment, WindowEvidence,
};

pub fn at(second: i64) -> EventTime {
    EventTime(second * SECOND_NS)
}

fn evidence(column: &str, share: f64) -> ColumnEvidence {
    ColumnEvidence {
        column: column.into(),
        unit: None,
        cell_end: None,
        value: Some(1.0),
        expected: 0.5,
        expected_low: 0.25,
        expected_high: 0.75,
        share,
    }
}

/// A raised alert about `[window_start_s, window_end_s)`, vibration first, received at 10 s.
pub fn alert(pump: &str, id: &str, window_start_s: i64, window_end_s: i64) -> Received {
    let decision = Decision {
        id: id.into(),
        revision: 1,
        state: AlertState::Raised,
        stream: "pumps".into(),
        key: pump.into(),
        rule: "likelihood".into(),
        onset: at(window_start_s),
        about: About::Window(WindowEvidence {
            window_start: at(window_start_s),
            window_end: at(window_end_s),
            epoch: 0,
            model: "m".into(),
            log_likelihood: -300.0,
            p_value: 1e-6,
            threshold: 1e-4,
            p_value_min: 1e-6,
            transactions_anomalous: None,
            coverage: 1.0,
            confidence: Some(0.75),
            resolution: None,
            columns: vec![evidence("flow", 0.25), evidence("vibration", 0.75)],
        }),
    };
    let segment = |stage: &str, ns| Segment { stage: stage.into(), ns };
    let receipt = Receipt {
        segments: vec![segment("log", 300), segment("score", 100)],
        total_ns: 400,
        ..Default::default()
    };
    Received { at_s: 10.0, decision, start: at(window_start_s), end: at(window_end_s), receipt }
}
