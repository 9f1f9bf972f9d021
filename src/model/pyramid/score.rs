//! Scoring rows in batches: every level's two energies, their surprise, and the state they make.

use super::Pyramid;
use super::basis::NU;
use super::device::Found;
use super::gaps::{Space, with_gaps};
use super::joint::{larger, oddest_of};
use super::kernel::{LANES, Lanes, ln_sum, product, smallest};
use super::levels::vector;
use super::observed::{all_finite, all_whole, observe};
use super::prepared::PreparedLevel;
use super::still;
use super::work::{Energies, Scores, Work};

/// Rows that go through a level together: their vectors and projections stay in the second cache.
pub(super) const BLOCK: usize = 48;
/// Nats stillness may add to a state at most: a quiet column is a hint beside the densities. Uncapped it
/// drowned them on machines whose columns often rest; between 4 and 6 all gained. By itself it need not be bounded:
/// see [`Scores::column_surprise`].
const STILL_MAX: f64 = 5.0;
/// Surprise of a flag that is neither on nor off, nats: what a column never was is no matter of degree.
const STRANGE_FLAG: f32 = 30.0;

impl Pyramid {
    /// Scores rows of [`Pyramid::dimension`] z values (NaN = missing), cell-major. A trailing part of a
    /// row is not looked at. A row's scores do not depend on the other rows.
    pub fn score(&self, windows: &[f32], out: &mut Scores, work: &mut Work) {
        out.clear();
        work.adopt(self);
        let arch = work.arch;
        let whole = windows.len() / self.dimension() * self.dimension();
        for windows in windows[..whole].chunks(BLOCK * self.dimension()) {
            arch.dispatch(Batch { pyramid: self, windows, found: None, out, work });
        }
    }

    /// The same of rows without gaps of which a device has found all that takes time: to the bit what
    /// [`Pyramid::score`] gives.
    pub fn finish(&self, windows: &[f32], found: Found<'_>, out: &mut Scores, work: &mut Work) {
        out.clear();
        work.adopt(self);
        let arch = work.arch;
        for (block, windows) in windows.chunks(BLOCK * self.dimension()).enumerate() {
            let found = Some(found.from(block * BLOCK));
            arch.dispatch(Batch { pyramid: self, windows, found, out, work });
        }
    }
}

/// A batch to be compiled once for each vector width. A named operation and not a closure: a closure
/// is called, not inlined, from the code made for the wide instructions, and stays narrow.
struct Batch<'a> {
    pyramid: &'a Pyramid,
    windows: &'a [f32],
    found: Option<Found<'a>>,
    out: &'a mut Scores,
    work: &'a mut Work,
}

impl pulp::WithSimd for Batch<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Batch { pyramid, windows, found, out, work } = self;
        let rows = match found {
            None => pyramid.gather(windows, work),
            Some(_) => all_whole(windows.len() / pyramid.dimension(), work),
        };
        observe(pyramid, windows, out, work);
        let first = out.levels.len();
        out.levels.resize(first + rows * pyramid.levels.len(), f32::NAN);
        work.sums.clear();
        work.sums.resize(rows, (0.0, 0));
        for at in 0..pyramid.levels.len() {
            match &found {
                None => level_energies(&pyramid.prepared, at, rows, work),
                Some(found) => found.level_energies(&pyramid.prepared, at, rows, work),
            }
            for (row, of) in work.energies.iter().enumerate() {
                let surprise = pyramid.level_surprise(at, of);
                if !surprise.is_nan() {
                    let (sum, n) = &mut work.sums[row];
                    *sum += surprise * surprise;
                    *n += 1;
                    out.levels[first + row * pyramid.levels.len() + at] = surprise as f32;
                }
            }
            if at == 0 {
                out.log_likelihood.extend(work.energies.iter().map(|of| of.log_likelihood));
            }
        }
        if !pyramid.joint.is_empty() {
            match &found {
                None => pyramid.joint_energies(rows, work),
                Some(found) => found.joint_energies(pyramid, rows, work),
            }
        }
        pyramid.disjoint(rows, work);
        if !pyramid.still.is_empty() {
            match &found {
                None => pyramid.roughness(rows, work),
                Some(found) => found.roughness(pyramid, rows, work),
            }
        }
        pyramid.stillness(rows, work);
        for (row, window) in windows.chunks_exact(pyramid.dimension()).enumerate() {
            let (still, joint, (sum, n)) = (work.quiet[row], work.odd[row], work.sums[row]);
            let state = pyramid.state(sum, n, f64::from(still));
            let strange = pyramid.columns.flags().any(|column| pyramid.columns.is_strange(window, column));
            let least = if strange { STRANGE_FLAG } else { 0.0 };
            out.still.push(still);
            out.joint.push(joint);
            out.state.push(state);
            out.column_surprise.push(pyramid.deep[1].straight(larger(still, joint)));
            out.surprise.push(pyramid.deep[0].straight(pyramid.state_surprise(state, n)).max(least));
        }
    }
}

impl Pyramid {
    /// The scored part of these windows into `work.z`, and which have gaps there; their number.
    #[inline(always)]
    pub(super) fn gather(&self, windows: &[f32], work: &mut Work) -> usize {
        let rows = windows.len() / self.dimension();
        let part = self.span * self.columns.scored.len();
        work.z.resize(rows * part, 0.0);
        work.gap.clear();
        for (window, z) in windows.chunks_exact(self.dimension()).zip(work.z.chunks_exact_mut(part)) {
            self.columns.gather(window, z);
            work.gap.push(!all_finite(z));
        }
        rows
    }

