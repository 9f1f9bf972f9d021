//! What it takes of memory, for `eddy plan`: of the heap alone, bytes, about.

use super::{Episode, Episodes, Extent, InForce, Reach, WORDS_MAX};
use crate::types::UNSAID_MAX;

/// Room of a vector that was filled to `len` one by one, elements: it begins with four, and doubles.
fn room(len: usize) -> f64 {
    len.max(4).next_power_of_two() as f64
}

/// The same on average, of many that were filled by chance.
fn mean_room(len: f64) -> f64 {
    (1.4 * len).max(4.0)
}

impl Extent {
    /// Of columns of which each went to one side.
    fn heap_bytes(columns: usize) -> f64 {
        room(columns) * size_of::<Reach>() as f64
    }
}

impl InForce {
    /// Of so many alerts called expected, whose ids have `id_bytes`.
    pub fn heap_bytes(alerts: f64, columns: usize, id_bytes: usize) -> f64 {
        Extent::heap_bytes(columns)
            + mean_room(alerts) * size_of::<Box<str>>() as f64
            + alerts * id_bytes as f64
    }
}

impl Episodes {
    /// Most episodes of a key: those on which there is a word, and those on which there is none.
    pub const MAX: usize = WORDS_MAX + UNSAID_MAX;

    /// Of so many episodes with a word on each; ids of alerts have `id_bytes`.
    pub fn heap_bytes(episodes: f64, columns: usize, id_bytes: usize) -> f64 {
        let of_each = Extent::heap_bytes(columns) + id_bytes as f64;
        mean_room(episodes) * size_of::<Episode>() as f64 + episodes * of_each
    }
}
