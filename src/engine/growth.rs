//! Growing fits of a partition without a loaded model: the first as early as its p-values hold, another whenever the
//! windows seen have doubled since: as many fits as the past has doublings. A model rests on half of the partition's past at
//! least, less what keys did at levels that they have left for good.
//!
//! A fit is a function of the partition's own final windows, so it needs no entry in the control log: a replay comes to
//! the same model at the same epoch.
//!
//! Windows of an episode that does not teach are left out, as an exception to what is normal, and so are those from
//! before there was a model to judge them, as soon as others are enough: what goes wrong in the first minutes is in the
//! first models and in none that follow. What makes up more than a quarter of the past is no exception: a machine that
//! was rebuilt would stay odd for ever otherwise.

use std::sync::Arc;

use ndarray::ArrayView2;

use crate::config::plan::Shape;
use crate::engine::close::standardise;
use crate::engine::partition::Partition;
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::warmup::{Sample, Standing, key_scale};
use crate::model::{FitError, MIN_ROWS, Model, ScalerPrior, Settings, flags};
use crate::types::EPOCH_NS;
use crate::window::keys::KeyIndex;

/// Windows' lengths that a first fit waits for. What overlaps shows the same again, and a level that was seen for two
/// lengths only gave twice as many false alerts as promised (`tests/engine/cold_start.rs`).
const FIRST_LENGTHS: i64 = 4;
/// Windows of a first fit, at most: all partitions have theirs in the same epoch.
const FIRST_MAX: usize = 512;
/// Windows kept for which a partition waits one more turn among the others.
const TURN_WINDOWS: usize = 256;
/// What is doubtful is left out of a fit while it is no more than one window in so many.
const DOUBTFUL_PART: usize = 4;

impl Partition {
    /// The warm-up is not over: verdicts are early, and levels and spreads of keys still follow all they do.
    pub(super) fn is_early(&self, setup: &StreamSetup) -> bool {
        setup.fits && !self.warmup.is_over(self.epoch.saturating_mul(EPOCH_NS), setup.warmup_ns)
    }

    /// Fits this partition's model if that is due. Too few good windows: it tries again next epoch.
    pub(super) fn fit_if_due(&mut self, setup: &StreamSetup) {
        if !setup.fits {
            return;
        }
        let early = self.is_early(setup);
        if self.is_due(setup) {
            match self.fit(setup) {
                Ok(model) => self.take_over(model, setup),
                // The present one goes on, for an eighth longer.
                Err(_) if self.scoring.is_some() => {
                    self.warmup.set_due(self.warmup.seen().saturating_add(self.warmup.seen() / 8));
                }
                // While it is early, that is no failure.
                Err(error) if !early => self.fit_error = Some(error),
                Err(_) => {}
            }
        }
        if self.scoring.is_some() && !early {
            self.counts.warm_milli = 1000;
        }
    }

    fn is_due(&self, setup: &StreamSetup) -> bool {
        if self.scoring.is_some() {
            // Windows of a key that has a new level were let go: a model on what is left would know less than the present.
            let enough = self.warmup.samples().len() as u64 * 2 >= self.counts.model_windows;
            return self.warmup.seen() >= self.warmup.due() && enough && self.has_turn();
        }
        let length_ns = match setup.shape {
            Shape::Grid | Shape::Sliding => setup.size_ns,
            // As long as their events take.
            Shape::Session { .. } | Shape::Count { .. } => 0,
        };
        let seen_ns = self.warmup.seen_ns(self.epoch.saturating_mul(EPOCH_NS));
        self.warmup.seen() >= MIN_ROWS as u64 && seen_ns >= FIRST_LENGTHS.saturating_mul(length_ns)
    }

    /// Large fits of partitions are spread over epochs: a shard has many of them.
    fn has_turn(&self) -> bool {
        let turns = (self.warmup.samples().len() / TURN_WINDOWS).max(1) as i64;
        (self.epoch + i64::from(self.id.0)).rem_euclid(turns) == 0
    }

