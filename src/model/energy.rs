//! Energies of one window: squared Mahalanobis distances of the whole, of each column by itself, and
//! of each column given all others, with the exact log-likelihood of the observed cells.
//!
//! All sums are f64, in an order fixed by the window alone: a row's result does not depend on its
//! neighbours or on the width of the machine's vectors (multiply and add stay separate, so fused
//! instructions cannot change a bit either). A distance without column `c` costs one q × q product
//! because `y'y`, `W'y` and `W'W` are sums over columns.

use super::prepared::{LANES, constant};
pub use super::prepared::{Prepared, RANKS};
use super::square::{
    add_outer, cholesky, difference, eliminate, forward, minus, noise, plus, squared_norm, times, vector,
    whitened,
};

/// What [`Prepared::energies`] finds in a window, and its working space. Reuse it.
#[derive(Clone, Debug, Default)]
pub struct Energies {
    /// Exact log-likelihood of the observed cells, nats; 0 when there are none.
    pub log_likelihood: f64,
    /// Observed cells.
    pub observed: usize,
    /// Squared Mahalanobis distance of the observed cells.
    pub total: f64,
    /// By column: the part of `total` that is new when the column joins all the others.
    pub conditional: Vec<f64>,
    /// By column: squared Mahalanobis distance of the column's observed cells by themselves.
    pub own: Vec<f64>,
    /// By column: observed cells.
    pub column_observed: Vec<u16>,
    residual: Vec<f64>,
    square: Vec<f64>,
    projection: Vec<f64>,
    gram: Vec<f64>,
}

/// A cell as the model sees it through the other cells, z units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub mean: f64,
    pub sd: f64,
}

impl Energies {
    /// The findings without the working space.
    pub(super) fn result(&self) -> Energies {
        Energies {
            log_likelihood: self.log_likelihood,
            observed: self.observed,
            total: self.total,
            conditional: self.conditional.clone(),
            own: self.own.clone(),
            column_observed: self.column_observed.clone(),
            ..Energies::default()
        }
    }
}

impl Prepared {
    /// Energies of the window `z` (d values). Cells that are not finite count as missing.
    #[inline(always)]
    pub fn energies(&self, z: &[f32], out: &mut Energies) {
        match self.rank {
            2 => row::<2>(self, z, out),
            4 => row::<4>(self, z, out),
            8 => row::<8>(self, z, out),
            _ => row::<16>(self, z, out),
        }
    }

    /// Expectation and sd of the cells of `column` at `cells`, given the observed cells of every
    /// other column (of every column, with `others_only` false). `of` are the window's energies.
    pub fn expected(
        &self,
        of: &Energies,
        column: usize,
        others_only: bool,
        cells: &[usize],
        out: &mut [Expected],
    ) {
        match self.rank {
            2 => expected::<2>(self, of, column, others_only, cells, out),
            4 => expected::<4>(self, of, column, others_only, cells, out),
            8 => expected::<8>(self, of, column, others_only, cells, out),
            _ => expected::<16>(self, of, column, others_only, cells, out),
        }
    }
}

#[inline(always)]
fn row<const Q: usize>(p: &Prepared, z: &[f32], out: &mut Energies) {
    let z = &z[..p.cells * p.columns];
    out.residual.resize(p.cells_padded, 0.0);
    out.square.resize(p.columns, 0.0);
    out.projection.resize(p.columns * Q, 0.0);
    out.conditional.resize(p.columns, 0.0);
    out.own.resize(p.columns, 0.0);
    out.column_observed.resize(p.columns, 0);
    out.gram.resize(p.columns * Q * Q, 0.0);
    let mut square = 0.0;
    for column in 0..p.columns {
        square += project::<Q>(p, z, column, out);
    }
    if square.is_finite() {
        complete::<Q>(p, square, out);
    } else {
        gaps::<Q>(p, z, out);
    }
}

