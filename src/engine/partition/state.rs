//! One partition's whole state as bytes, and back.
//!
//! Every struct is taken apart by name: a new field does not compile until it is written here, or said to
//! be no state.

use std::sync::Arc;

use super::counts::{decode_counts, encode_counts};
use super::scoring::{decode_models, decode_scoring, encode_models, encode_scoring};
use super::{Partition, Scale};
use crate::alert::lifecycle::Episode;
use crate::alert::told::Told;
use crate::engine::events::Events;
use crate::engine::feedback::Heard;
use crate::engine::idle::Hearing;
use crate::engine::onsets::Onsets;
use crate::engine::past::{Past, PastEpochs};
use crate::engine::probation::Probation;
use crate::engine::setup::StreamSetup;
use crate::engine::silence::Silence;
use crate::engine::warmup::Warmup;
use crate::judge::budget::Budget;
use crate::judge::drift::Watched;
use crate::judge::moments::Moments;
use crate::model::{Model, Pyramid};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::types::PartitionId;
use crate::window::grid::Grid;
use crate::window::keys::{KeyIndex, Keys};
use crate::window::pending::Pending;

/// Finds a loaded model by its checksum.
pub(crate) type Models<'a> = &'a dyn Fn(&str) -> Option<Arc<Model>>;

impl Partition {
    /// About as many bytes as [`Partition::encode`] writes, so that the buffer grows once.
    pub fn state_bytes(&self, setup: &StreamSetup) -> usize {
        let (keys, columns) = (self.keys.len(), setup.columns.len());
        let of_onsets = if self.onsets.is_on() { Onsets::state_bytes(columns) } else { 0 };
        let of_key = columns * (Moments::BYTES + 8) + Episode::BYTES + 128 + of_onsets;
        let fitted = if !setup.fits || self.scoring.is_none() {
            0.0
        } else {
            Pyramid::heap_bytes(setup.cells, columns)
        };
        let of_key = of_key + if setup.roles.is_some() { 32 } else { 0 };
        let kept = self.warmup.bytes() + self.grid.ring_bytes() + fitted as usize;
        keys * of_key + kept + self.pending.rows() * (48 + columns * 4) + (64 << 10)
    }

    pub fn encode(&self, setup: &StreamSetup, to: &mut StateWriter<'_>) {
        let Partition {
            id: _,
            rings_id: _,
            keys,
            grid,
            moments,
            scales,
            cohorts: _,
            episodes: _,
            told: _,
            past: _,
            past_epochs,
            unsettled,
            restarts,
            last_surprise,
            probation,
            followed: _,
            follows_version: _,
            scoring,
            warmup,
            budget,
            drift,
            reservoir: _,
            fit_error: _,
            epoch,
            counts,
            touched: _,
            pending: _,
            cell_fold: _,
            events: _,
            silence: _,
            onsets: _,
            hearing: _,
            heard: _,
            started: _,
            newest_time: _,
            released: _,
            newest_cell: _,
            seen_keys: _,
        } = self;
        keys.encode(to);
        grid.encode(to);
        moments.iter().for_each(|moments| moments.encode(to));
        encode_scales(scales, to);
        self.encode_alerts(to);
        encode_models(past_epochs.scorings().chain(scoring), setup, to);
        past_epochs.encode(to);
        encode_unsettled(unsettled, to);
        to.numbers(restarts);
        to.numbers(last_surprise.as_flattened());
        probation.encode(to);
        encode_scoring(scoring.as_ref(), to);
        warmup.encode(to);
        budget.encode(to);
        drift.encode(to);
        to.number(*epoch);
        encode_counts(counts, to);
        self.encode_progress(to);
    }

    /// Of windows that events make, how far it has come, and what time alone may tell of.
    fn encode_progress(&self, to: &mut StateWriter<'_>) {
        self.pending.encode(to);
        self.events.encode(to);
        self.silence.encode(to);
        self.onsets.encode(to);
        self.hearing.encode(to);
        self.heard.encode(to);
        to.flag(self.started);
        [self.newest_time, self.released, self.newest_cell].into_iter().for_each(|time| to.number(time));
        to.number(self.seen_keys);
    }

    /// What was told of each key, and may still change.
    fn encode_alerts(&self, to: &mut StateWriter<'_>) {
        self.episodes.iter().for_each(|episode| episode.encode(to));
        self.told.iter().for_each(|told| encode_told(told, to));
        self.past.iter().for_each(|past| past.encode(to));
    }

