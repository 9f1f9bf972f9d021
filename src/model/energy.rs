//! Energies of one window: squared Mahalanobis distances of the whole, of each column by itself, and
//! of each column given all others, with the exact log-likelihood of the observed cells.
//!
//! All sums are f64, in an order fixed by the window alone: a row's result does not depend on its
//! neighbours or on the width of the machine's vectors (multiply and add stay separate, so fused
//! instructions cannot change a bit either). A distance without column `c` costs one q × q product
//! because `y'y`, `W'y` and `W'W` are sums over columns.

use super::Ppca;

/// Ranks a model may have; loops are compiled for each.
pub const RANKS: [usize; 4] = [2, 4, 8, 16];

/// Accumulators a projection keeps in flight.
const LANES: usize = 16;

type Square<const Q: usize> = [[f64; Q]; Q];

/// A density's factors, laid out column by column for the scoring loops.
#[derive(Clone, Debug)]
pub struct Prepared {
    cells: usize,
    columns: usize,
    rank: usize,
    /// `cells` rounded up to whole steps of the projection; the surplus weighs nothing.
    cells_padded: usize,
    gain: Vec<f64>,
    ln_gain: Vec<f64>,
    /// columns × cells
    mean: Vec<f64>,
    /// columns × cells_padded × q
    weight: Vec<f64>,
    /// columns × q × q: `W_c' W_c`
    gram: Vec<f64>,
    sigma2: f64,
    /// `-2 ln p` of a complete window without its energy.
    complete_constant: f64,
    /// Inverse Cholesky factors, column-major q × q: of all columns, then of all but column c, then
    /// of column c alone.
    inverse_all: Vec<f64>,
    inverse_without: Vec<f64>,
    inverse_only: Vec<f64>,
}

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
    pub fn new(ppca: &Ppca) -> Self {
        match ppca.rank {
            2 => build::<2>(ppca),
            4 => build::<4>(ppca),
            8 => build::<8>(ppca),
            _ => build::<16>(ppca),
        }
    }

    pub fn cells(&self) -> usize {
        self.cells
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn dimension(&self) -> usize {
        self.cells * self.columns
    }

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
    pub fn expected(&self, of: &Energies, column: usize, others_only: bool, cells: &[usize], out: &mut [Expected]) {
        match self.rank {
            2 => expected::<2>(self, of, column, others_only, cells, out),
            4 => expected::<4>(self, of, column, others_only, cells, out),
            8 => expected::<8>(self, of, column, others_only, cells, out),
            _ => expected::<16>(self, of, column, others_only, cells, out),
        }
    }
}

