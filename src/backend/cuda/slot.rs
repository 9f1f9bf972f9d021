//! Memory in which a batch's rows are on their way, and what is launched on them.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::DeviceError;
use super::counters::counters;
use super::device::Device;
use super::driver::{Context, Event, Stream};
use super::explain::{Explainer, SCRATCH_VALUES};
use super::memory::{DeviceMemory, Pinned};
use super::packet::Parts;
use super::pool::Pool;
use super::shape::{Shape, THREADS};
use crate::model::Pyramid;
use crate::model::pyramid::{LEVEL_WORDS, Layout};

/// f32 of a slot, up and down: 4 MiB and 1 MiB.
pub(super) const UP_VALUES: usize = 1 << 20;
pub(super) const DOWN_VALUES: usize = 1 << 18;
/// Weights that stay on the device, f32, 256 MiB: of cohorts in turn, and of models before the present one.
pub(super) const WEIGHTS_MAX: usize = 1 << 26;
pub const WEIGHTS_BYTES_MAX: usize = 4 * WEIGHTS_MAX;

/// Memory of the device that a shard reserves, bytes, with so much for rings; its models come on top.
pub fn shard_bytes(ring_bytes: usize) -> usize {
    2 * 4 * (2 * UP_VALUES + DOWN_VALUES) + 8 * SCRATCH_VALUES + ring_bytes
}

/// Memory of the host that a shard keeps from being paged out, bytes.
pub const SHARD_PINNED_BYTES: usize = 2 * 4 * (UP_VALUES + DOWN_VALUES);

#[derive(Debug)]
pub(super) struct Slot {
    pub up: Pinned<f32>,
    pub down: Pinned<f32>,
    /// A packet as it came up.
    packet: DeviceMemory<f32>,
    pub z: DeviceMemory<f32>,
    pub out: DeviceMemory<f32>,
    /// Numbers of the rows that are in it; empty: it is free.
    pub rows: Vec<u32>,
    pub load: Load,
    /// Before and after the copy up, in its stream; before and after the kernels and after the copy down, in theirs.
    pub times: [Event; 5],
    /// Behind all of it.
    pub done: Event,
}

/// What is launched on a slot: equal loads are equal launches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Of the pyramid.
    pub model: u64,
    pub rows: u32,
    /// `None`: the windows come up whole.
    pub parts: Option<Parts>,
}

/// A pyramid's weights.
#[derive(Debug)]
pub(super) struct OnDevice {
    pub id: u64,
    pub weights: DeviceMemory<f32>,
    pub levels: DeviceMemory<u32>,
    pub level_count: u32,
    /// Columns that are scored.
    pub scored: DeviceMemory<u32>,
    pub columns: u32,
    /// Cells that are looked at.
    pub cells: u32,
    pub still_cells: u32,
    /// `None`: it is too wide.
    pub shape: Option<Shape>,
    pub explaining: Explaining,
}

/// What there is of a pyramid to explain by.
#[derive(Debug)]
pub(super) enum Explaining {
    /// Nobody has asked yet.
    Unasked,
    By(Explainer),
    /// The device has no memory left for it: the CPU explains, and the device goes on scoring.
    NoRoom,
}

/// Where work goes.
#[derive(Clone, Copy)]
pub(super) enum Streams<'a> {
    Beside {
        copying: &'a Stream,
        computing: &'a Stream,
    },
    /// One after the other, into a graph.
    Graph(&'a Stream),
}

impl OnDevice {
    pub fn new(context: &Arc<Context>, pyramid: &Pyramid, layout: &Layout) -> Result<OnDevice, DeviceError> {
        let scored: Vec<u32> = pyramid.columns.scored.iter().map(|column| *column as u32).collect();
        let levels = layout.levels.as_flattened();
        debug_assert!(levels.len().is_multiple_of(LEVEL_WORDS));
        Ok(OnDevice {
            id: pyramid.id(),
            weights: DeviceMemory::holding(context, &layout.weights)?,
            levels: DeviceMemory::holding(context, levels)?,
            level_count: layout.levels.len() as u32,
            scored: DeviceMemory::holding(context, &scored)?,
            columns: layout.columns as u32,
            cells: (layout.width / layout.columns) as u32,
            still_cells: layout.still_cells as u32,
            shape: Shape::of(layout, context.shared_bytes_max, UP_VALUES, DOWN_VALUES),
            explaining: Explaining::Unasked,
        })
    }
}

impl Slot {
    pub fn new(context: &Arc<Context>) -> Result<Slot, DeviceError> {
        let time = || Event::new(context);
        Ok(Slot {
            up: Pinned::new(context, UP_VALUES)?,
            down: Pinned::new(context, DOWN_VALUES)?,
            packet: DeviceMemory::new(context, UP_VALUES)?,
            z: DeviceMemory::new(context, UP_VALUES)?,
            out: DeviceMemory::new(context, DOWN_VALUES)?,
            rows: Vec::new(),
            load: Load::default(),
            times: [time()?, time()?, time()?, time()?, time()?],
            done: time()?,
        })
    }