    /// Roughness of the columns of gathered rows, into `work.rough`.
    #[inline(always)]
    pub(super) fn roughness(&self, rows: usize, work: &mut Work) {
        let (part, columns) = (work.z.len() / rows, self.columns.scored.len());
        let cells = still::CELLS.min(self.columns.cells);
        work.rough.resize(columns * rows, 0.0);
        for of in [&mut work.by_column, &mut work.known, &mut work.last] {
            of.resize(columns, 0.0);
        }
        work.steps.resize((cells - 1) * columns, 0.0);
        for row in 0..rows {
            let z = &work.z[(row + 1) * part - cells * columns..(row + 1) * part];
            let out = &mut work.by_column;
            if work.gap[row] {
                still::roughness(z, out, &mut work.known, &mut work.last);
                for ((still, r), known) in self.still.iter().zip(&mut *out).zip(&work.known) {
                    *r = still.whole(*r, *known);
                }
            } else {
                still::roughness_whole(z, out, &mut work.steps);
            }
            for (column, r) in out.iter().enumerate() {
                work.rough[column * rows + row] = *r;
            }
        }
    }

    /// Surprise of the quietest column of each row by `work.rough`, as of the quietest of so many, nats, into
    /// `work.quiet`.
    #[inline(always)]
    fn stillness(&self, rows: usize, work: &mut Work) {
        work.quiet.clear();
        work.quiet.resize(rows, 0.0);
        if self.still.is_empty() {
            return;
        }
        for (still, rough) in self.still.iter().zip(work.rough.chunks_exact(rows)) {
            for (quiet, r) in work.quiet.iter_mut().zip(rough) {
                *quiet = larger(*quiet, still.surprise(*r));
            }
        }
        work.quiet.iter_mut().for_each(|quiet| *quiet = oddest_of(*quiet, self.still.len()));
    }

    /// Root mean square of what has a say: `n` levels, whose surprise squared sums to `sum`, and stillness.
    #[inline(always)]
    fn state(&self, sum: f64, n: u32, still: f64) -> f32 {
        let (mut sum, mut n) = (sum, f64::from(n));
        if n == 0.0 {
            return 0.0;
        }
        if !self.still.is_empty() {
            sum += still.min(STILL_MAX).powi(2);
            n += 1.0;
        }
        (sum / n).sqrt() as f32
    }
}

/// Energies of the gathered rows under one level into `work.energies`.
#[inline(always)]
pub(super) fn level_energies(levels: &[PreparedLevel], at: usize, rows: usize, work: &mut Work) {
    let level = &levels[at];
    let (d, part) = (level.dimension, work.z.len() / rows);
    let cells = level.shape.cells() * (d / level.shape.blocks);
    work.energies.clear();
    work.energies.resize(rows, Energies::default());
    let (x, stride) = if level.shape.pool == 1 {
        (&work.z[part - cells..], part)
    } else {
        work.pooled.resize(rows * d, 0.0);
        for (z, pooled) in work.z.chunks_exact(part).zip(work.pooled.chunks_exact_mut(d)) {
            vector(level.shape, d / level.shape.blocks, z, pooled);
        }
        (&work.pooled[..], d)
    };
    let panels = level.panels();
    work.axes.resize(rows * panels, [0.0; LANES]);
    product(&level.single.project, x, stride, rows, &mut work.axes);
    if let Some(codes) = &level.codes {
        work.distance.resize(rows * codes.search.panels(), [0.0; LANES]);
        product(&codes.search, work.axes.as_flattened(), panels * LANES, rows, &mut work.distance);
        if codes.own_axes {
            work.own.resize(rows * panels, [0.0; LANES]);
            product(&codes.density.project, x, stride, rows, &mut work.own);
        }
    }
    for row in 0..rows {
        let w = &x[row * stride..][..d];
        work.energies[row] = if work.gap[row] && (level.shape.pool > 1 || !all_finite(w)) {
            let z = &work.z[row * part..][..part];
            let space = Space {
                patterns: &mut work.patterns[at],
                patch: &mut work.patch,
                residual: &mut work.residual,
                axes: &mut work.projection,
            };
            with_gaps(levels, at, z, space)
        } else {
            full(level, row, &work.axes, &work.own, &work.distance)
        };
    }
}

#[inline(always)]
fn full(level: &PreparedLevel, row: usize, axes: &[Lanes], own: &[Lanes], distance: &[Lanes]) -> Energies {
    let panels = level.panels();
    let part = row * panels..(row + 1) * panels;
    let single = ln_sum(&axes[part.clone()], &level.centre, &level.single.scale);
    let coded = level.codes.as_ref().map(|codes| {
        let searched = codes.search.panels();
        let code = smallest(&distance[row * searched..][..searched]);
        let axes = if codes.own_axes { &own[part] } else { &axes[part] };
        let shift = &codes.shift[code * panels..][..panels];
        (code, ln_sum(axes, shift, &codes.density.scale))
    });
    whole(level, single, coded)
}

/// Of a row without gaps: from the sum of logarithms under the single density, and the nearest code with that under
/// the density of codes.
#[inline(always)]
pub(super) fn whole(level: &PreparedLevel, single: f32, coded: Option<(usize, f32)>) -> Energies {
    let (half, d) = (0.5 * (NU + 1.0), level.dimension as f64);
    let sum = half * f64::from(single);
    let mut found =
        Energies { energy: [sum / d, 0.0], observed: 1.0, log_likelihood: level.single.ln_constant - sum };
    if let (Some(codes), Some((code, coded))) = (&level.codes, coded) {
        let sum = half * f64::from(coded) - codes.ln_share[code];
        found.energy[1] = sum / d;
        found.log_likelihood = codes.density.ln_constant - sum;
    }
    found
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
