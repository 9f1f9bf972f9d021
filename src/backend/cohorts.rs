//! Rows of several cohorts: each cohort's together, since a density is set up once for all of them, and then put back
//! where they came from.

use crate::model::pyramid::{Pyramid, Scores, Work};
use crate::model::{EVERYONE, Model};

/// Rows of a cohort that go through together: what is copied for them stays small.
const ROWS: usize = 1024;

/// Patterns of gaps are kept by density: as many as are in turn before one is worked out anew.
const WORKS: usize = 8;

/// The cohort of all rows, where it is one; everyone's where none are given.
pub(super) fn only_one(cohorts: &[u32]) -> Option<u32> {
    match cohorts {
        [] => Some(EVERYONE),
        [first, rest @ ..] => rest.iter().all(|cohort| cohort == first).then_some(*first),
    }
}

/// Buffers reused from batch to batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// Rows by cohort, ascending in each.
    order: Vec<u32>,
    z: Vec<f32>,
    scores: Scores,
    works: [Work; WORKS],
}

impl Groups {
    /// Leaves [`Scores::levels`] empty: densities have different ones. `score` scores rows by one density, and is told
    /// their numbers.
    pub fn score(
        &mut self,
        model: &Model,
        cohorts: &[u32],
        z: &[f32],
        out: &mut Scores,
        mut score: impl FnMut(&Pyramid, &[f32], &[u32], &mut Scores, &mut Work),
    ) {
        let (width, columns) = (model.dimension(), model.columns.len());
        self.order.clear();
        self.order.extend(0..cohorts.len() as u32);
        // Of equal cohorts by row: what is scored together does not matter, but the memory's order does.
        self.order.sort_unstable_by_key(|row| (cohorts[*row as usize], *row));
        out.resize(cohorts.len(), columns);
        let Groups { order, z: copied, scores, works } = self;
        for group in order.chunk_by(|a, b| cohorts[*a as usize] == cohorts[*b as usize]) {
            let cohort = cohorts[group[0] as usize];
            for rows in group.chunks(ROWS) {
                copied.clear();
                rows.iter().for_each(|row| copied.extend_from_slice(&z[*row as usize * width..][..width]));
                score(model.pyramid_of(cohort), copied, rows, scores, &mut works[cohort as usize % WORKS]);
                for (from, row) in rows.iter().enumerate() {
                    out.copy_row(*row as usize, scores, from, columns);
                }
            }
        }
    }
}
