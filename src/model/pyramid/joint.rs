//! Columns that have left their joint law: off from what all others say, over several cells at once.
//!
//! A level's energy is a mean over its axes, in which one column that contradicts the rest drowns where the machine
//! as a whole moves about. So each column is looked at by itself: its distance given all other columns,
//! `q = (P r)_c' P_cc^-1 (P r)_c`, with `P` the precision of a level and `c` the column's m coordinates, as the energy
//! of a multivariate t density, `E = (nu + m) / 2 ln(1 + q / nu)`. It is held against those of training windows the fit
//! had not seen, each column by its own tail: `ln 10 + (E - h) / e` beyond the 90 % quantile `h`, with `e` the mean
//! excess.

use super::basis::NU;
use super::kernel::{LANES, Packed, ln, product, squares};
use super::levels::{Shape, vector};
use super::prepared::PreparedLevel;
use super::{Pyramid, Work};

/// Coordinates of the level that is looked at, at most: the price of one more product of that size.
const DIMENSION: usize = 64;
/// Cells that it may pool: a column that contradicts the others in one cell must still show.
const POOL_MAX: usize = 3;
/// Fewest windows that may speak for a column.
const REFERENCES_MIN: usize = 60;
const BEYOND_SHARE: f64 = 0.1;
/// A tail is never steeper than this part of the spread of a chi-square energy, so that a constant column does not
/// turn rounding into certainty.
const EXCESS_FLOOR: f64 = 0.05;

/// One column's references, nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Joint {
    pub threshold: f64,
    /// Mean excess beyond; 0: too few windows, never odd.
    pub excess: f64,
}

impl Joint {
    /// Of the training windows' energies, NaN where unknown.
    fn fit(mut references: Vec<f32>, cells: usize) -> Joint {
        references.retain(|e| !e.is_nan());
        references.sort_by(f32::total_cmp);
        let n = references.len();
        if n < REFERENCES_MIN {
            return Joint::default();
        }
        let beyond = (BEYOND_SHARE * n as f64) as usize;
        let threshold = f64::from(references[n - 1 - beyond]);
        let sum: f64 = references[n - beyond..].iter().map(|e| f64::from(*e) - threshold).sum();
        // Of `E` where `q` is about its mean: half its own.
        let floor = EXCESS_FLOOR * 0.5 * (2.0 * cells as f64).sqrt();
        Joint { threshold, excess: (sum / beyond as f64).max(floor) }
    }

    /// Nats; 0 up to the threshold, and where unknown.
    #[inline(always)]
    fn surprise(&self, energy: f32) -> f32 {
        let scale = if self.excess > 0.0 { 1.0 / self.excess } else { 0.0 } as f32;
        let beyond = energy - self.threshold as f32;
        let surprise = beyond.mul_add(scale, -BEYOND_SHARE.ln() as f32);
        if beyond > 0.0 && scale > 0.0 { surprise } else { 0.0 }
    }
}

/// Laid out for scoring.
#[derive(Clone, Debug)]
pub(super) struct PreparedJoint {
    pub level: usize,
    pub blocks: usize,
    /// Whitened gradients: output `k * columns + column` of `L_c^-1 (P (w - mu))_c`, `L_c` the factor of `P_cc`.
    pub whiten: Packed,
}

impl PreparedJoint {
    /// Of the level of few coordinates that looks back furthest; none with a single column, which has no others.
    pub(super) fn new(levels: &[PreparedLevel]) -> Option<PreparedJoint> {
        let fits = |at: &usize| levels[*at].shape.pool <= POOL_MAX && levels[*at].dimension <= DIMENSION;
        let at = (0..levels.len()).filter(fits).max_by_key(|at| levels[*at].shape.cells())?;
        let (level, blocks) = (&levels[at], levels[at].shape.blocks);
        let (d, columns) = (level.dimension, level.dimension / blocks);
        if columns == 1 {
            return None;
        }
        let by_column: Vec<Vec<Vec<f64>>> = (0..columns)
            .map(|column| {
                let own: Vec<usize> = (0..blocks).map(|block| block * columns + column).collect();
                level.single.moments.whitened_gradient(&own)
            })
            .collect();
        let rows: Vec<&Vec<f64>> =
            (0..d).map(|output| &by_column[output % columns][output / columns]).collect();
        let bias = |output: usize| -rows[output].iter().zip(&level.mu).map(|(g, mu)| g * mu).sum::<f64>();
        let whiten = Packed::new(d, d, |input, output| rows[output][input], bias, 0.0);
        Some(PreparedJoint { level: at, blocks, whiten })
    }
}

