//! How wide a band about an expectation is, so that it holds what it promises.
//!
//! Were values normal and the covariance known, 1.96 sds would hold 95 % of them. Heavy tails, columns that mostly rest,
//! and an sd that is taken from the same rows as the fit make it another number, column by column. So it is counted: on
//! windows that the fit had not seen, how many sds from its expectation lies the farthest of 95 % of the values? That is
//! the half-width in sds (cross-conformal prediction: Vovk, 2015).

use super::Pyramid;
use super::gaps::about;
use super::work::Work;

/// Share of normal values that lie within the band.
const HELD_SHARE: f64 = 0.95;
/// Half-width in sds where too few windows tell: of the central 95 % of a normal distribution.
pub(super) const NORMAL_SD: f32 = 1.96;
/// Fewest values that may tell, so that three are beyond.
const VALUES_MIN: usize = 60;
/// A band is never narrower than this, sds: a value that never moved is not told by its rounding.
const SD_MIN: f32 = 0.1;

impl Pyramid {
    /// By scored column: how many sds its last cell lies from what is expected of it given the rest, in each of these
    /// windows; windows with gaps in the level that expectations are of are left out.
    ///
    /// Of a normal density with precision P, `x_i` given all others has the mean `x_i - (P r)_i / P_ii` and the
    /// variance `1 / P_ii`, with `r` the window about its mean.
    pub(super) fn off(&self, windows: &[f32], off: &mut [Vec<f32>]) {
        let (level, columns) = (self.expecting(), self.columns.scored.len());
        let moments = &level.single.moments;
        let (mut work, mut residual) = (Work::new(), Vec::new());
        for window in windows.chunks_exact(self.dimension()) {
            self.gather(window, &mut work);
            let w = &work.z[work.z.len() - level.dimension..];
            if w.iter().any(|z| z.is_nan()) {
                continue;
            }
            about(level, w, None, &mut residual);
            for (column, off) in off.iter_mut().enumerate() {
                off.push(moments.off(&residual, level.dimension - columns + column).abs() as f32);
            }
        }
    }
}

/// Half-width in sds, of how far values lie.
pub(super) fn half_width(mut off: Vec<f32>) -> f32 {
    let n = off.len();
    if n < VALUES_MIN {
        return NORMAL_SD;
    }
    off.sort_by(f32::total_cmp);
    // One more than there are: the next value is as likely to fall before each of them as behind the last.
    let rank = (HELD_SHARE * (n + 1) as f64).ceil() as usize;
    off[rank.min(n) - 1].max(SD_MIN)
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{normal_windows, series};
    use super::super::{Pyramid, Work};
    use super::*;

    const CELLS: usize = 16;

    #[test]
    fn a_half_width_is_the_quantile_of_what_was_seen() {
        assert_eq!(half_width(vec![9.0; VALUES_MIN - 1]), NORMAL_SD);
        assert_eq!(half_width((1..=999).map(|i| i as f32).collect()), 950.0);
        assert_eq!(half_width(vec![0.0; 100]), SD_MIN);
    }

    /// The distance that calibrates is the one that is told.
    #[test]
    fn off_is_the_distance_from_the_expectation_in_sds() {
        for columns in [1, 4, 6] {
            let windows = normal_windows(&series(1500, columns, 1), CELLS, columns);
            let pyramid = Pyramid::fit(windows.view(), CELLS, columns, &vec![false; columns]).unwrap();
            let window = normal_windows(&series(400, columns, 2), CELLS, columns).row(100).to_vec();
            let mut off = vec![Vec::new(); columns];
            pyramid.off(&window, &mut off);
            let explained = pyramid.explain(&window, &mut Work::new());
            for (column, of) in explained.into_iter().flatten().enumerate() {
                let told = (window[(CELLS - 1) * columns + column] - of.expected) / of.sd;
                assert!((off[column][0] - told.abs()).abs() < 1e-3, "{columns}, {column}: {off:?} {told}");
            }
        }
    }
}