/// `y'y` of a column, kept with its `W'y`. A missing cell makes it NaN.
#[inline(always)]
fn project<const Q: usize>(p: &Prepared, z: &[f32], column: usize, out: &mut Energies) -> f64 {
    let residual = &mut out.residual[..p.cells_padded];
    let gain = p.gain[column];
    let mean = &p.mean[column * p.cells..][..p.cells];
    let values = z[column..].iter().step_by(p.columns);
    for ((r, value), mean) in residual.iter_mut().zip(values).zip(mean) {
        *r = (f64::from(*value) - mean) * gain;
    }
    residual[p.cells..].fill(0.0);
    let weight = &p.weight[column * p.cells_padded * Q..][..p.cells_padded * Q];
    let mut lanes = [0.0; LANES];
    let mut squares = [0.0; LANES];
    for (r, w) in residual.chunks_exact(LANES / Q).zip(weight.chunks_exact(LANES)) {
        for j in 0..LANES {
            lanes[j] += r[j / Q] * w[j];
        }
        for j in 0..LANES / Q {
            squares[j] += r[j] * r[j];
        }
    }
    let projection = &mut out.projection[column * Q..][..Q];
    for k in 0..Q {
        projection[k] = 0.0;
        for step in 0..LANES / Q {
            projection[k] += lanes[step * Q + k];
        }
    }
    out.square[column] = squares[..LANES / Q].iter().sum();
    out.square[column]
}

/// A window without gaps: every factor is at hand.
#[inline(always)]
fn complete<const Q: usize>(p: &Prepared, square: f64, out: &mut Energies) {
    let projection = total_projection::<Q>(out);
    let per_sigma2 = 1.0 / p.sigma2;
    out.observed = p.cells * p.columns;
    out.total = (square - whitened::<Q>(&p.inverse_all, &projection)).max(0.0) * per_sigma2;
    out.log_likelihood = -0.5 * (p.complete_constant + out.total);
    for column in 0..p.columns {
        let own = vector::<Q>(&out.projection[column * Q..]);
        let others = difference(&projection, &own);
        let (without, only) = (&p.inverse_without[column * Q * Q..], &p.inverse_only[column * Q * Q..]);
        let rest = (square - out.square[column] - whitened::<Q>(without, &others)).max(0.0) * per_sigma2;
        out.conditional[column] = (out.total - rest).max(0.0);
        out.own[column] = (out.square[column] - whitened::<Q>(only, &own)).max(0.0) * per_sigma2;
        out.column_observed[column] = p.cells as u16;
    }
}

/// A window with gaps: sums over the observed cells, one elimination for every marginal that is not
/// at hand. Columns are often whole or wholly missing, and then it is.
#[inline(always)]
fn gaps<const Q: usize>(p: &Prepared, z: &[f32], out: &mut Energies) {
    let (mut jacobian, mut square) = (0.0, 0.0);
    let mut all = noise::<Q>(p.sigma2);
    out.observed = 0;
    for column in 0..p.columns {
        observe::<Q>(p, z, column, out);
        all = plus(&all, &out.gram[column * Q * Q..]);
        square += out.square[column];
        out.observed += usize::from(out.column_observed[column]);
        jacobian += p.ln_gain[column] * f64::from(out.column_observed[column]);
    }
    let projection = total_projection::<Q>(out);
    let (explained, ln_det) = eliminate(all, projection);
    out.total = (square - explained).max(0.0) / p.sigma2;
    out.log_likelihood = if out.observed == 0 {
        0.0
    } else {
        -0.5 * (constant::<Q>(out.observed, p.sigma2, ln_det, jacobian) + out.total)
    };
    for column in 0..p.columns {
        let observed = usize::from(out.column_observed[column]);
        if observed == 0 {
            (out.conditional[column], out.own[column]) = (0.0, 0.0);
            continue;
        }
        let gram = &out.gram[column * Q * Q..][..Q * Q];
        let own = vector::<Q>(&out.projection[column * Q..]);
        let explained_own = if observed == p.cells {
            whitened::<Q>(&p.inverse_only[column * Q * Q..], &own)
        } else {
            eliminate(plus(&noise(p.sigma2), gram), own).0
        };
        let explained_rest = eliminate(minus(&all, gram), difference(&projection, &own)).0;
        let rest = (square - out.square[column] - explained_rest).max(0.0) / p.sigma2;
        out.conditional[column] = (out.total - rest).max(0.0);
        out.own[column] = (out.square[column] - explained_own).max(0.0) / p.sigma2;
    }
}

