//! The codes of a level: k-means in half-whitened axes, with the covariance that is left within codes.
//!
//! The second density of a level is a mixture of K copies of one t density, each about its code, of
//! which only the nearest code's term counts: a tight lower bound of the mixture. Distances are taken
//! in `V'(w - mu) / l^(1/4)`, between raw and whitened, which found rhythms better than either.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::super::FitError;
use super::basis::{Basis, shrunk, spectrum};

/// Rounds of k-means.
const ROUNDS: usize = 8;
/// Rows k-means looks at, about.
const CODE_ROWS: usize = 4000;
/// Widest level whose within-code covariance gets axes of its own, but in large fits; above, one projection serves all.
pub(super) const OWN_AXES_MAX: usize = 64;

/// Row indices k-means starts from, given the number of rows and of codes.
pub(crate) type Starts<'a> = &'a dyn Fn(usize, usize) -> Vec<usize>;

/// K codes of a level of d coordinates, about the mean of its [`Basis`].
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// K × d: code centres where the nearest is looked for, half-whitened axes of the basis.
    pub centres: Array2<f64>,
    /// K × d: member means on the axes of the density (`u`, or the basis').
    pub means: Array2<f64>,
    /// K: log of each code's share of the rows.
    pub ln_share: Array1<f64>,
    /// d × d, axes of the within-code covariance; without, the basis' own.
    pub u: Option<Array2<f64>>,
    /// d, within-code variance along each axis, shrunk.
    pub l: Array1<f64>,
}

/// Distinct indices below `rows`, in a fixed order without a pattern: the same on every machine.
pub(crate) fn fixed_starts(rows: usize, codes: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by_key(|row| xxhash_rust::xxh3::xxh3_64(&(*row as u64).to_le_bytes()));
    order.truncate(codes);
    order
}

impl Codes {
    /// Codes of the rows of `f` (n × d, no gaps) about `basis`, with axes of their own up to so many coordinates. Codes
    /// without rows are dropped.
    pub(super) fn fit(
        f: ArrayView2<'_, f64>,
        basis: &Basis,
        (codes, own_axes_max): (usize, usize),
        starts: Starts<'_>,
    ) -> Result<Codes, FitError> {
        let centred = &f - &basis.mu;
        let search = centred.dot(&basis.v) / basis.l.mapv(|l| l.powf(0.25));
        let step = (search.nrows() / CODE_ROWS).max(1);
        let centres = k_means(search.slice(s![..;step, ..]), codes, starts);
        let (centres, label, count) = used(&centres, nearest(search.view(), &centres));
        let mut means = sums(centred.view(), &label, centres.nrows());
        for (mut mean, n) in means.rows_mut().into_iter().zip(&count) {
            mean /= *n;
        }
        let mut rest = centred;
        for (mut row, label) in rest.rows_mut().into_iter().zip(&label) {
            row -= &means.row(*label);
        }
        let freedom = f.nrows().saturating_sub(count.len()).max(1) as f64;
        let smoothed = count.mapv(|n| n + 0.5);
        let ln_share = (&smoothed / smoothed.sum()).mapv(f64::ln);
        let (l, u) = within(&rest, freedom, basis, own_axes_max)?;
        let means = means.dot(u.as_ref().unwrap_or(&basis.v));
        Ok(Codes { centres, means, ln_share, u, l })
    }

    pub fn len(&self) -> usize {
        self.ln_share.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ln_share.is_empty()
    }
}

/// Variances, and axes if the level is narrow enough to have its own.
fn within(
    rest: &Array2<f64>,
    freedom: f64,
    basis: &Basis,
    own_axes_max: usize,
) -> Result<(Array1<f64>, Option<Array2<f64>>), FitError> {
    if basis.dimension() <= own_axes_max {
        let (l, u) = spectrum(&(rest.t().dot(rest) / freedom))?;
        return Ok((l, Some(u)));
    }
    let squares = rest.dot(&basis.v).mapv(|p| p * p).sum_axis(Axis(0)) / freedom;
    Ok((shrunk(squares), None))
}

