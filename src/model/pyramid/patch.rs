//! A level's vector where cells are missing within its blocks.
//!
//! The mean of what is left of a block is off where the signal moves within it. So a missing cell of a
//! block that has others is first completed from its surroundings: by a finer level's moments over the
//! cells about it and all columns. Where those say nothing, the rest of the block speaks for it,
//! and what that adds to the variance of its mean is handed on as noise. (A completed cell adds none: an
//! expectation varies less than what it stands for.)

use super::levels::{Shape, vector};
use super::marginal::Pattern;
use super::prepared::PreparedLevel;

/// Working space.
#[derive(Clone, Debug, Default)]
pub(super) struct Patch {
    w: Vec<f32>,
    z: Vec<f32>,
    noise: Vec<f64>,
    residual: Vec<f64>,
    /// Of the finer level below this one.
    pattern: Pattern,
    level: usize,
}

impl Patch {
    /// The vector of level `at` of the cells `z`, and the variance its coordinates have beyond the
    /// level's; none for a level that does not pool.
    #[inline(always)]
    pub(super) fn vector(&mut self, levels: &[PreparedLevel], at: usize, z: &[f32]) -> (&[f32], &[f64]) {
        let (level, shape) = (&levels[at], levels[at].shape);
        let columns = level.within.len();
        let z = &z[z.len() - shape.cells() * columns..];
        self.z.clear();
        self.z.extend_from_slice(z);
        self.noise.clear();
        if shape.pool > 1 {
            self.noise.resize(level.dimension, 0.0);
            if self.level != at {
                self.level = at;
                self.pattern.forget();
            }
            // The second level looks at a cell's neighbours too.
            let mut unpooled = levels[..at].iter().take(2).filter(|l| l.shape.pool == 1);
            if let Some(finer) = unpooled.next_back() {
                (0..shape.cells()).for_each(|cell| self.complete(finer, shape, z, cell));
            }
            rest(level, &self.z, &mut self.noise);
        }
        self.w.resize(level.dimension, 0.0);
        vector(shape, columns, &self.z, &mut self.w);
        (&self.w, &self.noise)
    }

    /// Completes the columns that are missing in `cell` and not in all of its block.
    #[inline(always)]
    fn complete(&mut self, finer: &PreparedLevel, shape: Shape, z: &[f32], cell: usize) {
        let columns = finer.within.len();
        let block = &z[cell / shape.pool * shape.pool * columns..][..shape.pool * columns];
        let partial = |column: usize| block[column..].iter().step_by(columns).any(|z| !z.is_nan());
        let lost = |column: &usize| z[cell * columns + column].is_nan() && partial(*column);
        if !(0..columns).any(|column| lost(&column)) {
            return;
        }
        let about = finer.shape.blocks;
        let from = cell.saturating_sub(about / 2).min(shape.cells().saturating_sub(about));
        let seen = &z[from * columns..][..about * columns];
        if seen.iter().all(|z| z.is_nan()) {
            return;
        }
        self.residual.clear();
        self.residual.extend(seen.iter().zip(&finer.mu).map(|(z, mu)| f64::from(*z) - mu));
        let moments = &finer.single.moments;
        moments.complete(&mut self.residual, &mut self.pattern);
        for column in (0..columns).filter(lost) {
            let place = (cell - from) * columns + column;
            self.z[cell * columns + column] = (finer.mu[place] + self.residual[place]) as f32;
        }
    }

    pub(super) fn forget(&mut self) {
        self.pattern.forget();
    }
}

/// Of blocks that still have gaps: what is left of `k` out of `p` cells is a sample without replacement,
/// whose mean has the variance `within (1/k - 1/p)`; `within` is that of a column's cells about their
/// block's mean.
fn rest(level: &PreparedLevel, z: &[f32], noise: &mut [f64]) {
    let (columns, pool) = (level.within.len(), level.shape.pool);
    for (block, noise) in z.chunks_exact(pool * columns).zip(noise.chunks_exact_mut(columns)) {
        for (column, noise) in noise.iter_mut().enumerate() {
            let seen = block[column..].iter().step_by(columns).filter(|z| !z.is_nan()).count();
            if seen > 0 {
                *noise += level.within[column] * (1.0 / seen as f64 - 1.0 / pool as f64);
            }
        }
    }
}
