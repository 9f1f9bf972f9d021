//! What a decision and a chart say of a scored window: values, what the model expected, and each column's share.

use crate::alert::told::Change;
use crate::config::plan::Shape;
use crate::engine::partition::{Closing, Partition, Scale};
use crate::engine::scoring::Scoring;
use crate::engine::verdict::coverage;
use crate::types::{About, ColumnEvidence, Decision, EventTime, Point, Verdict, WindowEvidence};
use crate::window::keys::KeyIndex;

const F32_MAX: f64 = f32::MAX as f64;

/// The name under which this detector's alerts are filed.
const RULE_NAME: &str = "window";

impl Partition {
    /// Leaves in the scratch what the model expected of this row, in standardised units.
    pub(super) fn explain(&self, row: usize, scoring: &Scoring, closing: &mut Closing<'_, '_>) {
        let width = closing.setup.cells * closing.setup.columns.len();
        scoring.explain(row, width, closing.scratch);
    }

    pub(super) fn decision(
        &self,
        row: usize,
        verdict: Verdict,
        change: Change,
        scoring: &Scoring,
        closing: &Closing<'_, '_>,
    ) -> Decision {
        let setup = closing.setup;
        let scores = &closing.scratch.scores;
        let (key, span) = (closing.scratch.batch.keys[row], closing.scratch.batch.spans[row]);
        Decision {
            id: setup.alert_id(self.id, self.keys.bytes(key), RULE_NAME, change.onset),
            revision: change.revision,
            state: change.state,
            stream: setup.name.clone(),
            key: String::from_utf8_lossy(self.keys.bytes(key)).into_owned(),
            rule: RULE_NAME.to_owned(),
            onset: change.onset,
            about: About::Window(WindowEvidence {
                window_start: EventTime(span.start),
                window_end: EventTime(span.end),
                epoch: match setup.shape {
                    Shape::Grid => setup.epoch_of(span.end / setup.unit_ns - 1),
                    Shape::Sliding | Shape::Session { .. } | Shape::Count { .. } => self.epoch,
                },
                model: scoring.name().to_owned(),
                log_likelihood: scores.log_likelihood[row],
                p_value: verdict.p_value,
                threshold: scoring.alarm.threshold,
                p_value_min: change.p_value_min,
                coverage: coverage(row, closing),
                confidence: Some(self.grounds(row, scoring, closing).confidence()),
                resolution: change.resolution,
                columns: (0..setup.columns.len()).map(|c| self.evidence(row, c, closing)).collect(),
            }),
        }
    }

    fn evidence(&self, row: usize, column: usize, closing: &Closing<'_, '_>) -> ColumnEvidence {
        let setup = closing.setup;
        let batch = &closing.scratch.batch;
        let band = self.band(batch.keys[row], column, closing);
        let value = Some(batch.newest(row, setup.columns.len())[column]).filter(|v| !v.is_nan());
        ColumnEvidence {
            column: setup.columns[column].clone(),
            unit: setup.units[column].clone(),
            value: value.map(f64::from),
            expected: f64::from(band.expected),
            expected_low: f64::from(band.low),
            expected_high: f64::from(band.high),
            share: f64::from(closing.scratch.explanation.share[column]),
        }
    }

    pub(super) fn point(
        &self,
        row: usize,
        verdict: Verdict,
        scoring: &Scoring,
        closing: &Closing<'_, '_>,
    ) -> Point {
        let setup = closing.setup;
        let batch = &closing.scratch.batch;
        let key = batch.keys[row];
        let columns = setup.columns.len();
        let bands: Vec<Band> = (0..columns).map(|c| self.band(key, c, closing)).collect();
        Point {
            stream: setup.id,
            key: self.keys.bytes(key).into(),
            time: EventTime(batch.spans[row].end),
            values: batch.newest(row, columns).to_vec(),
            expected: bands.iter().map(|b| b.expected).collect(),
            low: bands.iter().map(|b| b.low).collect(),
            high: bands.iter().map(|b| b.high).collect(),
            share: closing.scratch.explanation.share.clone(),
            p_value: verdict.p_value,
            threshold: scoring.alarm.threshold,
            anomalous: verdict.anomalous,
            confident: verdict.confident,
        }
    }

    /// Expectation of the window's last cell in raw units.
    fn band(&self, key: KeyIndex, column: usize, closing: &Closing<'_, '_>) -> Band {
        let Scale { mean, sd } = self.scales[key as usize * closing.setup.columns.len() + column];
        let explanation = &closing.scratch.explanation;
        let (z, half) = (explanation.expected[column], explanation.half_width[column]);
        // A scale near the end of f32 must not become an infinity, which JSON cannot hold.
        let raw = |z: f32| (f64::from(mean) + f64::from(sd) * f64::from(z)).clamp(-F32_MAX, F32_MAX) as f32;
        Band { expected: raw(z), low: raw(z - half), high: raw(z + half) }
    }
}

#[derive(Clone, Copy)]
struct Band {
    expected: f32,
    low: f32,
    high: f32,
}
