//! How far keys have moved from what the model was trained on, epoch by epoch.

use super::Engine;
use crate::engine::partition::Partition;
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::warmup::SD_PER_MEAN_MIN;
use crate::model::{KeyScale, ScalerPrior};
use crate::types::drift::Drift;
use crate::types::{PARTITIONS, PartitionId, StreamId};

/// Keys of a partition whose shifts are counted, about; always the same ones.
const KEYS_COUNTED: u64 = 1024;

impl Engine {
    /// What was seen of drift in partitions in which an epoch ended since the last call. To be asked before
    /// [`Engine::changed`].
    pub fn drifted(&mut self, mut tell: impl FnMut(StreamId, PartitionId, &Drift)) {
        for (stream, id) in &self.touched {
            let index = stream.0 as usize * PARTITIONS + id.0 as usize;
            if let Some(partition) = self.partitions[index].as_mut()
                && let Some(drift) = partition.drift.news()
            {
                tell(*stream, *id, drift);
            }
        }
    }
}

impl Partition {
    /// Ends an epoch before `epoch`; its means are still those that were observed.
    pub(super) fn note_drift(&mut self, epoch: i64, setup: &StreamSetup) {
        let Some(model) = self.scoring.as_ref().and_then(Scoring::model) else { return };
        if self.epoch == i64::MIN {
            return;
        }
        self.drift.end_epoch(epoch - self.epoch);
        let (prior, columns) = (&model.prior, setup.columns.len());
        let share = (self.seen_keys / KEYS_COUNTED).max(1);
        for &key in self.keys.ordered().iter().filter(|key| self.keys.hash(**key).is_multiple_of(share)) {
            let own = &self.moments[key as usize * columns..][..columns];
            let known = prior.keys.get(self.keys.bytes(key));
            let flags = &model.prior_of(self.cohorts[key as usize]).flags;
            for (column, moments) in own.iter().enumerate().filter(|(column, _)| !flags[*column]) {
                let Some(mean) = moments.epoch_mean() else { continue };
                let (trained, sd) = trained(prior, known, column);
                self.drift.shown(column, (mean - trained) / sd);
            }
        }
    }
}

/// Mean and sd of a column of a key that is `known` from training; else those of the cohort.
fn trained(prior: &ScalerPrior, known: Option<&KeyScale>, column: usize) -> (f64, f64) {
    let known = known.filter(|known| known.count[column] > 0);
    let (mean, sd) = known.map_or_else(
        || (prior.mean[column], (prior.sd[column].powi(2) + prior.between_var[column]).sqrt()),
        |known| (known.mean[column], known.sd[column]),
    );
    (mean, sd.max(SD_PER_MEAN_MIN * mean.abs()).max(f64::MIN_POSITIVE))
}
