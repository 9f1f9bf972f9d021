//! What scores a partition's windows, and what its surprises are held against.

use std::sync::Arc;

use crate::backend::{Backend, Rings, Scores};
use crate::engine::Scratch;
use crate::engine::batch::Batch;
use crate::engine::partition::{Closing, Partition};
use crate::engine::probation;
use crate::engine::setup::StreamSetup;
use crate::judge::budget::Alarm;
use crate::judge::calibration::{Calibration, Surprise};
use crate::judge::risk::{self, Risks};
use crate::judge::spending;
use crate::model::{EVERYONE, Model};
use crate::window::keys::KeyIndex;

/// Half of the central 95 % of a normal distribution, sd.
const BAND_SD: f32 = 1.96;

/// What alerts name as their model where nothing was fitted.
pub(crate) const TRANSACTIONS: &str = "transactions";

/// Where surprise comes from.
#[derive(Clone)]
pub(crate) enum Density {
    /// A fitted density of windows.
    Windows(Arc<Model>),
    /// The nats of a transaction's causes, which is what its window holds.
    Transactions,
}

#[derive(Clone)]
pub(crate) struct Scoring {
    pub density: Density,
    /// By cohort, of those that have keys here: others would only take memory.
    pub references: Vec<Option<References>>,
    pub alarm: Alarm,
}

/// What the p-values of a cohort's keys are read off.
#[derive(Clone)]
pub(crate) struct References {
    /// Shared with the past epochs that judged by it; copied when the present one learns.
    pub calibration: Arc<Calibration>,
    /// Normal windows that it has rested on so far.
    pub windows: u64,
}

impl References {
    pub fn observe(&mut self, surprise: Surprise) {
        Arc::make_mut(&mut self.calibration).observe(surprise);
        self.windows += 1;
    }

    pub fn commit(&mut self) {
        // Past epochs share what did not change.
        if !self.calibration.has_pending() {
            return;
        }
        Arc::make_mut(&mut self.calibration).commit();
    }
}

impl Scoring {
    /// As yet without keys.
    pub fn new(model: Arc<Model>, alarm: Alarm) -> Self {
        let references = model.pyramids().map(|_| None).collect();
        Scoring { density: Density::Windows(model), references, alarm }
    }

    /// Of transactions with so many second keys.
    pub fn transactions(second_keys: usize, alarm: Alarm) -> Self {
        let unknown = risk::nats(Risks::unknown());
        let (all, oddest) = (spending::references(second_keys as f64 * unknown), spending::references(0.0));
        let calibration = Arc::new(Calibration::new([&all, &oddest]));
        // Nothing was seen yet: these are what the causes would come to.
        let references = vec![Some(References { calibration, windows: 0 })];
        Scoring { density: Density::Transactions, references, alarm }
    }

    pub fn model(&self) -> Option<&Arc<Model>> {
        match &self.density {
            Density::Windows(model) => Some(model),
            Density::Transactions => None,
        }
    }

    /// What alerts name it by.
    pub fn name(&self) -> &str {
        self.model().map_or(TRANSACTIONS, |model| model.checksum_short())
    }

    /// The cohort of a key, which from now on has references here. They begin with what training showed, so it does
    /// not matter when the key is met.
    pub fn meet(&mut self, key: &[u8]) -> u32 {
        let Density::Windows(model) = &self.density else { return EVERYONE };
        let cohort = model.cohort_of(key);
        let pyramid = model.pyramid_of(cohort);
        self.references[cohort as usize].get_or_insert_with(|| References {
            calibration: Arc::new(Calibration::new([pyramid.references(), pyramid.column_references()])),
            windows: model.training_rows_of(cohort) as u64,
        });
        cohort
    }

    /// `None` for a cohort without keys here.
    pub fn references(&self, cohort: u32) -> Option<&References> {
        self.references.get(cohort as usize)?.as_ref()
    }

    /// Scores the windows in the scratch, which may lie in rings.
    pub fn score(&self, columns: usize, rings: Option<Rings<'_>>, scratch: &mut Scratch) {
        match &self.density {
            Density::Windows(model) => {
                let Batch { cohorts, z, places, .. } = &scratch.batch;
                let rings = rings.filter(|_| !places.is_empty()).map(|rings| Rings { places, ..rings });
                scratch.backend.score_cohorts(model, cohorts, z, rings, &mut scratch.scores);
            }
            Density::Transactions => add_causes(&scratch.batch.z, columns, &mut scratch.scores),
        }
    }

    /// Surprises of one window of a cohort, as it would have in a batch; allocates.
    pub fn score_one(&self, cohort: u32, z: &[f32], columns: usize, backend: &mut Backend) -> Surprise {
        let mut scores = Scores::default();
        match &self.density {
            Density::Windows(model) => backend.score_cohorts(model, &[cohort], z, None, &mut scores),
            Density::Transactions => add_causes(z, columns, &mut scores),
        }
        [scores.surprise[0], scores.column_surprise[0]]
    }

