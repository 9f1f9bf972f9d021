//! Windows with gaps: what the missing coordinates are expected to be, and what the observed ones say.
//!
//! With precision `P = V diag(1/l) V'` and missing coordinates M, a residual `r = w - mu` is completed
//! by its expectation `r_M = -P_MM^-1 P_MO r_O`, which equals `S_MO S_OO^-1 r_O` and costs a solve of
//! the size of the gap only. A completed residual is too calm: along axis i its variance is
//! `f_i l_i`, with `f_i = 1 - v_iM' P_MM^-1 v_iM / l_i`. The f sum to the number of observed
//! coordinates, so the energy `sum f_i ln(1 + p_i^2 / (k l_i f_i)) / |O|` is one per observed dimension.

use ndarray::{Array1, Array2};

use super::kernel::ln;

/// Second moments of a density, ready to be marginalised.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    /// d × d row-major: a row is a coordinate, a column an axis.
    v: Vec<f64>,
    l: Vec<f64>,
    /// d × d
    precision: Vec<f64>,
    pub ln_det: f64,
}

/// What depends on which coordinates are missing, and not on the others' values. Kept from row to row:
/// a dead column is missing in all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern {
    missing: Vec<usize>,
    /// |M| × |M|: Cholesky factor of `P_MM`, lower.
    factor: Vec<f64>,
    /// d: `f`
    share: Vec<f64>,
    /// ln det of the observed coordinates' covariance.
    ln_det: f64,
    known: bool,
    half: Vec<f64>,
}

/// The observed part's energy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Observed {
    /// `sum f_i ln(1 + p_i^2 / (k l_i f_i))`
    pub ln_sum: f64,
    pub count: usize,
    pub ln_det: f64,
}

impl Moments {
    pub(super) fn new(v: &Array2<f64>, l: &Array1<f64>) -> Moments {
        let precision = (v / l).dot(&v.t());
        let ln_det = l.iter().map(|l| l.ln()).sum();
        let row_major = |m: &Array2<f64>| m.rows().into_iter().flatten().copied().collect();
        Moments { v: row_major(v), l: l.to_vec(), precision: row_major(&precision), ln_det }
    }

    pub(super) fn dimension(&self) -> usize {
        self.l.len()
    }

    /// d × d, row-major.
    pub(super) fn precision(&self) -> &[f64] {
        &self.precision
    }

    /// d × d, row-major: a row is a coordinate, a column an axis.
    pub(super) fn axes(&self) -> &[f64] {
        &self.v
    }

    /// Completes `residual` (NaN = missing) by its expectation given the rest.
    #[inline(always)]
    pub(super) fn complete(&self, residual: &mut [f64], pattern: &mut Pattern) {
        let d = self.dimension();
        self.learn(residual, pattern);
        let Pattern { missing, factor, half, .. } = pattern;
        missing.iter().for_each(|at| residual[*at] = 0.0);
        half.clear();
        half.extend(missing.iter().map(|at| dot(&self.precision[at * d..][..d], residual)));
        solve_lower(factor, missing.len(), half, 1);
        solve_upper(factor, half);
        missing.iter().zip(half.iter()).for_each(|(at, value)| residual[*at] = -value);
    }

