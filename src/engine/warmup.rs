//! Warm-up of a partition without a loaded model: keep windows, then fit on them.
//!
//! The fit is a function of the partition's own final windows, so it needs no entry in the control log:
//! a replay comes to the same model at the same epoch.

mod state;

use std::sync::Arc;

use ndarray::ArrayView2;

use crate::engine::close::standardise;
use crate::engine::lot;
use crate::engine::partition::{Partition, Scale, Scoring};
use crate::engine::setup::StreamSetup;
use crate::judge::moments::Moments;
use crate::model::{KeyScale, Model, ScalerPrior, Settings, flags};
use crate::window::keys::KeyIndex;

/// Windows kept for a fit. When full, half of them go, chosen by lot, and half as many come.
const SAMPLES_MAX: usize = 2048;
/// Of wide windows fewer: no more numbers than this.
const VALUES_MAX: usize = 1 << 21;

/// How many windows of `width` values a partition keeps.
fn room(width: usize) -> usize {
    SAMPLES_MAX.min(VALUES_MAX / width)
}

pub(crate) struct Sample {
    pub key: KeyIndex,
    pub end_ns: i64,
    /// Hash of key and window end: decides which windows stay when there are too many.
    pub lot: u64,
}

pub(crate) struct Warmup {
    /// Windows kept at most.
    room: usize,
    samples: Vec<Sample>,
    /// Raw windows, `samples x width`.
    windows: Vec<f32>,
    /// Windows whose lot ends in this many zero bits are kept.
    thinning: u32,
    start_ns: Option<i64>,
}

/// Heap of a full warm-up, bytes, for windows of `width` values. Vectors double as they fill, up to this.
pub(crate) fn heap_bytes(width: usize) -> f64 {
    room(width) as f64 * (size_of::<Sample>() + width * size_of::<f32>()) as f64
}

impl Warmup {
    /// Of windows of `width` values.
    pub fn of(width: usize) -> Self {
        Warmup::with(room(width), 0)
    }

    /// Keeps at most `room` windows; to begin with, those whose lot ends in `thinning` zero bits.
    pub fn with(room: usize, thinning: u32) -> Self {
        Warmup { room, samples: Vec::new(), windows: Vec::new(), thinning, start_ns: None }
    }

    pub fn offer(&mut self, key: KeyIndex, key_hash: u64, end_ns: i64, gather: impl FnOnce(&mut Vec<f32>)) {
        self.start_ns.get_or_insert(end_ns);
        let lot = lot::of(key_hash, end_ns);
        if self.samples.len() == self.room {
            self.thin();
        }
        if lot::stays(lot, self.thinning) {
            self.samples.push(Sample { key, end_ns, lot });
            gather(&mut self.windows);
        }
    }

    /// Lets half of the windows go.
    pub fn thin(&mut self) {
        self.thinning += 1;
        lot::retain(&mut self.samples, &mut self.windows, |sample| lot::stays(sample.lot, self.thinning));
    }

    /// Thousandths of the warm-up time that have passed; 999 at most, since a fit must still succeed.
    pub fn progress_milli(&self, now_ns: i64, warmup_ns: i64) -> u64 {
        let passed = self.start_ns.map_or(0, |start| now_ns - start);
        ((passed as i128 * 1000 / i128::from(warmup_ns.max(1))) as u64).min(999)
    }

    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// All raw windows, end to end.
    pub fn windows(&self) -> &[f32] {
        &self.windows
    }

    /// The raw window of the `i`-th sample.
    pub fn window(&self, i: usize, width: usize) -> &[f32] {
        &self.windows[i * width..][..width]
    }

    fn due(&self, now_ns: i64, warmup_ns: i64) -> bool {
        self.start_ns.is_some_and(|start| now_ns - start >= warmup_ns)
    }
}

