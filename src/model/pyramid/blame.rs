//! Whose surprise it is: the fewest columns without which the rest of a window is ordinary.
//!
//! A column's part of the energy given all others is not enough: next to one that is far off, its neighbours contradict
//! what is expected of them, and two that are off together vouch for each other. So columns are left out, the one that
//! explains most first, until what remains is ordinary; then those are taken back that it does without.

use super::marginal::Moments;

/// Columns that are looked for together.
const TOGETHER: usize = 3;
/// Energy of n coordinates is ordinary up to so many of its sds above its mean: that of a chi-square, n and sqrt(2 n).
const ORDINARY_SD: f64 = 4.0;

/// A window's residual, completed where cells are missing, under one density.
pub(super) struct Blame<'a> {
    moments: &'a Moments,
    columns: usize,
    gradient: Vec<f64>,
    total: f64,
}

impl<'a> Blame<'a> {
    pub(super) fn new(moments: &'a Moments, columns: usize, residual: &[f64]) -> Blame<'a> {
        let gradient = moments.gradient(residual);
        let total = residual.iter().zip(&gradient).map(|(r, g)| r * g).sum();
        Blame { moments, columns, gradient, total }
    }

    /// The columns, the most telling first; none if the window is ordinary as it is.
    pub(super) fn chosen(&self) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        while !self.is_ordinary(&chosen) && chosen.len() < TOGETHER.min(self.columns) {
            let others = (0..self.columns).filter(|column| !chosen.contains(column));
            let part = |column: usize| self.part(&[&chosen[..], &[column]].concat());
            let Some(best) = others.max_by(|a, b| part(*a).total_cmp(&part(*b))) else { break };
            chosen.push(best);
        }
        if !self.is_ordinary(&chosen) {
            return chosen;
        }
        for column in chosen.clone() {
            let without: Vec<usize> = chosen.iter().copied().filter(|other| *other != column).collect();
            if !chosen.is_empty() && self.is_ordinary(&without) {
                chosen = without;
            }
        }
        chosen
    }

    /// By column, summing to 1, or all 0: what each of the chosen adds to the others; of every column by itself where
    /// none had to be chosen.
    pub(super) fn shares(&self, chosen: &[usize]) -> Vec<f64> {
        let mut shares = vec![0.0; self.columns];
        if chosen.is_empty() {
            (0..self.columns).for_each(|column| shares[column] = self.part(&[column]));
        } else {
            let all = self.part(chosen);
            for column in chosen {
                let others: Vec<usize> = chosen.iter().copied().filter(|other| other != column).collect();
                shares[*column] = (all - self.part(&others)).max(0.0);
            }
        }
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share = if sum > 0.0 { *share / sum } else { 0.0 });
        shares
    }

    fn part(&self, columns: &[usize]) -> f64 {
        self.moments.part(&self.gradient, &self.coordinates(columns))
    }

    fn coordinates(&self, columns: &[usize]) -> Vec<usize> {
        (0..self.gradient.len()).filter(|at| columns.contains(&(at % self.columns))).collect()
    }

    fn is_ordinary(&self, without: &[usize]) -> bool {
        let left = (self.gradient.len() - self.coordinates(without).len()) as f64;
        let rounding = 1e-9 * self.total;
        self.total - self.part(without) <= left + ORDINARY_SD * (2.0 * left).sqrt() + rounding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    /// Three columns that go together, one cell.
    fn moments() -> Moments {
        let covariance: Array2<f64> = array![[1.0, 0.95, 0.95], [0.95, 1.0, 0.95], [0.95, 0.95, 1.0]];
        let (l, v) = crate::model::pyramid::basis::spectrum(&covariance).unwrap();
        Moments::new(&v, &l)
    }

    fn chosen(residual: [f64; 3]) -> Vec<usize> {
        let moments = moments();
        let blame = Blame::new(&moments, 3, &residual);
        let mut chosen = blame.chosen();
        let shares = blame.shares(&chosen);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(chosen.is_empty() || (0..3).all(|c| chosen.contains(&c) == (shares[c] > 0.0)), "{shares:?}");
        chosen.sort_unstable();
        chosen
    }

    #[test]
    fn the_fewest_columns_that_leave_the_rest_ordinary() {
        assert!(chosen([0.5, 0.6, 0.4]).is_empty(), "nothing is odd");
        assert_eq!(chosen([0.5, 0.6, 6.0]), [2]);
        assert_eq!(chosen([1.0, 1.0, -1.0]), [2], "each within its range, one against the others");
        // Two that are off together contradict the third, which is as ever.
        assert_eq!(chosen([0.1, 50.0, 52.0]), [1, 2]);
    }
}