    /// The observed part's energy of a residual [`Moments::complete`] has completed. `noise` is variance
    /// its coordinates have beyond the density's, or empty; it widens the axes it falls on. `spread` is
    /// the k of the axes' density, `axes` working space.
    #[inline(always)]
    pub(super) fn observed(
        &self,
        residual: &[f64],
        pattern: &Pattern,
        noise: &[f64],
        spread: f64,
        axes: &mut Vec<f64>,
    ) -> Observed {
        let d = self.dimension();
        self.project(residual, axes);
        // Behind the projection, in the same working space: scoring allocates nothing.
        axes.extend(self.l.iter().zip(&pattern.share).map(|(l, share)| l * share));
        let (axes, variance) = axes.split_at_mut(d);
        for (row, noise) in self.v.chunks_exact(d).zip(noise).filter(|(_, noise)| **noise > 0.0) {
            variance.iter_mut().zip(row).for_each(|(variance, v)| *variance += noise * v * v);
        }
        for ((p, of), share) in axes.iter().zip(&mut *variance).zip(&pattern.share) {
            let term = share * f64::from(ln((1.0 + p * p / (spread * *of)) as f32));
            // An axis wholly within the gap has nothing observed and a projection of rounding errors.
            *of = if *share <= 1e-9 { 0.0 } else { term };
        }
        let ln_sum = variance.iter().sum();
        Observed { ln_sum, count: d - pattern.missing.len(), ln_det: pattern.ln_det }
    }

    /// `V' r`
    #[inline(always)]
    pub(super) fn project(&self, residual: &[f64], axes: &mut Vec<f64>) {
        let d = self.dimension();
        axes.clear();
        axes.resize(d, 0.0);
        for (row, r) in self.v.chunks_exact(d).zip(residual) {
            axes.iter_mut().zip(row).for_each(|(p, v)| *p += r * v);
        }
    }

    /// The residual that lies `at` sds from the mean along each axis in turn.
    pub(super) fn point(&self, mut at: impl FnMut() -> f64) -> Vec<f64> {
        let axes: Vec<f64> = self.l.iter().map(|l| l.sqrt() * at()).collect();
        self.v.chunks_exact(self.dimension()).map(|row| dot(row, &axes)).collect()
    }

    /// How many sds the coordinate `at` of a whole residual lies from its expectation given the others:
    /// `(P r)_i / sqrt(P_ii)`.
    pub(super) fn off(&self, residual: &[f64], at: usize) -> f64 {
        let row = &self.precision[at * self.dimension()..][..self.dimension()];
        dot(row, residual) / row[at].sqrt()
    }

    /// `P r`, the gradient of `r' P r / 2`.
    pub(super) fn gradient(&self, residual: &[f64]) -> Vec<f64> {
        self.precision.chunks_exact(self.dimension()).map(|row| dot(row, residual)).collect()
    }

    /// By how much `r' P r` falls when the coordinates `at` are left out: `(P r)_A' P_AA^-1 (P r)_A`.
    pub(super) fn part(&self, gradient: &[f64], at: &[usize]) -> f64 {
        let mut factor = Vec::new();
        self.factorise(at, &mut factor);
        let mut half: Vec<f64> = at.iter().map(|i| gradient[*i]).collect();
        solve_lower(&factor, at.len(), &mut half, 1);
        half.iter().map(|h| h * h).sum()
    }

    /// Rows of `L^-1 P_A.`, `L L' = P_AA`: applied to a residual, their squares sum to [`Moments::part`] of `at`.
    pub(super) fn whitened_gradient(&self, at: &[usize]) -> Vec<Vec<f64>> {
        let (d, mut factor) = (self.dimension(), Vec::new());
        self.factorise(at, &mut factor);
        let mut rows: Vec<f64> =
            at.iter().flat_map(|i| self.precision[i * d..][..d].iter().copied()).collect();
        solve_lower(&factor, at.len(), &mut rows, d);
        rows.chunks_exact(d).map(<[f64]>::to_vec).collect()
    }

    /// Adds the missing coordinates' conditional covariance `P_MM^-1` to `sum` (d × d).
    pub(super) fn add_uncertainty(&self, pattern: &Pattern, sum: &mut Array2<f64>) {
        let m = pattern.missing.len();
        let mut column = vec![0.0; m];
        for (at, j) in pattern.missing.iter().enumerate() {
            column.fill(0.0);
            column[at] = 1.0;
            solve_lower(&pattern.factor, m, &mut column, 1);
            solve_upper(&pattern.factor, &mut column);
            pattern.missing.iter().zip(&column).for_each(|(i, c)| sum[[*i, *j]] += c);
        }
    }

