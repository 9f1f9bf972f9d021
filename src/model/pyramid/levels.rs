//! Which stretches of a window are looked at: the levels of the pyramid.
//!
//! A level pools `pool` cells by their mean and keeps the last `blocks` such means, oldest first; its
//! vector has `blocks * columns` coordinates, block-major. Few columns get long windows, many columns
//! short ones: the dimension of a level stays where a covariance can be learnt from a few thousand rows.

use serde::{Deserialize, Serialize};

/// Widest level: its covariance is decomposed as a whole.
pub const DIMENSION_MAX: usize = 640;
/// Coordinates the longer levels of many columns may have.
const DIMENSION_MANY: usize = 192;
/// Columns whose levels are of many cells.
const FEW_COLUMNS: usize = 4;
/// Full windows a level needs beyond half its own length: below, its covariance is mostly shrinkage.
const ROWS_BEYOND_HALF: usize = 20;
/// Windows a level needs a dimension: with fewer, what it was not fitted on looks odd for that alone.
const ROWS_PER_DIMENSION: usize = 2;
/// The same for a level of means over most of the window: they follow how the machine is run, of which a short past shows
/// little. With fewer, what is rare in an hour was told as a fault.
const ROWS_PER_DIMENSION_WHOLE: usize = 64;

/// One level's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Cells pooled into one block.
    pub pool: usize,
    /// Blocks of a window.
    pub blocks: usize,
}

impl Shape {
    /// Cells the level looks back.
    pub fn cells(self) -> usize {
        self.pool * self.blocks
    }

    /// Coordinates of its vector over `columns` scored columns.
    pub fn dimension(self, columns: usize) -> usize {
        self.blocks * columns
    }

    /// Windows it is learnt from at least, over `columns` scored columns.
    pub fn rows_needed(self, columns: usize) -> usize {
        let whole = columns <= FEW_COLUMNS && self.pool > 1;
        let least = if whole { ROWS_PER_DIMENSION_WHOLE } else { ROWS_PER_DIMENSION };
        (least * self.dimension(columns)).max(self.cells().div_ceil(2) + ROWS_BEYOND_HALF)
    }
}

/// The levels of windows of `cells` cells and `columns` scored columns, learnt from `rows` windows;
/// at least one. With `ramp` the first windows of the rows are not full yet: a level loses as many as
/// it looks back. `columns` is at most [`DIMENSION_MAX`].
pub(super) fn shapes(cells: usize, columns: usize, rows: usize, ramp: bool) -> Vec<Shape> {
    let limit = (DIMENSION_MAX / columns).max(1);
    let mut found: Vec<Shape> = Vec::new();
    for (at, (pool, blocks)) in table(cells, columns).into_iter().enumerate() {
        let mut shape = Shape { pool, blocks };
        if at == 0 && (shape.cells() > cells || blocks > limit) {
            shape = Shape { pool: 1, blocks: cells.min(limit).min(blocks) };
        }
        let lost = if ramp { shape.cells() } else { 0 };
        let learnable = rows >= shape.rows_needed(columns) + lost;
        let fits = shape.cells() <= cells && shape.blocks <= limit;
        // From 97 columns on the third level is the first again, which must not count twice.
        if at == 0 || (learnable && fits && !found.contains(&shape)) {
            found.push(shape);
        }
    }
    found
}

/// Of few columns a window that is too short for the longest level has one of means that spans most of it: a small shift of
/// what columns say together shows in the mean over the whole and hardly in a part.
fn table(cells: usize, columns: usize) -> [(usize, usize); 4] {
    let most = |cap: usize| (DIMENSION_MANY / columns).clamp(1, cap);
    match columns {
        0 | 1 => [(1, 8), (1, 16), (1, 32), (1, 64)],
        2..=FEW_COLUMNS => {
            [(1, 1), (1, 4), (1, 16), if cells < 64 { (cells.div_euclid(16).max(1), 16) } else { (1, 64) }]
        }
        _ => [(1, 1), (1, 3), (1, most(10)), (4, most(4))],
    }
}

