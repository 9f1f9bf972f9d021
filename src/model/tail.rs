//! From energies to surprise: how rare each feature of a window is among held-back normal windows.
//!
//! Features: the energy a cell of the whole window (upper tail), of each column given all others
//! (upper tail: the column left its joint law), and of each column by itself (lower tail: a stuck
//! sensor has no noise. By itself, because a column frozen at a level the others contradict is both
//! too smooth and too far off, and the two would cancel in its energy given the others).
//! `L = -ln((#{ref >= E} + 1/2) / (n + 1))` up to the 90 % quantile `h` of the references, beyond it
//! `ln 10 + (E - h) / e` with `e` the mean excess over `h`: an exponential tail, the generalised
//! Pareto tail of Pickands (1975) with shape 0. Lower tails are the mirror image on `ln E`.

use super::energy::Energies;
use super::knots::knots;

/// Order statistics kept of a feature.
pub const KNOTS_MAX: usize = 1024;
/// Fewest reference windows that may speak for a feature; below, it is left out.
pub const REFERENCES_MIN: usize = 32;
/// Energies below this count as this: `ln E` must stay finite for a sensor without any noise.
const ENERGY_FLOOR: f64 = 1e-9;
/// A tail is never taken as steeper than this part of the spread of a chi-square energy, so that a
/// constant column does not turn rounding into certainty.
const EXCESS_FLOOR: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Upper,
    Lower,
}

/// One feature's references, in energy a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    pub side: Side,
    /// Ascending order statistics at evenly spaced ranks.
    pub knots: Vec<f32>,
    /// Energy a cell at which the fitted tail starts.
    pub threshold: f64,
    /// Mean excess beyond the threshold (of `ln E` on the lower side).
    pub excess: f64,
    pub median: f64,
}

/// Every feature's references. `None`: too few references, never odd.
#[derive(Clone, Debug, PartialEq)]
pub struct Tails {
    pub total: Option<Tail>,
    /// By column: given all others, upper side.
    pub conditional: Vec<Option<Tail>>,
    /// By column: by itself, lower side.
    pub own: Vec<Option<Tail>>,
}

impl Tail {
    /// `energies` (a cell) of reference windows with `cells` cells each.
    pub fn fit(side: Side, mut energies: Vec<f64>, cells: usize) -> Option<Tail> {
        let n = energies.len();
        if n < REFERENCES_MIN {
            return None;
        }
        energies.sort_by(f64::total_cmp);
        let rank = |share: f64| ((n as f64 * share) as usize).min(n - 1);
        let threshold = match side {
            Side::Upper => energies[rank(0.9)],
            Side::Lower => energies[n - 1 - rank(0.9)].max(ENERGY_FLOOR),
        };
        let beyond: Vec<f64> = energies.iter().filter_map(|e| excess_over(side, *e, threshold)).collect();
        let mean = if beyond.is_empty() { 0.0 } else { beyond.iter().sum::<f64>() / beyond.len() as f64 };
        let knots = knots(energies.iter().map(|e| *e as f32).collect(), KNOTS_MAX);
        let excess = mean.max(EXCESS_FLOOR * (2.0 / cells as f64).sqrt());
        Some(Tail { side, knots, threshold, excess, median: energies[n / 2].max(ENERGY_FLOOR) })
    }

    /// Whether a tail read from a file can be scored against.
    pub(super) fn is_sound(&self) -> bool {
        self.knots.is_sorted() && self.excess > 0.0 && self.median > 0.0 && self.threshold >= 0.0
    }

    /// Brings an energy a cell over part of the cells to the spread of one over all: energies of few
    /// cells scatter more, by the square root of the counts' ratio if cells are independent.
    fn whole(&self, energy: f64, observed: usize, cells: usize) -> f64 {
        if observed == cells {
            return energy;
        }
        let shrink = (observed as f64 / cells as f64).sqrt();
        match self.side {
            Side::Upper => self.median + (energy - self.median) * shrink,
            Side::Lower => (self.median.ln() + (energy.max(ENERGY_FLOOR) / self.median).ln() * shrink).exp(),
        }
    }

