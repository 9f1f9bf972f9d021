//! Mean, gain and leading axes of a set of windows: what a [`Ppca`] of any rank is cut from.

use ndarray::{Array2, ArrayView2, Axis};

use super::eigen::eigen;
use super::energy::{Energies, Expected, Prepared, RANKS};
use super::{FitError, Ppca};

/// Rank of the model that fills gaps during the fit.
const FILL_RANK: usize = 4;
/// Rounds of filling gaps by their conditional expectation.
const FILL_ROUNDS: usize = 2;
/// No column's noise is taken as less than this part of its sd: quantised and constant columns.
const NOISE_FLOOR: f64 = 0.02;

/// Eigen-decomposition of the covariance of gained windows.
pub(super) struct Decomposition {
    cells: usize,
    columns: usize,
    gain: Vec<f32>,
    /// d, z units
    mean: Vec<f64>,
    /// Largest first, at most the largest of [`RANKS`].
    values: Vec<f64>,
    /// d × values, row-major
    vectors: Vec<f64>,
    trace: f64,
}

impl Decomposition {
    /// Windows with gaps are completed in two rounds of expectation and re-estimation, as in EM for
    /// incomplete normal data (Dempster, Laird and Rubin 1977): gaps start at the mean, then take
    /// their expectation given the observed cells; of the conditional covariance the noise term is
    /// added back, the (smaller) uncertainty of the latent variable is not.
    pub(super) fn new(
        windows: ArrayView2<'_, f32>,
        cells: usize,
        columns: usize,
        with_gain: bool,
    ) -> Result<Self, FitError> {
        let gain = if with_gain { noise_gain(windows, cells, columns) } else { vec![1.0; columns] };
        let missing: Vec<usize> =
            windows.axis_iter(Axis(1)).map(|cell| cell.iter().filter(|z| z.is_nan()).count()).collect();
        let mut filled = filled_with_mean(windows);
        let noiseless = vec![0.0; missing.len()];
        let mut found = Self::of_filled(&filled, cells, columns, &gain, &noiseless)?;
        if missing.iter().any(|n| *n > 0) {
            for _ in 0..FILL_ROUNDS {
                let ppca = found.ppca(FILL_RANK);
                fill_gaps(windows, &ppca, &mut filled);
                let share = f64::from(ppca.sigma2) / windows.nrows() as f64;
                let noise: Vec<f64> = missing.iter().map(|n| *n as f64 * share).collect();
                found = Self::of_filled(&filled, cells, columns, &gain, &noise)?;
            }
        }
        Ok(found)
    }

    /// `noise` is added to the diagonal of the covariance.
    fn of_filled(
        filled: &Array2<f64>,
        cells: usize,
        columns: usize,
        gain: &[f32],
        noise: &[f64],
    ) -> Result<Self, FitError> {
        let d = filled.ncols();
        let mean = column_means(filled);
        let mut gained = filled.clone();
        for mut row in gained.rows_mut() {
            for (i, value) in row.iter_mut().enumerate() {
                *value = (*value - mean[i]) * f64::from(gain[i % columns]);
            }
        }
        let mut covariance = gained.t().dot(&gained) / filled.nrows() as f64;
        for (i, noise) in noise.iter().enumerate() {
            covariance[[i, i]] += noise;
        }
        let trace = covariance.diag().sum();
        let (ascending, axes) = eigen(&covariance)?;
        let kept = d.min(RANKS[RANKS.len() - 1]);
        let values = (0..kept).map(|k| ascending[d - 1 - k]).collect();
        let vectors = (0..d * kept).map(|at| axes[[at / kept, d - 1 - at % kept]]).collect();
        Ok(Decomposition { cells, columns, gain: gain.to_vec(), mean, values, vectors, trace })
    }