impl Partition {
    /// Fits this partition's model once its warm-up is over. Too few windows: it tries again next epoch.
    pub(super) fn fit_if_due(&mut self, setup: &StreamSetup) {
        if self.scoring.is_some() || setup.loads_model {
            return;
        }
        let now_ns = self.epoch * crate::types::EPOCH_NS;
        if !self.warmup.due(now_ns, setup.warmup_ns) {
            return;
        }
        let columns = setup.columns.len();
        let prior = self.cohort(columns);
        let width = setup.cells * columns;
        let mut z = self.warmup.windows.clone();
        for (sample, window) in self.warmup.samples.iter().zip(z.chunks_exact_mut(width)) {
            let own = &self.moments[sample.key as usize * columns..][..columns];
            standardise(window, &scales(&prior, own));
        }
        let Ok(view) = ArrayView2::from_shape((self.warmup.samples.len(), width), &z) else { return };
        let mut model = match Model::fit(view, setup.cells, &setup.schema, prior, &Settings::QUICK) {
            Ok(model) => model,
            Err(error) => return self.fit_error = Some(error.to_string()),
        };
        // The partition's keys have moments of their own; a copy of them is for a model in a file.
        model.prior.keys.clear();
        self.scoring = Some(Scoring::new(Arc::new(model), self.alarm(setup)));
        self.warmup = Warmup::of(width);
        self.counts.warm_milli = 1000;
        for key in 0..self.keys.len() {
            self.rescale(key as KeyIndex, columns);
        }
    }

    /// What the keys of this partition have in common: the prior of a key not seen yet.
    fn cohort(&self, columns: usize) -> ScalerPrior {
        let key_scale = |&key: &KeyIndex| {
            let own = &self.moments[key as usize * columns..][..columns];
            own.iter().any(|m| m.count > 0.0).then(|| (self.keys.bytes(key).to_vec(), key_scale(own)))
        };
        let keys = self.keys.ordered().iter().filter_map(key_scale).collect();
        let flags = flags(std::iter::once(&self.warmup.windows[..]), columns);
        ScalerPrior { flags, ..ScalerPrior::from_keys(columns, keys) }
    }
}

/// A key's moments as the model file keeps them.
pub(super) fn key_scale(own: &[Moments]) -> KeyScale {
    KeyScale {
        mean: own.iter().map(|m| m.mean).collect(),
        sd: own.iter().map(|m| m.variance.sqrt()).collect(),
        count: own.iter().map(|m| m.count as u64).collect(),
    }
}

/// Least sd of a column, as a part of its mean: what is constant in training is known, not missing, and
/// `0 / 0` would make it so.
const SD_PER_MEAN_MIN: f32 = 1e-3;

/// The scale by which a column with these moments is standardised under `prior`.
pub(super) fn scale(prior: &ScalerPrior, column: usize, own: &Moments) -> Scale {
    if prior.flags[column] {
        return Scale { mean: 0.0, sd: 1.0 };
    }
    let (mean, sd) = prior.posterior(column, own.count as u64, own.mean, own.variance);
    let (mean, sd) = (mean as f32, sd as f32);
    // Constant at 0 there is no scale at all: 0 stays 0, and anything else is as odd as it gets.
    Scale { mean, sd: sd.max(SD_PER_MEAN_MIN * mean.abs()).max(f32::MIN_POSITIVE) }
}

/// The same of all columns of a key.
pub(super) fn scales(prior: &ScalerPrior, own: &[Moments]) -> Vec<Scale> {
    own.iter().enumerate().map(|(column, moments)| scale(prior, column, moments)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_column_is_not_missing() {
        let constant = |value: f64| {
            let mut moments = Moments::default();
            (0..100).for_each(|_| moments.observe(value));
            moments.commit(f64::INFINITY);
            moments
        };
        let own = [constant(0.0), constant(7.25)];
        let prior = ScalerPrior::from_keys(2, [(b"a".to_vec(), key_scale(&own))].into());
        let mut window = [0.0, 7.25, 0.5, 7.0];
        standardise(&mut window, &scales(&prior, &own));
        assert_eq!(window[..2], [0.0, 0.0]);
        assert!(window[2] == 20.0 && window[3] == -20.0, "a departure is as odd as it gets: {window:?}");
    }

    #[test]
    fn thinning_keeps_windows_of_every_key_with_their_keys() {
        let mut warmup = Warmup::of(2);
        for i in 0..SAMPLES_MAX as i64 * 5 {
            let key = i % 2;
            warmup.offer(key as u32, key as u64, i / 2, |out| out.extend_from_slice(&[key as f32, i as f32]));
        }
        assert!((SAMPLES_MAX / 3..=SAMPLES_MAX).contains(&warmup.samples.len()));
        let of_key = |key: u32| warmup.samples.iter().filter(|s| s.key == key).count();
        assert!(of_key(0).abs_diff(of_key(1)) < SAMPLES_MAX / 8, "{} and {}", of_key(0), of_key(1));
        for (sample, window) in warmup.samples.iter().zip(warmup.windows.chunks_exact(2)) {
            assert_eq!(sample.key as f32, window[0]);
        }
        assert!(warmup.windows.chunks_exact(2).is_sorted_by_key(|w| w[1] as i64), "rows stay in time order");
    }
}
