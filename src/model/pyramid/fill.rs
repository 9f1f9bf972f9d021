//! Moments of training vectors with gaps.

use ndarray::{Array2, Axis};

use super::super::FitError;
use super::basis::Basis;
use super::marginal::{Moments, Pattern};

/// Rounds of filling gaps by their conditional expectation.
const FILL_ROUNDS: usize = 2;

/// Moments of vectors with gaps, which are completed on the way: rounds of expectation and
/// re-estimation, as in EM for incomplete normal data (Dempster, Laird and Rubin 1977).
pub(super) fn fitted(f: &mut Array2<f64>) -> Result<Basis, FitError> {
    let gaps: Vec<usize> = (0..f.nrows()).filter(|row| f.row(*row).iter().any(|w| w.is_nan())).collect();
    if gaps.is_empty() {
        return Basis::fit(f.view(), None);
    }
    let given = f.select(Axis(0), &gaps);
    for mut coordinate in f.columns_mut() {
        let (n, sum) =
            coordinate.iter().filter(|w| !w.is_nan()).fold((0.0, 0.0), |(n, sum), w| (n + 1.0, sum + w));
        let mean = if n > 0.0 { sum / n } else { 0.0 };
        coordinate.iter_mut().filter(|w| w.is_nan()).for_each(|w| *w = mean);
    }
    let mut basis = Basis::fit(f.view(), None)?;
    for _ in 0..FILL_ROUNDS {
        let mut completed = given.clone();
        let mut uncertain = Array2::zeros((f.ncols(), f.ncols()));
        fill(&mut completed, &basis, Some(&mut uncertain));
        gaps.iter().zip(completed.rows()).for_each(|(row, completed)| f.row_mut(*row).assign(&completed));
        basis = Basis::fit(f.view(), Some(&uncertain))?;
    }
    Ok(basis)
}

/// Completes the rows of `f` by their expectations; adds up what stays uncertain.
pub(super) fn fill(f: &mut Array2<f64>, basis: &Basis, mut uncertain: Option<&mut Array2<f64>>) {
    if f.iter().all(|w| !w.is_nan()) {
        return;
    }
    let moments = Moments::new(&basis.v, &basis.l);
    let mut pattern = Pattern::default();
    for mut row in f.rows_mut() {
        if row.iter().any(|w| w.is_nan()) {
            let mut residual: Vec<f64> = row.iter().zip(&basis.mu).map(|(w, mu)| w - mu).collect();
            moments.complete(&mut residual, &mut pattern);
            if let Some(sum) = uncertain.as_deref_mut() {
                moments.add_uncertainty(&pattern, sum);
            }
            row.iter_mut().zip(&residual).zip(&basis.mu).for_each(|((w, r), mu)| *w = r + mu);
        }
    }
}
