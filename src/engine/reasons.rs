//! Which anomalous windows are told: where columns have rules on how they must depart from what was expected, one of
//! the columns that the surprise is of must give a reason.
//!
//! A departure is looked for in every cell that the model looks at one by one, not only in the newest: a window is
//! odd by all that it holds, and an event of one cell is seen by as many windows as hold the cell, of which three must
//! agree.

use crate::config::plan::DeviationRule;
use crate::engine::partition::{Closing, Partition, Scale};
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::model::pyramid::Expected;
use crate::types::{HeldBack, Verdict};
use crate::window::keys::KeyIndex;

impl Partition {
    /// Holds the verdict on the scored window in `row` back unless a column gives a reason that nobody called expected.
    /// What it costs is paid only for windows that would be told, of streams that have rules and keys of which something
    /// is expected.
    pub(super) fn hold_back(
        &self,
        row: usize,
        verdict: Verdict,
        scoring: &Scoring,
        closing: &mut Closing<'_, '_>,
    ) -> Verdict {
        let key = closing.scratch.batch.keys[row];
        let has_rules = !closing.setup.deviations.is_empty();
        if !verdict.anomalous || !verdict.confident || !self.must_give_reasons(key, closing.setup) {
            return verdict;
        }
        let held_back = if has_rules && !self.has_reason(row, scoring, closing) {
            Some(HeldBack::Rule)
        } else {
            self.is_expected(row, scoring, closing).then_some(HeldBack::Expected)
        };
        Verdict { anomalous: held_back.is_none(), held_back, ..verdict }
    }

    /// Whether a window of `key` that is odd is asked for reasons. While an alert is open, either kind of window neither opens
    /// nor ends anything. (Where late rows may take the alert back, each must be known for what it is.)
    pub(super) fn must_give_reasons(&self, key: KeyIndex, setup: &StreamSetup) -> bool {
        let is_asked = !setup.deviations.is_empty() || self.heard.in_force.contains_key(&key);
        is_asked && (self.episodes[key as usize].opened().is_none() || setup.keeps_past())
    }

    fn has_reason(&self, row: usize, scoring: &Scoring, closing: &mut Closing<'_, '_>) -> bool {
        let setup = closing.setup;
        let (columns, width) = (setup.columns.len(), setup.cells * setup.columns.len());
        let scratch = &mut *closing.scratch;
        let (z, raw) = (&scratch.batch.z[row * width..][..width], &scratch.batch.raw[row * width..][..width]);
        let wanted = |column: usize| setup.deviations[column].is_some();
        let Some(model) = scoring.model() else { return true };
        let expected = scratch.backend.expect(model, scratch.batch.cohort(row), z, wanted);
        let scales = &self.scales[scratch.batch.keys[row] as usize * columns..][..columns];
        // What a column has by chance is no reason: by half of an equal part it is left out.
        let share_min = 0.5 / columns as f32;
        let gives = |(column, of): (usize, &Expected)| {
            of.share > share_min
                && setup.deviations[column].is_none_or(|rule| {
                    meets(rule, &departures(raw, (column, columns), &of.cells, scales[column]))
                })
        };
        expected.iter().enumerate().any(gives)
    }
}

/// How far the cells of one of so many columns are off what was expected of them (`expected`, z units, of the newest), newest
/// first; unit of the column, NaN where its cell is missing. `raw`: a window.
pub(super) fn departures(
    raw: &[f32],
    (column, columns): (usize, usize),
    expected: &[f32],
    Scale { mean, sd }: Scale,
) -> Vec<f64> {
    let off =
        |(value, z): (&f32, &f32)| f64::from(*value) - (f64::from(mean) + f64::from(sd) * f64::from(*z));
    raw[column..].iter().step_by(columns).rev().zip(expected.iter().rev()).map(off).collect()
}

/// Whether one of a column's departures, NaN where its cell is missing, is as the rule asks, and at least half of the
/// largest: around a dip some cells are always a little above.
fn meets(rule: DeviationRule, departures: &[f64]) -> bool {
    let largest = departures.iter().fold(0.0, |largest: f64, departure| largest.max(departure.abs()));
    departures.iter().any(|departure| departure.abs() >= 0.5 * largest && rule.is_met(*departure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Direction;

    #[test]
    fn a_departure_counts_if_it_is_on_the_side_large_enough_and_no_ripple_of_a_larger_one() {
        let meets = |direction, min_deviation, departures: &[f64]| {
            super::meets(DeviationRule { direction, min_deviation }, departures)
        };
        let dip = [0.4, -8.0, f64::NAN, 0.9];
        assert!(meets(Direction::Below, 0.0, &dip) && !meets(Direction::Above, 0.0, &dip));
        assert!(meets(Direction::Below, 8.0, &dip) && !meets(Direction::Below, 8.1, &dip));
        assert!(meets(Direction::Both, 8.0, &dip) && !meets(Direction::Both, 8.1, &dip));
        assert!(meets(Direction::Above, 2.0, &[-8.0, 5.0]), "up and down");
        assert!(!meets(Direction::Both, 0.0, &[0.0, f64::NAN]), "as expected, and missing");
    }
}
