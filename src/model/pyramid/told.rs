//! A pyramid laid out for a device that explains windows, and what the device told.
//!
//! The device (kernels/explain.cu) says which columns are to blame and what was expected, to the bit what
//! [`super::explain`] finds; how much each level's word counts is found here.

use super::device::NONE;
use super::kernel::LANES;
use super::levels::vector;
use super::prepared::{PreparedCodes, PreparedLevel};
use super::score::level_energies;
use super::work::Energies;
use super::{Pyramid, Work};

/// Words of a level in [`ExplainLayout::levels`].
pub const DENSITIES_WORDS: usize = 12;
/// Densities of a level, and words that name columns to blame.
const DENSITIES: usize = 2;
const CHOSEN_WORDS: usize = 4;
/// Values beyond are the CPU's: of what overflows the bits are the machine's. Windows of streams are clipped far below.
const Z_MAX: f32 = 1e6;

/// What the device is given of a pyramid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExplainLayout {
    /// Means, precisions, axes and codes; matrices transposed.
    pub values: Vec<f64>,
    /// `Densities` of kernels/explain.cu, finest first.
    pub levels: Vec<[u32; DENSITIES_WORDS]>,
    /// Scored columns.
    pub columns: usize,
    /// Values of a row, as [`super::Layout::width`].
    pub width: usize,
    /// Coordinates of the widest level.
    pub dimension_max: usize,
    /// The level that expectations are of, and f64 of scratch that a column takes there.
    pub expecting: usize,
    pub room: usize,
    /// f64 of scratch that a row takes.
    pub row_scratch: usize,
}

impl ExplainLayout {
    /// Words a row comes to: columns to blame, shares and expectations, each for all rows before the next.
    pub fn parts(&self) -> [usize; 3] {
        let of_levels = DENSITIES * self.levels.len();
        [CHOSEN_WORDS * of_levels, 2 * of_levels * self.columns, 4 * self.columns]
    }

    fn put(&mut self, values: impl IntoIterator<Item = f64>) -> u32 {
        let at = self.values.len() as u32;
        self.values.extend(values);
        at
    }

    fn put_transposed(&mut self, d: usize, matrix: &[f64]) -> u32 {
        self.put((0..d * d).map(|at| matrix[at % d * d + at / d]))
    }

    fn put_codes(&mut self, d: usize, of: &PreparedCodes) -> [u32; 4] {
        let codes = of.ln_share.len();
        let (weights, bias) = of.search.parts();
        let weight = |k: usize, code: usize| f64::from(weights[code / LANES * d + k][code % LANES]);
        let search = self.put((0..d * codes).map(|at| weight(at / codes, at % codes)));
        let bias = self.put((0..codes).map(|code| f64::from(bias[code / LANES][code % LANES])));
        let offset = self.put(of.offset.iter().copied());
        [search, bias, offset, self.put_transposed(d, of.density.moments.precision())]
    }

    fn put_level(&mut self, level: &PreparedLevel) {
        let (d, moments) = (level.dimension, &level.single.moments);
        let mu = self.put(level.mu.iter().copied());
        let precision = self.put_transposed(d, moments.precision());
        let (mut axes, mut codes, mut of_codes) = (NONE, 0, [NONE; 4]);
        if let Some(of) = &level.codes {
            axes = self.put(moments.axes().iter().copied());
            codes = of.ln_share.len() as u32;
            of_codes = self.put_codes(d, of);
        }
        let [search, search_bias, offset, own] = of_codes;
        let room = room(level).max(codes as usize);
        let scratch = self.row_scratch as u32;
        self.row_scratch += DENSITIES * room;
        self.dimension_max = self.dimension_max.max(d);
        self.levels.push([
            d as u32,
            level.shape.pool as u32,
            codes,
            mu,
            precision,
            axes,
            search,
            search_bias,
            offset,
            own,
            scratch,
            room as u32,
        ]);
    }
}

/// f64 of a triangle of what is solved for at most: three columns to blame, the last cell of another, and gaps.
fn room(level: &PreparedLevel) -> usize {
    let hidden = level.dimension.min(3 * level.shape.blocks + gaps_max(level) + 1);
    hidden * (hidden + 1) / 2
}

