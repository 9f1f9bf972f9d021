//! A stream's windows and scores on this machine, with made-up rows: what a row costs here.

use std::sync::Arc;

use crate::config::plan::{Aggregate, ModelPlan, Plan, Shape, StreamPlan};
use crate::engine::footprint::Demand;
use crate::engine::train::Trainer;
use crate::engine::{Engine, Env, Outputs};
use crate::model::{FitError, Model, ModelError};
use crate::ring::Slot;
use crate::types::{Arrival, EPOCH_NS, EventTime, PartitionId, Position, RecordRef, StreamId, key_hash};

/// Rows, or windows if they are more, that are measured, about: a second or so where windows are narrow.
const WORK: u64 = 1_000_000;
/// After so long what was done till then says enough, s.
pub const MEASURED_S: i64 = 10;
const KEYS_MIN: u64 = 64;
/// Windows a key that a made-up model is fitted on: enough for every level of the widest window.
const TRAINING_WINDOWS: u64 = 640;
const SLOT_ROWS: usize = 2048;

/// What a run of made-up rows cost.
#[derive(Clone, Copy, Debug)]
pub struct Rehearsal {
    /// Of one thread, windows closed and scored included.
    pub cpu_s_per_row: f64,
    /// Scored by the stream's own model.
    pub own_model: bool,
}

/// What is begun, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A model on made-up rows: there is none of the stream yet.
    Fit,
    /// Rows that fill the first windows.
    Fill,
    /// What is measured: [`MEASURED_S`] at most, if one hop takes less.
    Measure,
}

#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    #[error("no model could be fitted on made-up rows: {0}")]
    Fit(#[from] FitError),
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Runs about [`WORK`] rows of the one stream of `plan`, or fewer if they take long: of as many keys as let every window
/// fill, at their own rate. Making up the rows is part of the time.
///
/// # Errors
/// If `model` does not fit the stream, or there is none and none could be made.
pub fn rehearse(
    plan: &Plan,
    model: Option<Model>,
    demand: &Demand,
    now_ns: &dyn Fn() -> i64,
    begins: &dyn Fn(Phase),
) -> Result<Rehearsal, RehearsalError> {
    let stream = &plan.streams[0];
    let interval_ns = (demand.keys as f64 / demand.rows_per_s * 1e9).max(1.0) as i64;
    let own_model = model.is_some() || matches!(stream.model, ModelPlan::Transactions { .. });
    let mut rows = Rows { columns: stream.columns.len(), interval_ns, seed: 1 };
    let model = match (model, &stream.model) {
        (_, ModelPlan::Transactions { .. }) => None,
        (Some(model), _) => Some(model),
        (None, _) => {
            begins(Phase::Fit);
            Some(rows.model(stream)?)
        }
    };
    let window = stream.window;
    let warm_ns = (window.size + window.lateness).as_nanos() as i64;
    let every_ns = match window.shape {
        Shape::Grid => window.every.as_nanos() as i64,
        Shape::Sliding | Shape::Session { .. } | Shape::Count { .. } => interval_ns,
    };
    let warm_steps = (warm_ns / interval_ns + 1) as u64;
    // A key that speaks less than once a window is scored more often than it speaks.
    let work_a_step = (interval_ns / every_ns).max(1) as u64;
    let keys = (WORK / ((warm_steps + 1) * work_a_step)).clamp(KEYS_MIN.min(demand.keys), demand.keys);
    let (mut engine, mut taken) = (Engine::new(plan), Taken::default());
    if let Some(model) = model {
        engine.activate(StreamId(0), Arc::new(model))?;
    }
    begins(Phase::Fill);
    rows.run((&mut engine, &mut taken), keys, 0..warm_steps);
    // Whole hops, so that as many windows close as in the long run.
    let hop_steps = (every_ns / interval_ns).max(1) as u64;
    let steps = (WORK / (keys * work_a_step)).div_ceil(hop_steps).max(1) * hop_steps;
    begins(Phase::Measure);
    let (begin_ns, mut done) = (now_ns(), 0);
    let is_over = |done| done >= steps || done > 0 && now_ns() - begin_ns >= MEASURED_S * 1_000_000_000;
    while !is_over(done) {
        rows.run((&mut engine, &mut taken), keys, warm_steps + done..warm_steps + done + hop_steps);
        done += hop_steps;
    }
    let cpu_s_per_row = (now_ns() - begin_ns) as f64 / 1e9 / (done * keys) as f64;
    Ok(Rehearsal { cpu_s_per_row, own_model })
}

/// Handed to the engine again and again.
#[derive(Default)]
struct Taken {
    slot: Slot,
    out: Outputs,
}

/// Noise around a level a key.
struct Rows {
    columns: usize,
    interval_ns: i64,
    seed: u64,
}

impl Rows {
    fn model(&mut self, stream: &StreamPlan) -> Result<Model, FitError> {
        let mut trainer = Trainer::new(stream);
        let window = stream.window;
        // A row a cell, or a session: a slower stream could not fill the windows a fit needs.
        let (mut step_ns, mut steps) = match window.shape {
            Shape::Grid => {
                let span = window.size + window.every * TRAINING_WINDOWS as u32;
                (window.grid.as_nanos() as i64, span.as_nanos() as u64 / window.grid.as_nanos() as u64)
            }
            Shape::Sliding => (window.grid.as_nanos() as i64, window.cells() as u64 + TRAINING_WINDOWS),
            Shape::Session { gap } => (gap.as_nanos() as i64 + 1, TRAINING_WINDOWS),
            Shape::Count { events, every } => {
                (self.interval_ns, u64::from(events) + TRAINING_WINDOWS * u64::from(every))
            }
        };
        // Ratios are known from the second epoch on.
        if stream.columns.iter().any(|column| column.aggregate == Aggregate::Ratio) {
            if window.shape == Shape::Sliding {
                steps += (2 * EPOCH_NS / step_ns) as u64;
            } else {
                step_ns = step_ns.max(2 * EPOCH_NS / TRAINING_WINDOWS as i64);
                steps += TRAINING_WINDOWS;
            }
        }
        let spaced = std::mem::replace(&mut self.interval_ns, step_ns);
        for step in 0..steps {
            self.each(step, 0..2, |row| trainer.push(row));
        }
        self.interval_ns = spaced;
        trainer.finish()
    }

    fn run(
        &mut self,
        (engine, Taken { slot, out }): (&mut Engine, &mut Taken),
        keys: u64,
        steps: std::ops::Range<u64>,
    ) {
        for step in steps {
            for from in (0..keys).step_by(SLOT_ROWS) {
                slot.clear();
                self.each(step, from..(from + SLOT_ROWS as u64).min(keys), |row| slot.push(*row));
                engine.step(slot, &Env::SIMULATED, out);
                out.clear();
            }
        }
    }

    fn each(&mut self, step: u64, keys: std::ops::Range<u64>, mut to: impl FnMut(&RecordRef<'_>)) {
        let mut values = vec![0.0; self.columns];
        for key in keys {
            let name = key.to_le_bytes();
            for value in &mut values {
                // Knuth's constants for a linear congruential generator (MMIX).
                self.seed =
                    self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *value = key as f32 + (self.seed >> 40) as f32 / (1 << 24) as f32;
            }
            to(&RecordRef {
                stream: StreamId(0),
                key: &name,
                key_hash: key_hash(&name),
                partition: PartitionId::of(key_hash(&name)),
                time: EventTime(step as i64 * self.interval_ns),
                arrival: Arrival(0),
                position: Position(step),
                row: key as u32,
                values: &values,
                outcome: None,
                content_hash: self.seed,
            });
        }
    }
}