impl Pyramid {
    /// Energy of each column given all others, of gathered rows, into `work.joint`: scored columns × rows; NaN where
    /// less than half of a column's cells are observed.
    #[inline(always)]
    pub(super) fn joint_energies(&self, rows: usize, work: &mut Work) {
        let Some(joint) = &self.prepared_joint else { return };
        let (level, columns) = (&self.prepared[joint.level], self.columns.scored.len());
        let (d, part, panels) = (level.dimension, work.z.len() / rows, joint.whiten.panels());
        work.white.resize(rows * panels, [0.0; LANES]);
        if level.shape.pool == 1 {
            product(&joint.whiten, &work.z[part - d..], part, rows, &mut work.white);
        } else {
            work.pooled.resize(rows * d, 0.0);
            for (z, pooled) in work.z.chunks_exact(part).zip(work.pooled.chunks_exact_mut(d)) {
                vector(level.shape, columns, z, pooled);
                only_whole(level.shape, columns, z, pooled);
            }
            product(&joint.whiten, &work.pooled, d, rows, &mut work.white);
        }
        work.joint.resize(columns * rows, 0.0);
        work.by_column.resize(columns, 0.0);
        for row in 0..rows {
            squares(&work.white[row * panels..][..panels].as_flattened()[..d], &mut work.by_column);
            for (column, distance) in work.by_column.iter().enumerate() {
                work.joint[column * rows + row] = *distance;
            }
        }
        for of in &mut work.joint {
            *of = energy(*of, joint.blocks);
        }
        for row in 0..rows {
            if work.gap[row] {
                self.energies_with_gaps(joint, row, rows, work);
            }
        }
    }

    /// A gap is completed by what is expected there, which has no gradient; its column's energy is brought to that
    /// of a whole one, what is missing counting as ordinary.
    #[inline(always)]
    fn energies_with_gaps(&self, joint: &PreparedJoint, row: usize, rows: usize, work: &mut Work) {
        let (level, columns) = (&self.prepared[joint.level], self.columns.scored.len());
        let part = work.z.len() / rows;
        let (d, panels) = (level.dimension, joint.whiten.panels());
        let w = match level.shape.pool {
            1 => &work.z[(row + 1) * part - d..(row + 1) * part],
            _ => &work.pooled[row * d..(row + 1) * d],
        };
        let residual = &mut work.residual;
        residual.clear();
        residual.extend(w.iter().zip(&level.mu).map(|(w, mu)| f64::from(*w) - mu));
        level.single.moments.complete(residual, &mut work.patterns[joint.level][0]);
        work.completed.clear();
        work.completed.extend(residual.iter().zip(&level.mu).map(|(r, mu)| (r + mu) as f32));
        let white = &mut work.white[row * panels..][..panels];
        product(&joint.whiten, &work.completed, d, 1, white);
        squares(&white.as_flattened()[..d], &mut work.by_column);
        for (column, distance) in work.by_column.iter().enumerate() {
            let seen = w[column..].iter().step_by(columns).filter(|w| !w.is_nan()).count();
            // The mean of a square that is not seen is 1.
            let distance = distance + (joint.blocks - seen) as f32;
            let known = 2 * seen >= joint.blocks;
            work.joint[column * rows + row] = if known { energy(distance, joint.blocks) } else { f32::NAN };
        }
    }

    /// Of a scored column with this energy, nats, as of the oddest of so many.
    #[inline(always)]
    pub(super) fn joint_surprise(&self, column: usize, energy: f32) -> f32 {
        oddest_of(self.joint[column].surprise(energy), self.joint.len())
    }

    /// Of each row's oddest column, of the energies in `work.joint` (scored columns × rows), into `work.odd`.
    #[inline(always)]
    pub(super) fn disjoint(&self, rows: usize, work: &mut Work) {
        work.odd.clear();
        work.odd.resize(rows, 0.0);
        if self.joint.is_empty() {
            return;
        }
        for (joint, energies) in self.joint.iter().zip(work.joint.chunks_exact(rows)) {
            for (odd, energy) in work.odd.iter_mut().zip(energies) {
                *odd = larger(*odd, joint.surprise(*energy));
            }
        }
        work.odd.iter_mut().for_each(|odd| *odd = oddest_of(*odd, self.joint.len()));
    }

    /// Sets the columns' tails from the energies, by column, of windows the fit had not seen; and gives the surprise
    /// of each of these windows.
    pub(super) fn fit_joint(&mut self, energies: &[Vec<f32>]) -> Vec<f32> {
        let Some(joint) = &self.prepared_joint else { return Vec::new() };
        self.joint = energies.iter().map(|of| Joint::fit(of.clone(), joint.blocks)).collect();
        let mut work = Work::new();
        work.joint = energies.concat();
        self.disjoint(energies[0].len(), &mut work);
        work.odd
    }
}