/// Coordinates that a window may lack.
fn gaps_max(level: &PreparedLevel) -> usize {
    level.shape.blocks
}

/// What a device told of a window: a row of each of [`ExplainLayout::parts`], end to end.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub words: &'a [u32],
}

impl Told<'_> {
    /// As `attributions` gives them: by density of a level the columns to blame, and every column's share.
    pub(super) fn attributions(&self, pyramid: &Pyramid, level: usize) -> Vec<(Vec<usize>, Vec<f64>)> {
        let (columns, levels) = (pyramid.columns.scored.len(), pyramid.prepared.len());
        let densities = 1 + usize::from(pyramid.prepared[level].codes.is_some());
        let of = |density: usize| {
            let at = DENSITIES * level + density;
            let chosen = &self.words[CHOSEN_WORDS * at..][..CHOSEN_WORDS - 1];
            let chosen = chosen.iter().filter(|column| **column != NONE).map(|column| *column as usize);
            let shares = CHOSEN_WORDS * DENSITIES * levels + 2 * at * columns;
            (chosen.collect(), (0..columns).map(|column| self.number(shares + 2 * column)).collect())
        };
        (0..densities).map(of).collect()
    }

    /// Expectation and sd of the last cell of each scored column.
    pub(super) fn expected(&self, pyramid: &Pyramid) -> Vec<(f64, f64)> {
        let columns = pyramid.columns.scored.len();
        let first = self.words.len() - 4 * columns;
        (0..columns)
            .map(|column| first + 4 * column)
            .map(|at| (self.number(at), self.number(at + 2)))
            .collect()
    }

    /// Its low word comes first.
    fn number(&self, at: usize) -> f64 {
        f64::from_bits(u64::from(self.words[at]) | u64::from(self.words[at + 1]) << 32)
    }
}

impl Pyramid {
    pub fn explain_layout(&self) -> ExplainLayout {
        let (columns, expecting) = (self.columns.scored.len(), self.expecting());
        let at = self.prepared.iter().position(|level| level.shape == expecting.shape);
        let mut layout = ExplainLayout {
            columns,
            width: self.span * columns,
            expecting: at.unwrap_or(0),
            room: room(expecting),
            ..ExplainLayout::default()
        };
        self.prepared.iter().for_each(|level| layout.put_level(level));
        layout.row_scratch = layout.row_scratch.max(columns * layout.room);
        layout
    }

    /// What a device is asked about a window: its scored part into `to`, and the level whose columns are to blame or
    /// [`NONE`]. `None` if the window is the CPU's: with a value that is not clipped, or too much of it missing.
    pub fn ask(&self, window: &[f32], to: &mut [f32], work: &mut Work) -> Option<u32> {
        work.adopt(self);
        self.gather(&window[..self.dimension()], work);
        if work.z.iter().any(|z| z.abs() > Z_MAX) {
            return None;
        }
        let columns = self.columns.scored.len();
        for level in self.prepared.iter().filter(|_| work.gap[0]) {
            work.pooled.resize(level.dimension, 0.0);
            vector(level.shape, columns, &work.z, &mut work.pooled);
            let missing = work.pooled.iter().filter(|z| z.is_nan()).count();
            if missing > gaps_max(level) {
                return None;
            }
        }
        to.copy_from_slice(&work.z);
        let energies = self.energies(work);
        Some(self.most_surprised(&energies).map_or(NONE, |level| level as u32))
    }

    /// Of the one window that is gathered, by level.
    pub(super) fn energies(&self, work: &mut Work) -> Vec<Energies> {
        let of = |at: usize| {
            level_energies(&self.prepared, at, 1, work);
            work.energies[0]
        };
        (0..self.prepared.len()).map(of).collect()
    }

    /// The level whose columns are to blame, if any is surprised.
    pub(super) fn most_surprised(&self, energies: &[Energies]) -> Option<usize> {
        let mut most = (0.0, None);
        for (at, of) in energies.iter().enumerate() {
            let surprise = self.level_surprise(at, of);
            if surprise > most.0 {
                most = (surprise, Some(at));
            }
        }
        most.1
    }
}