    /// Variance of the missing coordinate `at` given the observed ones; 0 if it is observed.
    pub(super) fn variance(&self, pattern: &mut Pattern, at: usize) -> f64 {
        let Pattern { missing, factor, half, .. } = pattern;
        half.clear();
        half.resize(missing.len(), 0.0);
        if let Some(place) = missing.iter().position(|j| *j == at) {
            half[place] = 1.0;
            solve_lower(factor, missing.len(), half, 1);
        }
        half.iter().map(|h| h * h).sum()
    }

    /// `L`, lower, of `L L' = P_AA`.
    #[inline(always)]
    fn factorise(&self, at: &[usize], factor: &mut Vec<f64>) {
        let d = self.dimension();
        factor.clear();
        for i in at {
            factor.extend(at.iter().map(|j| self.precision[i * d + j]));
        }
        cholesky(factor, at.len());
    }

    #[inline(always)]
    fn learn(&self, residual: &[f64], pattern: &mut Pattern) {
        let d = self.dimension();
        let missing = || (0..d).filter(|at| residual[*at].is_nan());
        if pattern.known && pattern.missing.iter().copied().eq(missing()) {
            return;
        }
        pattern.missing.clear();
        pattern.missing.extend(missing());
        let m = pattern.missing.len();
        self.factorise(&pattern.missing, &mut pattern.factor);
        pattern.half.clear();
        pattern.missing.iter().for_each(|i| pattern.half.extend_from_slice(&self.v[i * d..][..d]));
        solve_lower(&pattern.factor, m, &mut pattern.half, d);
        pattern.share.clear();
        pattern.share.resize(d, 0.0);
        for lost in pattern.half.chunks_exact(d) {
            pattern.share.iter_mut().zip(lost).for_each(|(share, lost)| *share += lost * lost);
        }
        let shares = pattern.share.iter_mut().zip(&self.l);
        shares.for_each(|(share, l)| *share = (1.0 - *share / l).clamp(0.0, 1.0));
        let gap: f64 = (0..m).map(|i| 2.0 * pattern.factor[i * m + i].ln()).sum();
        pattern.ln_det = self.ln_det + gap;
        pattern.known = true;
    }
}

impl Pattern {
    pub(super) fn forget(&mut self) {
        self.known = false;
    }
}

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// In place, lower, row-major. A precision's minors are positive: its eigenvalues are bounded below.
#[inline(always)]
fn cholesky(a: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..=i {
            let sum = a[i * n + j] - dot(&a[i * n..][..j], &a[j * n..][..j]);
            a[i * n + j] = if i == j { sum.max(f64::MIN_POSITIVE).sqrt() } else { sum / a[j * n + j] };
        }
    }
}

/// `b <- L^-1 b`, b of n rows of `width`.
#[inline(always)]
fn solve_lower(factor: &[f64], n: usize, b: &mut [f64], width: usize) {
    for i in 0..n {
        let (done, rest) = b.split_at_mut(i * width);
        let row = &mut rest[..width];
        for (j, known) in done.chunks_exact(width).enumerate() {
            let times = factor[i * n + j];
            row.iter_mut().zip(known).for_each(|(r, k)| *r -= times * k);
        }
        let pivot = factor[i * n + i];
        row.iter_mut().for_each(|r| *r /= pivot);
    }
}

/// `b <- L'^-1 b`
#[inline(always)]
fn solve_upper(factor: &[f64], b: &mut [f64]) {
    let n = b.len();
    for i in (0..n).rev() {
        b[i] /= factor[i * n + i];
        let value = b[i];
        b[..i].iter_mut().zip(&factor[i * n..]).for_each(|(b, f)| *b -= f * value);
    }
}

#[cfg(test)]
#[path = "marginal_tests.rs"]
mod tests;
