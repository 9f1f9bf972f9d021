//! Energies of one window with missing cells under one level.
//!
//! Each density is marginalised by its own second moments (see [`super::marginal`]). Two codes are tried:
//! the nearest to the window as the single density completes it, which is right where the window is
//! ordinary, and the nearest to the observed coordinates, which is right where it is not. About each the
//! gap is completed again, by the covariance within codes; the likelier counts.

use super::basis::{NU, ln_peak, spread};
use super::kernel::LANES;
use super::marginal::{Observed, Pattern};
use super::patch::Patch;
use super::prepared::{PreparedCodes, PreparedLevel};
use super::work::Energies;

/// Working space, and the patterns of the level's two densities.
pub(super) struct Space<'a> {
    pub patterns: &'a mut [Pattern; 2],
    pub patch: &'a mut Patch,
    pub residual: &'a mut Vec<f64>,
    pub axes: &'a mut Vec<f64>,
}

/// `z` are the gathered cells, NaN = missing.
#[inline(always)]
pub(super) fn with_gaps(levels: &[PreparedLevel], at: usize, z: &[f32], space: Space<'_>) -> Energies {
    let level = &levels[at];
    let (half, k, d) = (0.5 * (NU + 1.0), spread(NU), level.dimension as f64);
    let Space { patterns, patch, residual, axes } = space;
    let (w, noise) = patch.vector(levels, at, z);
    about(level, w, None, residual);
    let moments = &level.single.moments;
    moments.complete(residual, &mut patterns[0]);
    let observed = moments.observed(residual, &patterns[0], noise, k, axes);
    if observed.count == 0 {
        return Energies::default();
    }
    let mut found = Energies { observed: observed.count as f64 / d, ..Energies::default() };
    found.energy[0] = half * observed.ln_sum / observed.count as f64;
    found.log_likelihood = log_likelihood(&observed, 0.0);
    if let Some(codes) = &level.codes {
        let moments = &codes.density.moments;
        found.energy[1] = f64::INFINITY;
        let (ordinary, observed_only) = (nearest(codes, axes), nearest_observed(level, codes, w));
        for code in [ordinary, observed_only].into_iter().take(1 + usize::from(ordinary != observed_only)) {
            about(level, w, Some((codes, code)), residual);
            moments.complete(residual, &mut patterns[1]);
            let observed = moments.observed(residual, &patterns[1], noise, k, axes);
            let energy = half * observed.ln_sum / observed.count as f64 - codes.ln_share[code] / d;
            if energy < found.energy[1] {
                found.energy[1] = energy;
                found.log_likelihood = log_likelihood(&observed, codes.ln_share[code]);
            }
        }
    }
    found
}

/// The code nearest to the observed coordinates, each in units of its sd within codes.
#[inline(always)]
fn nearest_observed(level: &PreparedLevel, codes: &PreparedCodes, w: &[f32]) -> usize {
    let mut best = (0, f64::INFINITY);
    for (code, offset) in codes.offset.chunks_exact(level.dimension).enumerate() {
        let terms = w.iter().zip(&level.mu).zip(offset).zip(&codes.weight);
        let distance: f64 = terms
            .map(
                |(((w, mu), c), weight)| {
                    if w.is_nan() { 0.0 } else { weight * (f64::from(*w) - mu - c).powi(2) }
                },
            )
            .sum();
        if distance < best.1 {
            best = (code, distance);
        }
    }
    best.0
}

/// The level's vector about its mean, or about one of its codes.
#[inline(always)]
pub(super) fn about(
    level: &PreparedLevel,
    w: &[f32],
    code: Option<(&PreparedCodes, usize)>,
    residual: &mut Vec<f64>,
) {
    residual.clear();
    residual.extend(w.iter().zip(&level.mu).map(|(w, mu)| f64::from(*w) - mu));
    if let Some((codes, code)) = code {
        let offset = &codes.offset[code * level.dimension..][..level.dimension];
        residual.iter_mut().zip(offset).for_each(|(r, c)| *r -= c);
    }
}

/// Of the observed coordinates: t densities on the axes, scaled to the observed part's covariance.
fn log_likelihood(of: &Observed, ln_share: f64) -> f64 {
    of.count as f64 * ln_peak(NU) - 0.5 * of.ln_det - 0.5 * (NU + 1.0) * of.ln_sum + ln_share
}

