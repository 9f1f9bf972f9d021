//! Axes of a covariance.

use faer::{Mat, Side};
use ndarray::{Array1, Array2};

use super::FitError;

/// Eigenvalues, ascending and not below 0, and eigenvectors in columns.
///
/// # Errors
/// If the iteration does not settle.
pub(super) fn eigen(covariance: &Array2<f64>) -> Result<(Array1<f64>, Array2<f64>), FitError> {
    let d = covariance.nrows();
    // Constant columns make blocks of zeros, on which the iteration may not settle: there nothing is
    // small beside its neighbours. A multiple of the identity changes no axis and mends that.
    let shifted_by = |shift: f64| {
        let shifted = |i, j| covariance[[i, j]] + if i == j { shift } else { 0.0 };
        Mat::from_fn(d, d, shifted).self_adjoint_eigen(Side::Lower).map(|eigen| (eigen, shift))
    };
    let mean = covariance.diag().sum() / d as f64;
    let (eigen, shift) = shifted_by(0.0).or_else(|_| shifted_by(mean)).map_err(|_| FitError::NoAxes)?;
    let values = Array1::from_shape_fn(d, |k| (eigen.S().column_vector()[k] - shift).max(0.0));
    let vectors = Array2::from_shape_fn((d, d), |(i, k)| eigen.U()[(i, k)]);
    Ok((values, vectors))
}
