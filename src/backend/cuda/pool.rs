//! Rings on the device: one pool, reserved when a shard starts, in pages; and what is known of what lies in them.
//!
//! A ring on the device is the host's with its key's scales behind it (kernels/append.cu). The host's is the truth: what
//! a batch needs and the device has not, or has otherwise, goes up with the batch.

use std::sync::Arc;

use super::DeviceError;
use super::driver::Context;
use super::memory::DeviceMemory;
use super::packet::Packet;
use crate::backend::resident::{Place, Rings, Scale};

/// f32 of a page, 64 KiB. Wider rings stay with the host.
const PAGE: usize = 1 << 14;
/// Batches after which rings that none has asked for give way to others. Before, those others stay with the host: to
/// write rings anew for every batch would take more of the bus than windows do.
const STALE_BATCHES: u64 = 4096;

#[derive(Debug)]
pub(super) struct Pool {
    pub memory: DeviceMemory<f32>,
    free: Vec<u32>,
    mirrors: Vec<Mirror>,
    batches: u64,
}

/// The copy of one owner's rings.
#[derive(Debug)]
struct Mirror {
    id: u64,
    /// f32 of a ring, scales and all.
    width: usize,
    pages: Vec<u32>,
    /// By ring.
    known: Vec<Known>,
    /// rings x columns
    scales: Vec<Scale>,
    /// Number of the last batch that asked for it.
    used: u64,
}

/// What is on the device of a ring: all cells up to the newest.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// 0: nothing.
    changes: u32,
    newest: i64,
}

/// f32 of a ring of so many cells.
pub(super) fn ring_width(cells: usize, columns: usize) -> usize {
    (cells + 2) * columns
}

/// Memory of the device that so many rings take, bytes; 0 where they are too wide for it.
pub fn rings_bytes(rings: f64, cells: usize, columns: usize) -> f64 {
    let in_page = PAGE / ring_width(cells, columns).max(1);
    if in_page == 0 { 0.0 } else { (rings / in_page as f64).ceil() * (PAGE * size_of::<f32>()) as f64 }
}

impl Pool {
    /// # Errors
    /// If the device has no room for so many bytes.
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Pool, DeviceError> {
        // Places of values are of 32 bits.
        let pages = (bytes / (PAGE * size_of::<f32>())).min((u32::MAX as usize) / PAGE);
        let memory = DeviceMemory::new(context, pages * PAGE)?;
        Ok(Pool { memory, free: (0..pages as u32).rev().collect(), mirrors: Vec::new(), batches: 0 })
    }

    /// Place of the copy of these rings, with room for all of them; `None` if there is none left.
    pub fn adopt(&mut self, rings: &Rings<'_>) -> Option<usize> {
        self.batches += 1;
        let width = ring_width(rings.cells, rings.columns);
        if width > PAGE {
            return None;
        }
        let count = rings.values.len() / (rings.cells * rings.columns);
        let known = self.mirrors.iter().position(|mirror| mirror.id == rings.id);
        let at = known.unwrap_or_else(|| {
            let (pages, known, scales) = Default::default();
            self.mirrors.push(Mirror { id: rings.id, width, pages, known, scales, used: 0 });
            self.mirrors.len() - 1
        });
        self.mirrors[at].used = self.batches;
        let lacking = count.div_ceil(PAGE / width).saturating_sub(self.mirrors[at].pages.len());
        if lacking > self.free.len() {
            self.drop_stale();
        }
        // Others may have gone.
        let at = self.mirrors.iter().position(|mirror| mirror.id == rings.id)?;
        if lacking > self.free.len() {
            self.forget(at);
            return None;
        }
        let Pool { free, mirrors, .. } = self;
        let mirror = &mut mirrors[at];
        mirror.pages.extend(free.drain(free.len() - lacking..));
        mirror.known.resize(count, Known { changes: 0, newest: 0 });
        mirror.scales.resize(count * rings.columns, Scale { mean: f32::NAN, sd: f32::NAN });
        Some(at)
    }

    fn drop_stale(&mut self) {
        for at in (0..self.mirrors.len()).rev() {
            if self.mirrors[at].used + STALE_BATCHES < self.batches {
                self.forget(at);
            }
        }
    }

    fn forget(&mut self, at: usize) {
        self.free.extend(self.mirrors.swap_remove(at).pages);
    }

    /// Adds to `packet` what the copy lacks of a ring; gives the place of the ring's first value in the pool.
    pub fn bring(&mut self, at: usize, rings: &Rings<'_>, place: Place, packet: &mut Packet) -> u32 {
        let mirror = &mut self.mirrors[at];
        let (ring, columns) = (place.ring as usize, rings.columns);
        let in_page = PAGE / mirror.width;
        let first = mirror.pages[ring / in_page] as usize * PAGE + ring % in_page * mirror.width;
        let Known { changes, newest } = mirror.known[ring];
        let oldest = place.newest - rings.cells as i64 + 1;
        let from = if changes == place.changes { oldest.max(newest + 1) } else { oldest };
        mirror.known[ring] = Known { changes: place.changes, newest: place.newest };
        let (there, here) = (&mut mirror.scales[ring * columns..][..columns], rings.scales_of(place.key));
        let bits = |of: &Scale| [of.mean.to_bits(), of.sd.to_bits()];
        let same_scales = there.iter().zip(here).all(|(there, here)| bits(there) == bits(here));
        there.copy_from_slice(here);
        if from <= place.newest || !same_scales {
            packet.add_run(first as u32, rings, place, from, (!same_scales).then_some(here));
        }
        first as u32
    }
}
