//! Why a window is odd: what each column should have been, and whose surprise it is.

use crate::model::pyramid::{Departure, Expected, Explained, Told};
use crate::model::{EVERYONE, Model};

use super::{Backend, CpuBackend};

/// Of one window, one entry a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// Expectation of the column's last cell given what is observed of columns that are not to blame, z
    /// units; of a flag, which is context, its own value.
    pub expected: Vec<f32>,
    /// Its sd, z units.
    pub sd: Vec<f32>,
    /// The band that holds 95 % of normal values is `expected +- half_width`; z units.
    pub half_width: Vec<f32>,
    /// Share of the surprise, >= 0, adding up to 1.
    pub share: Vec<f32>,
}

impl Backend {
    /// By column of one window of `model.dimension()` z values, by the density of a cohort; cells only of those that
    /// are `wanted`.
    pub fn expect(
        &mut self,
        model: &Model,
        cohort: u32,
        z_row: &[f32],
        wanted: impl Fn(usize) -> bool,
    ) -> Vec<Expected> {
        let (pyramid, Backend { cpu, ahead, .. }) = (model.pyramid_of(cohort), self);
        pyramid.expect(z_row, ahead.told(pyramid.id(), z_row), wanted, &mut cpu.work)
    }

    /// By column of one window of `model.dimension()` z values, by the density of a cohort: the cell that departs the
    /// most, of columns that are `wanted`.
    pub fn departures(
        &mut self,
        model: &Model,
        cohort: u32,
        z_row: &[f32],
        wanted: impl Fn(usize) -> bool,
    ) -> Vec<Option<Departure>> {
        let (pyramid, Backend { cpu, ahead, .. }) = (model.pyramid_of(cohort), self);
        pyramid.departures(z_row, ahead.told(pyramid.id(), z_row), wanted, &mut cpu.work)
    }

    /// Explains one window of `model.dimension()` z values by the density of a cohort.
    pub fn explain_cohort(&mut self, model: &Model, cohort: u32, z_row: &[f32], out: &mut Explanation) {
        let (pyramid, Backend { cpu, ahead, .. }) = (model.pyramid_of(cohort), self);
        cpu.explain_told(model, cohort, z_row, ahead.told(pyramid.id(), z_row), out);
    }
}

impl CpuBackend {
    /// Explains one window of `model.dimension()` z values by everyone's density.
    pub fn explain(&mut self, model: &Model, z_row: &[f32], out: &mut Explanation) {
        self.explain_told(model, EVERYONE, z_row, None, out);
    }

    fn explain_told(
        &mut self,
        model: &Model,
        cohort: u32,
        z_row: &[f32],
        told: Option<Told<'_>>,
        out: &mut Explanation,
    ) {
        out.expected.clear();
        out.sd.clear();
        out.half_width.clear();
        out.share.clear();
        let last = &z_row[model.dimension() - model.columns.len()..];
        let explained = model.pyramid_of(cohort).explain_told(z_row, told, &mut self.work);
        for (column, of) in explained.into_iter().enumerate() {
            let itself = Some(last[column]).filter(|z| z.is_finite()).unwrap_or(0.0);
            let context = Explained { expected: itself, sd: 0.0, half_width: 0.0, share: 0.0 };
            let Explained { expected, sd, half_width, share } = of.unwrap_or(context);
            out.expected.push(expected);
            out.sd.push(sd);
            out.half_width.push(half_width);
            out.share.push(share);
        }
    }
}
