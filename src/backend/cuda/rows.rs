//! Rows of a batch that go apart, and come together again.

use std::ops::Range;

use crate::model::Pyramid;
use crate::model::pyramid::Scores;

/// These rows end to end: as they lie where they do, else copied.
pub(super) fn rows_of<'a>(
    windows: &'a [f32],
    rows: &[u32],
    width: usize,
    copied: &'a mut Vec<f32>,
) -> &'a [f32] {
    let of = |row: u32| -> Range<usize> { row as usize * width..(row as usize + 1) * width };
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    if (last - first) as usize + 1 == rows.len() {
        return &windows[of(first).start..of(last).end];
    }
    copied.clear();
    rows.iter().for_each(|row| copied.extend_from_slice(&windows[of(*row)]));
    copied
}

/// Scores of some rows in their places among all.
pub(super) fn put(part: &Scores, rows: &[u32], pyramid: &Pyramid, out: &mut Scores) {
    let levels = pyramid.levels.len();
    for (from, row) in rows.iter().enumerate() {
        let to = *row as usize;
        out.copy_row(to, part, from, pyramid.columns.columns);
        out.levels[to * levels..][..levels].copy_from_slice(&part.levels[from * levels..][..levels]);
    }
}
