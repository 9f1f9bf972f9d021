//! Scoring on the CPU. Vector width is chosen at run time; it changes the speed and not one bit of the
//! result (see [`crate::model::pyramid`]).

use crate::model::Model;
use crate::model::pyramid::{Scores, Work};

/// Working space of one scoring thread.
#[derive(Clone, Debug, Default)]
pub struct CpuBackend {
    pub(super) work: Work,
}

impl CpuBackend {
    pub fn new() -> Self {
        CpuBackend::default()
    }

    /// Scores rows of `model.dimension()` z values (NaN = missing), cell-major. A trailing part of a
    /// row is not looked at. A row's scores do not depend on the other rows.
    pub fn score(&mut self, model: &Model, z: &[f32], out: &mut Scores) {
        model.pyramid.score(z, out, &mut self.work);
    }
}