    fn fit(&self, setup: &StreamSetup) -> Result<Model, FitError> {
        let columns = setup.columns.len();
        let width = setup.cells * columns;
        let samples = self.warmup.samples();
        let left_out = left_out(samples);
        let step = if self.scoring.is_some() { 1 } else { samples.len().div_ceil(FIRST_MAX).max(1) };
        let prior = self.cohort(columns);
        let mut z = Vec::with_capacity(self.warmup.windows().len() / step);
        let of_fit = |(_, sample): &(usize, &Sample)| !left_out.contains(&sample.standing);
        for (at, sample) in samples.iter().enumerate().step_by(step).filter(of_fit) {
            let start = z.len();
            z.extend_from_slice(self.warmup.window(at, width));
            standardise(&mut z[start..], &self.scales_under(&prior, sample.key, columns));
        }
        let view = ArrayView2::from_shape((z.len() / width, width), &z).map_err(|_| FitError::Shape {
            found: z.len(),
            cells: setup.cells,
            columns,
            expected: z.len() / width * width,
        })?;
        let mut model = Model::fit(view, setup.cells, &setup.schema, prior, &Settings::QUICK)?;
        // The partition's keys have moments of their own; a copy of them is for a model in a file.
        model.prior.keys.clear();
        Ok(model)
    }

    fn take_over(&mut self, model: Model, setup: &StreamSetup) {
        self.drift.begin(false);
        self.counts.fits += 1;
        self.counts.model_windows = model.card().training_rows as u64;
        self.scoring = Some(Scoring::new(Arc::new(model), self.alarm(setup)));
        self.join_cohorts();
        self.warmup.set_due(self.warmup.seen().saturating_mul(2));
        for key in 0..self.keys.len() {
            self.rescale(key as KeyIndex, setup);
        }
    }

    /// What the keys of this partition have in common: the prior of a key not seen yet.
    fn cohort(&self, columns: usize) -> ScalerPrior {
        // A key with a new level of its own says nothing of others, while there are some.
        let apart = |key: &KeyIndex| self.has_stood(*key);
        let all = self.keys.ordered().iter().all(apart);
        let key_scale = |&key: &KeyIndex| {
            let own = &self.moments[key as usize * columns..][..columns];
            own.iter().any(|m| m.count > 0.0).then(|| (self.keys.bytes(key).to_vec(), key_scale(own)))
        };
        let keys =
            self.keys.ordered().iter().filter(|key| all || !apart(key)).filter_map(key_scale).collect();
        let flags = flags(std::iter::once(self.warmup.windows()), columns);
        ScalerPrior { flags, ..ScalerPrior::from_keys(columns, keys) }
    }
}

/// Windows to leave out: those of an odd key, and those that no model has judged.
fn left_out(samples: &[Sample]) -> &'static [Standing] {
    let count = |standing| samples.iter().filter(|sample| sample.standing == standing).count();
    let (odd, unjudged) = (count(Standing::Odd), count(Standing::Unjudged));
    match () {
        () if (odd + unjudged) * DOUBTFUL_PART <= samples.len() => &[Standing::Odd, Standing::Unjudged],
        () if odd * DOUBTFUL_PART <= samples.len() => &[Standing::Odd],
        () => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubtful_windows_are_left_out_while_they_are_few() {
        let left_out = |odd: usize, unjudged: usize| {
            let sample = |at: usize| Sample {
                key: 0,
                end_ns: at as i64,
                lot: 0,
                standing: match at {
                    at if at < odd => Standing::Odd,
                    at if at < odd + unjudged => Standing::Unjudged,
                    _ => Standing::Calm,
                },
            };
            left_out(&(0..100).map(sample).collect::<Vec<_>>()).to_vec()
        };
        assert_eq!(left_out(15, 10), [Standing::Odd, Standing::Unjudged]);
        assert_eq!(left_out(15, 11), [Standing::Odd], "of the early ones too many");
        assert_eq!(left_out(25, 0), [Standing::Odd, Standing::Unjudged]);
        assert_eq!(left_out(26, 0), [], "that is how it is now");
    }
}
