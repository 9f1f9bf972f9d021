//! A density laid out for scoring: columns together, everything that does not depend on the window
//! worked out once.

use super::Ppca;
use super::square::{add_outer, cholesky, inverse, ln_det, noise, plus};

/// Ranks a model may have; loops are compiled for each.
pub const RANKS: [usize; 4] = [2, 4, 8, 16];

/// Accumulators a projection keeps in flight.
pub(super) const LANES: usize = 32;

/// A density's factors, laid out column by column for the scoring loops.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) cells: usize,
    pub(super) columns: usize,
    pub(super) rank: usize,
    /// `cells` rounded up to whole steps of the projection; the surplus weighs nothing.
    pub(super) cells_padded: usize,
    pub(super) gain: Vec<f64>,
    pub(super) ln_gain: Vec<f64>,
    /// columns × cells
    pub(super) mean: Vec<f64>,
    /// columns × cells_padded × q
    pub(super) weight: Vec<f64>,
    /// columns × q × q: `W_c' W_c`
    pub(super) gram: Vec<f64>,
    pub(super) sigma2: f64,
    /// `-2 ln p` of a complete window without its energy.
    pub(super) complete_constant: f64,
    /// Inverse Cholesky factors, column-major q × q: of all columns, then of all but column c, then
    /// of column c alone.
    pub(super) inverse_all: Vec<f64>,
    pub(super) inverse_without: Vec<f64>,
    pub(super) inverse_only: Vec<f64>,
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
            for (into, w) in w.iter_mut().zip(&ppca.w[from * Q..]) {
                *into = f64::from(*w);
            }
            add_outer::<Q>(&mut gram[column * Q * Q..][..Q * Q], w, 1.0);
        }
    }
    let noise = noise::<Q>(sigma2);
    let all = (0..columns).fold(noise, |sum, c| plus(&sum, &gram[c * Q * Q..]));
    let (mut inverse_without, mut inverse_only) = (Vec::new(), Vec::new());
    for column in 0..columns {
        let without =
            (0..columns).filter(|c| *c != column).fold(noise, |sum, c| plus(&sum, &gram[c * Q * Q..]));
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

/// `-2 ln p` without its energy.
pub(super) fn constant<const Q: usize>(observed: usize, sigma2: f64, ln_det: f64, jacobian: f64) -> f64 {
    let n = observed as f64;
    n * std::f64::consts::TAU.ln() + (n - Q as f64) * sigma2.ln() + ln_det - 2.0 * jacobian
}