    /// f32 that go up and come down with the load.
    pub fn crossing(&self, shape: Shape) -> [usize; 2] {
        let rows = self.load.rows as usize;
        let up = self.load.parts.map_or(rows * shape.stride, |parts| parts.words()[3]);
        [up, rows * shape.fields]
    }

    /// Copies up, launches and copies down; nothing waits for it here. Gives how many kernels those are.
    pub fn launch(
        &mut self,
        streams: Streams<'_>,
        model: &OnDevice,
        shape: Shape,
        pool: &Pool,
        device: &Device,
    ) -> Result<u64, DeviceError> {
        let (copying, computing) = match streams {
            Streams::Beside { copying, computing } => (copying, computing),
            Streams::Graph(stream) => (stream, stream),
        };
        let record = |stream: &Stream, event: &Event| match streams {
            Streams::Beside { .. } => stream.record(event),
            Streams::Graph(_) => stream.record_in_graph(event),
        };
        let [up, down] = self.crossing(shape);
        let [up_from, up_to, kernel_from, kernel_to, down_to] = &self.times;
        record(copying, up_from)?;
        copying.up(&self.up, up, if self.load.parts.is_some() { &self.packet } else { &self.z })?;
        record(copying, up_to)?;
        if let Streams::Beside { .. } = streams {
            computing.wait(up_to)?;
        }
        record(computing, kernel_from)?;
        let mut kernels = 1;
        if let Some(parts) = self.load.parts {
            kernels += self.cut_windows(computing, parts, model, shape, pool, device)?;
        }
        self.forward(computing, model, shape, device)?;
        record(computing, kernel_to)?;
        computing.down(&self.out, down, &mut self.down)?;
        record(computing, down_to)?;
        Ok(kernels)
    }

    /// What is new into the rings, and the windows out of them into `z`.
    fn cut_windows(
        &self,
        stream: &Stream,
        parts: Parts,
        model: &OnDevice,
        shape: Shape,
        pool: &Pool,
        device: &Device,
    ) -> Result<u64, DeviceError> {
        let [windows, samples, values, _] = parts.words();
        let at = |word: usize| self.packet.at(word);
        let (rings, runs, windows, samples, values) =
            (pool.memory.at(0), at(0), at(windows), at(samples), at(values));
        let blocks = |warps: u32| (warps.div_ceil(THREADS / 32), 1);
        let Parts { runs: run_count, cells: ring_cells, columns, .. } = parts;
        if run_count > 0 {
            let mut arguments = [
                argument(&rings),
                argument(&runs),
                argument(&samples),
                argument(&values),
                argument(&run_count),
                argument(&ring_cells),
                argument(&columns),
            ];
            // SAFETY: in the order of `append`; the packet holds so many runs, and each names a ring of the pool.
            unsafe { stream.launch(&device.append, blocks(run_count), THREADS, 0, &mut arguments)? };
        }
        let (scored, z) = (model.scored.at(0), self.z.at(0));
        let (rows, stride) = (self.load.rows, shape.stride as u32);
        let mut arguments = [
            argument(&rings),
            argument(&windows),
            argument(&scored),
            argument(&z),
            argument(&rows),
            argument(&stride),
            argument(&ring_cells),
            argument(&columns),
            argument(&model.columns),
            argument(&model.cells),
        ];
        // SAFETY: in the order of `gather`; `z` holds `rows_max` rows of this shape, and windows are of rings of the pool.
        unsafe { stream.launch(&device.gather, blocks(rows), THREADS, 0, &mut arguments)? };
        Ok(1 + u64::from(run_count > 0))
    }

    fn forward(
        &self,
        stream: &Stream,
        model: &OnDevice,
        shape: Shape,
        device: &Device,
    ) -> Result<(), DeviceError> {
        let rows = self.load.rows;
        let (z, weights, levels, out) =
            (self.z.at(0), model.weights.at(0), model.levels.at(0), self.out.at(0));
        let stride = shape.stride as u32;
        let mut arguments = [
            argument(&z),
            argument(&weights),
            argument(&levels),
            argument(&out),
            argument(&rows),
            argument(&stride),
            argument(&model.columns),
            argument(&model.level_count),
            argument(&model.still_cells),
        ];
        let grid = (rows.div_ceil(shape.tile_rows() as u32), model.level_count + 1);
        // SAFETY: in the order of `forward`; `z` and `out` hold `rows_max` rows of this shape, weights and levels are of
        // one layout, and all of them live until the streams are drained.
        unsafe {
            let function = &device.forward[shape.tile];
            stream.launch(function, grid, THREADS, shape.shared_bytes, &mut arguments)
        }
    }

    /// Tells of what was launched.
    pub fn count(&self, shape: Shape) {
        let [up, down] = self.crossing(shape);
        let (counters, rows) = (counters(), u64::from(self.load.rows));
        counters.rows.fetch_add(rows, Relaxed);
        counters.resident_rows.fetch_add(self.load.parts.map_or(0, |_| rows), Relaxed);
        counters.up_bytes.fetch_add(4 * up as u64, Relaxed);
        counters.down_bytes.fetch_add(4 * down as u64, Relaxed);
    }
}

pub(super) fn argument<T>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}
