//! What is rarest: surprises beyond their 99 % quantile, straightened.
//!
//! A surprise is in nats by an exponential tail fitted beyond the 90 % quantile. States are root mean squares and columns
//! are the oddest of several, whose tails get thinner further out, so that by that fit a window that no normal one comes
//! near is one in ten thousand. Beyond the 99 % quantile `t` the tail is fitted again: `t + (s - t) / e` nats, with `e` the
//! mean excess over `t` (Davison and Smith 1990). As for calibrators a mean excess of one nat counts for 20 of them.
//! Neighbouring windows show the same moment, so that all the excesses of a run of them count for one. Rows of several keys
//! lie between each other, and runs of different keys may be taken for one: then the one nat has more weight than it need
//! have. A monotone map: no window changes its rank.

const BEYOND_SHARE: f64 = 0.01;
/// Runs that a mean excess of one nat counts for.
const PRIOR_RUNS: f64 = 20.0;

/// Where the straightened part begins, nats, and the mean excess there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deep {
    pub threshold: f64,
    pub excess: f64,
}

impl Deep {
    /// As it is.
    pub const NONE: Deep = Deep { threshold: f64::MAX, excess: 1.0 };

    /// Of the surprises of training windows in order of time; those less than `apart` windows from each other are of one
    /// run.
    pub(super) fn fit(surprises: &[f32], apart: usize) -> Deep {
        let beyond = (BEYOND_SHARE * surprises.len() as f64) as usize;
        if beyond == 0 {
            return Deep::NONE;
        }
        let mut sorted = surprises.to_vec();
        sorted.sort_by(f32::total_cmp);
        let threshold = sorted[sorted.len() - 1 - beyond];
        let (mut runs, mut last, mut sum, mut n) = (0.0, None, 0.0, 0.0);
        for (at, surprise) in surprises.iter().enumerate().filter(|(_, s)| **s > threshold) {
            sum += f64::from(*surprise) - f64::from(threshold);
            n += 1.0;
            runs += f64::from(last.is_none_or(|last| at - last >= apart));
            last = Some(at);
        }
        let mean = if n > 0.0 { sum / n } else { 1.0 };
        let excess = (runs * mean + PRIOR_RUNS) / (runs + PRIOR_RUNS);
        Deep { threshold: f64::from(threshold), excess }
    }

    /// Nats.
    #[inline(always)]
    pub(super) fn straight(&self, surprise: f32) -> f32 {
        let beyond = f64::from(surprise) - self.threshold;
        if beyond > 0.0 { (self.threshold + beyond / self.excess) as f32 } else { surprise }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Independent windows whose tail has this mean excess from 4 nats on.
    fn windows(n: usize, excess: f32) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let exponential = |rng: &mut ChaCha8Rng| -(1.0 - rng.random::<f32>()).ln();
        let thinned = |s: f32| if s > 4.0 { 4.0 + (s - 4.0) * excess } else { s };
        (0..n).map(|_| thinned(exponential(&mut rng))).collect()
    }

    #[test]
    fn a_thin_tail_becomes_the_one_of_its_own_rarity() {
        for (excess, apart) in [(0.4, 1), (1.0, 1), (1.6, 1), (0.4, 16), (1.6, 16)] {
            let deep = Deep::fit(&windows(100_000, excess), apart);
            assert!((deep.threshold - f64::from(4.0 + 0.6 * excess)).abs() < 0.1, "{deep:?}");
            assert!((deep.excess - f64::from(excess)).abs() < 0.08, "{excess}: {deep:?}");
            // One in e^14, whatever the tail looked like.
            let raw = 4.0 + 10.0 * excess;
            let straight = f64::from(deep.straight(raw)) - deep.threshold;
            assert!((straight - 9.4).abs() < 1.0, "{excess}: {straight}");
            assert_eq!(deep.straight(2.0), 2.0);
        }
    }

    /// The same moment, seen by fifty windows, is one: it says little, and one nat holds.
    #[test]
    fn neighbours_speak_once() {
        let mut surprises = vec![1.0f32; 5000];
        surprises[1000..1050].fill(5.0);
        let (once, often) = (Deep::fit(&surprises, 32), Deep::fit(&surprises, 1));
        assert_eq!(once.excess, (4.0 + 20.0) / 21.0);
        assert!(often.excess > 2.0, "{often:?}");
    }

    #[test]
    fn few_windows_are_left_as_they_are() {
        let deep = Deep::fit(&windows(99, 0.1), 1);
        assert_eq!((deep, deep.straight(50.0)), (Deep::NONE, 50.0));
    }
}
