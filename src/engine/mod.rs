//! The engine: a pure step from decoded rows and control events to decisions.
//!
//! No clock, thread, file, random number or hash order in here: what comes out is a function of the
//! rows of each partition alone, however they are batched, interleaved or, within the allowed lateness,
//! shuffled. (Verdicts on sliding windows follow the order of arrival as well: they are given on arrival, by
//! what is known then, and stand if nothing comes behind them.) Clocks enter only through [`Env::now`], whose
//! readings go into receipts and never into a decision.

mod ahead;
mod batch;
mod budget;
mod close;
mod drift;
mod epoch;
mod events;
mod evidence;
mod feedback;
pub mod footprint;
mod growth;
mod idle;
mod lot;
mod onsets;
pub mod output;
mod ownership;
mod partition;
mod past;
mod probation;
mod reasons;
pub mod refit;
pub mod rehearsal;
pub mod reservoir;
mod revise;
mod scoring;
mod second_keys;
mod setup;
mod silence;
mod standing;
mod state;
mod tell;
pub mod train;
mod transactions;
mod usual;
mod verdict;
mod warmup;

use std::sync::Arc;

pub use output::{Counts, Judged, LateRow, Outputs, Raised};

use crate::backend::{Backend, Explanation, Scores};
use crate::config::plan::Plan;
use crate::model::{FitError, Model, ModelError};
use crate::ring::Slot;
use crate::types::{PARTITIONS, PartitionId, Position, StreamId};
use batch::Batch;
use partition::{Closing, Models, Partition};
use setup::StreamSetup;

/// What the engine may ask of the world outside; nothing of it reaches a decision.
pub struct Env<'a> {
    /// Reads a clock, ns; in simulation a constant.
    pub now: &'a dyn Fn() -> i64,
    /// Told of each key (stream, key hash, key) when it is first met.
    pub meets: &'a dyn Fn(StreamId, u64, &[u8]),
    /// Whether the page follows a key.
    pub follows: &'a dyn Fn(StreamId, u64) -> bool,
    /// Changes when `follows` does.
    pub follows_version: u64,
}

impl Env<'_> {
    /// Outside any process: no clock, nobody watching.
    pub const SIMULATED: Env<'static> =
        Env { now: &|| 0, meets: &|_, _, _| {}, follows: &|_, _| false, follows_version: 0 };
}

/// One shard's engine: owns whole partitions and shares nothing.
pub struct Engine {
    streams: Vec<StreamSetup>,
    /// `stream * PARTITIONS + partition`, made on the first row.
    partitions: Vec<Option<Box<Partition>>>,
    /// Same places: what lies before this position was in the restored state.
    applied: Vec<Position>,
    scratch: Scratch,
    touched: Vec<(StreamId, PartitionId)>,
}

/// Buffers reused from window to window.
#[derive(Default)]
pub(crate) struct Scratch {
    pub backend: Backend,
    pub scores: Scores,
    pub explanation: Explanation,
    /// Rows that are explained ahead.
    pub asked: Vec<u32>,
    pub batch: Batch,
}

impl Engine {
    pub fn new(plan: &Plan) -> Self {
        let deployment: Arc<str> = plan.deployment.as_str().into();
        let setup = |(id, stream)| StreamSetup::new(StreamId(id as u16), stream, deployment.clone());
        let streams: Vec<_> = plan.streams.iter().enumerate().map(setup).collect();
        let partitions: Vec<_> = (0..streams.len() * PARTITIONS).map(|_| None).collect();
        let applied = vec![Position(0); partitions.len()];
        let (backend, unavailable) = Backend::open(plan.backend, plan.ring_bytes());
        if let Some(error) = unavailable {
            tracing::debug!(%error, "windows are scored on the CPU");
        }
        let scratch = Scratch { backend, ..Scratch::default() };
        Engine { streams, partitions, applied, scratch, touched: Vec::new() }
    }

    /// Scores `stream` with `model` from the next row on.
    ///
    /// # Errors
    /// If the model was trained for other columns or another window.
    pub fn activate(&mut self, stream: StreamId, model: Arc<Model>) -> Result<(), ModelError> {
        self.streams[stream.0 as usize].activate(model)
    }

    /// Takes rows in log order; decisions and side outputs are appended to `out`.
    pub fn step(&mut self, slot: &Slot, env: &Env<'_>, out: &mut Outputs) {
        for record in slot.iter() {
            let partition_id = record.partition;
            let index = record.stream.0 as usize * PARTITIONS + partition_id.0 as usize;
            if record.position < self.applied[index] {
                continue;
            }
            let setup = &self.streams[record.stream.0 as usize];
            let partition =
                self.partitions[index].get_or_insert_with(|| Box::new(Partition::new(setup, partition_id)));
            if !partition.touched {
                partition.touched = true;
                self.touched.push((record.stream, partition_id));
            }
            partition.push(setup, &record, &mut self.scratch, env, out);
        }
        self.judge_early(env, out);
    }

    /// Windows are gathered as of their event; that they are scored together at the end of a step is for speed.
    fn judge_early(&mut self, env: &Env<'_>, out: &mut Outputs) {
        for (stream, id) in &self.touched {
            let index = stream.0 as usize * PARTITIONS + id.0 as usize;
            if let Some(partition) = self.partitions[index].as_mut().filter(|partition| partition.has_early())
            {
                let setup = &self.streams[stream.0 as usize];
                let scratch = &mut self.scratch;
                partition.judge_early(&mut Closing { setup, scratch, env, out, trigger: 0 });
            }
        }
    }

    /// A bounded source has ended before the message at `before`: what its stream still holds back
    /// becomes final. (Doing so twice at the same place changes nothing.)
    pub fn end_of_input(&mut self, stream: StreamId, before: Position, env: &Env<'_>, out: &mut Outputs) {
        self.each(stream, before, |partition, setup, scratch| partition.flush(setup, scratch, env, out));
    }

    /// Appends the windows that a refit of this stream may learn from, as far as they lie in these partitions.
    pub fn reservoir(&self, stream: StreamId, to: &mut reservoir::Windows) {
        let partitions = &self.partitions[stream.0 as usize * PARTITIONS..][..PARTITIONS];
        partitions.iter().flatten().for_each(|partition| to.append(partition.reservoir.held()));
    }

    /// Counts of the partitions that changed since the last call, and why a fit of theirs failed.
    pub fn changed(&mut self, mut tell: impl FnMut(StreamId, PartitionId, &Counts, Option<FitError>)) {
        for (stream, id) in self.touched.drain(..) {
            let index = stream.0 as usize * PARTITIONS + id.0 as usize;
            if let Some(partition) = &mut self.partitions[index] {
                partition.touched = false;
                partition.note_idle(&self.streams[stream.0 as usize]);
                partition.note_opened();
                tell(stream, id, &partition.counts, partition.fit_error.take());
            }
        }
    }
}