    /// # Errors
    /// If the bytes are those of another stream or build, or name a model that is not loaded.
    pub fn decode(
        setup: &StreamSetup,
        id: PartitionId,
        models: Models<'_>,
        mut from: StateReader<'_>,
    ) -> Result<Self, NotUnderstood> {
        let columns = setup.columns.len();
        let from = &mut from;
        let mut partition = Partition::new(setup, id);
        partition.keys = Keys::decode(from)?;
        let keys = partition.keys.len();
        partition.grid = Grid::decode(setup.cells, setup.ring_cells(), columns, from)?;
        expect(partition.grid.keys() == keys, "rings of other keys")?;
        partition.moments = (0..keys * columns).map(|_| Moments::decode(from)).collect::<Result<_, _>>()?;
        partition.scales = decode_scales(keys * columns, from)?;
        partition.episodes = (0..keys).map(|_| Episode::decode(from)).collect::<Result<_, _>>()?;
        partition.told = (0..keys).map(|_| decode_told(from)).collect::<Result<_, _>>()?;
        let with_past = if setup.keeps_past() { keys } else { 0 };
        partition.past = (0..with_past).map(|_| Past::decode(from)).collect::<Result<_, _>>()?;
        let models = decode_models(setup, models, from)?;
        partition.past_epochs = PastEpochs::decode(keys, columns, &models, from)?;
        partition.unsettled = decode_unsettled(keys, from)?;
        partition.restarts = from.numbers()?;
        expect(partition.restarts.iter().all(|key| (*key as usize) < keys), "a new level of no key")?;
        partition.last_surprise = from.numbers::<f32>()?.as_chunks().0.to_vec();
        expect(partition.last_surprise.len() == keys, "surprises of other keys")?;
        let probation = Probation::decode(keys, from)?;
        partition.followed = vec![false; keys];
        partition.scoring = decode_scoring(&models, from)?;
        partition.join_cohorts();
        partition.probation = probation;
        partition.warmup = Warmup::decode(setup.cells * columns, keys, from)?;
        partition.budget = Budget::decode(from)?;
        partition.drift = Watched::decode(columns, from)?;
        partition.epoch = from.number()?;
        partition.counts = decode_counts(from)?;
        partition.pending = Pending::decode(setup.pending_cells(), setup.late_cells(), columns, keys, from)?;
        partition.events = Events::decode(setup, keys, from)?;
        partition.silence = Silence::decode(keys, setup, from)?;
        partition.onsets = Onsets::decode(keys, setup, from)?;
        (partition.hearing, partition.heard) = (Hearing::decode(from)?, Heard::decode(keys, from)?);
        partition.started = from.flag()?;
        partition.newest_time = from.number()?;
        partition.released = from.number()?;
        partition.newest_cell = from.number()?;
        partition.seen_keys = from.number()?;
        from.end()?;
        Ok(partition)
    }
}

pub(in crate::engine) fn encode_scales(scales: &[Scale], to: &mut StateWriter<'_>) {
    for Scale { mean, sd } in scales {
        to.number(*mean);
        to.number(*sd);
    }
}

pub(in crate::engine) fn decode_scales(
    count: usize,
    from: &mut StateReader<'_>,
) -> Result<Vec<Scale>, NotUnderstood> {
    (0..count).map(|_| Ok(Scale { mean: from.number()?, sd: from.number()? })).collect()
}

fn encode_told(told: &[Told], to: &mut StateWriter<'_>) {
    to.len(told.len());
    told.iter().for_each(|told| told.encode(to));
}

fn decode_told(from: &mut StateReader<'_>) -> Result<Vec<Told>, NotUnderstood> {
    (0..from.len(Told::BYTES)?).map(|_| Told::decode(from)).collect()
}

fn encode_unsettled(unsettled: &[(KeyIndex, i64)], to: &mut StateWriter<'_>) {
    to.len(unsettled.len());
    for (key, cell) in unsettled {
        to.number(*key);
        to.number(*cell);
    }
}

fn decode_unsettled(keys: usize, from: &mut StateReader<'_>) -> Result<Vec<(KeyIndex, i64)>, NotUnderstood> {
    let mut unsettled: Vec<(KeyIndex, i64)> = Vec::new();
    for _ in 0..from.len(12)? {
        unsettled.push((from.number()?, from.number()?));
    }
    expect(unsettled.iter().all(|(key, _)| (*key as usize) < keys), "a late row of no key")?;
    Ok(unsettled)
}
