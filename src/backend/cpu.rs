//! Scoring on the CPU. Vector width is chosen at run time; it changes the speed and not one bit of the
//! result (see [`crate::model::pyramid`]).

use crate::model::Model;
use crate::model::pyramid::{Pyramid, Scores, Work};

use super::cohorts::{Groups, only_one};

/// Working space of one scoring thread.
#[derive(Clone, Debug, Default)]
pub struct CpuBackend {
    pub(super) work: Work,
    pub(super) groups: Groups,
}

impl CpuBackend {
    pub fn new() -> Self {
        CpuBackend::default()
    }

    /// Scores rows of `model.dimension()` z values (NaN = missing), cell-major, by everyone's density. A trailing
    /// part of a row is not looked at. A row's scores do not depend on the other rows.
    pub fn score(&mut self, model: &Model, z: &[f32], out: &mut Scores) {
        model.pyramid.score(z, out, &mut self.work);
    }

    /// The same, each row by the density of its cohort; none are given where everyone's scores all.
    pub fn score_cohorts(&mut self, model: &Model, cohorts: &[u32], z: &[f32], out: &mut Scores) {
        match only_one(cohorts) {
            Some(cohort) => model.pyramid_of(cohort).score(z, out, &mut self.work),
            None => {
                let score = |pyramid: &Pyramid, z: &[f32], _: &[u32], out: &mut Scores, work: &mut Work| {
                    pyramid.score(z, out, work);
                };
                self.groups.score(model, cohorts, z, out, score);
            }
        }
    }
}
