//! What a stream will take of memory, from its config alone: sizes of the structures that hold it, with
//! nothing fitted to measurements.

use crate::alert::lifecycle::Episode;
use crate::alert::told::Told;
use crate::backend::cuda::rings_bytes;
use crate::config::plan::{Aggregate, AlarmPlan, ModelPlan, NoDataPlan, Shape, StreamPlan};
use crate::engine::feedback::Heard;
use crate::engine::onsets::Onsets;
use crate::engine::partition::{Partition, Scale};
use crate::engine::past::Past;
use crate::engine::probation;
use crate::engine::reservoir;
use crate::engine::setup::bucket;
use crate::engine::silence::Silence;
use crate::engine::transactions::Transactions;
use crate::engine::usual::Usual;
use crate::engine::warmup;
use crate::judge::calibrate::REFERENCE_MAX;
use crate::judge::calibration::{Calibration, Surprise};
use crate::judge::moments::Moments;
use crate::judge::risk::SecondKeys;
use crate::judge::tolerance::Episodes;
use crate::model::Pyramid;
use crate::types::{EPOCH_NS, LASTS_NS, PARTITIONS};
use crate::window::grid::Grid;
use crate::window::grow::grown;
use crate::window::keys::Keys;
use crate::window::pending::Pending;
use crate::window::rows::{KeyRows, ROWS_MAX};

/// Each of: in order of replacement, sorted, and an epoch's.
const CALIBRATION_BYTES: f64 = (Calibration::PARTS * 3 * REFERENCE_MAX * size_of::<f32>()) as f64;

/// What a stream is asked to carry.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    pub keys: u64,
    /// Of all keys together.
    pub rows_per_s: f64,
    /// Mean length of a key.
    pub key_bytes: usize,
}

/// Heap of one stream's engine state, bytes, by what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Footprint {
    /// The keys' windows: cells x columns of f32 each.
    pub rings: f64,
    /// Means, spreads and scales, a column of a key each.
    pub moments: f64,
    /// Names, look-up, order, episodes and rhythms of the keys.
    pub keys: f64,
    /// Ranges that onsets are told by.
    pub onsets: f64,
    /// Verdicts that late rows may still change, and the scales they were given by.
    pub late: f64,
    /// Rows that wait for the watermark, and the identities of those that have passed.
    pub waiting: f64,
    /// Of alerts that were told as long as a word on them may act, how far they went, and the words.
    pub heard: f64,
    /// What every partition has once: calibration, counts.
    pub partitions: f64,
    /// Windows of one partition as they are scored, in every shard.
    pub scoring: f64,
    /// Windows kept to fit on; they are copied once while a fit runs.
    pub warmup: f64,
    /// Windows kept for refits.
    pub refits: f64,
    /// Counts of second keys, as many as are kept.
    pub second_keys: f64,
    /// Models fitted by the partitions, with every level that the window has room for; or the one that is loaded, see
    /// [`Footprint::with_densities`].
    pub models: f64,
}

