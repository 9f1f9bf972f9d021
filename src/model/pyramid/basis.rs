//! The second moments of a level, and the axes its densities are products over.
//!
//! A level's first density is a product of Student-t densities on the principal axes of its vectors:
//! exact, because the axes are orthonormal (`|det V| = 1`). Eigenvalues are shrunk towards their mean,
//! so that axes the training rows never used are unlikely and not impossible.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::super::{FitError, eigen::eigen};

/// Degrees of freedom of every axis.
pub const NU: f64 = 8.0;
/// Weight of the mean eigenvalue in each of them.
const SHRINK: f64 = 0.02;
/// Added to every eigenvalue, z² units.
const FLOOR: f64 = 1e-4;

/// Mean and principal axes of a set of vectors of d coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// d
    pub mu: Array1<f64>,
    /// d × d, axes in columns
    pub v: Array2<f64>,
    /// d, variance along each axis, shrunk
    pub l: Array1<f64>,
}

impl Basis {
    /// Of the rows of `f` (n × d, no gaps). `uncertain` is added to their scatter: the summed
    /// conditional covariances of coordinates that were filled.
    pub(super) fn fit(f: ArrayView2<'_, f64>, uncertain: Option<&Array2<f64>>) -> Result<Basis, FitError> {
        let n = f.nrows().max(2) as f64;
        let mu = f.sum_axis(Axis(0)) / f.nrows().max(1) as f64;
        let centred = &f - &mu;
        let mut scatter = centred.t().dot(&centred);
        if let Some(uncertain) = uncertain {
            scatter += uncertain;
        }
        let (l, v) = spectrum(&(scatter / (n - 1.0)))?;
        Ok(Basis { mu, v, l })
    }

    pub fn dimension(&self) -> usize {
        self.mu.len()
    }
}

/// Shrunk eigenvalues, ascending, and eigenvectors in columns.
pub(super) fn spectrum(covariance: &Array2<f64>) -> Result<(Array1<f64>, Array2<f64>), FitError> {
    let (l, v) = eigen(covariance)?;
    Ok((shrunk(l), v))
}

pub(super) fn shrunk(l: Array1<f64>) -> Array1<f64> {
    let mean = l.sum() / l.len() as f64;
    l.mapv(|l| (1.0 - SHRINK) * l + SHRINK * mean + FLOOR)
}

/// What [`shrunk`] gives an axis without variance, of all that it gave.
pub(super) fn least(shrunk: &Array1<f64>) -> f64 {
    let mean = shrunk.sum() / shrunk.len() as f64 - FLOOR;
    SHRINK * mean + FLOOR
}

/// `k` of `ln(1 + P^2 / (k l))`: with it the t density has variance `l`.
pub(super) fn spread(nu: f64) -> f64 {
    nu - 2.0
}

/// Log density of an axis of variance 1 at its centre.
pub(super) fn ln_peak(nu: f64) -> f64 {
    ln_gamma((nu + 1.0) / 2.0) - ln_gamma(nu / 2.0) - 0.5 * (spread(nu) * std::f64::consts::PI).ln()
}

/// Stirling's series after shifting the argument above 30: exact to 1e-14 for arguments above 0.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 30.0 {
        shift += x.ln();
        x += 1.0;
    }
    let x2 = 1.0 / (x * x);
    let series = (1.0 / 12.0 - x2 * (1.0 / 360.0 - x2 * (1.0 / 1260.0 - x2 / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn gamma_matches_known_values() {
        assert!((ln_gamma(5.0) - 24f64.ln()).abs() < 1e-13);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-13);
        assert!((ln_gamma(4.5) - 2.453_736_570_842_442).abs() < 1e-13);
    }

    #[test]
    fn axes_carry_the_covariance() {
        let f = array![[1.0, 2.0, 0.0], [2.0, 3.5, 0.0], [3.0, 6.5, 0.0], [5.0, 9.0, 0.0]];
        let basis = Basis::fit(f.view(), None).unwrap();
        let centred = &f - &basis.mu;
        let covariance = centred.t().dot(&centred) / 3.0;
        let shift = SHRINK * covariance.diag().sum() / 3.0 + FLOOR;
        let back = basis.v.dot(&Array2::from_diag(&basis.l)).dot(&basis.v.t());
        for (i, j) in (0..9).map(|at| (at / 3, at % 3)) {
            let expected = (1.0 - SHRINK) * covariance[[i, j]] + if i == j { shift } else { 0.0 };
            assert!((back[[i, j]] - expected).abs() < 1e-12);
        }
    }
}
