//! From surprise to p-value: a conformal rank inside the reference, an extrapolated tail beyond it.
//!
//! For a surprise `s` and a reference of `n` surprises of normal windows, with `h` their 90 % quantile,
//! `k` of them above it and `e` their mean excess over it:
//! `p = (#{ref >= s} + 1/2) / (n + 1)` for `s <= h`, else `p = p(h) (1 + (s - h) / (k e + a))^-(k + a)`.
//! The rank is the conformal p-value (Vovk, Gammerman, Shafer 2005). Excesses over a high threshold tend
//! to an exponential (Pickands 1975, shape 0); with its mean known only from `k` of them, the next one
//! follows this heavier tail, which becomes `exp(-(s - h) / e)` as `k` grows: the predictive distribution
//! (Lomax) under a gamma prior on the rate. A surprise is in nats of the model's own tail, so a mean excess of one
//! nat is what to expect before anything was seen; that counts for `a` = 20 references.

mod state;

/// Reference size; older entries are replaced.
pub const REFERENCE_MAX: usize = 1024;

/// References that the model's own word on its tail, a mean excess of one nat, counts for.
const PRIOR_REFERENCES: f64 = 20.0;

#[derive(Clone)]
pub struct Calibrator {
    /// In order of replacement.
    recent: Vec<f32>,
    next: usize,
    sorted: Vec<f32>,
    pending: Vec<f32>,
    high: f64,
    high_p: f64,
    /// Mean excess of the references above `high`, and how many they are.
    excess: f64,
    above: f64,
}

impl Calibrator {
    /// `reference`: surprises of held-back normal windows, any order. What was fitted has 32 at least.
    pub fn new(reference: &[f32]) -> Self {
        let mut recent: Vec<f32> = reference.to_vec();
        // The file keeps them sorted; replaced in that order, the small ones would all go first.
        spread(&mut recent);
        recent.truncate(REFERENCE_MAX);
        let mut calibrator = Calibrator {
            recent,
            next: 0,
            sorted: Vec::new(),
            pending: Vec::new(),
            high: 0.0,
            high_p: 1.0,
            excess: 1.0,
            above: 1.0,
        };
        calibrator.refresh();
        calibrator
    }

    /// Notes a normal window's surprise; it counts from the next epoch on.
    pub fn observe(&mut self, surprise: f32) {
        if self.pending.len() < REFERENCE_MAX {
            self.pending.push(surprise);
        }
    }

    /// Something was observed that does not count yet.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes in what the ended epoch observed.
    pub fn commit(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        for i in 0..self.pending.len() {
            let surprise = self.pending[i];
            if self.recent.len() < REFERENCE_MAX {
                self.recent.push(surprise);
            } else {
                self.recent[self.next] = surprise;
                self.next = (self.next + 1) % REFERENCE_MAX;
            }
        }
        self.pending.clear();
        self.refresh();
    }

    /// Probability that a normal window is at least this surprising.
    pub fn p_value(&self, surprise: f32) -> f64 {
        let s = f64::from(surprise);
        if s <= self.high {
            return self.rank_p(surprise);
        }
        let shape = self.above + PRIOR_REFERENCES;
        let scale = self.above * self.excess + PRIOR_REFERENCES;
        self.high_p * (1.0 + (s - self.high) / scale).powf(-shape)
    }

    fn rank_p(&self, surprise: f32) -> f64 {
        let below = self.sorted.partition_point(|&r| r < surprise);
        let n = self.sorted.len();
        ((n - below) as f64 + 0.5) / (n as f64 + 1.0)
    }