impl Footprint {
    /// Keys are spread evenly over the partitions, rows over the time.
    pub fn of(stream: &StreamPlan, shards: usize, demand: &Demand) -> Self {
        let partitions = partitions_used(demand.keys);
        let keys = demand.keys as f64 / partitions;
        let (cells, columns) = (stream.window.cells(), stream.columns.len());
        let width = (cells * columns) as f64;
        let on_grid = stream.window.shape == Shape::Grid;
        let size_ns = i64::try_from(stream.window.size.as_nanos()).unwrap_or(i64::MAX);
        let grid_s = if on_grid { stream.window.grid } else { bucket(stream.window.lateness) }.as_secs_f64();
        let rows_a_cell = demand.rows_per_s * grid_s / partitions;
        let pending_cells = (stream.window.lateness.as_secs_f64() / grid_s) as usize + 2;
        let of_column = (size_of::<Moments>() + size_of::<Scale>()) as f64;
        let of_key = (size_of::<Episode>()
            + size_of::<Vec<Told>>()
            + size_of::<Surprise>()
            + size_of::<bool>()
            + size_of::<u32>()) as f64
            + if stream.no_data == NoDataPlan::Off { 0.0 } else { Silence::KEY_BYTES as f64 };
        let kept_s = kept_s(stream);
        let kept_cells = (kept_s / grid_s) as usize;
        let fits = matches!(stream.model, ModelPlan::Fit { .. });
        let of_transactions = matches!(stream.model, ModelPlan::Transactions { .. });
        let refits = matches!(stream.model, ModelPlan::Load { refit: Some(_), .. });
        // Of [`crate::backend::Scores`]: five figures and four levels; likelihood; counts.
        let scores =
            keys * (9 * size_of::<f32>() + size_of::<f64>() + size_of::<u16>() * (1 + columns)) as f64;
        // Departures are measured on the numbers as they came.
        let copies = if stream.columns.iter().any(|column| column.deviation.is_some()) { 2.0 } else { 1.0 };
        let scored = keys * (copies * width * size_of::<f32>() as f64 + size_of::<u32>() as f64);
        Footprint {
            rings: partitions
                * if on_grid {
                    Grid::heap_bytes(keys, cells + kept_cells, columns)
                } else {
                    Grid::heap_bytes(keys, 0, columns) + keys * rows_bytes(stream, demand)
                },
            moments: partitions * grown(keys * columns as f64) * of_column,
            keys: partitions * (Keys::heap_bytes(keys, demand.key_bytes) + grown(keys) * of_key),
            onsets: if stream.onsets.is_some() {
                partitions * grown(keys) * Onsets::key_bytes(columns) as f64
            } else {
                0.0
            },
            late: partitions * (keys * late_bytes(stream, kept_s) + epochs_kept(kept_s) * CALIBRATION_BYTES),
            waiting: partitions * Pending::heap_bytes(pending_cells, rows_a_cell, columns),
            heard: heard_bytes(demand.keys, alerts_kept(stream, demand), columns),
            partitions: partitions
                * (size_of::<Partition>() as f64 + CALIBRATION_BYTES + probation::heap_bytes(keys, size_ns)),
            scoring: shards as f64 * (scored + 1.5 * scores),
            warmup: if fits { partitions * warmup::heap_bytes(cells * columns) } else { 0.0 },
            refits: if refits { partitions * reservoir::heap_bytes(width) } else { 0.0 },
            second_keys: if of_transactions { partitions * SecondKeys::BYTES_MAX as f64 } else { 0.0 },
            models: if fits { partitions * Pyramid::heap_bytes(cells, columns) } else { 0.0 },
        }
    }

    /// With a loaded model of so many densities, everyone's among them, that take so many bytes together. A partition
    /// has a calibration for each density that its keys are scored by: as many as keys spread evenly come to.
    #[must_use]
    pub fn with_densities(self, densities: usize, bytes: f64, demand: &Demand) -> Self {
        let (used, densities) = (partitions_used(demand.keys), densities.max(1) as f64);
        let in_use = densities * (1.0 - (1.0 - 1.0 / densities).powf(demand.keys as f64 / used));
        let partitions = self.partitions + used * (in_use - 1.0).max(0.0) * CALIBRATION_BYTES;
        Footprint { partitions, models: bytes, ..self }
    }

    /// While keys are judged by models, and every partition that fits its own has kept all the windows it may.
    pub fn steady_bytes(&self) -> f64 {
        let Footprint {
            rings,
            moments,
            keys,
            onsets,
            late,
            waiting,
            heard,
            partitions,
            scoring,
            refits,
            second_keys,
            models,
            warmup,
        } = self;
        let kept = heard + refits + second_keys + models + warmup;
        rings + moments + keys + onsets + late + waiting + partitions + scoring + kept
    }
}

/// Of so many alerts spread over the keys by chance, with a word on each.
pub fn heard_bytes(keys: u64, alerts: f64, columns: usize) -> f64 {
    let keys = keys.max(1) as f64;
    let told = keys * (1.0 - (1.0 - 1.0 / keys).powf(alerts));
    if told < 0.5 { 0.0 } else { told * Heard::key_bytes((alerts / told).min(Episodes::MAX as f64), columns) }
}