    /// The maximum-likelihood density of this rank (Tipping and Bishop 1999, equations 7 and 8):
    /// `sigma2` is the mean of the discarded eigenvalues, `w_k = v_k sqrt(l_k - sigma2)`.
    pub(super) fn ppca(&self, rank: usize) -> Ppca {
        let (d, kept) = (self.mean.len(), self.values.len());
        let used = rank.min(d - 1);
        let rest = self.trace - self.values[..used].iter().sum::<f64>();
        let sigma2 = (rest / (d - used) as f64).max(self.sigma2_floor());
        let mut w = vec![0.0; d * rank];
        for i in 0..d {
            for k in 0..used {
                let length = (self.values[k] - sigma2).max(0.0).sqrt();
                w[i * rank + k] = (self.vectors[i * kept + k] * length) as f32;
            }
        }
        Ppca {
            cells: self.cells,
            columns: self.columns,
            rank,
            gain: self.gain.clone(),
            mu: self.mean.iter().map(|m| *m as f32).collect(),
            w,
            sigma2: sigma2 as f32,
        }
    }

    /// Nothing is known better than to half the noise floor: keeps windows of constants scoreable.
    fn sigma2_floor(&self) -> f64 {
        let gains = self.gain.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / self.gain.len() as f64;
        gains * (NOISE_FLOOR / 2.0).powi(2)
    }
}

/// 1 / noise sd of each column, scaled to a geometric mean of 1. The noise is the sd of the first
/// differences of adjacent observed cells over sqrt 2, which slow signals do not touch.
fn noise_gain(windows: ArrayView2<'_, f32>, cells: usize, columns: usize) -> Vec<f32> {
    let mut squares = vec![0.0; columns];
    let mut counts = vec![0u64; columns];
    for row in windows.rows() {
        for at in columns..cells * columns {
            let step = f64::from(row[at]) - f64::from(row[at - columns]);
            if step.is_finite() {
                squares[at % columns] += step * step;
                counts[at % columns] += 1;
            }
        }
    }
    let ln_noise: Vec<f64> = squares
        .iter()
        .zip(&counts)
        .map(
            |(square, n)| if *n == 0 { 0.0 } else { (square / *n as f64 / 2.0).sqrt().max(NOISE_FLOOR).ln() },
        )
        .collect();
    let centre = ln_noise.iter().sum::<f64>() / columns as f64;
    ln_noise.iter().map(|ln| (centre - ln).exp() as f32).collect()
}

fn filled_with_mean(windows: ArrayView2<'_, f32>) -> Array2<f64> {
    let mut filled = windows.mapv(f64::from);
    for mut cell in filled.columns_mut() {
        let (n, sum) = cell.iter().filter(|z| !z.is_nan()).fold((0u64, 0.0), |(n, sum), z| (n + 1, sum + z));
        let mean = if n == 0 { 0.0 } else { sum / n as f64 };
        cell.iter_mut().filter(|z| z.is_nan()).for_each(|z| *z = mean);
    }
    filled
}

fn column_means(filled: &Array2<f64>) -> Vec<f64> {
    let n = filled.nrows() as f64;
    filled.axis_iter(Axis(1)).map(|cell| cell.iter().sum::<f64>() / n).collect()
}

/// Writes the expectation of each missing cell given all observed cells of its window.
fn fill_gaps(windows: ArrayView2<'_, f32>, ppca: &Ppca, filled: &mut Array2<f64>) {
    let prepared = Prepared::new(ppca);
    let mut energies = Energies::default();
    let (mut window, mut gaps, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (row, mut into) in windows.rows().into_iter().zip(filled.rows_mut()) {
        if row.iter().all(|z| !z.is_nan()) {
            continue;
        }
        window.clear();
        window.extend(row.iter().copied());
        prepared.energies(&window, &mut energies);
        for column in 0..ppca.columns {
            gaps.clear();
            gaps.extend((0..ppca.cells).filter(|cell| window[cell * ppca.columns + column].is_nan()));
            expected.clear();
            expected.resize(gaps.len(), Expected { mean: 0.0, sd: 0.0 });
            prepared.expected(&energies, column, false, &gaps, &mut expected);
            for (cell, expected) in gaps.iter().zip(&expected) {
                into[cell * ppca.columns + column] = expected.mean;
            }
        }
    }
}