    /// Number of knots at least as odd as `energy`, or `limit` if that is not fewer.
    #[inline(always)]
    fn as_odd(&self, energy: f64, limit: usize) -> usize {
        let (energy, n) = (energy as f32, self.knots.len());
        let limit = limit.min(n);
        if limit == 0 {
            return 0;
        }
        match self.side {
            Side::Upper if self.knots[n - limit] >= energy => limit,
            Side::Upper => limit - self.knots[n - limit..].partition_point(|knot| *knot < energy),
            Side::Lower if self.knots[limit - 1] <= energy => limit,
            Side::Lower => self.knots[..limit].partition_point(|knot| *knot <= energy),
        }
    }
}

/// How far `energy` lies beyond the threshold, on the tail's own scale.
#[inline(always)]
fn excess_over(side: Side, energy: f64, threshold: f64) -> Option<f64> {
    match side {
        Side::Upper => (energy > threshold).then_some(energy - threshold),
        Side::Lower => (energy < threshold).then(|| threshold.ln() - energy.max(ENERGY_FLOOR).ln()),
    }
}

/// The oddest feature so far; counts compare as shares of their tail's knots.
#[derive(Clone, Copy, Debug)]
struct Oddest {
    count: usize,
    knots: usize,
    beyond: f64,
}

impl Oddest {
    const NOTHING: Oddest = Oddest { count: usize::MAX, knots: 0, beyond: 0.0 };

    /// Takes in a feature; most need one comparison, since they cannot beat the oddest so far.
    #[inline(always)]
    fn see(&mut self, tail: &Option<Tail>, energy: f64, observed: usize, cells: usize) {
        let Some(tail) = tail else { return };
        if observed == 0 || 2 * observed < cells {
            return;
        }
        let energy = tail.whole(energy / observed as f64, observed, cells);
        if let Some(excess) = excess_over(tail.side, energy, tail.threshold) {
            self.beyond = self.beyond.max(std::f64::consts::LN_10 + excess / tail.excess);
        } else if self.beyond == 0.0 {
            let n = tail.knots.len();
            let count = tail.as_odd(energy, if self.knots == n { self.count } else { n });
            if self.knots == 0 || count * self.knots < self.count * n {
                (self.count, self.knots) = (count, n);
            }
        }
    }

    #[inline(always)]
    fn surprise(&self) -> f64 {
        if self.beyond > 0.0 {
            self.beyond
        } else if self.knots == 0 {
            0.0
        } else {
            let rare = (self.count as f64 + 0.5) / (self.knots as f64 + 1.0);
            (-rare.ln()).min(std::f64::consts::LN_10)
        }
    }
}

impl Tails {
    /// Fits every feature on the energies of reference windows, `(window, column)` flattened.
    pub fn fit(references: &[Energies], cells: usize, columns: usize) -> Tails {
        let total = references
            .iter()
            .filter(|e| 2 * e.observed >= cells * columns && e.observed > 0)
            .map(|e| e.total / e.observed as f64);
        let of_column = |side, column: usize, energies: fn(&Energies) -> &Vec<f64>| {
            let values = references.iter().filter_map(|e| {
                let observed = usize::from(e.column_observed[column]);
                (observed > 0 && 2 * observed >= cells).then(|| energies(e)[column] / observed as f64)
            });
            Tail::fit(side, values.collect(), cells)
        };
        Tails {
            total: Tail::fit(Side::Upper, total.collect(), cells * columns),
            conditional: (0..columns).map(|c| of_column(Side::Upper, c, |e| &e.conditional)).collect(),
            own: (0..columns).map(|c| of_column(Side::Lower, c, |e| &e.own)).collect(),
        }
    }

    /// All features in the order of the file: total, each column given all others, each by itself.
    pub(super) fn features(&self) -> Vec<&Option<Tail>> {
        std::iter::once(&self.total).chain(&self.conditional).chain(&self.own).collect()
    }

    /// The inverse of [`Tails::features`]: an odd number of them, at least three.
    pub(super) fn of_features(mut features: Vec<Option<Tail>>) -> Tails {
        let columns = features.len() / 2;
        let own = features.split_off(1 + columns);
        let conditional = features.split_off(1);
        Tails { total: features.pop().flatten(), conditional, own }
    }