/// Alerts told within the time for which words on them act: as many as the budget lets through, or as p-values that are
/// right bring. Windows that overlap open one.
fn alerts_kept(stream: &StreamPlan, demand: &Demand) -> f64 {
    let window = stream.window;
    let (keys, size_s) = (demand.keys as f64, window.size.max(window.every).as_secs_f64());
    let apart_a_second = match window.shape {
        Shape::Grid => keys / size_s,
        Shape::Sliding => demand.rows_per_s.min(keys / size_s),
        Shape::Session { gap } => demand.rows_per_s.min(keys / gap.as_secs_f64()),
        Shape::Count { events, .. } => demand.rows_per_s / f64::from(events),
    };
    let a_day = match stream.alarm {
        AlarmPlan::Budget { per_day } => per_day,
        AlarmPlan::PValue(p_value) => p_value * apart_a_second * 86_400.0,
    };
    (a_day * LASTS_NS as f64 / 86_400e9).min(keys * Episodes::MAX as f64)
}

/// Memory of a GPU for the keys' windows, bytes; 0 where windows cross the bus whole.
pub fn device_bytes(stream: &StreamPlan, demand: &Demand) -> f64 {
    if stream.window.shape != Shape::Grid {
        return 0.0;
    }
    let partitions = partitions_used(demand.keys);
    let kept_cells = (kept_s(stream) / stream.window.grid.as_secs_f64()) as usize;
    let cells = stream.window.cells() + kept_cells;
    partitions * rings_bytes(demand.keys as f64 / partitions, cells, stream.columns.len())
}

/// How long cells are kept for late rows beyond a window's own, s.
fn kept_s(stream: &StreamPlan) -> f64 {
    let late_s = (stream.window.lateness - stream.window.disorder).as_secs_f64();
    let on_grid = stream.window.shape == Shape::Grid;
    if on_grid && late_s > 0.0 { late_s + stream.window.every.as_secs_f64() } else { 0.0 }
}

/// The rows a key keeps for windows of events, what it usually does, and the verdicts that are not final.
fn rows_bytes(stream: &StreamPlan, demand: &Demand) -> f64 {
    let window = stream.window;
    let rate = demand.rows_per_s / demand.keys.max(1) as f64;
    let rows = match window.shape {
        Shape::Count { events, .. } => f64::from(events),
        Shape::Sliding => (rate * (window.size + window.lateness).as_secs_f64()).min(ROWS_MAX as f64),
        // As long as one may be.
        Shape::Session { .. } | Shape::Grid => (rate * window.size.as_secs_f64()).min(ROWS_MAX as f64),
    };
    let past = match window.shape {
        Shape::Sliding => {
            size_of::<Past>() as f64 + Past::heap_bytes(rate * window.lateness.as_secs_f64() + 1.0)
        }
        Shape::Grid | Shape::Session { .. } | Shape::Count { .. } => 0.0,
    };
    let aggregates: Vec<Aggregate> = stream.columns.iter().map(|column| column.aggregate).collect();
    let columns = stream.columns.len();
    let holder = match stream.model {
        ModelPlan::Transactions { .. } => Transactions::BYTES_A_KEY,
        ModelPlan::Fit { .. } | ModelPlan::Load { .. } => 0,
    };
    let known = size_of::<KeyRows>() + Usual::bytes_a_key(&aggregates) + holder;
    known as f64 + KeyRows::heap_bytes(rows, columns) + past
}

/// What lateness beyond the disorder costs a key.
fn late_bytes(stream: &StreamPlan, kept_s: f64) -> f64 {
    if kept_s == 0.0 {
        return 0.0;
    }
    let verdicts = kept_s / stream.window.every.as_secs_f64() + 1.0;
    let of_epoch = stream.columns.len() * (size_of::<Scale>() + size_of::<bool>());
    Past::heap_bytes(verdicts) + size_of::<Past>() as f64 + epochs_kept(kept_s) * of_epoch as f64
}

/// Epochs that late rows may still reach, each with a calibration of its own.
fn epochs_kept(kept_s: f64) -> f64 {
    if kept_s == 0.0 { 0.0 } else { (kept_s / (EPOCH_NS as f64 / 1e9)).floor() + 1.0 }
}

/// Partitions that `keys` keys fall into, on average.
fn partitions_used(keys: u64) -> f64 {
    let all = PARTITIONS as f64;
    all * (1.0 - (1.0 - 1.0 / all).powf(keys.max(1) as f64))
}
