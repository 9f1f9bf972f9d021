//! Why a window is odd: what each column should have been, and whose surprise it is.

use crate::model::Model;

use super::CpuBackend;

/// Of one window, one entry a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Expectation of the column's last cell given what is observed of columns that are not to blame, z
    /// units; of a flag, which is context, its own value.
    pub expected: Vec<f32>,
    /// Its sd, z units: the band is `expected +- 1.96 sd`.
    pub sd: Vec<f32>,
    /// Share of the surprise, >= 0, adding up to 1.
    pub share: Vec<f32>,
}

impl CpuBackend {
    /// Explains one window of `model.dimension()` z values.
    pub fn explain(&mut self, model: &Model, z_row: &[f32], out: &mut Explanation) {
        out.expected.clear();
        out.sd.clear();
        out.share.clear();
        let last = &z_row[model.dimension() - model.columns.len()..];
        for (column, of) in model.pyramid.explain(z_row, &mut self.work).into_iter().enumerate() {
            let itself = Some(last[column]).filter(|z| z.is_finite()).unwrap_or(0.0);
            let (expected, sd, share) = of.map_or((itself, 0.0, 0.0), |of| (of.expected, of.sd, of.share));
            out.expected.push(expected);
            out.sd.push(sd);
            out.share.push(share);
        }
    }
}