/// `y'y`, `W'y` and `W'W` over the observed cells of a column; the first two of a whole column are
/// already there.
#[inline(always)]
fn observe<const Q: usize>(p: &Prepared, z: &[f32], column: usize, out: &mut Energies) {
    let values = z[column..].iter().step_by(p.columns);
    let observed = values.filter(|z| z.is_finite()).count();
    out.column_observed[column] = observed as u16;
    let gram = &mut out.gram[column * Q * Q..][..Q * Q];
    let whole = &p.gram[column * Q * Q..][..Q * Q];
    // The outer products of the fewer: of the observed cells, or of the missing ones to take away.
    let few_missing = 2 * observed > p.cells;
    if few_missing {
        gram.copy_from_slice(whole);
    } else {
        gram.fill(0.0);
    }
    if observed == p.cells {
        return;
    }
    let mut projection = [0.0; Q];
    let mut square = 0.0;
    for cell in 0..p.cells {
        let value = z[cell * p.columns + column];
        let w = &p.weight[(column * p.cells_padded + cell) * Q..][..Q];
        if !value.is_finite() {
            if few_missing {
                add_outer::<Q>(gram, w, -1.0);
            }
            continue;
        }
        if !few_missing {
            add_outer::<Q>(gram, w, 1.0);
        }
        let y = (f64::from(value) - p.mean[column * p.cells + cell]) * p.gain[column];
        for k in 0..Q {
            projection[k] += y * w[k];
        }
        square += y * y;
    }
    out.projection[column * Q..][..Q].copy_from_slice(&projection);
    out.square[column] = square;
}

/// See [`Prepared::expected`]: `E[t] = M^-1 b`, `cov t = sigma2 M^-1` over the cells that are given.
fn expected<const Q: usize>(
    p: &Prepared,
    of: &Energies,
    column: usize,
    others_only: bool,
    cells: &[usize],
    out: &mut [Expected],
) {
    let all = total_projection::<Q>(of);
    let own = vector(&of.projection[column * Q..]);
    let b = if others_only { difference(&all, &own) } else { all };
    let weight = |cell: &usize| vector::<Q>(&p.weight[(column * p.cells_padded + cell) * Q..]);
    let found = |cell: &usize, half: &[f64; Q], w: &[f64; Q]| {
        let y: f64 = w.iter().zip(half).map(|(a, b)| a * b).sum();
        Expected {
            mean: p.mean[column * p.cells + cell] + y / p.gain[column],
            sd: (p.sigma2 * (1.0 + squared_norm(w))).sqrt() / p.gain[column],
        }
    };
    // A window without gaps: the factor's inverse is at hand.
    if of.observed == p.cells * p.columns {
        let inverse = if others_only { &p.inverse_without[column * Q * Q..] } else { &p.inverse_all[..] };
        let half = times(inverse, &b);
        cells
            .iter()
            .zip(out)
            .for_each(|(cell, out)| *out = found(cell, &half, &times(inverse, &weight(cell))));
        return;
    }
    let given = (0..p.columns).filter(|c| !others_only || *c != column);
    let factor = cholesky(&given.fold(noise(p.sigma2), |sum, c| plus(&sum, &of.gram[c * Q * Q..])));
    let half = forward(&factor, &b);
    cells.iter().zip(out).for_each(|(cell, out)| *out = found(cell, &half, &forward(&factor, &weight(cell))));
}

#[inline(always)]
fn total_projection<const Q: usize>(of: &Energies) -> [f64; Q] {
    let mut total = [0.0; Q];
    for column in of.projection.chunks_exact(Q) {
        for k in 0..Q {
            total[k] += column[k];
        }
    }
    total
}
