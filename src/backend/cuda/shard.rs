//! One shard's part of the device: two slots, two streams, rings, and the models it has scored by.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::DeviceError;
use super::counters::counters;
use super::device::Device;
use super::driver::{Event, Stream};
use super::explain::SCRATCH_VALUES;
use super::graph::Graph;
use super::memory::DeviceMemory;
use super::packet::Packet;
use super::phases::Phases;
use super::pool::Pool;
use super::rows::{put, rows_of};
use super::shape::Shape;
use super::slot::{Explaining, Load, OnDevice, Slot, Streams, UP_VALUES, WEIGHTS_MAX};
use crate::backend::resident::Rings;
use crate::model::Pyramid;
use crate::model::pyramid::{Found, Scores, Work};

/// Loads that are remembered, to launch those that come again as graphs.
const LOADS_MAX: usize = 512;

#[derive(Debug)]
pub struct Shard {
    // Dropped in this order: streams end before what they work on is given back.
    copying: Stream,
    pub(super) computing: Stream,
    /// Of whole batches that the first slot holds; `None`: it came once.
    graphs: Vec<(Load, Option<Graph>)>,
    pub(super) slots: [Slot; 2],
    /// When a batch began.
    origin: Event,
    pub(super) models: Vec<OnDevice>,
    pool: Pool,
    /// To solve in.
    pub(super) scratch: DeviceMemory<f64>,
    packet: Packet,
    windows: Vec<f32>,
    /// One window, of which only is asked whether it has gaps.
    window: Vec<f32>,
    gappy: Vec<u32>,
    part: Scores,
    /// Of the batch before, or of the present one as far as it has come.
    pub phases: Phases,
    until_ns: u64,
    pub(super) device: Arc<Device>,
}

impl Drop for Shard {
    fn drop(&mut self) {
        counters().shards.fetch_sub(1, Relaxed);
    }
}

impl Shard {
    /// With so many bytes for rings.
    ///
    /// # Errors
    /// If the device has no memory for it, or fails.
    pub fn new(device: Arc<Device>, ring_bytes: usize) -> Result<Shard, DeviceError> {
        let context = &device.context;
        let (copying, computing, origin) =
            (Stream::new(context)?, Stream::new(context)?, Event::new(context)?);
        let slots = [Slot::new(context)?, Slot::new(context)?];
        let (pool, scratch) = (Pool::new(context, ring_bytes)?, DeviceMemory::new(context, SCRATCH_VALUES)?);
        let (graphs, models, packet, windows, window, gappy, part) = Default::default();
        counters().shards.fetch_add(1, Relaxed);
        let (phases, until_ns) = Default::default();
        Ok(Shard {
            copying,
            computing,
            graphs,
            slots,
            origin,
            models,
            pool,
            scratch,
            packet,
            windows,
            window,
            gappy,
            part,
            phases,
            until_ns,
            device,
        })
    }