    /// Leaves in the scratch what was expected of the window in `row`, of `width` values.
    pub fn explain(&self, row: usize, width: usize, scratch: &mut Scratch) {
        let z = &scratch.batch.z[row * width..][..width];
        match &self.density {
            Density::Windows(model) => {
                let cohort = scratch.batch.cohort(row);
                scratch.backend.explain_cohort(model, cohort, z, &mut scratch.explanation);
            }
            Density::Transactions => {
                let all: f32 = z.iter().filter(|nats| !nats.is_nan()).sum();
                let to = &mut scratch.explanation;
                [&mut to.expected, &mut to.sd, &mut to.half_width, &mut to.share]
                    .into_iter()
                    .for_each(Vec::clear);
                to.expected.resize(width, 0.0);
                to.sd.resize(width, 1.0);
                to.half_width.resize(width, BAND_SD);
                to.share.extend(z.iter().map(|nats| if *nats > 0.0 { nats / all } else { 0.0 }));
            }
        }
    }
}

/// The surprise of a transaction is the sum of its causes' nats, and its oddest column the largest of them. NaN: the cause
/// is not known.
fn add_causes(nats: &[f32], columns: usize, to: &mut Scores) {
    to.clear();
    to.resize(nats.len() / columns, columns);
    for (row, causes) in nats.chunks_exact(columns).enumerate() {
        let known = || causes.iter().copied().filter(|nats| !nats.is_nan());
        let all: f32 = known().sum();
        (to.state[row], to.surprise[row], to.log_likelihood[row]) = (all, all, -f64::from(all));
        to.observed[row] = known().count() as u16;
        let seen = &mut to.column_observed[row * columns..][..columns];
        seen.iter_mut().zip(causes).for_each(|(seen, nats)| *seen = u16::from(!nats.is_nan()));
        to.column_surprise[row] = known().fold(0.0, f32::max);
    }
}

impl Partition {
    /// Looks up every key's cohort: a model has taken over.
    pub(super) fn join_cohorts(&mut self) {
        let Partition { scoring, keys, cohorts, probation, .. } = self;
        probation.clear();
        cohorts.clear();
        cohorts.resize(keys.len(), EVERYONE);
        let Some(scoring) = scoring else { return };
        for (key, cohort) in cohorts.iter_mut().enumerate() {
            *cohort = scoring.meet(keys.bytes(key as KeyIndex));
        }
    }

    /// Standardises and scores the windows in the scratch, each by its key's cohort. Gives the time in between, ns.
    pub(super) fn score_batch(&self, scoring: &Scoring, closing: &mut Closing<'_, '_>) -> i64 {
        self.standardise_batch(closing);
        let gathered = (closing.env.now)();
        let Batch { keys, cohorts, .. } = &mut closing.scratch.batch;
        if scoring.references.len() > 1 {
            cohorts.extend(keys.iter().map(|key| self.cohorts[*key as usize]));
        }
        let columns = closing.setup.columns.len();
        let last_cell = closing.scratch.batch.spans[0].end / closing.setup.grid_ns - 1;
        let (values, cells) = self.grid.values();
        let (id, scales) = (self.rings_id, &self.scales[..]);
        let rings = Rings { id, values, cells, columns, scales, last_cell, places: &[], rows: None };
        scoring.score(columns, Some(rings), closing.scratch);
        gathered
    }

    /// By cohort: of how many windows that may teach one does.
    pub(super) fn sample_shares(&self, setup: &StreamSetup) -> Vec<u64> {
        let cohorts = self.scoring.as_ref().map_or(1, |scoring| scoring.references.len());
        let mut keys = vec![0u64; cohorts];
        if cohorts == 1 {
            keys[0] = self.seen_keys;
        } else {
            let seen = (0..self.keys.len()).filter(|key| self.grid.seen(*key as KeyIndex));
            seen.for_each(|key| keys[self.cohorts[key] as usize] += 1);
        }
        keys.into_iter().map(|keys| probation::share(keys, setup)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_causes_parts_of_the_surprise() {
        let scoring = Scoring::transactions(2, Alarm::fixed(1e-3));
        let mut scratch = Scratch::default();
        scratch.batch.z = vec![1.0, 0.25, 0.75, f32::NAN, 0.5, 0.0];
        scoring.score(3, None, &mut scratch);
        assert_eq!(scratch.scores.surprise, [2.0, 0.5]);
        assert_eq!(scratch.scores.column_surprise, [1.0, 0.5]);
        assert_eq!(scratch.scores.column_observed, [1, 1, 1, 0, 1, 1]);
        assert_eq!(scratch.scores.log_likelihood, [-2.0, -0.5]);
        scoring.explain(0, 3, &mut scratch);
        assert_eq!(scratch.explanation.share, [0.5, 0.125, 0.375]);
        scoring.explain(1, 3, &mut scratch);
        assert_eq!(scratch.explanation.share, [0.0, 1.0, 0.0]);
        let p_value = |surprise| scoring.references[0].as_ref().unwrap().calibration.p_value(surprise);
        assert!(
            p_value([9.0, 9.0]) < 0.01 && p_value([0.0, 0.0]) > 0.5,
            "a verdict on the first transaction"
        );
    }
}
