//! From an energy to its surprise: how rare it is among the energies of normal windows.
//!
//! `L = -ln((#{ref >= E} + 1/2) / (n + 1))` up to the 90 % quantile `h` of the references, beyond it
//! `ln(n / k) + (E - h) / e` with `k` the references beyond and `e` their mean excess: an exponential
//! tail, the generalised Pareto tail of Pickands (1975) with shape 0.

use super::super::knots::knots;
use super::kernel::{LANES, Lanes, count_below};

/// Share of the references the fitted tail covers, and the fewest it rests on.
const BEYOND_SHARE: f64 = 0.1;
const BEYOND_MIN: usize = 10;
/// A tail is never steeper than this part of its threshold: energies are computed in f32, and rounding
/// must not become certainty where all references are alike.
const EXCESS_FLOOR: f64 = 1e-5;

/// The references of one density.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    /// Ascending order statistics at evenly spaced ranks.
    pub knots: Vec<f32>,
    pub fit: Fit,
    /// The last knot of each whole group, padded with infinity: what a search looks at first.
    tops: Vec<Lanes>,
    /// Nats up to the threshold, by number of knots below.
    by_place: Vec<f32>,
}

/// Knots a search counts at once, when it knows among which.
const GROUP: usize = 2 * LANES;

/// The numbers of a tail.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// Energy at which the fitted tail starts.
    pub threshold: f64,
    /// Mean excess beyond the threshold.
    pub excess: f64,
    /// Surprise at the threshold, nats.
    pub base: f64,
    pub median: f64,
}

impl Tail {
    /// Of at least one reference; at most `knots` order statistics are kept.
    pub(super) fn fit(mut references: Vec<f32>, knots: usize) -> Tail {
        references.sort_by(f32::total_cmp);
        let n = references.len();
        let beyond = ((BEYOND_SHARE * n as f64) as usize).max(n.min(BEYOND_MIN));
        let threshold = f64::from(references[n - beyond]);
        let excess =
            references[n - beyond..].iter().map(|e| f64::from(*e) - threshold).sum::<f64>() / beyond as f64;
        let floor = EXCESS_FLOOR * (threshold.abs() + EXCESS_FLOOR);
        let fit = Fit {
            threshold,
            excess: excess.max(floor),
            base: (n as f64 / beyond as f64).ln(),
            median: f64::from(references[n / 2]),
        };
        Tail::new(self::knots(references, knots), fit)
    }

    /// Of knots in ascending order.
    pub(super) fn new(knots: Vec<f32>, fit: Fit) -> Tail {
        let mut tops: Vec<f32> = knots.chunks_exact(GROUP).map(|group| group[GROUP - 1]).collect();
        tops.resize(tops.len().next_multiple_of(LANES), f32::INFINITY);
        let n = knots.len();
        let up_to = |place| ((n as f64 + 1.0) / ((n - place) as f64 + 0.5)).ln() as f32;
        Tail { tops: tops.as_chunks().0.to_vec(), by_place: (0..=n).map(up_to).collect(), knots, fit }
    }

    /// Heap of one of so many knots, bytes.
    pub(super) const fn bytes(knots: usize) -> usize {
        8 * knots + 4 + (knots / GROUP).next_multiple_of(LANES) * 4
    }

    /// Whether a tail read from a file can be scored against.
    pub(super) fn is_sound(&self) -> bool {
        let finite = self.knots.iter().all(|k| k.is_finite());
        let fit = [self.fit.threshold, self.fit.excess, self.fit.base, self.fit.median];
        let sound = finite && fit.iter().all(|f| f.is_finite());
        sound && !self.knots.is_empty() && self.knots.is_sorted() && self.fit.excess > 0.0
    }

    /// Nats, above 0.
    #[inline(always)]
    pub fn surprise(&self, energy: f32) -> f64 {
        let up_to = f64::from(self.by_place[self.below(energy)]);
        let beyond = f64::from(energy) - self.fit.threshold;
        if beyond > 0.0 { self.fit.base + beyond / self.fit.excess } else { up_to }
    }

    /// Number of knots below an energy. Groups are counted, then knots of one: without branches, since where an energy
    /// falls is not predictable, and with few loads that wait for one another.
    #[inline(always)]
    fn below(&self, energy: f32) -> usize {
        let whole = count_below(&self.tops, energy) * GROUP;
        let from = whole.min(self.knots.len().saturating_sub(GROUP));
        match self.knots[from..].first_chunk::<GROUP>() {
            Some(group) => from + count_below(group.as_chunks().0, energy),
            None => self.knots.iter().filter(|knot| **knot < energy).count(),
        }
    }

    /// The energy of the whole where only a part is observed: what is missing counts as ordinary, at the
    /// median. So gaps add neither surprise nor calm, and energies of few dimensions, which scatter more,
    /// do not look odd for it.
    #[inline(always)]
    pub(super) fn whole(&self, energy: f64, share_observed: f64) -> f64 {
        self.fit.median + (energy - self.fit.median) * share_observed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_counts_what_is_below() {
        for n in (1..140usize).chain([1024, 1025]) {
            let knots: Vec<f32> = (0..n).map(|k| (k / 2) as f32).collect();
            let tail = Tail::new(knots.clone(), Fit::default());
            for step in 0..100 {
                let energy = step as f32 * 0.01 * n as f32 * 0.75 - 1.0;
                let naive = knots.iter().filter(|k| **k < energy).count();
                assert_eq!(tail.below(energy), naive, "{n} {energy}");
            }
        }
    }

    #[test]
    fn empirical_below_and_exponential_beyond() {
        let tail = Tail::fit((1..=1000).map(|i| i as f32).collect(), usize::MAX);
        assert_eq!((tail.fit.threshold, tail.fit.excess), (901.0, 49.5));
        assert!((tail.surprise(901.0) + (100.5f64 / 1001.0).ln()).abs() < 1e-6);
        assert!((tail.surprise(500.5) + (500.5f64 / 1001.0).ln()).abs() < 1e-6);
        assert!((tail.surprise(950.5) - 10f64.ln() - 1.0).abs() < 1e-12);
        let thinned = Tail::fit((1..=1000).map(|i| i as f32).collect(), 100);
        assert_eq!(thinned.fit, tail.fit);
        assert!((thinned.surprise(500.5) - tail.surprise(500.5)).abs() < 0.02);
    }

    #[test]
    fn equal_references_make_no_certainty_of_rounding() {
        let tail = Tail::fit(vec![3.0; 200], 64);
        assert!(tail.surprise(3.000_001) < 10f64.ln() + 1.0);
    }
}