/// A mean of fewer cells scatters more than the law knows of: it counts as missing.
#[inline(always)]
fn only_whole(shape: Shape, columns: usize, z: &[f32], pooled: &mut [f32]) {
    let z = &z[z.len() - shape.cells() * columns..];
    for (block, pooled) in z.chunks_exact(shape.pool * columns).zip(pooled.chunks_exact_mut(columns)) {
        for cell in block.chunks_exact(columns) {
            // `0 z` is NaN where z is.
            pooled.iter_mut().zip(cell).for_each(|(mean, z)| *mean += 0.0 * z);
        }
    }
}

/// `(nu + m) / 2 ln(1 + q / nu)`
#[inline(always)]
pub(super) fn energy(distance: f32, cells: usize) -> f32 {
    0.5 * (NU as f32 + cells as f32) * ln(1.0 + distance * (1.0 / NU as f32))
}

/// A surprise as of the oddest of so many columns, nats.
#[inline(always)]
pub(super) fn oddest_of(surprise: f32, columns: usize) -> f32 {
    (surprise - (columns as f32).ln()).max(0.0)
}

/// Without a thought of NaN, which costs.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::super::Scores;
    use super::super::synthetic::{normal_windows, series};
    use super::*;

    const COLUMNS: usize = 4;
    const CELLS: usize = 16;

    fn fitted(cells: usize) -> Pyramid {
        let windows = normal_windows(&series(4200, COLUMNS, 1), cells, COLUMNS);
        Pyramid::fit(windows.view(), cells, COLUMNS, &[false; COLUMNS]).unwrap()
    }

    /// The packed product is the definition, with a gap and without, of cells and of means of two.
    #[test]
    fn energies_are_distances_given_all_others() {
        for (cells, gap) in [(16, 0), (16, 1), (32, 0), (32, 1), (32, 2)] {
            let pyramid = fitted(cells);
            let joint = pyramid.prepared_joint.as_ref().unwrap();
            let level = &pyramid.prepared[joint.level];
            assert_eq!((level.shape.cells(), joint.blocks), (cells, CELLS));
            let mut window = normal_windows(&series(400, COLUMNS, 2), cells, COLUMNS).row(100).to_vec();
            // A block that is gone in part is gone.
            let block = 2 * COLUMNS * level.shape.pool + 1;
            window[block..].iter_mut().step_by(COLUMNS).take(gap).for_each(|z| *z = f32::NAN);
            let mut work = Work::new();
            work.adopt(&pyramid);
            let rows = pyramid.gather(&window, &mut work);
            pyramid.joint_energies(rows, &mut work);
            let mut w = vec![0.0; CELLS * COLUMNS];
            vector(level.shape, COLUMNS, &window, &mut w);
            if gap > 0 {
                w[2 * COLUMNS + 1] = f32::NAN;
            }
            let mut residual: Vec<f64> = w.iter().zip(&level.mu).map(|(z, mu)| f64::from(*z) - mu).collect();
            level.single.moments.complete(&mut residual, &mut Default::default());
            let gradient = level.single.moments.gradient(&residual);
            for column in 0..COLUMNS {
                let own: Vec<usize> = (column..CELLS * COLUMNS).step_by(COLUMNS).collect();
                let missing = if gap > 0 && column == 1 { 1.0 } else { 0.0 };
                let distance = level.single.moments.part(&gradient, &own) + missing;
                let expected = f64::from(energy(distance as f32, CELLS));
                let found = f64::from(work.joint[column]);
                assert!((found - expected).abs() < 1e-3 * expected, "{gap} {column}: {found} {expected}");
            }
        }
    }

    /// A shift of one column, which its neighbours do not follow.
    #[test]
    fn a_column_that_contradicts_the_others_is_told() {
        let pyramid = fitted(CELLS);
        let mut windows = normal_windows(&series(2000, COLUMNS, 3), CELLS, COLUMNS);
        let odd = |windows: &[f32]| {
            let mut scores = Scores::default();
            pyramid.score(windows, &mut scores, &mut Work::new());
            scores.joint.iter().filter(|s| **s > 9.2).count() as f64 / scores.joint.len() as f64
        };
        let joint = odd(windows.as_slice().unwrap());
        assert!(joint < 0.002, "{joint} of normal windows");
        for mut row in windows.rows_mut() {
            row.iter_mut().skip(2).step_by(COLUMNS).for_each(|z| *z += 4.0);
        }
        let joint = odd(windows.as_slice().unwrap());
        assert!(joint > 0.95, "{joint}");
    }

    #[test]
    fn one_column_has_no_others() {
        let windows = normal_windows(&series(400, 1, 1), CELLS, 1);
        let pyramid = Pyramid::fit(windows.view(), CELLS, 1, &[false]).unwrap();
        assert!(pyramid.joint.is_empty() && pyramid.prepared_joint.is_none());
    }
}