fn build<const Q: usize>(ppca: &Ppca) -> Prepared {
    let (cells, columns) = (ppca.cells, ppca.columns);
    let cells_padded = cells.next_multiple_of(LANES / Q);
    let sigma2 = f64::from(ppca.sigma2);
    let gain: Vec<f64> = ppca.gain.iter().map(|g| f64::from(*g)).collect();
    let mut mean = vec![0.0; columns * cells];
    let mut weight = vec![0.0; columns * cells_padded * Q];
    let mut gram = vec![0.0; columns * Q * Q];
    for column in 0..columns {
        for cell in 0..cells {
            let from = cell * columns + column;
            mean[column * cells + cell] = f64::from(ppca.mu[from]);
            let w = &mut weight[(column * cells_padded + cell) * Q..][..Q];
            for k in 0..Q {
                w[k] = f64::from(ppca.w[from * Q + k]);
            }
            add_outer::<Q>(&mut gram[column * Q * Q..][..Q * Q], w);
        }
    }
    let noise = noise::<Q>(sigma2);
    let all = (0..columns).fold(noise, |sum, c| plus(&sum, &gram[c * Q * Q..]));
    let (mut inverse_without, mut inverse_only) = (Vec::new(), Vec::new());
    for column in 0..columns {
        let without = (0..columns)
            .filter(|c| *c != column)
            .fold(noise, |sum, c| plus(&sum, &gram[c * Q * Q..]));
        inverse_without.extend(inverse(&cholesky(&without)));
        inverse_only.extend(inverse(&cholesky(&plus(&noise, &gram[column * Q * Q..]))));
    }
    let factor = cholesky(&all);
    let ln_gain: Vec<f64> = gain.iter().map(|g| g.ln()).collect();
    let jacobian = ln_gain.iter().sum::<f64>() * cells as f64;
    let complete_constant = constant::<Q>(cells * columns, sigma2, ln_det(&factor), jacobian);
    let inverse_all = inverse(&factor);
    Prepared {
        cells,
        columns,
        rank: Q,
        cells_padded,
        gain,
        ln_gain,
        mean,
        weight,
        gram,
        sigma2,
        complete_constant,
        inverse_all,
        inverse_without,
        inverse_only,
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

/// A window with gaps: sums over the observed cells, one Cholesky factor for every marginal.
#[inline(never)]
fn gaps<const Q: usize>(p: &Prepared, z: &[f32], out: &mut Energies) {
    let mut jacobian = 0.0;
    let mut square = 0.0;
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
    let factor = cholesky(&all);
    let energy = |square: f64, factor: &Square<Q>, b: &[f64; Q]| {
        (square - squared_norm(&forward(factor, b))).max(0.0) / p.sigma2
    };
    out.total = energy(square, &factor, &projection);
    out.log_likelihood = if out.observed == 0 {
        0.0
    } else {
        -0.5 * (constant::<Q>(out.observed, p.sigma2, ln_det(&factor), jacobian) + out.total)
    };
    for column in 0..p.columns {
        let own = vector::<Q>(&out.projection[column * Q..]);
        let others = difference(&projection, &own);
        let rest = energy(square - out.square[column], &cholesky(&gram_of(p, out, |c| c != column)), &others);
        out.conditional[column] = (out.total - rest).max(0.0);
        let only = cholesky(&plus(&noise(p.sigma2), &out.gram[column * Q * Q..]));
        out.own[column] = energy(out.square[column], &only, &own);
    }
}

/// `y'y`, `W'y` and `W'W` over the observed cells of a column.
fn observe<const Q: usize>(p: &Prepared, z: &[f32], column: usize, out: &mut Energies) {
    let gram = &mut out.gram[column * Q * Q..][..Q * Q];
    let projection = &mut out.projection[column * Q..][..Q];
    gram.fill(0.0);
    projection.fill(0.0);
    let (mut square, mut observed) = (0.0, 0);
    for cell in 0..p.cells {
        let value = z[cell * p.columns + column];
        if !value.is_finite() {
            continue;
        }
        let y = (f64::from(value) - p.mean[column * p.cells + cell]) * p.gain[column];
        let w = &p.weight[(column * p.cells_padded + cell) * Q..][..Q];
        for k in 0..Q {
            projection[k] += y * w[k];
        }
        add_outer::<Q>(gram, w);
        square += y * y;
        observed += 1;
    }
    out.square[column] = square;
    out.column_observed[column] = observed;
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
    let given = |c: usize| !others_only || c != column;
    let factor = cholesky(&gram_of::<Q>(p, of, given));
    let mut b = [0.0; Q];
    for c in (0..p.columns).filter(|c| given(*c)) {
        for (sum, term) in b.iter_mut().zip(&of.projection[c * Q..][..Q]) {
            *sum += term;
        }
    }
    let half = forward(&factor, &b);
    for (cell, out) in cells.iter().zip(out) {
        let w = forward(&factor, &vector(&p.weight[(column * p.cells_padded + cell) * Q..]));
        let y: f64 = w.iter().zip(&half).map(|(a, b)| a * b).sum();
        *out = Expected {
            mean: p.mean[column * p.cells + cell] + y / p.gain[column],
            sd: (p.sigma2 * (1.0 + squared_norm(&w))).sqrt() / p.gain[column],
        };
    }
}

/// `sigma2 I` + the gram matrices of the observed cells of the columns `keep` keeps.
fn gram_of<const Q: usize>(p: &Prepared, of: &Energies, keep: impl Fn(usize) -> bool) -> Square<Q> {
    let gram = if of.observed == p.cells * p.columns { &p.gram } else { &of.gram };
    (0..p.columns).filter(|c| keep(*c)).fold(noise(p.sigma2), |sum, c| plus(&sum, &gram[c * Q * Q..]))
}

/// `-2 ln p` without its energy.
fn constant<const Q: usize>(observed: usize, sigma2: f64, ln_det: f64, jacobian: f64) -> f64 {
    let n = observed as f64;
    n * std::f64::consts::TAU.ln() + (n - Q as f64) * sigma2.ln() + ln_det - 2.0 * jacobian
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

/// `b' M^-1 b` from the column-major inverse of M's Cholesky factor.
#[inline(always)]
fn whitened<const Q: usize>(inverse: &[f64], b: &[f64; Q]) -> f64 {
    let mut y = [0.0; Q];
    for (column, b) in inverse[..Q * Q].chunks_exact(Q).zip(b) {
        for k in 0..Q {
            y[k] += b * column[k];
        }
    }
    squared_norm(&y)
}

#[inline(always)]
fn squared_norm<const Q: usize>(y: &[f64; Q]) -> f64 {
    y.iter().fold(0.0, |sum, y| sum + y * y)
}

#[inline(always)]
fn vector<const Q: usize>(from: &[f64]) -> [f64; Q] {
    std::array::from_fn(|k| from[k])
}

#[inline(always)]
fn difference<const Q: usize>(a: &[f64; Q], b: &[f64; Q]) -> [f64; Q] {
    std::array::from_fn(|k| a[k] - b[k])
}

fn noise<const Q: usize>(sigma2: f64) -> Square<Q> {
    std::array::from_fn(|i| std::array::from_fn(|j| if i == j { sigma2 } else { 0.0 }))
}

fn plus<const Q: usize>(a: &Square<Q>, gram: &[f64]) -> Square<Q> {
    std::array::from_fn(|i| std::array::from_fn(|j| a[i][j] + gram[i * Q + j]))
}

fn add_outer<const Q: usize>(gram: &mut [f64], w: &[f64]) {
    for (row, a) in gram.chunks_exact_mut(Q).zip(w) {
        for (sum, b) in row.iter_mut().zip(w) {
            *sum += a * b;
        }
    }
}

/// Lower Cholesky factor. `m` is `sigma2 I` plus a gram matrix, so every pivot is at least about
/// `sigma2`; rounding is kept from making one negative.
fn cholesky<const Q: usize>(m: &Square<Q>) -> Square<Q> {
    let mut l = [[0.0; Q]; Q];
    for i in 0..Q {
        for j in 0..=i {
            let sum = (0..j).fold(m[i][j], |sum, k| sum - l[i][k] * l[j][k]);
            l[i][j] = if i == j { sum.max(f64::MIN_POSITIVE).sqrt() } else { sum / l[j][j] };
        }
    }
    l
}

fn ln_det<const Q: usize>(l: &Square<Q>) -> f64 {
    2.0 * (0..Q).map(|k| l[k][k].ln()).sum::<f64>()
}

/// `l^-1 b`
fn forward<const Q: usize>(l: &Square<Q>, b: &[f64; Q]) -> [f64; Q] {
    let mut y = [0.0; Q];
    for i in 0..Q {
        y[i] = (0..i).fold(b[i], |sum, k| sum - l[i][k] * y[k]) / l[i][i];
    }
    y
}

/// `l^-1`, column-major.
fn inverse<const Q: usize>(l: &Square<Q>) -> Vec<f64> {
    (0..Q)
        .flat_map(|column| forward(l, &std::array::from_fn(|k| if k == column { 1.0 } else { 0.0 })))
        .collect()
}
