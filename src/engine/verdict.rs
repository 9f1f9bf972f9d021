//! The verdict on a scored window, whether it may be acted on, and how much of it was seen.

use crate::config::plan::AlarmPlan;
use crate::engine::epoch::is_warm;
use crate::engine::partition::{Closing, Partition};
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::judge::budget::Alarm;
use crate::judge::calibrate::REFERENCE_MAX;
use crate::judge::calibration::Surprise;
use crate::model::ScalerPrior;
use crate::types::Verdict;
use crate::window::keys::KeyIndex;

/// The surprises of the scored window in `row`.
pub(super) fn surprise(row: usize, closing: &Closing<'_, '_>) -> Surprise {
    let scores = &closing.scratch.scores;
    [scores.surprise[row], scores.column_surprise[row]]
}

/// The verdict on the scored window in `row`. To act on it, half of the window must have been seen, half of each column
/// that is there at all, and the key's own scale of those must be known (`warm`, by column). A column of which nothing
/// came is not judged: the density is that of the others.
pub(super) fn verdict(
    row: usize,
    warm: impl Fn(usize) -> bool,
    scoring: &Scoring,
    closing: &Closing<'_, '_>,
) -> Verdict {
    let cells = closing.setup.cells;
    let calibration = scoring.references(closing.scratch.batch.cohort(row)).map(|of| &*of.calibration);
    let p_value = calibration.map_or(1.0, |of| of.p_value(surprise(row, closing)));
    let is_known =
        |(column, &seen): (usize, &u16)| seen == 0 || usize::from(seen) * 2 >= cells && warm(column);
    let confident =
        coverage(row, closing) >= 0.5 && columns_seen(row, closing).iter().enumerate().all(is_known);
    let Alarm { threshold, calm } = scoring.alarm;
    let likely_fraud = is_likely_fraud(row, scoring.alarm, closing);
    let (anomalous, calm) = (p_value < threshold || likely_fraud, p_value >= calm && !likely_fraud);
    Verdict { p_value, anomalous, held_back: None, calm, confident }
}

/// Where many transactions are likely frauds by known outcomes, none of them is rare. They are told all the same as long
/// as a budget has room for more than what is rare. (Told whatever the budget they would be many, two of three on sound
/// payments: a terminal that was bad until lately is sound again.)
fn is_likely_fraud(row: usize, alarm: Alarm, closing: &Closing<'_, '_>) -> bool {
    let StreamSetup { roles, alarm: plan, columns, .. } = closing.setup;
    let has_room = matches!(plan, AlarmPlan::Budget { .. }) && alarm.has_room();
    let roles = roles.as_ref().filter(|_| has_room);
    roles.is_some_and(|roles| roles.is_likely_fraud(&closing.scratch.batch.z[row * columns.len()..]))
}

/// Observed cells of each column.
fn columns_seen<'a>(row: usize, closing: &'a Closing<'_, '_>) -> &'a [u16] {
    let columns = closing.setup.columns.len();
    &closing.scratch.scores.column_observed[row * columns..][..columns]
}

/// No column is missing from the window.
pub(super) fn is_whole(row: usize, closing: &Closing<'_, '_>) -> bool {
    columns_seen(row, closing).iter().all(|seen| *seen > 0)
}

/// Share of the window's cells that were observed.
pub(super) fn coverage(row: usize, closing: &Closing<'_, '_>) -> f64 {
    let seen = columns_seen(row, closing);
    let all = seen.len() * closing.setup.cells;
    seen.iter().map(|&seen| f64::from(seen)).sum::<f64>() / all as f64
}

impl Partition {
    /// By column: whether the level and spread of a key are known.
    pub(super) fn warm(&self, key: KeyIndex, setup: &StreamSetup) -> impl Fn(usize) -> bool {
        let first = key as usize * setup.columns.len();
        move |column| is_warm(&self.moments[first + column], setup)
    }

    /// What the verdict on the scored window in `row` rests on.
    pub(super) fn grounds(&self, row: usize, scoring: &Scoring, closing: &Closing<'_, '_>) -> Grounds {
        let columns = closing.setup.columns.len();
        let first = closing.scratch.batch.keys[row] as usize * columns;
        let own = self.moments[first..][..columns].iter().zip(columns_seen(row, closing));
        let own_cells = own.filter(|(_, seen)| **seen > 0).map(|(own, _)| own.count);
        Grounds {
            windows: scoring.references(closing.scratch.batch.cohort(row)).map_or(0, |of| of.windows),
            threshold: scoring.alarm.threshold,
            coverage: coverage(row, closing),
            own_cells: own_cells.reduce(f64::min).unwrap_or_default(),
        }
    }
}

/// What a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grounds {
    /// Normal windows behind the calibration.
    pub windows: u64,
    /// p-value that raises.
    pub threshold: f64,
    /// Share of the window's cells that were observed.
    pub coverage: f64,
    /// Cells behind the key's own level and spread, of the column that has fewest.
    pub own_cells: f64,
}

impl Grounds {
    /// How much of the verdict was seen rather than extrapolated, in [0, 1]:
    /// `min(1, ln(n + 1) / -ln(threshold)) coverage m / (m + 30)`. `n` windows, of which 1,024 are kept, show p-values down
    /// to `1 / (n + 1)`, and what is below comes of a fitted tail. `m` own cells have the weight `m / (m + 30)` in the key's spread (see
    /// [`ScalerPrior::posterior`]); the rest of it is other keys'.
    pub fn confidence(&self) -> f64 {
        let shown = (self.windows.min(REFERENCE_MAX as u64) as f64 + 1.0).ln() / -self.threshold.ln();
        shown.clamp(0.0, 1.0) * self.coverage * ScalerPrior::own_share(self.own_cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Grounds = Grounds { windows: 100_000, threshold: 1e-3, coverage: 1.0, own_cells: 10_000.0 };

    #[test]
    fn confidence_grows_with_what_was_seen() {
        assert!(GOOD.confidence() > 0.99);
        let of = |windows| Grounds { windows, ..GOOD }.confidence();
        assert!(of(64) < 0.65 && of(0) == 0.0, "{}", of(64));
        assert!([0, 10, 64, 500, 998].map(of).is_sorted_by(|a, b| a < b));
        assert_eq!(of(1024), of(1 << 40), "all that the threshold asks for was seen");
        let stricter = Grounds { threshold: 1e-8, ..GOOD };
        assert!(stricter.confidence() < 0.4, "the rarer, the more is extrapolated");
    }

    #[test]
    fn missing_cells_and_a_level_of_few_cells_lower_it() {
        let half = Grounds { coverage: 0.5, ..GOOD }.confidence();
        assert!((half / GOOD.confidence() - 0.5).abs() < 1e-12);
        let own = |own_cells| Grounds { own_cells, ..GOOD }.confidence();
        assert!(own(30.0) < 0.51 && own(0.0) == 0.0 && own(300.0) > 0.9);
    }
}
