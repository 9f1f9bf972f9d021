//! What of windows is there.

use super::kernel::LANES;
use super::{Pyramid, Scores, Work};

/// Nothing was gathered here, and nothing is missing.
#[inline(always)]
pub(super) fn all_whole(rows: usize, work: &mut Work) -> usize {
    work.gap.clear();
    work.gap.resize(rows, false);
    rows
}

/// Counts of observed cells, over the whole of the windows.
#[inline(always)]
pub(super) fn observe(pyramid: &Pyramid, windows: &[f32], out: &mut Scores, work: &Work) {
    let columns = &pyramid.columns;
    for (row, window) in windows.chunks_exact(columns.dimension()).enumerate() {
        let first = out.column_observed.len();
        out.column_observed.resize(first + columns.columns, columns.cells as u16);
        let mut observed = columns.cells * columns.scored.len();
        if work.gap[row] || !all_finite(window) {
            let counts = &mut out.column_observed[first..];
            for cell in window.chunks_exact(columns.columns) {
                counts.iter_mut().zip(cell).for_each(|(count, z)| *count -= u16::from(!z.is_finite()));
            }
            observed = columns.scored.iter().map(|column| usize::from(counts[*column])).sum();
        }
        out.observed.push(observed.min(usize::from(u16::MAX)) as u16);
    }
}

/// In lanes, so that it is one pass of vector additions: `0 * z` is NaN where z is not finite.
#[inline(always)]
pub(super) fn all_finite(z: &[f32]) -> bool {
    let mut lanes = [0.0f32; LANES];
    let chunks = z.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] += 0.0 * chunk[l];
        }
    }
    rest.iter().map(|z| 0.0 * z).sum::<f32>() + lanes.iter().sum::<f32>() == 0.0
}
