//! Windows of a batch that will be told or shown, guessed before they are judged, so that a device explains them together.
//! A guess that is wrong costs time and changes nothing: what was not explained ahead is explained when it is asked for.

use crate::engine::partition::{Closing, Partition};
use crate::engine::scoring::Scoring;
use crate::engine::verdict::verdict;

impl Partition {
    pub(super) fn explain_ahead(&self, scoring: &Scoring, closing: &mut Closing<'_, '_>) {
        let Some(model) = scoring.model().filter(|_| closing.scratch.backend.explains_ahead()) else {
            return;
        };
        let mut asked = std::mem::take(&mut closing.scratch.asked);
        asked.clear();
        let rows = 0..closing.scratch.batch.len();
        asked.extend(rows.filter(|row| self.will_ask(*row, scoring, closing)).map(|row| row as u32));
        let batch = &closing.scratch.batch;
        closing.scratch.backend.explain_ahead(model, &batch.cohorts, &batch.z, &mut asked);
        closing.scratch.asked = asked;
    }

    /// Whether the window in `row` is shown, or must give reasons, or its verdict opens or closes an alert.
    fn will_ask(&self, row: usize, scoring: &Scoring, closing: &Closing<'_, '_>) -> bool {
        let (setup, batch) = (closing.setup, &closing.scratch.batch);
        let (key, span) = (batch.keys[row], batch.spans[row]);
        let stands =
            batch.rows.get(row).is_some_and(|rows| self.standing_verdict(key, span, *rows).is_some());
        if stands || self.followed[key as usize] {
            return !stands;
        }
        let verdict = verdict(row, self.warm(key, setup), scoring, closing);
        let (odd, mut episode) = (verdict.anomalous && verdict.confident, self.episodes[key as usize]);
        let gives_reasons = self.must_give_reasons(key, setup);
        // Of a sliding window its own and those before say what changes: any that is odd may.
        if odd && (gives_reasons || !batch.rows.is_empty()) {
            return true;
        }
        batch.rows.is_empty() && episode.step(verdict, span.start, span.end, setup.rule).is_some()
    }
}