    fn refresh(&mut self) {
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.recent);
        self.sorted.sort_unstable_by(f32::total_cmp);
        let n = self.sorted.len();
        if n == 0 {
            return;
        }
        let at = (n * 9 / 10).min(n - 1);
        self.high = f64::from(self.sorted[at]);
        // Many may be equal to the quantile, as where most windows have no odd column: the tail is of what lies beyond.
        let above = &self.sorted[self.sorted.partition_point(|&r| r <= self.sorted[at])..];
        self.above = above.len() as f64;
        self.high_p = (self.above + 0.5) / (n as f64 + 1.0);
        let mean = above.iter().map(|&r| f64::from(r) - self.high).sum::<f64>() / self.above;
        // Without anything beyond there is no tail to speak of; a nat then costs a factor e.
        self.excess = if mean > 1e-6 { mean } else { 1.0 };
    }
}

/// A fixed rearrangement that leaves no run of neighbours together.
fn spread(values: &mut Vec<f32>) {
    let n = values.len();
    if n > 2 {
        let step = (1..n).rev().find(|&s| s * 8 < n * 5 && gcd(s, n) == 1).unwrap_or(1);
        *values = (0..n).map(|i| values[i * step % n]).collect();
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn exponential(rng: &mut impl Rng) -> f32 {
        -(1.0 - rng.random::<f32>()).ln()
    }

    #[test]
    fn p_values_of_normal_windows_are_uniform() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let reference: Vec<f32> = (0..1024).map(|_| exponential(&mut rng)).collect();
        let calibrator = Calibrator::new(&reference);
        let n = 200_000;
        for (level, tolerance) in [(0.5, 0.05), (0.1, 0.02), (0.01, 0.004), (0.001, 0.0006)] {
            let hits = (0..n).filter(|_| calibrator.p_value(exponential(&mut rng)) < level).count();
            let rate = hits as f64 / n as f64;
            assert!((rate - level).abs() < tolerance, "p < {level} in {rate} of normal windows");
        }
    }

    #[test]
    fn p_value_never_rises_with_surprise() {
        let calibrator = Calibrator::new(&(0..100).map(|i| i as f32 * 0.1).collect::<Vec<_>>());
        let p: Vec<f64> = (0..400).map(|i| calibrator.p_value(i as f32 * 0.05)).collect();
        assert!(p.windows(2).all(|w| w[1] <= w[0]), "{p:?}");
        assert!(p[399] < 1e-5);
    }

    /// Most windows have no odd column at all, so most references are 0.
    #[test]
    fn p_values_hold_where_most_references_are_equal() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for share in [0.3, 0.02, 0.003] {
            let odd = |rng: &mut ChaCha8Rng| if rng.random::<f64>() < share { exponential(rng) } else { 0.0 };
            let reference: Vec<f32> = (0..1024).map(|_| odd(&mut rng)).collect();
            let calibrator = Calibrator::new(&reference);
            for surprise in [1.0f32, 3.0, 5.0, 8.0] {
                let (found, right) = (calibrator.p_value(surprise), share * f64::from(-surprise).exp());
                assert!(
                    found > right / 5.0 && found < right * 30.0 + 1e-3,
                    "{share} {surprise}: {found:e} {right:e}"
                );
            }
        }
    }

    #[test]
    fn an_epoch_acts_only_after_it_ended() {
        let mut calibrator = Calibrator::new(&vec![1.0; 64]);
        let before = calibrator.p_value(3.0);
        (0..500).for_each(|_| calibrator.observe(5.0));
        assert_eq!(calibrator.p_value(3.0), before);
        calibrator.commit();
        assert!(calibrator.p_value(3.0) > 0.5);
    }

    #[test]
    fn replacement_spares_no_end_of_a_sorted_file() {
        let sorted: Vec<f32> = (0..1024).map(|i| i as f32).collect();
        let mut calibrator = Calibrator::new(&sorted);
        (0..512).for_each(|_| calibrator.observe(512.0));
        calibrator.commit();
        let left: Vec<f32> = calibrator.recent.iter().copied().filter(|&v| v != 512.0).collect();
        let low = left.iter().filter(|&&v| v < 512.0).count();
        assert!((156..=356).contains(&low), "{low} of {} are from the lower half", left.len());
    }
}
