//! The windows of each key, and what they serve in the search for cohorts.

use ndarray::ArrayView2;

use crate::model::pyramid::Pyramid;

/// Keys that are grouped; of more, evenly spaced ones are, and the others join the likeliest group.
pub(super) const KEYS_MAX: usize = 1024;
/// Windows below which a key stays everyone's.
const OWN_MIN: usize = 16;
/// Windows of all keys together by which they are assigned, and held against what was found.
const ASKED_ROWS: usize = 16_384;
const ASKED_MIN: usize = 8;
const ASKED_MAX: usize = 512;

/// Training windows, rows in order of time, all standardised by one prior.
pub struct Rows<'a> {
    /// rows x `cells * columns`, NaN = missing
    pub z: &'a [f32],
    /// By row: index of its key.
    pub keys: &'a [usize],
}

/// A key with windows enough to say something.
pub(super) struct Key {
    pub key: usize,
    /// Windows in all.
    pub count: usize,
    /// Those of the first three quarters: densities are fitted on them.
    pub early: Vec<usize>,
    /// A few of them, and of the last quarter.
    pub asked: Asked,
    pub late: Asked,
    /// As many of the last quarters of other keys.
    pub others: Asked,
}

/// Windows that densities are asked of.
pub(super) struct Asked {
    pub rows: Vec<usize>,
    /// Log density under all levels of everyone's, nats a number.
    pub everyone: Vec<f64>,
}

impl Asked {
    pub fn of(rows: Vec<usize>) -> Asked {
        Asked { rows, everyone: Vec::new() }
    }
}

impl Rows<'_> {
    pub fn window(&self, row: usize, width: usize) -> &[f32] {
        &self.z[row * width..][..width]
    }

    /// These, end to end.
    pub fn windows(&self, rows: &[usize], width: usize) -> Vec<f32> {
        rows.iter().flat_map(|row| self.window(*row, width)).copied().collect()
    }
}

/// Keys with windows enough: those that are grouped, and those that only join.
pub(super) fn divided(rows: &Rows<'_>, keys: usize, like: &Pyramid) -> (Vec<Key>, Vec<Key>) {
    let mut own: Vec<Vec<usize>> = vec![Vec::new(); keys];
    if let Ok(view) = ArrayView2::from_shape((rows.keys.len(), like.dimension()), rows.z) {
        like.usable(view).into_iter().for_each(|row| own[rows.keys[row]].push(row));
    }
    let enough = own.iter().filter(|own| own.len() >= OWN_MIN).count();
    let asked = (ASKED_ROWS / enough.clamp(1, KEYS_MAX)).clamp(ASKED_MIN, ASKED_MAX);
    let key = |(key, own): (usize, Vec<usize>)| {
        let (early, late) = own.split_at(own.len() * 3 / 4);
        Key {
            key,
            count: own.len(),
            early: early.to_vec(),
            asked: Asked::of(thinned(early, asked)),
            late: Asked::of(thinned(late, asked)),
            others: Asked::of(Vec::new()),
        }
    };
    let known = own.into_iter().enumerate().filter(|(_, own)| own.len() >= OWN_MIN).map(key);
    let step = enough.div_ceil(KEYS_MAX).max(1);
    let (mut grouped, mut joining) = (Vec::new(), Vec::new());
    for (at, key) in known.enumerate() {
        if at.is_multiple_of(step) { grouped.push(key) } else { joining.push(key) }
    }
    let late: Vec<(usize, usize)> =
        grouped.iter().flat_map(|of| of.late.rows.iter().map(|row| (of.key, *row))).collect();
    for key in &mut grouped {
        key.others = Asked::of(of_others(&late, key.key, asked));
    }
    (grouped, joining)
}

/// About as many as `most` of these windows of keys, without those of `key`.
pub(super) fn of_others(windows: &[(usize, usize)], key: usize, most: usize) -> Vec<usize> {
    // Twice as many leave enough of two keys.
    let some = thinned(windows, 2 * most).into_iter().filter(|(of, _)| *of != key);
    some.map(|(_, row)| row).collect()
}

/// As many as `most`, evenly spaced.
pub(super) fn thinned<T: Copy>(rows: &[T], most: usize) -> Vec<T> {
    let count = rows.len().min(most);
    (0..count).map(|i| rows[i * rows.len() / count]).collect()
}
