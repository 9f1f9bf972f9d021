//! One shard's part of the device: two slots, two streams, and the models it has scored by.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::DeviceError;
use super::counters::counters;
use super::device::Device;
use super::driver::{Event, Stream};
use super::memory::{DeviceMemory, Pinned};
use super::shape::{Shape, THREADS};
use crate::model::Pyramid;
use crate::model::pyramid::{Found, LEVEL_WORDS, Scores, Work};

/// f32 of a slot, up and down: 4 MiB and 1 MiB.
const UP_VALUES: usize = 1 << 20;
const DOWN_VALUES: usize = 1 << 18;
/// Weights that stay on the device, f32, 256 MiB: of cohorts in turn, and of models before the present one.
const WEIGHTS_MAX: usize = 1 << 26;

/// Memory of the device that a shard reserves, bytes, besides its models.
pub const SHARD_BYTES: usize = 2 * 4 * (UP_VALUES + DOWN_VALUES);

#[derive(Debug)]
pub struct Shard {
    // Dropped in this order: streams end before what they work on is given back.
    copying: Stream,
    computing: Stream,
    slots: [Slot; 2],
    models: Vec<OnDevice>,
    windows: Vec<f32>,
    gappy: Vec<u32>,
    part: Scores,
    device: Arc<Device>,
}

/// Rows on their way.
#[derive(Debug)]
struct Slot {
    up: Pinned<f32>,
    down: Pinned<f32>,
    z: DeviceMemory<f32>,
    out: DeviceMemory<f32>,
    /// Numbers of the rows that are in it; empty: it is free.
    rows: Vec<u32>,
    /// Before and after the copy up, in its stream; before and after the kernel and after the copy down, in theirs.
    times: [Event; 5],
}

/// A pyramid's weights.
#[derive(Debug)]
struct OnDevice {
    id: u64,
    weights: DeviceMemory<f32>,
    levels: DeviceMemory<u32>,
    level_count: u32,
    columns: u32,
    still_cells: u32,
    /// `None`: it is too wide.
    shape: Option<Shape>,
}

impl Drop for Shard {
    fn drop(&mut self) {
        counters().shards.fetch_sub(1, Relaxed);
    }
}

impl Shard {
    /// # Errors
    /// If the device has no memory for it, or fails.
    pub fn new(device: Arc<Device>) -> Result<Shard, DeviceError> {
        let context = &device.context;
        let slot = || -> Result<Slot, DeviceError> {
            let time = || Event::new(context);
            Ok(Slot {
                up: Pinned::new(context, UP_VALUES)?,
                down: Pinned::new(context, DOWN_VALUES)?,
                z: DeviceMemory::new(context, UP_VALUES)?,
                out: DeviceMemory::new(context, DOWN_VALUES)?,
                rows: Vec::new(),
                times: [time()?, time()?, time()?, time()?, time()?],
            })
        };
        let (copying, computing) = (Stream::new(context)?, Stream::new(context)?);
        let slots = [slot()?, slot()?];
        let (models, windows, gappy, part) = Default::default();
        counters().shards.fetch_add(1, Relaxed);
        Ok(Shard { copying, computing, slots, models, windows, gappy, part, device })
    }

    /// What [`Pyramid::score`] gives, to the bit. `false`: windows of this pyramid are too wide, and nothing was done.
    ///
    /// # Errors
    /// If the device fails; what is in `out` then means nothing.
    pub fn score(
        &mut self,
        pyramid: &Pyramid,
        windows: &[f32],
        out: &mut Scores,
        work: &mut Work,
    ) -> Result<bool, DeviceError> {
        self.device.context.enter()?;
        let model = self.adopt(pyramid)?;
        let Some(shape) = self.models[model].shape else { return Ok(false) };
        let (rows, columns) = (windows.len() / pyramid.dimension(), pyramid.columns.columns);
        out.clear();
        out.resize(rows, columns);
        out.levels.resize(rows * pyramid.levels.len(), f32::NAN);
        self.gappy.clear();
        self.slots.iter_mut().for_each(|slot| slot.rows.clear());
        let (mut next, mut turn) = (0, 0);
        while next < rows {
            self.collect(turn, pyramid, shape, windows, out, work)?;
            next += self.fill(turn, pyramid, shape, windows, next, work);
            self.send(turn, model, shape)?;
            turn = 1 - turn;
        }
        // While the device is at work.
        self.score_gappy(pyramid, windows, out, work);
        for turn in [turn, 1 - turn] {
            self.collect(turn, pyramid, shape, windows, out, work)?;
        }
        Ok(true)
    }

    /// Place of the pyramid's weights among the models.
    fn adopt(&mut self, pyramid: &Pyramid) -> Result<usize, DeviceError> {
        if let Some(at) = self.models.iter().position(|model| model.id == pyramid.id()) {
            return Ok(at);
        }
        let layout = pyramid.layout();
        // The oldest go first; nothing is under way between two batches.
        while !self.models.is_empty() && self.weights() + layout.weights.len() > WEIGHTS_MAX {
            self.models.remove(0);
        }
        let context = &self.device.context;
        self.models.push(OnDevice {
            id: pyramid.id(),
            weights: DeviceMemory::holding(context, &layout.weights)?,
            levels: DeviceMemory::holding(context, layout.levels.as_flattened())?,
            level_count: layout.levels.len() as u32,
            columns: layout.columns as u32,
            still_cells: layout.still_cells as u32,
            shape: Shape::of(&layout, context.shared_bytes_max, UP_VALUES, DOWN_VALUES),
        });
        debug_assert_eq!(self.models.last().map(|of| of.levels.len % LEVEL_WORDS), Some(0));
        Ok(self.models.len() - 1)
    }