fn k_means(rows: ArrayView2<'_, f64>, codes: usize, starts: Starts<'_>) -> Array2<f64> {
    let mut centres = rows.select(Axis(0), &starts(rows.nrows(), codes.min(rows.nrows())));
    for _ in 0..ROUNDS {
        let label = nearest(rows, &centres);
        let sums = sums(rows, &label, centres.nrows());
        let count = counts(&label, centres.nrows());
        for ((mut centre, sum), n) in centres.rows_mut().into_iter().zip(sums.rows()).zip(&count) {
            // A code without rows stays where it is: it may win some back.
            if *n > 0.0 {
                centre.assign(&(&sum / *n));
            }
        }
    }
    centres
}

/// Index of the nearest centre of each row; the first of equals.
pub(super) fn nearest(rows: ArrayView2<'_, f64>, centres: &Array2<f64>) -> Vec<usize> {
    let norms = centres.mapv(|c| c * c).sum_axis(Axis(1));
    let mut label = Vec::with_capacity(rows.nrows());
    for block in rows.axis_chunks_iter(Axis(0), 1024) {
        let products = block.dot(&centres.t());
        label.extend(products.rows().into_iter().map(|products| {
            let distances = norms.iter().zip(products).map(|(norm, product)| norm - 2.0 * product);
            let first = (0, f64::INFINITY);
            distances.enumerate().fold(first, |best, (at, d)| if d < best.1 { (at, d) } else { best }).0
        }));
    }
    label
}

fn sums(rows: ArrayView2<'_, f64>, label: &[usize], codes: usize) -> Array2<f64> {
    let mut sums = Array2::zeros((codes, rows.ncols()));
    for (row, label) in rows.rows().into_iter().zip(label) {
        let mut sum = sums.row_mut(*label);
        sum += &row;
    }
    sums
}

fn counts(label: &[usize], codes: usize) -> Array1<f64> {
    let mut count = Array1::zeros(codes);
    label.iter().for_each(|label| count[*label] += 1.0);
    count
}

/// The centres that have rows, the labels among them, and how many rows each has.
fn used(centres: &Array2<f64>, label: Vec<usize>) -> (Array2<f64>, Vec<usize>, Array1<f64>) {
    let count = counts(&label, centres.nrows());
    let kept: Vec<usize> = (0..centres.nrows()).filter(|at| count[*at] > 0.0).collect();
    let mut place = vec![0; centres.nrows()];
    kept.iter().enumerate().for_each(|(to, from)| place[*from] = to);
    let label = label.into_iter().map(|label| place[label]).collect();
    (centres.select(Axis(0), &kept), label, count.select(Axis(0), &kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_distinct_and_fixed() {
        let mut starts = fixed_starts(100, 32);
        assert_eq!(starts, fixed_starts(100, 32));
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len(), 32);
        assert!(starts.iter().all(|s| *s < 100));
        assert_eq!(fixed_starts(3, 8).len(), 3);
    }

    #[test]
    fn separate_clusters_are_found_with_their_spread() {
        let offset = |row: usize| [-3.0, 0.5, 4.0][row % 3];
        let noise = |row: usize, k: f64| ((row as f64 * k).fract() - 0.5) * 0.1;
        let rows = Array2::from_shape_fn((300, 2), |(row, column)| {
            if column == 0 { offset(row) + noise(row, 0.618) } else { noise(row, 0.414) }
        });
        let basis = Basis::fit(rows.view(), None).unwrap();
        let codes = Codes::fit(rows.view(), &basis, (3, OWN_AXES_MAX), &|_, _| vec![0, 1, 2]).unwrap();
        assert_eq!(codes.len(), 3);
        let back = codes.means.dot(&codes.u.as_ref().unwrap().t()) + &basis.mu;
        for (code, expected) in back.rows().into_iter().zip([-3.0, 0.5, 4.0]) {
            assert!((code[0] - expected).abs() < 0.02, "{code}");
        }
        let variance = 0.01 / 12.0;
        assert!((codes.l[1] - (0.98 + 0.02) * variance - 1e-4).abs() < 2e-4, "{}", codes.l);
        assert!((codes.ln_share[0] - (1.0f64 / 3.0).ln()).abs() < 1e-12);
    }

    #[test]
    fn codes_without_rows_are_dropped() {
        let rows = Array2::from_shape_fn((40, 1), |(row, _)| (row % 2) as f64);
        let basis = Basis::fit(rows.view(), None).unwrap();
        let codes = Codes::fit(rows.view(), &basis, (4, OWN_AXES_MAX), &|_, _| vec![0, 1, 2, 3]).unwrap();
        assert_eq!(codes.len(), 2);
    }
}
