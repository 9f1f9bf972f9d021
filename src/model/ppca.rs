//! Probabilistic PCA (Tipping and Bishop, "Probabilistic principal component analysis", JRSS B 61,
//! 1999): `y = W t + e`, `t ~ N(0, I_q)`, `e ~ N(0, sigma2 I_d)`, of the centred, gained window
//! `y = gain * (z - mu)`.
//!
//! The gain is one factor a column that brings the columns' noise to one size before the isotropic
//! noise term; the density is of `z`, so the log-likelihood keeps the Jacobian `ln gain` of each
//! observed cell. Any subset `o` of the cells is again Gaussian with the rows `W_o`, `mu_o`: missing
//! cells are marginalised exactly, never filled in.

use candle_core::{DType, Device, Result, Tensor};

/// Parameters of the density. Kept in f32, the precision of the file; every computation is in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Ppca {
    pub cells: usize,
    /// Number of columns of the stream.
    pub columns: usize,
    /// q, one of [`super::energy::RANKS`]; surplus directions are zero.
    pub rank: usize,
    /// One factor a column, > 0.
    pub gain: Vec<f32>,
    /// d, z units, cell-major.
    pub mu: Vec<f32>,
    /// d × q, row-major, gained units.
    pub w: Vec<f32>,
    /// Noise variance of a cell, gained units, > 0.
    pub sigma2: f32,
}

impl Ppca {
    pub fn dimension(&self) -> usize {
        self.cells * self.columns
    }
}

/// Exact log-likelihood (nats) of the observed cells of each row of `z` (rows × d), in candle and f64:
/// the definition the fast scorer is held to. A row with nothing observed has 0.
///
/// With `M_o = sigma2 I + W_o' W_o`, `b = W_o' y_o` and `n` observed cells (Woodbury and the
/// determinant lemma):
/// `-2 ln p = n ln 2pi + (n - q) ln sigma2 + ln det M_o + (y_o'y_o - b' M_o^-1 b) / sigma2 - 2 sum ln gain`.
pub fn reference_log_likelihood(ppca: &Ppca, z: &[f32]) -> Result<Vec<f64>> {
    let (d, q) = (ppca.dimension(), ppca.rank);
    let rows = z.len() / d;
    let device = Device::Cpu;
    let vector = |values: Vec<f64>| Tensor::from_vec(values, (1, d), &device);
    let gains: Vec<f64> = (0..d).map(|i| f64::from(ppca.gain[i % ppca.columns])).collect();
    let ln_gain = vector(gains.iter().map(|g| g.ln()).collect())?;
    let gain = vector(gains)?;
    let mu = Tensor::from_slice(&ppca.mu, (1, d), &device)?.to_dtype(DType::F64)?;
    let w = Tensor::from_slice(&ppca.w, (d, q), &device)?.to_dtype(DType::F64)?;
    let sigma2 = f64::from(ppca.sigma2);

    let z = Tensor::from_slice(z, (rows, d), &device)?.to_dtype(DType::F64)?;
    let observed = z.eq(&z)?;
    let mask = observed.to_dtype(DType::F64)?;
    let y = z.broadcast_sub(&mu)?.broadcast_mul(&gain)?;
    let y = observed.where_cond(&y, &y.zeros_like()?)?;
    let count = mask.sum(1)?;
    let b = y.matmul(&w)?;

    // M of every row at once: mask (rows × d) times the outer products w_i w_i' (d × q²). Complete
    // rows all share one.
    let complete = count.to_vec1::<f64>()?.iter().all(|n| *n == d as f64);
    let masks = if complete { mask.narrow(0, 0, 1)? } else { mask.clone() };
    let outer = w.reshape((d, q, 1))?.broadcast_mul(&w.reshape((d, 1, q))?)?.reshape((d, q * q))?;
    let noise = (Tensor::eye(q, DType::F64, &device)? * sigma2)?.reshape((1, q, q))?;
    let m = masks.matmul(&outer)?.reshape(((), q, q))?.broadcast_add(&noise)?;
    let (ln_det, quadratic) = eliminate(m, b)?;

    let energy = ((y.sqr()?.sum(1)? - quadratic)? / sigma2)?;
    let constant = (std::f64::consts::TAU * sigma2).ln();
    let spread = ((count * constant)? - q as f64 * sigma2.ln())?.broadcast_add(&ln_det)?;
    let jacobian = mask.broadcast_mul(&ln_gain)?.sum(1)?;
    ((spread + energy)? * -0.5)?.add(&jacobian)?.to_vec1::<f64>()
}

/// Gaussian elimination of the symmetric positive definite systems `m` (1 or rows × q × q) against
/// `b` (rows × q): `(ln det m, b' m^-1 b)`, one value a row (the first may be one value in all).
fn eliminate(mut m: Tensor, mut b: Tensor) -> Result<(Tensor, Tensor)> {
    let q = m.dim(2)?;
    let mut ln_det = m.narrow(1, 0, 1)?.narrow(2, 0, 1)?.reshape(((),))?.zeros_like()?;
    let mut quadratic = b.narrow(1, 0, 1)?.reshape(((),))?.zeros_like()?;
    for left in (1..=q).rev() {
        let pivot = m.narrow(1, 0, 1)?.narrow(2, 0, 1)?;
        let (pivot_flat, b_first) = (pivot.reshape(((),))?, b.narrow(1, 0, 1)?);
        ln_det = (ln_det + pivot_flat.log()?)?;
        quadratic = (quadratic + b_first.reshape(((),))?.sqr()?.broadcast_div(&pivot_flat)?)?;
        if left > 1 {
            let column = m.narrow(1, 1, left - 1)?.narrow(2, 0, 1)?;
            let row = m.narrow(1, 0, 1)?.narrow(2, 1, left - 1)?;
            let factor = column.broadcast_div(&pivot)?;
            let step = factor.squeeze(2)?.broadcast_mul(&b_first)?;
            b = (b.narrow(1, 1, left - 1)? - step)?;
            m = (m.narrow(1, 1, left - 1)?.narrow(2, 1, left - 1)? - factor.broadcast_mul(&row)?)?;
        }
    }
    Ok((ln_det, quadratic))
}
