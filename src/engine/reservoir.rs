//! Windows kept for a refit: of calm keys, in the very numbers in which they were scored.
//!
//! A window comes in once it is final and confident, while its key has no episode open and none of its last
//! windows was anomalous: what is going wrong is not learnt. There is no gate below that. One that let only
//! windows of p > 0.05 in would cut off the tail that the challenger is to know, and would hide from it what the
//! champion finds a little odd, which is all that a drift shows at first: on aged sensors (`tests/engine/refit.rs`), where
//! the challenger is likelier by 0.008 nats a number, it then lost by 0.011.
//!
//! It is no part of a partition's state, and begins empty after a start: no decision depends on it. What is
//! made of it acts by an entry of the control log alone.

use crate::engine::batch::Batch;
use crate::engine::lot;
use crate::engine::partition::Partition;
use crate::engine::setup::StreamSetup;

/// Windows kept. When full, half of them go, chosen by lot, and half as many come. A stream of one key has enough
/// for a fit with these, one of many keys in 64 partitions more than it needs.
const HELD_MAX: usize = 256;

/// How many intervals of refits the windows go back.
pub const LOOK_BACK: i64 = 4;

/// When a window ended, its lot (a hash of that and its key), and what scored it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    pub end_ns: i64,
    pub lot: u64,
    /// Of its key, in the model that scored it.
    pub cohort: u32,
}

/// Windows, standardised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Windows {
    pub drawn: Vec<Drawn>,
    /// End to end.
    pub z: Vec<f32>,
}

impl Windows {
    pub fn len(&self) -> usize {
        self.drawn.len()
    }

    pub fn is_empty(&self) -> bool {
        self.drawn.is_empty()
    }

    /// Keeps those of which `keep` says so, in their order.
    pub fn retain(&mut self, keep: impl Fn(Drawn) -> bool) {
        lot::retain(&mut self.drawn, &mut self.z, |drawn| keep(*drawn));
    }

    pub fn append(&mut self, other: &Windows) {
        self.drawn.extend_from_slice(&other.drawn);
        self.z.extend_from_slice(&other.z);
    }
}

#[derive(Default)]
pub(crate) struct Reservoir {
    held: Windows,
    /// Windows whose lot ends in this many zero bits are kept.
    thinning: u32,
}

/// Heap of a full reservoir, bytes, for windows of `width` values.
pub(crate) fn heap_bytes(width: f64) -> f64 {
    HELD_MAX as f64 * (size_of::<Drawn>() as f64 + width * size_of::<f32>() as f64)
}

impl Reservoir {
    pub fn held(&self) -> &Windows {
        &self.held
    }

    /// `span_ns` is how far back the windows go.
    fn offer(&mut self, (key_hash, cohort): (u64, u32), end_ns: i64, span_ns: i64, z: &[f32]) {
        // Not window by window: forgetting moves all that stay.
        let slack_ns = span_ns / 8;
        if self.held.drawn.first().is_some_and(|oldest| oldest.end_ns < end_ns - span_ns - slack_ns) {
            self.held.retain(|drawn| drawn.end_ns >= end_ns - span_ns);
            // Fewer keys than there were: the new ones may come more often.
            if self.held.len() < HELD_MAX / 4 {
                self.thinning = self.thinning.saturating_sub(1);
            }
        }
        if self.held.len() == HELD_MAX {
            self.thinning += 1;
            let thinning = self.thinning;
            self.held.retain(|drawn| lot::stays(drawn.lot, thinning));
        }
        let lot = lot::of(key_hash, end_ns);
        if lot::stays(lot, self.thinning) && self.held.len() < HELD_MAX {
            self.held.drawn.push(Drawn { end_ns, lot, cohort });
            self.held.z.extend_from_slice(z);
        }
    }
}

impl Partition {
    /// Lets the scored window in `row` of the batch into the reservoir, if it may teach a refit. Comes after its
    /// verdict has had its turn in the key's episode.
    pub(super) fn keep_for_refit(&mut self, row: usize, confident: bool, batch: &Batch, setup: &StreamSetup) {
        let (key, end) = (batch.keys[row], batch.spans[row].end);
        let episode = &self.episodes[key as usize];
        let normal = episode.teaches(setup.p_odd) && !episode.settles(end);
        if setup.refit_span_ns == 0 || !confident || !normal {
            return;
        }
        let width = setup.cells * setup.columns.len();
        let z = &batch.z[row * width..][..width];
        let of = (self.keys.hash(key), batch.cohort(row));
        self.reservoir.offer(of, end, setup.refit_span_ns, z);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window a second of each key, of one value: its second.
    fn filled(keys: u64, seconds: std::ops::Range<i64>, span: i64, into: &mut Reservoir) {
        for second in seconds {
            (0..keys).for_each(|key| into.offer((key, 0), second, span, &[second as f32]));
        }
    }

    #[test]
    fn it_holds_windows_of_the_whole_span_and_of_no_more() {
        let mut reservoir = Reservoir::default();
        filled(40, 0..10_000, 1000, &mut reservoir);
        let Windows { drawn, z } = reservoir.held();
        assert!((HELD_MAX / 4..=HELD_MAX).contains(&drawn.len()), "{}", drawn.len());
        assert!(drawn.iter().zip(z).all(|(drawn, z)| drawn.end_ns as f32 == *z), "each with its values");
        assert!(drawn.is_sorted_by_key(|drawn| drawn.end_ns));
        assert!(drawn[0].end_ns >= 10_000 - 1000 - 126, "{}", drawn[0].end_ns);
        let early = drawn.iter().filter(|drawn| drawn.end_ns < 9_500).count();
        assert!(early.abs_diff(drawn.len() - early) < drawn.len() / 2, "{early} of {}", drawn.len());
    }

    #[test]
    fn it_fills_again_when_keys_have_gone() {
        let mut reservoir = Reservoir::default();
        filled(1000, 0..2000, 1000, &mut reservoir);
        filled(1, 2000..12_000, 1000, &mut reservoir);
        let held = reservoir.held().len();
        assert!(held >= HELD_MAX / 4, "{held}");
    }
}
