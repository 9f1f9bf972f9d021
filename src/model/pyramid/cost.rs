//! What a pyramid takes: memory, and work a window.

use super::fit::{CODE_CELLS, KNOTS};
use super::levels::{Shape, shapes};
use super::{Codes, Level, Pyramid, Tail};

impl Pyramid {
    /// Heap of a pyramid of such windows, about, without codes (see [`super::Settings::QUICK`]): of each level the
    /// axes twice and the precision in f64, the axes once more in f32, and a tail. Some columns may turn out to be
    /// flags, and fewer columns have longer levels: the largest counts.
    pub fn heap_bytes(cells: usize, columns: usize) -> f64 {
        (1..=columns).map(|scored| Self::heap_bytes_scored(cells, scored)).fold(0.0, f64::max)
    }

    /// The same of this one, codes and all.
    pub fn bytes(&self) -> usize {
        let of_level = |level: &Level| {
            let d = level.basis.dimension();
            let codes = level
                .codes
                .as_ref()
                .map_or(0, |codes| 32 * codes.len() * d + d * d * if codes.u.is_some() { 28 } else { 16 });
            d * d * 28 + codes + level.tails.iter().map(|tail| Tail::bytes(tail.knots.len())).sum::<usize>()
        };
        let references = [&self.references, &self.column_references, &self.training_surprises];
        self.levels.iter().map(of_level).sum::<usize>()
            + references.map(|of| of.len() * 4).iter().sum::<usize>()
    }

    /// Multiplications and additions that a window without gaps takes: projections, searches for codes, and the law between
    /// columns.
    pub fn flop(&self) -> usize {
        let of_level = |level: &Level| {
            let (d, codes) = (level.basis.dimension(), level.codes.as_ref());
            let own = codes.is_some_and(|codes| codes.u.is_some());
            d * d * (1 + usize::from(own)) + d * codes.map_or(0, Codes::len)
        };
        let joint = self.prepared_joint.as_ref().filter(|_| !self.joint.is_empty());
        let joint = joint.map_or(0, |of| self.prepared[of.level].dimension.pow(2));
        2 * (self.levels.iter().map(of_level).sum::<usize>() + joint)
    }

    /// At most, of such windows with these scored columns, whatever codes a fit may find.
    pub fn bytes_max(cells: usize, scored: usize) -> usize {
        let levels = shapes(cells, scored, usize::MAX / 4, false);
        let codes = CODE_CELLS * 32;
        let of_level = |shape: &Shape| shape.dimension(scored).pow(2) * 56 + codes + 2 * Tail::bytes(KNOTS);
        levels.iter().map(of_level).sum::<usize>() + 12 * KNOTS
    }

    fn heap_bytes_scored(cells: usize, scored: usize) -> f64 {
        let levels = shapes(cells, scored, usize::MAX / 4, false);
        let of_level = |shape: &Shape| (shape.dimension(scored).pow(2) * 28 + Tail::bytes(KNOTS)) as f64;
        levels.iter().map(of_level).sum::<f64>() + (12 * KNOTS) as f64
    }
}