    /// Surprise of a window, nats: the largest over its features. A column with less than half of
    /// its cells observed has no say, and neither has the whole window below half.
    #[inline(always)]
    pub fn surprise(&self, of: &Energies, cells: usize) -> f64 {
        let mut oddest = Oddest::NOTHING;
        oddest.see(&self.total, of.total, of.observed, cells * self.own.len());
        for column in 0..self.own.len() {
            let observed = usize::from(of.column_observed[column]);
            oddest.see(&self.conditional[column], of.conditional[column], observed, cells);
            oddest.see(&self.own[column], of.own[column], observed, cells);
        }
        oddest.surprise()
    }

    /// Surprise of one column, nats: the larger of its two sides.
    pub fn column_surprise(&self, of: &Energies, column: usize, cells: usize) -> f64 {
        let observed = usize::from(of.column_observed[column]);
        let mut oddest = Oddest::NOTHING;
        oddest.see(&self.conditional[column], of.conditional[column], observed, cells);
        oddest.see(&self.own[column], of.own[column], observed, cells);
        oddest.surprise()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, without short cuts.
    fn naive(tail: &Tail, energy: f64) -> f64 {
        let odd = |knot: &&f32| match tail.side {
            Side::Upper => **knot >= energy as f32,
            Side::Lower => **knot <= energy as f32,
        };
        match excess_over(tail.side, energy, tail.threshold) {
            Some(excess) => std::f64::consts::LN_10 + excess / tail.excess,
            None => {
                let count = tail.knots.iter().filter(odd).count() as f64;
                (-((count + 0.5) / (tail.knots.len() as f64 + 1.0)).ln()).min(std::f64::consts::LN_10)
            }
        }
    }

    fn energies(n: usize, factor: f64) -> Vec<f64> {
        (0..n).map(|i| 0.1 + factor * (i as f64 * 0.618).fract()).collect()
    }

    #[test]
    fn surprise_is_the_largest_over_the_features() {
        // Unequal numbers of references: counts must compare as shares.
        let tails = Tails {
            total: Tail::fit(Side::Upper, energies(1500, 1.0), 8),
            conditional: vec![
                Tail::fit(Side::Upper, energies(400, 2.0), 4),
                Tail::fit(Side::Upper, energies(100, 1.5), 4),
            ],
            own: vec![
                Tail::fit(Side::Lower, energies(300, 1.0), 4),
                Tail::fit(Side::Lower, energies(31, 1.0), 4),
            ],
        };
        assert!(tails.own[1].is_none(), "31 references are too few");
        for step in 0..400 {
            let at = |k: f64| 0.02 + 2.2 * (f64::from(step) * k).fract();
            let mut of = Energies::default();
            (of.observed, of.total) = (8, 8.0 * at(0.31));
            of.conditional = vec![4.0 * at(0.17), 4.0 * at(0.71)];
            of.own = vec![4.0 * at(0.43), 0.0];
            of.column_observed = vec![4, 4];
            let pairs = [
                (&tails.total, of.total / 8.0),
                (&tails.conditional[0], of.conditional[0] / 4.0),
                (&tails.conditional[1], of.conditional[1] / 4.0),
                (&tails.own[0], of.own[0] / 4.0),
            ];
            let expected =
                pairs.iter().filter_map(|(tail, e)| tail.as_ref().map(|t| naive(t, *e))).fold(0.0, f64::max);
            assert!((tails.surprise(&of, 4) - expected).abs() < 1e-12, "{step}");
        }
    }

    #[test]
    fn the_tail_is_exponential_in_the_mean_excess() {
        let tail = Tail::fit(Side::Upper, (1..=1000).map(f64::from).collect(), 1).unwrap();
        assert_eq!(tail.threshold, 901.0);
        assert_eq!(tail.excess, 50.0);
        let low = Tail::fit(Side::Lower, (1..=1000).map(|i| 1.0 / f64::from(i)).collect(), 1).unwrap();
        assert!((low.threshold - 1.0 / 901.0).abs() < 1e-12);
        assert!((naive(&low, 1e-5) - 10f64.ln() - (100_000.0 / 901.0f64).ln() / low.excess).abs() < 1e-9);
    }
}