/// The nearest code of a window whose projection on the single density's axes is given.
#[inline(always)]
pub(super) fn nearest(codes: &PreparedCodes, axes: &[f64]) -> usize {
    let mut best = (0, f64::INFINITY);
    for panel in 0..codes.search.panels() {
        for (lane, distance) in codes.search.outputs(panel, axes).into_iter().enumerate() {
            if distance < best.1 {
                best = (panel * LANES + lane, distance);
            }
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{normal_windows, rhythmic, series};
    use super::super::{Pyramid, Scores, Work};
    use ndarray::Array2;

    const CELLS: usize = 64;

    fn scores(pyramid: &Pyramid, windows: &Array2<f32>) -> Scores {
        let mut scores = Scores::default();
        pyramid.score(windows.as_slice().unwrap(), &mut scores, &mut Work::new());
        scores
    }

    fn without(windows: &Array2<f32>, missing: impl Fn(usize, usize) -> bool) -> Array2<f32> {
        let mut masked = windows.clone();
        masked
            .indexed_iter_mut()
            .filter(|((row, at), _)| missing(*row, *at))
            .for_each(|(_, z)| *z = f32::NAN);
        masked
    }

    /// Share of windows with p < 0.01.
    fn odd(scores: &Scores) -> f64 {
        let odd = scores.surprise.iter().filter(|s| (-**s).exp() < 0.01).count();
        odd as f64 / scores.surprise.len() as f64
    }

    fn mean(x: &[f32]) -> f64 {
        x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64
    }

    /// A fifth of the cells of the series, at random but fixed: a cell keeps its gap as windows move on.
    fn scattered(columns: usize) -> impl Fn(usize, usize) -> bool {
        move |row, at| ((row * columns + at) as f64 * 0.754_877_666).fract() * 7.3 % 1.0 < 0.2
    }

    fn check(kind: &str, of: fn(usize, usize, u64) -> Vec<f32>, columns: usize) {
        let fresh = |seed| normal_windows(&of(6000, columns, seed), CELLS, columns);
        let pyramid = Pyramid::fit(fresh(1).view(), CELLS, columns, &vec![false; columns]).unwrap();
        // Every second window: as telling, and half the time.
        let windows = fresh(2).slice_move(ndarray::s![..;2, ..]).as_standard_layout().into_owned();
        let whole = scores(&pyramid, &windows);
        let cells = scores(&pyramid, &without(&windows, scattered(columns)));
        let mut cases = vec![("a fifth of the cells", cells)];
        if columns > 1 {
            cases.push(("a column", scores(&pyramid, &without(&windows, |_, at| at % columns == 1))));
        }
        for (case, masked) in cases {
            let (share, expected) = (odd(&masked), odd(&whole));
            let (level, of_whole) = (mean(&masked.state), mean(&whole.state));
            eprintln!(
                "{kind}, {columns} columns without {case}: p < 0.01 in {share:.4} (whole {expected:.4}), \
                 state {level:.3} (whole {of_whole:.3})"
            );
            assert!(share <= 0.02, "{kind} {columns} {case}");
            assert!(level <= of_whole * 1.05, "{kind} {columns} {case}");
        }
    }

    #[test]
    fn gaps_alone_make_no_window_odd() {
        for columns in [1, 4, 8, 19] {
            check("noise", series, columns);
        }
    }

    #[test]
    fn gaps_alone_make_no_window_odd_under_codes() {
        for columns in [1, 4, 8] {
            check("rhythm", rhythmic, columns);
        }
    }

    #[test]
    fn what_is_odd_stays_odd_beside_a_gap() {
        let columns = 4;
        let fresh = |seed| normal_windows(&rhythmic(3000, columns, seed), CELLS, columns);
        let pyramid = Pyramid::fit(fresh(1).view(), CELLS, columns, &[false; 4]).unwrap();
        let mut windows = without(&fresh(2), |_, at| at % columns == 1);
        for mut row in windows.rows_mut() {
            (CELLS - 3..CELLS).for_each(|cell| row[cell * columns + 2] += 4.0);
        }
        let share = odd(&scores(&pyramid, &windows));
        assert!(share > 0.95, "{share}");
    }

    #[test]
    fn training_windows_may_have_gaps() {
        let columns = 5;
        let fresh = |seed| normal_windows(&series(4000, columns, seed), CELLS, columns);
        let gappy = without(&fresh(1), |row, at| scattered(columns)(row, at) && at % 2 == 0);
        let pyramid = Pyramid::fit(gappy.view(), CELLS, columns, &[false; 5]).unwrap();
        let windows = fresh(2);
        let of_whole = Pyramid::fit(fresh(1).view(), CELLS, columns, &[false; 5]).unwrap();
        let (found, expected) = (scores(&pyramid, &windows), scores(&of_whole, &windows));
        assert!(odd(&found) <= 0.02, "{}", odd(&found));
        let ratio = mean(&found.state) / mean(&expected.state);
        assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
        let ratio = pyramid.levels[2].basis.l.sum() / of_whole.levels[2].basis.l.sum();
        assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
    }
}