    fn weights(&self) -> usize {
        self.models.iter().map(|model| model.weights.len).sum()
    }

    /// Rows without gaps, from `next` on, into a free slot; how many were looked at.
    fn fill(
        &mut self,
        turn: usize,
        pyramid: &Pyramid,
        shape: Shape,
        windows: &[f32],
        next: usize,
        work: &Work,
    ) -> usize {
        let slot = &mut self.slots[turn];
        let to = &mut slot.up.as_mut_slice()[..shape.rows_max * shape.stride];
        let windows = &windows[next * pyramid.dimension()..];
        pyramid.gather_whole(windows, next, (to, shape.stride), (&mut slot.rows, &mut self.gappy), work)
    }

    /// Sets a filled slot on its way; nothing waits for it here.
    fn send(&mut self, turn: usize, model: usize, shape: Shape) -> Result<(), DeviceError> {
        let Shard { copying, computing, slots, models, device, .. } = self;
        let (slot, model) = (&mut slots[turn], &models[model]);
        let rows = slot.rows.len();
        if rows == 0 {
            return Ok(());
        }
        let [up_from, up_to, kernel_from, kernel_to, down_to] = &slot.times;
        copying.record(up_from)?;
        copying.up(&slot.up, rows * shape.stride, &slot.z)?;
        copying.record(up_to)?;
        computing.wait(up_to)?;
        computing.record(kernel_from)?;
        let blocks = rows.div_ceil(shape.tile_rows()) as u32;
        let (z, weights, levels, out) = (slot.z.raw, model.weights.raw, model.levels.raw, slot.out.raw);
        let (row_count, stride) = (rows as u32, shape.stride as u32);
        let mut arguments = [
            argument(&z),
            argument(&weights),
            argument(&levels),
            argument(&out),
            argument(&row_count),
            argument(&stride),
            argument(&model.columns),
            argument(&model.level_count),
            argument(&model.still_cells),
        ];
        let grid = (blocks, model.level_count + 1);
        // SAFETY: in the order of `forward`; `z` and `out` hold `rows_max` rows of this shape, weights and levels are of
        // one layout, and all of them live until the streams are drained.
        unsafe {
            let function = &device.forward[shape.tile];
            computing.launch(function, grid, THREADS, shape.shared_bytes, &mut arguments)?;
        }
        computing.record(kernel_to)?;
        computing.down(&slot.out, rows * shape.fields, &mut slot.down)?;
        computing.record(down_to)?;
        let counters = counters();
        counters.launches.fetch_add(1, Relaxed);
        counters.rows.fetch_add(rows as u64, Relaxed);
        counters.up_bytes.fetch_add((rows * shape.stride * 4) as u64, Relaxed);
        counters.down_bytes.fetch_add((rows * shape.fields * 4) as u64, Relaxed);
        Ok(())
    }

    /// Waits for a slot that is on its way, and turns what came back into scores; then it is free.
    fn collect(
        &mut self,
        turn: usize,
        pyramid: &Pyramid,
        shape: Shape,
        windows: &[f32],
        out: &mut Scores,
        work: &mut Work,
    ) -> Result<(), DeviceError> {
        let Shard { slots, windows: copied, part, .. } = self;
        let slot = &mut slots[turn];
        if slot.rows.is_empty() {
            return Ok(());
        }
        let [up_from, up_to, kernel_from, kernel_to, down_to] = &slot.times;
        down_to.passed()?;
        counters().up_ns.fetch_add(up_to.ns_since(up_from)?, Relaxed);
        counters().kernel_ns.fetch_add(kernel_to.ns_since(kernel_from)?, Relaxed);
        counters().down_ns.fetch_add(down_to.ns_since(kernel_to)?, Relaxed);
        let found = Found::new(&slot.down.as_slice()[..slot.rows.len() * shape.fields], slot.rows.len());
        pyramid.finish(rows_of(windows, &slot.rows, pyramid.dimension(), copied), found, part, work);
        put(part, &slot.rows, pyramid, out);
        slot.rows.clear();
        Ok(())
    }

    fn score_gappy(&mut self, pyramid: &Pyramid, windows: &[f32], out: &mut Scores, work: &mut Work) {
        let Shard { gappy, windows: copied, part, .. } = self;
        if !gappy.is_empty() {
            pyramid.score(rows_of(windows, gappy, pyramid.dimension(), copied), part, work);
            put(part, gappy, pyramid, out);
        }
    }
}

fn argument<T>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}

/// These rows end to end: as they lie where they do, else copied.
fn rows_of<'a>(windows: &'a [f32], rows: &[u32], width: usize, copied: &'a mut Vec<f32>) -> &'a [f32] {
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
fn put(part: &Scores, rows: &[u32], pyramid: &Pyramid, out: &mut Scores) {
    let levels = pyramid.levels.len();
    for (from, row) in rows.iter().enumerate() {
        let to = *row as usize;
        out.copy_row(to, part, from, pyramid.columns.columns);
        out.levels[to * levels..][..levels].copy_from_slice(&part.levels[from * levels..][..levels]);
    }
}
