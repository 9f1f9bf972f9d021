//! The vectors a level learns from: completed, and without the most surprising, since a history may hold what nobody
//! labelled.

use ndarray::{Array2, Axis};

use super::super::FitError;
use super::basis::{Basis, NU};
use super::density::energies;
use super::fill::fitted;

/// Completed vectors and their moments.
pub(super) struct Trimmed {
    /// n × d
    pub f: Array2<f64>,
    pub basis: Basis,
    /// Rows that had no gap.
    pub whole: Vec<usize>,
}

/// Without the most surprising share of the rows of `f` (n × d, NaN = missing).
pub(super) fn trimmed(f: Array2<f64>, share: f64) -> Result<Trimmed, FitError> {
    let mut completed = f.clone();
    let basis = fitted(&mut completed)?;
    let energies = energies(&basis, None, completed.view(), NU);
    let mut sorted = energies.clone();
    sorted.sort_by(f64::total_cmp);
    let limit = sorted[((1.0 - share) * (sorted.len() - 1) as f64) as usize];
    let kept: Vec<usize> = (0..energies.len()).filter(|row| energies[*row] <= limit).collect();
    if kept.len() == energies.len() {
        return Ok(Trimmed { f: completed, basis, whole: whole(&f) });
    }
    // From the vectors as given: what was completed must count as uncertain again.
    let mut kept = f.select(Axis(0), &kept);
    let whole = whole(&kept);
    let basis = fitted(&mut kept)?;
    Ok(Trimmed { f: kept, basis, whole })
}

/// Rows without a gap.
pub(super) fn whole(f: &Array2<f64>) -> Vec<usize> {
    (0..f.nrows()).filter(|row| f.row(*row).iter().all(|w| !w.is_nan())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_surprising_rows_are_left_out_of_the_second_fit() {
        let mut f = Array2::from_shape_fn((200, 2), |(row, at)| ((row * (at + 3)) as f64 * 0.618).fract());
        (0..2).for_each(|row| f.row_mut(row).fill(15.0));
        let Trimmed { f: kept, basis, .. } = trimmed(f.clone(), 0.01).unwrap();
        assert_eq!(kept.nrows(), 198);
        assert!(basis.l.iter().all(|l| *l < 0.2));
        assert_eq!(trimmed(f, 0.0).unwrap().f.nrows(), 200);
    }
}
