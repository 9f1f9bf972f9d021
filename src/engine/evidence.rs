//! What a decision and a chart say of a scored window: values, what the model expected, and each column's share.

use crate::alert::told::Change;
use crate::config::plan::Shape;
use crate::engine::Scratch;
use crate::engine::batch::Span;
use crate::engine::partition::{Closing, Partition, Scale};
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::verdict::coverage;
use crate::model::pyramid::Departure;
use crate::types::{About, ColumnEvidence, Decision, EventTime, Point, Verdict, WindowEvidence, rule};
use crate::window::keys::KeyIndex;

const F32_MAX: f64 = f32::MAX as f64;

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
        closing: &mut Closing<'_, '_>,
    ) -> Decision {
        let columns = self.columns_evidence(row, scoring, closing);
        let setup = closing.setup;
        let scores = &closing.scratch.scores;
        let (key, span) = (closing.scratch.batch.keys[row], closing.scratch.batch.spans[row]);
        Decision {
            id: setup.alert_id(self.id, self.keys.bytes(key), rule::WINDOW, change.onset),
            revision: change.revision,
            state: change.state,
            stream: setup.name.clone(),
            key: String::from_utf8_lossy(self.keys.bytes(key)).into_owned(),
            rule: rule::WINDOW.to_owned(),
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
                transactions_anomalous: Some(change.odd).filter(|odd| *odd > 0),
                coverage: coverage(row, closing),
                confidence: Some(self.grounds(row, scoring, closing).confidence()),
                resolution: change.resolution,
                columns,
            }),
        }
    }

    /// Of each column the cell in which it departs the most, if the surprise is of it and the model looks at cells one by
    /// one; else the window's last.
    pub(super) fn columns_evidence(
        &self,
        row: usize,
        scoring: &Scoring,
        closing: &mut Closing<'_, '_>,
    ) -> Vec<ColumnEvidence> {
        let departures = departures(row, scoring, closing);
        let setup = closing.setup;
        let (batch, columns) = (&closing.scratch.batch, setup.columns.len());
        let (key, span) = (batch.keys[row], batch.spans[row]);
        let raw = self.raw(row, closing);
        let evidence = |column: usize| {
            let departure = departures.get(column).copied().flatten().filter(|of| of.back > 0);
            let band = match departure {
                Some(Departure { expected, half_width, .. }) => {
                    self.in_units(key, column, expected, half_width, closing)
                }
                None => self.band(key, column, closing),
            };
            let back = departure.map_or(0, |departure| departure.back);
            let value = raw[raw.len() - (back + 1) * columns + column];
            ColumnEvidence {
                column: setup.columns[column].clone(),
                unit: setup.units[column].clone(),
                cell_end: setup.cell_end(span, back),
                value: Some(value).filter(|value| !value.is_nan()).map(f64::from),
                expected: f64::from(band.expected),
                expected_low: f64::from(band.low),
                expected_high: f64::from(band.high),
                share: f64::from(closing.scratch.explanation.share[column]),
            }
        };
        (0..columns).map(evidence).collect()
    }

    /// The values of the window in `row`, cell by cell; of windows of one cell, and where no other was kept, its last.
    pub(super) fn raw(&self, row: usize, closing: &Closing<'_, '_>) -> Vec<f32> {
        let (setup, batch) = (closing.setup, &closing.scratch.batch);
        let width = setup.cells * setup.columns.len();
        if setup.shape == Shape::Grid {
            let mut raw = Vec::with_capacity(width);
            self.grid.gather(batch.keys[row], batch.spans[row].end / setup.unit_ns - 1, &mut raw);
            return raw;
        }
        let kept = batch.raw.get(row * width..(row + 1) * width);
        kept.unwrap_or_else(|| batch.newest(row, setup.columns.len())).to_vec()
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
            held_back: verdict.held_back,
            confident: verdict.confident,
        }
    }

    /// Expectation of the window's last cell in raw units.
    fn band(&self, key: KeyIndex, column: usize, closing: &Closing<'_, '_>) -> Band {
        let explanation = &closing.scratch.explanation;
        self.in_units(key, column, explanation.expected[column], explanation.half_width[column], closing)
    }

    /// From z units.
    fn in_units(&self, key: KeyIndex, column: usize, z: f32, half: f32, closing: &Closing<'_, '_>) -> Band {
        let Scale { mean, sd } = self.scales[key as usize * closing.setup.columns.len() + column];
        // A scale near the end of f32 must not become an infinity, which JSON cannot hold.
        let raw = |z: f32| (f64::from(mean) + f64::from(sd) * f64::from(z)).clamp(-F32_MAX, F32_MAX) as f32;
        Band { expected: raw(z), low: raw(z - half), high: raw(z + half) }
    }
}

/// By column of the explained window in `row`; empty where a window is one cell.
fn departures(row: usize, scoring: &Scoring, closing: &mut Closing<'_, '_>) -> Vec<Option<Departure>> {
    let (cells, columns) = (closing.setup.cells, closing.setup.columns.len());
    let Some(model) = scoring.model().filter(|_| cells > 1) else { return Vec::new() };
    let Scratch { backend, batch, explanation, .. } = &mut *closing.scratch;
    let z = &batch.z[row * cells * columns..][..cells * columns];
    // What a column has by chance shows nowhere in particular.
    let wanted = |column: usize| explanation.share[column] > 0.5 / columns as f32;
    backend.departures(model, batch.cohort(row), z, wanted)
}

impl StreamSetup {
    /// End of the cell that lies `back` before a window's last; `None` where a cell is one of several events.
    fn cell_end(&self, span: Span, back: usize) -> Option<EventTime> {
        let cell_ns = match self.shape {
            Shape::Grid => self.grid_ns,
            Shape::Sliding => self.cell_ns,
            Shape::Session { .. } | Shape::Count { .. } if back > 0 => return None,
            Shape::Session { .. } | Shape::Count { .. } => 0,
        };
        Some(EventTime(span.end - back as i64 * cell_ns))
    }
}

#[derive(Clone, Copy)]
struct Band {
    expected: f32,
    low: f32,
    high: f32,
}
