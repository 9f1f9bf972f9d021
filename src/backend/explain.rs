//! Why a window is odd: what each column should have been, and whose surprise it is.

use crate::model::Model;
use crate::model::energy::Expected;

use super::CpuBackend;

/// Of one window, one entry a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Expectation of the column's last cell given every other column, z units.
    pub expected: Vec<f32>,
    /// Its sd, z units: the band is `expected +- 1.96 sd`.
    pub sd: Vec<f32>,
    /// Share of the surprise, >= 0, adding up to 1.
    pub share: Vec<f32>,
}

impl CpuBackend {
    /// Explains one window of `model.dimension()` z values.
    ///
    /// A column's weight is its own tail surprise in excess of `ln 10`, on whichever side is larger:
    /// its energy given the others (that is `D² - D²` without it, measured in the mean excess of
    /// normal windows) or, too smooth to be alive, its energy by itself. Energy alone could not name
    /// a stuck column, whose energy is small. A culprit also disturbs what its neighbours are
    /// expected to be, by a part that shrinks with the number of columns that agree; where two
    /// columns contradict each other and nothing decides between them, they share alike. If no
    /// column is odd by itself the weights are the surprises as they are, and equal if those are 0.
    pub fn explain(&mut self, model: &Model, z_row: &[f32], out: &mut Explanation) {
        let (prepared, cells) = (model.prepared(), model.ppca.cells);
        prepared.energies(z_row, &mut self.energies);
        out.expected.clear();
        out.sd.clear();
        out.share.clear();
        for column in 0..prepared.columns() {
            let mut last = [Expected { mean: 0.0, sd: 0.0 }];
            prepared.expected(&self.energies, column, true, &[cells - 1], &mut last);
            out.expected.push(last[0].mean as f32);
            out.sd.push(last[0].sd as f32);
            out.share.push(model.tails.column_surprise(&self.energies, column, cells) as f32);
        }
        share_out(&mut out.share);
    }
}

/// Surprises in, shares out.
fn share_out(weights: &mut [f32]) {
    let odd = std::f32::consts::LN_10;
    if weights.iter().any(|w| *w > odd) {
        weights.iter_mut().for_each(|w| *w = (*w - odd).max(0.0));
    }
    let sum: f32 = weights.iter().sum();
    let equal = 1.0 / weights.len() as f32;
    weights.iter_mut().for_each(|w| *w = if sum > 0.0 { *w / sum } else { equal });
}

#[cfg(test)]
mod tests {
    use super::share_out;

    #[test]
    fn shares_add_up_whatever_the_surprises() {
        for mut weights in [vec![0.0; 3], vec![0.5, 1.0, 0.0], vec![40.0, 3.0, 0.1], vec![2.4, 2.2, 2.2]] {
            share_out(&mut weights);
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6 && weights.iter().all(|w| *w >= 0.0));
        }
    }

    #[test]
    fn no_surprise_is_shared_alike() {
        let mut weights = [0.0; 4];
        share_out(&mut weights);
        assert_eq!(weights, [0.25; 4]);
    }
}