/// The level's vector of a window: `z` holds the window's last cells (scored columns only,
/// cell-major, NaN = missing), at least as many as the level looks back. A block's mean is over its
/// observed cells; without any the coordinate is NaN.
#[inline(always)]
pub(super) fn vector(shape: Shape, columns: usize, z: &[f32], out: &mut [f32]) {
    let z = &z[z.len() - shape.cells() * columns..];
    if shape.pool == 1 {
        out.copy_from_slice(z);
        return;
    }
    for (block, out) in z.chunks_exact(shape.pool * columns).zip(out.chunks_exact_mut(columns)) {
        for (column, out) in out.iter_mut().enumerate() {
            let cells = block[column..].iter().step_by(columns);
            let (sum, n) = cells
                .fold((0.0f32, 0.0f32), |(sum, n), z| if z.is_nan() { (sum, n) } else { (sum + z, n + 1.0) });
            *out = sum / n;
        }
    }
}

/// Variance of each column's cells about their block's mean, over windows gathered as for [`vector`].
pub(super) fn within_blocks<'a>(
    shape: Shape,
    columns: usize,
    windows: impl Iterator<Item = &'a [f32]>,
) -> Vec<f64> {
    let (mut squares, mut freedom) = (vec![0.0; columns], vec![0.0; columns]);
    for window in windows {
        for block in window.chunks_exact(shape.pool * columns) {
            for column in 0..columns {
                let cells =
                    || block[column..].iter().step_by(columns).filter(|z| !z.is_nan()).map(|z| f64::from(*z));
                let n = cells().count() as f64;
                let mean = cells().sum::<f64>() / n;
                squares[column] += cells().map(|z| (z - mean).powi(2)).sum::<f64>();
                freedom[column] += (n - 1.0).max(0.0);
            }
        }
    }
    squares.iter().zip(&freedom).map(|(s, f)| s / f.max(1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(cells: usize, columns: usize, rows: usize) -> Vec<(usize, usize)> {
        shapes(cells, columns, rows, false).into_iter().map(|s| (s.pool, s.blocks)).collect()
    }

    #[test]
    fn levels_follow_the_table() {
        assert_eq!(pairs(64, 1, 1000), [(1, 8), (1, 16), (1, 32), (1, 64)]);
        assert_eq!(pairs(64, 4, 1000), [(1, 1), (1, 4), (1, 16), (1, 64)]);
        assert_eq!(pairs(32, 4, 4095), [(1, 1), (1, 4), (1, 16)]);
        assert_eq!(pairs(32, 4, 4096), [(1, 1), (1, 4), (1, 16), (2, 16)]);
        assert_eq!(pairs(63, 2, 2048), [(1, 1), (1, 4), (1, 16), (3, 16)]);
        assert_eq!(pairs(31, 4, 1000), [(1, 1), (1, 4), (1, 16)]);
        assert_eq!(pairs(64, 8, 1000), [(1, 1), (1, 3), (1, 10), (4, 4)]);
        assert_eq!(pairs(64, 38, 1000), [(1, 1), (1, 3), (1, 5), (4, 4)]);
        assert_eq!(pairs(64, 150, 1000), [(1, 1), (1, 3), (4, 1)]);
        assert_eq!(pairs(64, 400, 1000), [(1, 1), (4, 1)]);
    }

    #[test]
    fn short_windows_and_few_rows_leave_levels_out() {
        assert_eq!(pairs(20, 1, 1000), [(1, 8), (1, 16)]);
        assert_eq!(pairs(5, 1, 1000), [(1, 5)]);
        assert_eq!(pairs(64, 1, 127), [(1, 8), (1, 16), (1, 32)]);
        assert_eq!(pairs(64, 1, 128), [(1, 8), (1, 16), (1, 32), (1, 64)]);
        assert_eq!(pairs(64, 5, 51), [(1, 1), (1, 3), (4, 4)], "two windows a dimension");
        assert_eq!(shapes(64, 1, 191, true).len(), 3);
        assert_eq!(shapes(64, 1, 192, true).len(), 4);
        assert_eq!(pairs(12, 8, 1000), [(1, 1), (1, 3), (1, 10)]);
    }

    #[test]
    fn blocks_are_means_of_what_was_observed() {
        let nan = f32::NAN;
        let z = [9.0, 9.0, 1.0, nan, 3.0, nan, 5.0, 2.0, 6.0, nan];
        let mut out = [0.0; 4];
        vector(Shape { pool: 2, blocks: 2 }, 2, &z, &mut out);
        assert_eq!((out[0], out[2], out[3]), (2.0, 5.5, 2.0));
        assert!(out[1].is_nan());
        vector(Shape { pool: 1, blocks: 2 }, 2, &z, &mut out);
        assert_eq!(out[..3], [5.0, 2.0, 6.0]);
    }
}
