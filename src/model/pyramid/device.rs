//! A pyramid laid out for a device that does what takes time on rows without gaps, and what the device found.
//!
//! The device (kernels/forward.cu) gives sums of logarithms, nearest codes, squared distances and roughness, each
//! to the bit what [`super::kernel`] gives; the look-ups that follow are done here, by the same code.

use super::joint::energy;
use super::kernel::{LANES, Lanes, Packed};
use super::observed::all_finite;
use super::prepared::PreparedLevel;
use super::score::whole;
use super::work::Energies;
use super::{Pyramid, Work, still};

/// Words of a level in [`Layout::levels`].
pub const LEVEL_WORDS: usize = 16;
/// In place of an offset: there is none.
pub const NONE: u32 = u32::MAX;

/// What the device is given of a pyramid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Packed products, scales and codes, on [`LANES`] values each.
    pub weights: Vec<f32>,
    /// `Level` of kernels/forward.cu, finest first.
    pub levels: Vec<[u32; LEVEL_WORDS]>,
    /// Scored columns.
    pub columns: usize,
    /// Values of a row: the last cells that are looked at, of the scored columns.
    pub width: usize,
    /// Cells whose steps are looked at; 0: none.
    pub still_cells: usize,
    /// Coordinates of the widest level.
    pub dimension_max: usize,
}

impl Layout {
    /// Numbers a row comes to: of each level two sums and a code, of each column a distance and a roughness.
    pub fn fields(&self) -> usize {
        3 * self.levels.len() + 2 * self.columns
    }

    fn put(&mut self, lanes: &[Lanes]) -> u32 {
        let at = self.weights.len() as u32;
        self.weights.extend_from_slice(lanes.as_flattened());
        at
    }

    fn put_product(&mut self, product: &Packed) -> [u32; 2] {
        let (weights, bias) = product.parts();
        [self.put(weights), self.put(bias)]
    }

    fn put_level(&mut self, level: &PreparedLevel, whiten: Option<&Packed>) {
        let [project, bias] = self.put_product(&level.single.project);
        let scale = self.put(&level.single.scale);
        let none = [NONE; 2];
        let mut codes = 0;
        let (mut search, mut own, mut shift, mut own_scale) = (none, none, NONE, NONE);
        if let Some(of) = &level.codes {
            codes = of.ln_share.len() as u32;
            search = self.put_product(&of.search);
            shift = self.put(&of.shift);
            own = if of.own_axes { self.put_product(&of.density.project) } else { none };
            own_scale = self.put(&of.density.scale);
        }
        let whiten = whiten.map_or(none, |whiten| self.put_product(whiten));
        let (dimension, pool) = (level.dimension as u32, level.shape.pool as u32);
        let [search, search_bias] = search;
        let [own, own_bias] = own;
        let [whiten, whiten_bias] = whiten;
        self.dimension_max = self.dimension_max.max(level.dimension);
        self.levels.push([
            dimension,
            pool,
            codes,
            project,
            bias,
            scale,
            search,
            search_bias,
            shift,
            own,
            own_bias,
            own_scale,
            whiten,
            whiten_bias,
            0,
            0,
        ]);
    }
}

/// What a device found of rows: fields × rows, as [`Layout::fields`] counts them.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    fields: &'a [f32],
    rows: usize,
    first: usize,
}

impl<'a> Found<'a> {
    pub fn new(fields: &'a [f32], rows: usize) -> Self {
        Found { fields, rows, first: 0 }
    }

    /// The same from a row on.
    pub(super) fn from(self, first: usize) -> Self {
        Found { first, ..self }
    }

    #[inline(always)]
    fn field(&self, field: usize, rows: usize) -> &[f32] {
        &self.fields[field * self.rows + self.first..][..rows]
    }

    /// Energies under one level into `work.energies`.
    #[inline(always)]
    pub(super) fn level_energies(&self, levels: &[PreparedLevel], at: usize, rows: usize, work: &mut Work) {
        let [single, coded, code] = [0, 1, 2].map(|field| self.field(3 * at + field, rows));
        work.energies.clear();
        work.energies.resize(rows, Energies::default());
        for (row, energies) in work.energies.iter_mut().enumerate() {
            let coded = (code[row].to_bits() as usize, coded[row]);
            *energies = whole(&levels[at], single[row], levels[at].codes.as_ref().map(|_| coded));
        }
    }

    /// Energies of the columns given all others, of their squared distances, into `work.joint`.
    #[inline(always)]
    pub(super) fn joint_energies(&self, pyramid: &Pyramid, rows: usize, work: &mut Work) {
        let Some(joint) = &pyramid.prepared_joint else { return };
        work.joint.clear();
        for column in 0..pyramid.columns.scored.len() {
            let distances = self.field(3 * pyramid.levels.len() + column, rows);
            work.joint.extend(distances.iter().map(|distance| energy(*distance, joint.blocks)));
        }
    }

    /// Roughness of the columns into `work.rough`.
    #[inline(always)]
    pub(super) fn roughness(&self, pyramid: &Pyramid, rows: usize, work: &mut Work) {
        let columns = pyramid.columns.scored.len();
        work.rough.clear();
        for column in 0..columns {
            work.rough.extend_from_slice(self.field(3 * pyramid.levels.len() + columns + column, rows));
        }
    }
}

impl Pyramid {
    pub fn layout(&self) -> Layout {
        let columns = self.columns.scored.len();
        let still_cells = if self.still.is_empty() { 0 } else { still::CELLS.min(self.columns.cells) };
        let mut layout = Layout { columns, width: self.span * columns, still_cells, ..Layout::default() };
        for (at, level) in self.prepared.iter().enumerate() {
            let joint = self.prepared_joint.as_ref().filter(|of| of.level == at && !self.joint.is_empty());
            layout.put_level(level, joint.map(|of| &of.whiten));
        }
        debug_assert!(layout.weights.len().is_multiple_of(LANES));
        layout
    }

    /// Copies the scored part of rows without gaps to the ends of rows of `stride` values in `to`, as many as it
    /// holds, and tells the numbers of these rows and of those with gaps; the first of `windows` is row `first`.
    /// Gives how many rows were looked at.
    pub fn gather_whole(
        &self,
        windows: &[f32],
        first: usize,
        (to, stride): (&mut [f32], usize),
        (whole, gappy): (&mut Vec<u32>, &mut Vec<u32>),
        work: &Work,
    ) -> usize {
        work.arch.dispatch(Gathering { pyramid: self, windows, first, to, stride, whole, gappy })
    }
}

/// To be compiled for each vector width as scoring is.
struct Gathering<'a> {
    pyramid: &'a Pyramid,
    windows: &'a [f32],
    first: usize,
    to: &'a mut [f32],
    stride: usize,
    whole: &'a mut Vec<u32>,
    gappy: &'a mut Vec<u32>,
}

impl pulp::WithSimd for Gathering<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
        let Gathering { pyramid, windows, first, to, stride, whole, gappy } = self;
        let width = pyramid.span * pyramid.columns.scored.len();
        let mut rows = windows.chunks_exact(pyramid.dimension());
        let mut looked_at = 0;
        let mut places = to.chunks_exact_mut(stride);
        let mut place = places.next();
        while let Some(to) = place.as_deref_mut() {
            let Some(window) = rows.next() else { break };
            let row = (first + looked_at) as u32;
            looked_at += 1;
            let part = &mut to[stride - width..];
            pyramid.columns.gather(window, part);
            if all_finite(part) {
                whole.push(row);
                place = places.next();
            } else {
                gappy.push(row);
            }
        }
        looked_at
    }
}
