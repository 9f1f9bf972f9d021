//! Windows that a partition without a loaded model keeps to fit on, for as long as it lives: those of its whole past by
//! lot. When it fits is [`growth`](super::growth)'s matter.

mod state;

use crate::engine::lot;
use crate::engine::partition::Scale;
use crate::judge::moments::Moments;
use crate::model::{EVERYONE, KeyScale, ScalerPrior};
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
    pub standing: Standing,
}

/// What is known of a window that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its verdict comes in the same step.
    Waiting,
    /// There was no model yet.
    Unjudged,
    Calm,
    /// Its key was in an episode that does not teach.
    Odd,
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
    /// Windows offered.
    seen: u64,
    /// At how many of these the next fit is due; 0 before the first.
    due: u64,
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
        Warmup { room, samples: Vec::new(), windows: Vec::new(), thinning, start_ns: None, seen: 0, due: 0 }
    }

    pub fn offer(
        &mut self,
        key: KeyIndex,
        key_hash: u64,
        end_ns: i64,
        standing: Standing,
        gather: impl FnOnce(&mut Vec<f32>),
    ) {
        self.start_ns.get_or_insert(end_ns);
        self.seen += 1;
        let lot = lot::of(key_hash, end_ns);
        if self.samples.len() == self.room {
            self.thin();
        }
        if lot::stays(lot, self.thinning) {
            self.samples.push(Sample { key, end_ns, lot, standing });
            gather(&mut self.windows);
        }
    }

    /// Lets half of the windows go.
    pub fn thin(&mut self) {
        self.thinning += 1;
        lot::retain(&mut self.samples, &mut self.windows, |sample| lot::stays(sample.lot, self.thinning));
    }

    /// Lets the windows of a key go.
    pub fn forget(&mut self, key: KeyIndex) {
        lot::retain(&mut self.samples, &mut self.windows, |sample| sample.key != key);
    }

    /// Says of the windows offered last whether their keys were odd.
    pub fn settle(&mut self, is_odd: impl Fn(KeyIndex) -> bool) {
        for sample in self.samples.iter_mut().rev().take_while(|sample| sample.standing == Standing::Waiting)
        {
            sample.standing = if is_odd(sample.key) { Standing::Odd } else { Standing::Calm };
        }
    }

    /// Since the first window.
    pub fn seen_ns(&self, now_ns: i64) -> i64 {
        self.start_ns.map_or(0, |start| now_ns.saturating_sub(start).max(0))
    }

    /// Thousandths of the warm-up time that have passed.
    pub fn progress_milli(&self, now_ns: i64, warmup_ns: i64) -> u64 {
        (self.seen_ns(now_ns) as i128 * 1000 / i128::from(warmup_ns.max(1))).min(1000) as u64
    }

    pub fn is_over(&self, now_ns: i64, warmup_ns: i64) -> bool {
        self.progress_milli(now_ns, warmup_ns) == 1000
    }

    /// Windows offered so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// At how many of these the next fit is due; 0 before the first.
    pub fn due(&self) -> u64 {
        self.due
    }

    pub fn set_due(&mut self, due: u64) {
        self.due = due;
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
}

/// A key's moments as the model file keeps them.
pub(super) fn key_scale(own: &[Moments]) -> KeyScale {
    KeyScale {
        mean: own.iter().map(|m| m.mean).collect(),
        sd: own.iter().map(|m| m.variance.sqrt()).collect(),
        count: own.iter().map(|m| m.count as u64).collect(),
        cohort: EVERYONE,
    }
}

/// Least sd of a column, as a part of its mean: what is constant in training is known, not missing, and
/// `0 / 0` would make it so.
pub(super) const SD_PER_MEAN_MIN: f64 = 1e-3;

/// The scale by which a column with these moments is standardised under `prior`; `apart` if its key has left the cohort.
fn scale(prior: &ScalerPrior, column: usize, own: &Moments, apart: bool) -> Scale {
    if prior.flags[column] {
        return Scale { mean: 0.0, sd: 1.0 };
    }
    let of = if apart { ScalerPrior::apart } else { ScalerPrior::posterior };
    let (mean, sd) = of(prior, column, own.count as u64, own.mean, own.variance);
    let (mean, sd) = (mean as f32, sd as f32);
    // Constant at 0 there is no scale at all: 0 stays 0, and anything else is as odd as it gets.
    Scale { mean, sd: sd.max(SD_PER_MEAN_MIN as f32 * mean.abs()).max(f32::MIN_POSITIVE) }
}

/// The same of all columns of a key, in order.
pub(super) fn scales_of(prior: &ScalerPrior, own: &[Moments], apart: bool) -> impl Iterator<Item = Scale> {
    own.iter().enumerate().map(move |(column, moments)| scale(prior, column, moments, apart))
}

/// Of a key that is one of its cohort.
pub(super) fn scales(prior: &ScalerPrior, own: &[Moments]) -> Vec<Scale> {
    scales_of(prior, own, false).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::close::standardise;

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
            warmup.offer(key as u32, key as u64, i / 2, Standing::Calm, |out| {
                out.extend_from_slice(&[key as f32, i as f32])
            });
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
