//! What scores a partition: the model, what its p-values are read off, and what they are held against.

use std::sync::Arc;

use crate::engine::batch::Batch;
use crate::engine::partition::{Closing, Partition};
use crate::judge::budget::Alarm;
use crate::judge::calibration::{Calibration, Surprise};
use crate::model::{EVERYONE, Model};
use crate::window::keys::KeyIndex;

#[derive(Clone)]
pub(crate) struct Scoring {
    pub model: Arc<Model>,
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
        Arc::make_mut(&mut self.calibration).commit();
    }
}

impl Scoring {
    /// As yet without keys.
    pub fn new(model: Arc<Model>, alarm: Alarm) -> Self {
        let references = model.pyramids().map(|_| None).collect();
        Scoring { model, references, alarm }
    }

    /// The cohort of a key, which from now on has references here. They begin with what training showed, so it does
    /// not matter when the key is met.
    pub fn meet(&mut self, key: &[u8]) -> u32 {
        let cohort = self.model.cohort_of(key);
        let pyramid = self.model.pyramid_of(cohort);
        self.references[cohort as usize].get_or_insert_with(|| References {
            calibration: Arc::new(Calibration::new([pyramid.references(), pyramid.column_references()])),
            windows: self.model.training_rows_of(cohort) as u64,
        });
        cohort
    }

    /// `None` for a cohort without keys here.
    pub fn references(&self, cohort: u32) -> Option<&References> {
        self.references.get(cohort as usize)?.as_ref()
    }
}

impl Partition {
    /// Looks up every key's cohort: a model has taken over.
    pub(super) fn join_cohorts(&mut self) {
        let Partition { scoring, keys, cohorts, .. } = self;
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
        let Batch { keys, cohorts, z, .. } = &mut closing.scratch.batch;
        if !scoring.model.cohorts.is_empty() {
            cohorts.extend(keys.iter().map(|key| self.cohorts[*key as usize]));
        }
        closing.scratch.backend.score_cohorts(&scoring.model, cohorts, z, &mut closing.scratch.scores);
        gathered
    }

    /// By cohort: of how many windows that may teach one does, so that there are about 64 samples an epoch of
    /// each, however many keys.
    pub(super) fn sample_shares(&self) -> Vec<u64> {
        let cohorts = self.scoring.as_ref().map_or(1, |scoring| scoring.references.len());
        let mut keys = vec![0u64; cohorts];
        if cohorts == 1 {
            keys[0] = self.seen_keys;
        } else {
            let seen = (0..self.keys.len()).filter(|key| self.grid.seen(*key as KeyIndex));
            seen.for_each(|key| keys[self.cohorts[key] as usize] += 1);
        }
        keys.into_iter().map(|keys| (keys / 64).max(1)).collect()
    }
}
