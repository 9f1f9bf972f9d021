//! Algebra of q × q matrices with q known when compiling: small enough for registers and loops that
//! unroll. Orders of summation are fixed.

pub(super) type Square<const Q: usize> = [[f64; Q]; Q];

/// `b' M^-1 b` from the column-major inverse of M's Cholesky factor.
#[inline(always)]
pub(super) fn whitened<const Q: usize>(inverse: &[f64], b: &[f64; Q]) -> f64 {
    squared_norm(&times(inverse, b))
}

/// A column-major Q x Q matrix times a vector.
#[inline(always)]
pub(super) fn times<const Q: usize>(matrix: &[f64], b: &[f64; Q]) -> [f64; Q] {
    let mut y = [0.0; Q];
    for (column, b) in matrix[..Q * Q].chunks_exact(Q).zip(b) {
        for k in 0..Q {
            y[k] += b * column[k];
        }
    }
    y
}

#[inline(always)]
pub(super) fn squared_norm<const Q: usize>(y: &[f64; Q]) -> f64 {
    y.iter().fold(0.0, |sum, y| sum + y * y)
}

#[inline(always)]
pub(super) fn vector<const Q: usize>(from: &[f64]) -> [f64; Q] {
    std::array::from_fn(|k| from[k])
}

#[inline(always)]
pub(super) fn difference<const Q: usize>(a: &[f64; Q], b: &[f64; Q]) -> [f64; Q] {
    std::array::from_fn(|k| a[k] - b[k])
}

#[inline(always)]
pub(super) fn noise<const Q: usize>(sigma2: f64) -> Square<Q> {
    std::array::from_fn(|i| std::array::from_fn(|j| if i == j { sigma2 } else { 0.0 }))
}

#[inline(always)]
pub(super) fn plus<const Q: usize>(a: &Square<Q>, gram: &[f64]) -> Square<Q> {
    let gram = &gram[..Q * Q];
    std::array::from_fn(|i| std::array::from_fn(|j| a[i][j] + gram[i * Q + j]))
}

#[inline(always)]
pub(super) fn minus<const Q: usize>(a: &Square<Q>, gram: &[f64]) -> Square<Q> {
    let gram = &gram[..Q * Q];
    std::array::from_fn(|i| std::array::from_fn(|j| a[i][j] - gram[i * Q + j]))
}

/// Adds `times * w w'`.
#[inline(always)]
pub(super) fn add_outer<const Q: usize>(gram: &mut [f64], w: &[f64], times: f64) {
    let w = vector::<Q>(w);
    for (row, a) in gram.chunks_exact_mut(Q).zip(w) {
        for k in 0..Q {
            row[k] += times * a * w[k];
        }
    }
}

/// `(b' m^-1 b, ln det m)` by Gaussian elimination, whole rows at a time. `m` is `sigma2 I` plus a
/// gram matrix, so every pivot is at least about `sigma2`; rounding is kept from making one negative.
#[inline(always)]
pub(super) fn eliminate<const Q: usize>(mut m: Square<Q>, mut b: [f64; Q]) -> (f64, f64) {
    let (mut quadratic, mut ln_det) = (0.0, 0.0);
    for j in 0..Q {
        let (pivot_row, pivot) = (m[j], m[j][j].max(f64::MIN_POSITIVE));
        let per_pivot = 1.0 / pivot;
        quadratic += b[j] * b[j] * per_pivot;
        ln_det += pivot.ln();
        for i in j + 1..Q {
            let factor = m[i][j] * per_pivot;
            b[i] -= factor * b[j];
            for k in 0..Q {
                m[i][k] -= factor * pivot_row[k];
            }
        }
    }
    (quadratic, ln_det)
}

/// Lower Cholesky factor of what [`eliminate`] takes.
pub(super) fn cholesky<const Q: usize>(m: &Square<Q>) -> Square<Q> {
    let mut l = [[0.0; Q]; Q];
    for i in 0..Q {
        for j in 0..=i {
            let sum = (0..j).fold(m[i][j], |sum, k| sum - l[i][k] * l[j][k]);
            l[i][j] = if i == j { sum.max(f64::MIN_POSITIVE).sqrt() } else { sum / l[j][j] };
        }
    }
    l
}

pub(super) fn ln_det<const Q: usize>(l: &Square<Q>) -> f64 {
    2.0 * (0..Q).map(|k| l[k][k].ln()).sum::<f64>()
}

/// `l^-1 b`
pub(super) fn forward<const Q: usize>(l: &Square<Q>, b: &[f64; Q]) -> [f64; Q] {
    let mut y = [0.0; Q];
    for i in 0..Q {
        y[i] = (0..i).fold(b[i], |sum, k| sum - l[i][k] * y[k]) / l[i][i];
    }
    y
}

/// `l^-1`, column-major.
pub(super) fn inverse<const Q: usize>(l: &Square<Q>) -> Vec<f64> {
    (0..Q)
        .flat_map(|column| forward(l, &std::array::from_fn(|k| if k == column { 1.0 } else { 0.0 })))
        .collect()
}