    /// What [`Pyramid::score`] gives, to the bit. `false`: windows of this pyramid are too wide, and nothing was done.
    /// Of windows that lie in `rings` only what is new there crosses the bus.
    ///
    /// # Errors
    /// If the device fails; what is in `out` then means nothing.
    pub fn score(
        &mut self,
        pyramid: &Pyramid,
        windows: &[f32],
        rings: Option<Rings<'_>>,
        out: &mut Scores,
        work: &mut Work,
    ) -> Result<bool, DeviceError> {
        self.device.context.enter()?;
        let model = self.adopt(pyramid)?;
        (self.phases, self.until_ns) = Default::default();
        let Some(shape) = self.models[model].shape else { return Ok(false) };
        let (rows, columns) = (windows.len() / pyramid.dimension(), pyramid.columns.columns);
        out.clear();
        out.resize(rows, columns);
        out.levels.resize(rows * pyramid.levels.len(), f32::NAN);
        self.gappy.clear();
        self.slots.iter_mut().for_each(|slot| slot.rows.clear());
        let rings = rings.and_then(|rings| Some((self.pool.adopt(&rings)?, rings)));
        // In the stream that a slot's end is recorded in: whoever waits for that has waited for this.
        self.computing.record(&self.origin)?;
        let (mut next, mut turn) = (0, 0);
        while next < rows {
            self.collect(turn, pyramid, shape, windows, out, work)?;
            let first = next == 0;
            next += match &rings {
                Some((mirror, rings)) => {
                    self.fill_from(turn, pyramid, shape, windows, next, (*mirror, rings), work)
                }
                None => self.fill(turn, pyramid, shape, windows, next, work),
            };
            self.send(turn, model, shape, first && next >= rows)?;
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
    pub(super) fn adopt(&mut self, pyramid: &Pyramid) -> Result<usize, DeviceError> {
        if let Some(at) = self.models.iter().position(|model| model.id == pyramid.id()) {
            return Ok(at);
        }
        let layout = pyramid.layout();
        self.make_room(layout.weights.len(), pyramid);
        self.models.push(OnDevice::new(&self.device.context, pyramid, &layout)?);
        Ok(self.models.len() - 1)
    }

    /// For so many f32 besides what there is of this pyramid.
    pub(super) fn make_room(&mut self, more: usize, of: &Pyramid) {
        // The oldest go first; nothing is under way between two batches.
        while self.weights() + more > WEIGHTS_MAX {
            let Some(oldest) = self.models.iter().position(|model| model.id != of.id()) else { return };
            let gone = self.models.remove(oldest);
            self.graphs.retain(|(load, _)| load.model != gone.id);
        }
    }

    fn weights(&self) -> usize {
        let explainer = |model: &OnDevice| match &model.explaining {
            Explaining::By(explainer) => explainer.len(),
            Explaining::Unasked | Explaining::NoRoom => 0,
        };
        self.models.iter().map(|model| model.weights.len + explainer(model)).sum()
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
        let (rows, gappy) = (&mut slot.rows, &mut self.gappy);
        let looked_at = pyramid.gather_whole(windows, next, (to, shape.stride), (rows, gappy), work);
        slot.load = Load { model: pyramid.id(), rows: slot.rows.len() as u32, parts: None };
        looked_at
    }

    /// The same of rows that lie in rings, of which the slot gets what is new.
    #[expect(clippy::too_many_arguments, reason = "what `fill` has, and the rings")]
    fn fill_from(
        &mut self,
        turn: usize,
        pyramid: &Pyramid,
        shape: Shape,
        windows: &[f32],
        next: usize,
        (mirror, rings): (usize, &Rings<'_>),
        work: &Work,
    ) -> usize {
        let Shard { slots, pool, packet, window, gappy, .. } = self;
        let slot = &mut slots[turn];
        packet.clear();
        window.resize(shape.stride, 0.0);
        let (width, all) = (pyramid.dimension(), windows.len() / pyramid.dimension());
        let mut at = next;
        while at < all && slot.rows.len() < shape.rows_max && packet.has_room(rings, UP_VALUES) {
            let (to, before) = ((&mut window[..], shape.stride), slot.rows.len());
            at += pyramid.gather_whole(&windows[at * width..], at, to, (&mut slot.rows, gappy), work);
            if let Some(row) = slot.rows.get(before) {
                let first = pool.bring(mirror, rings, rings.place(*row), packet);
                packet.add_window(first, rings);
            }
        }
        packet.write(slot.up.as_mut_words());
        let parts = Some(packet.parts(rings));
        slot.load = Load { model: pyramid.id(), rows: slot.rows.len() as u32, parts };
        at - next
    }

    /// Sets a filled slot on its way; nothing waits for it here. What comes again and again as a batch of one slot
    /// becomes a graph.
    fn send(&mut self, turn: usize, model: usize, shape: Shape, is_whole: bool) -> Result<(), DeviceError> {
        let Shard { copying, computing, graphs, slots, models, pool, device, .. } = self;
        let (slot, model) = (&mut slots[turn], &models[model]);
        if slot.rows.is_empty() {
            return Ok(());
        }
        slot.count(shape);
        let known = graphs.iter().position(|(load, _)| is_whole && *load == slot.load);
        if let Some(at) = known {
            if graphs[at].1.is_none() {
                let work = || slot.launch(Streams::Graph(computing), model, shape, pool, device).map(drop);
                graphs[at].1 = Some(Graph::record(computing, work)?);
            }
            if let Some(graph) = &graphs[at].1 {
                // SAFETY: slots and pool live as long as the graph, and it goes with its model.
                unsafe { graph.launch(computing)? };
                counters().graphs.fetch_add(1, Relaxed);
            }
        } else {
            let streams = Streams::Beside { copying, computing };
            let kernels = slot.launch(streams, model, shape, pool, device)?;
            counters().launches.fetch_add(kernels, Relaxed);
            if is_whole {
                if graphs.len() == LOADS_MAX {
                    graphs.remove(0);
                }
                graphs.push((slot.load, None));
            }
        }
        computing.record(&slot.done)
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
        let Shard { slots, windows: copied, part, origin, phases, until_ns, .. } = self;
        let slot = &mut slots[turn];
        if slot.rows.is_empty() {
            return Ok(());
        }
        slot.done.passed()?;
        let mut times = [0; 5];
        for (time, event) in times.iter_mut().zip(&slot.times) {
            *time = event.ns_since(origin)?;
        }
        let of_slot = Phases::of(times, until_ns);
        phases.add(of_slot);
        counters().up_ns.fetch_add(of_slot.up_ns, Relaxed);
        counters().kernel_ns.fetch_add(of_slot.kernel_ns, Relaxed);
        counters().down_ns.fetch_add(of_slot.down_ns, Relaxed);
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
