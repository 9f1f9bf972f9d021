//! Explanations of some windows of a batch: kernels/explain.cu, one launch for whose surprise they are and one for what was
//! expected. They are few, and nobody waits for more than them: one slot, and no overlap.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::DeviceError;
use super::counters::counters;
use super::device::Device;
use super::driver::{Context, Stream};
use super::memory::DeviceMemory;
use super::shape::{ALIGNED, THREADS};
use super::shard::Shard;
use super::slot::{DOWN_VALUES, Explaining, Slot, UP_VALUES, argument};
use crate::backend::ahead::Ahead;
use crate::model::Pyramid;
use crate::model::pyramid::{ExplainLayout, Work};

/// f64 of a shard to solve in, 16 MiB.
pub(super) const SCRATCH_VALUES: usize = 1 << 21;

/// What explaining by a pyramid takes besides its weights.
#[derive(Debug)]
pub(super) struct Explainer {
    values: DeviceMemory<f64>,
    levels: DeviceMemory<u32>,
    layout: Sizes,
}

/// How windows are explained together.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    level_count: u32,
    columns: u32,
    expecting: u32,
    room: u32,
    row_scratch: u32,
    width: usize,
    stride: usize,
    shared_bytes: usize,
    /// As [`ExplainLayout::parts`].
    parts: [usize; 3],
    /// Windows that go together, at most; 0: they are too wide.
    rows_max: usize,
}

/// What `blame` and `expect` of kernels/explain.cu take at levels of so many coordinates: five numbers a coordinate, and
/// a list of them with its length.
fn explain_shared_bytes(dimension: usize) -> usize {
    5 * 8 * dimension + 4 * (dimension + 1)
}

impl Explainer {
    fn new(context: &Arc<Context>, of: &ExplainLayout) -> Result<Explainer, DeviceError> {
        let stride = of.width.next_multiple_of(ALIGNED);
        let down = of.parts().iter().sum::<usize>();
        let rows_max =
            (UP_VALUES / (stride + 1)).min(DOWN_VALUES / down).min(SCRATCH_VALUES / of.row_scratch);
        let layout = Sizes {
            level_count: of.levels.len() as u32,
            columns: of.columns as u32,
            expecting: of.expecting as u32,
            room: of.room as u32,
            row_scratch: of.row_scratch as u32,
            width: of.width,
            stride,
            shared_bytes: explain_shared_bytes(of.dimension_max),
            parts: of.parts(),
            rows_max,
        };
        let levels = DeviceMemory::holding(context, of.levels.as_flattened())?;
        Ok(Explainer { values: DeviceMemory::holding(context, &of.values)?, levels, layout })
    }

    /// f32 that it takes.
    pub fn len(&self) -> usize {
        2 * self.values.len
    }

    /// Copies so many windows up, explains them, and copies down what was found; nothing waits for it here.
    fn launch(
        &self,
        rows: usize,
        slot: &mut Slot,
        scratch: &DeviceMemory<f64>,
        stream: &Stream,
        device: &Device,
    ) -> Result<(), DeviceError> {
        let Sizes { stride, parts, shared_bytes, level_count, columns, .. } = self.layout;
        let [up, down] = self.crossing(rows);
        let [shares_at, expected_at] = [rows * parts[0], rows * (parts[0] + parts[1])];
        stream.up(&slot.up, up, &slot.z)?;
        let (z, blamed) = (slot.z.at(0), slot.z.at(rows * stride));
        let (values, levels, scratch) = (self.values.at(0), self.levels.at(0), scratch.at(0));
        let (chosen, shares, expected) = (slot.out.at(0), slot.out.at(shares_at), slot.out.at(expected_at));
        let (stride, Sizes { expecting, room, row_scratch, .. }) = (stride as u32, self.layout);
        let mut arguments = [
            argument(&z),
            argument(&values),
            argument(&levels),
            argument(&scratch),
            argument(&chosen),
            argument(&shares),
            argument(&stride),
            argument(&columns),
            argument(&level_count),
            argument(&row_scratch),
        ];
        let grid = (rows as u32, 2 * level_count);
        // SAFETY: in the order of `blame`; there are at most `rows_max` rows, which fit the slot and the scratch, and what
        // levels point into is of one layout.
        unsafe { stream.launch(&device.blame, grid, THREADS, shared_bytes, &mut arguments)? };
        let mut arguments = [
            argument(&z),
            argument(&values),
            argument(&levels),
            argument(&blamed),
            argument(&chosen),
            argument(&scratch),
            argument(&expected),
            argument(&stride),
            argument(&columns),
            argument(&level_count),
            argument(&expecting),
            argument(&room),
            argument(&row_scratch),
        ];
        let grid = (rows as u32, columns);
        // SAFETY: in the order of `expect`; as above.
        unsafe { stream.launch(&device.expect, grid, THREADS, shared_bytes, &mut arguments)? };
        stream.down(&slot.out, down, &mut slot.down)?;
        stream.record(&slot.done)
    }

