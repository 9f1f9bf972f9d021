//! Columns that are too quiet: a stuck sensor has no noise, and no density finds that odd.
//!
//! A column's roughness is the mean square of its steps over the last cells. It is odd below the 10 %
//! quantile `h` of the training windows: `ln 10 + (ln h - ln r) / e` with `e` the mean excess below, the
//! mirror image of [`super::tail`] on the logarithm. A column that often rests has `h = 0`, and rests
//! in peace.

use super::kernel::{ln, squares};

/// Cells whose steps are looked at.
pub(super) const CELLS: usize = 17;
/// Fewest windows that may speak for a column.
const REFERENCES_MIN: usize = 60;
/// Roughness below this counts as this, z² units: its logarithm must stay finite.
const FLOOR: f32 = 1e-6;
/// The tail is never steeper than this: the spread of `ln r` of independent steps, a tenth.
const EXCESS_FLOOR: f64 = 0.04;
const BEYOND_SHARE: f64 = 0.1;

/// One column's references.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Still {
    /// Roughness below which a window is odd; 0: never.
    pub threshold: f32,
    /// Mean excess of `-ln r` beyond.
    pub excess: f64,
    pub median: f32,
}

impl Still {
    /// Of the training windows' roughness, NaN where unknown.
    pub(super) fn fit(mut references: Vec<f32>) -> Still {
        references.retain(|r| !r.is_nan());
        references.sort_by(f32::total_cmp);
        let n = references.len();
        let beyond = (BEYOND_SHARE * n as f64) as usize;
        if n < REFERENCES_MIN || references[beyond] <= FLOOR {
            return Still::default();
        }
        let threshold = references[beyond];
        let sum: f64 = references[..beyond].iter().map(|r| below(threshold, *r)).sum();
        Still { threshold, excess: (sum / beyond as f64).max(EXCESS_FLOOR), median: references[n / 2] }
    }

    /// The roughness of all steps where only a part is known: what is not counts as ordinary, at the median.
    pub(super) fn whole(&self, roughness: f32, share_known: f32) -> f32 {
        if share_known >= 1.0 || roughness.is_nan() || self.threshold <= 0.0 {
            return roughness;
        }
        let median = self.median.max(FLOOR).ln();
        (median + (roughness.max(FLOOR).ln() - median) * share_known).exp()
    }

    /// Nats; 0 at or above the threshold, and where unknown.
    #[inline(always)]
    pub(super) fn surprise(&self, roughness: f32) -> f32 {
        let scale = if self.excess > 0.0 { 1.0 / self.excess } else { 0.0 } as f32;
        let below = ln(self.threshold.max(FLOOR)) - ln(if roughness > FLOOR { roughness } else { FLOOR });
        let surprise = below.mul_add(scale, -BEYOND_SHARE.ln() as f32);
        if roughness < self.threshold { surprise } else { 0.0 }
    }
}

fn below(threshold: f32, roughness: f32) -> f64 {
    f64::from(threshold).ln() - f64::from(roughness.max(FLOOR)).ln()
}

/// Roughness of each of `out.len()` columns over the cells of `z` (cell-major, at least two cells) and the
/// share of its steps that are known; NaN where that is less than half. A step over a gap counts, as one:
/// the edges of a rhythm must not hide in gaps.
#[inline(always)]
pub(super) fn roughness(z: &[f32], out: &mut [f32], known: &mut [f32], last: &mut [f32]) {
    let columns = out.len();
    out.fill(0.0);
    known.fill(0.0);
    last.copy_from_slice(&z[..columns]);
    for now in z[columns..].chunks_exact(columns) {
        for c in 0..columns {
            let step = now[c] - last[c];
            let seen = !step.is_nan();
            out[c] += if seen { step * step } else { 0.0 };
            known[c] += if seen { 1.0 } else { 0.0 };
            last[c] = if now[c].is_nan() { last[c] } else { now[c] };
        }
    }
    let steps = (z.len() / columns - 1) as f32;
    for (r, known) in out.iter_mut().zip(known) {
        *r = if 2.0 * *known >= steps { *r / *known } else { f32::NAN };
        *known /= steps;
    }
}

/// The same of cells without gaps; `steps` is working space.
#[inline(always)]
pub(super) fn roughness_whole(z: &[f32], out: &mut [f32], steps: &mut [f32]) {
    let columns = out.len();
    for ((step, now), last) in steps.iter_mut().zip(&z[columns..]).zip(z) {
        *step = now - last;
    }
    squares(steps, out);
    let share = 1.0 / (steps.len() / columns) as f32;
    out.iter_mut().for_each(|r| *r *= share);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_squared_and_gaps_left_out() {
        let nan = f32::NAN;
        let z = [0.0, 1.0, 2.0, nan, 2.0, 5.0, 3.0, nan, 3.0, 1.0];
        let (mut r, mut known, mut last) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        roughness(&z, &mut r, &mut known, &mut last);
        assert_eq!((r, known), ([5.0 / 4.0, 16.0], [1.0, 0.5]));
        let whole = [0.0, 1.0, 2.1, 0.7, 2.0, 5.0, 3.3, 3.0];
        let (mut at_once, mut steps) = ([0.0; 2], [0.0; 6]);
        roughness(&whole, &mut r, &mut known, &mut last);
        roughness_whole(&whole, &mut at_once, &mut steps);
        assert_eq!(known, [1.0; 2]);
        assert!((0..2).all(|c| (r[c] - at_once[c]).abs() < 1e-6 * r[c]), "{r:?} {at_once:?}");
        roughness(&[nan, 1.0, 2.0, 1.0, 3.0, nan, nan, nan], &mut r, &mut known, &mut last);
        assert!(r[0].is_nan() && r[1].is_nan());
    }

    #[test]
    fn quiet_is_odd_only_where_it_is_rare() {
        let rough: Vec<f32> = (1..=1000).map(|i| i as f32 / 1000.0).collect();
        let still = Still::fit(rough.clone());
        assert_eq!(still.surprise(0.2), 0.0);
        assert_eq!(still.surprise(f32::NAN), 0.0);
        assert!((still.surprise(0.1) - 10f32.ln()).abs() < 0.05);
        assert!(still.surprise(0.0) > 10.0);
        let resting = Still::fit(rough.iter().map(|r| if *r < 0.2 { 0.0 } else { *r }).collect());
        assert_eq!(resting.surprise(0.0), 0.0);
        assert_eq!(Still::fit(vec![1.0; 59]).surprise(0.0), 0.0);
    }
}