    /// f32 that go up and come down with so many windows.
    fn crossing(&self, rows: usize) -> [usize; 2] {
        [rows * (self.layout.stride + 1), rows * self.layout.parts.iter().sum::<usize>()]
    }
}

impl Shard {
    /// Place of the pyramid among the models, once it was tried to have it there to explain by.
    fn prepare(&mut self, pyramid: &Pyramid) -> Result<usize, DeviceError> {
        let mut model = self.adopt(pyramid)?;
        if matches!(self.models[model].explaining, Explaining::Unasked) {
            let layout = pyramid.explain_layout();
            self.make_room(2 * layout.values.len(), pyramid);
            model = self.adopt(pyramid)?;
            self.models[model].explaining = match Explainer::new(&self.device.context, &layout) {
                Ok(explainer) => Explaining::By(explainer),
                Err(error) if error.is_no_memory() => {
                    tracing::warn!(%error, "the GPU has no memory left to explain by a model: the CPU does, and the GPU goes on scoring");
                    Explaining::NoRoom
                }
                Err(error) => return Err(error),
            };
        }
        Ok(model)
    }

    /// Explains these rows of a batch, so far as they are not the CPU's: what [`Pyramid::explain`] finds, to the bit.
    ///
    /// # Errors
    /// If the device fails; what is ahead then is right and may not be all.
    pub(in crate::backend) fn explain(
        &mut self,
        pyramid: &Pyramid,
        windows: &[f32],
        rows: &[u32],
        ahead: &mut Ahead,
        work: &mut Work,
    ) -> Result<(), DeviceError> {
        self.device.context.enter()?;
        let model = self.prepare(pyramid)?;
        let Shard { computing, slots, models, scratch, device, .. } = self;
        let (slot, Explaining::By(explainer)) = (&mut slots[0], &models[model].explaining) else {
            return Ok(());
        };
        let Sizes { rows_max, stride, width, parts, .. } = explainer.layout;
        let of_row = |row: u32| &windows[row as usize * pyramid.dimension()..][..pyramid.dimension()];
        let (mut next, mut asked, mut levels) = (0, Vec::new(), Vec::new());
        while next < rows.len() && rows_max > 0 {
            asked.clear();
            levels.clear();
            while next < rows.len() && asked.len() < rows_max {
                let to = &mut slot.up.as_mut_slice()[asked.len() * stride..][stride - width..stride];
                if let Some(level) = pyramid.ask(of_row(rows[next]), to, work) {
                    asked.push(rows[next]);
                    levels.push(level);
                }
                next += 1;
            }
            if asked.is_empty() {
                continue;
            }
            slot.up.as_mut_words()[asked.len() * stride..][..levels.len()].copy_from_slice(&levels);
            explainer.launch(asked.len(), slot, scratch, computing, device)?;
            slot.done.passed()?;
            let [up, down] = explainer.crossing(asked.len()).map(|values| 4 * values as u64);
            counters().launches.fetch_add(2, Relaxed);
            counters().explained.fetch_add(asked.len() as u64, Relaxed);
            counters().up_bytes.fetch_add(up, Relaxed);
            counters().down_bytes.fetch_add(down, Relaxed);
            let found = slot.down.as_slice();
            for (at, row) in asked.iter().enumerate() {
                let mut first = 0;
                let of_parts = parts.map(|part| {
                    let values = &found[first + at * part..][..part];
                    first += asked.len() * part;
                    values
                });
                let words = of_parts.into_iter().flatten().map(|value| value.to_bits());
                ahead.put(pyramid.id(), of_row(*row), words);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_level_fits_the_shared_memory_of_any_gpu() {
        assert!(explain_shared_bytes(crate::model::pyramid::DIMENSION_MAX) < 48 * 1024);
    }
}
