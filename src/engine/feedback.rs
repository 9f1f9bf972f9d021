//! What people said of a key's alerts: an entry of the control log changes what is told of the key from its next epoch
//! on; see [`crate::judge::tolerance`].
//!
//! A window below the threshold is held back if it is not without the columns that go no further than is tolerated: it is
//! scored again as if nothing had come of them. An onset is passed over if its column goes no further. Nothing is learnt
//! from a window that is held back.

pub(in crate::engine) mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Engine, Scratch, reasons};
use crate::engine::partition::{Closing, Partition};
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::judge::onset::Onset;
use crate::judge::tolerance::{Departure, Detector, Episodes, InForce, departures};
use crate::types::{
    ColumnEvidence, Decision, EventTime, Feedback, PARTITIONS, PartitionId, Position, StreamId, Verdict,
    Word, key_hash,
};
use crate::window::keys::KeyIndex;

/// Constant inside an epoch; of keys of which something is in force.
pub(crate) type Tolerances = Arc<BTreeMap<KeyIndex, InForce>>;

/// Of one partition.
#[derive(Default)]
pub(crate) struct Heard {
    episodes: BTreeMap<KeyIndex, Episodes>,
    pub in_force: Tolerances,
    /// Keys of which something was heard or seen since the epoch began; all of them after a restart.
    touched: BTreeSet<KeyIndex>,
    /// Of the last word; earlier ones are in here.
    number: u64,
    /// What is in force has changed, or was restored, and nobody was told yet.
    news: bool,
}

impl Engine {
    /// A word on an alert of `stream`, said before the message at `before`. (Doing so twice changes nothing.)
    pub fn feedback(&mut self, stream: StreamId, before: Position, said: &Feedback) {
        self.each(stream, before, |partition, setup, _| partition.hear(said, setup));
    }

    /// Tells of partitions in which it has changed since the last call which alerts, by their ids, have their key told
    /// less. To be asked before [`Engine::changed`].
    pub fn expected(&mut self, mut tell: impl FnMut(StreamId, PartitionId, Vec<Box<str>>)) {
        for (stream, id) in &self.touched {
            let index = stream.0 as usize * PARTITIONS + id.0 as usize;
            if let Some(partition) = self.partitions[index].as_mut()
                && std::mem::take(&mut partition.heard.news)
            {
                let of = partition.heard.in_force.values().flat_map(|of| of.alerts.iter().cloned());
                tell(*stream, *id, of.collect());
            }
        }
    }
}

/// Of an alert's id, digits.
const ID_BYTES: usize = 32;

/// Room in a map's nodes for each element that is there, about: nodes that were split are half full.
const NODES: f64 = 1.6;

impl Heard {
    /// Heap of a key of which so many alerts are kept, each with a word on it, bytes, about.
    pub fn key_bytes(alerts: f64, columns: usize) -> f64 {
        let places =
            size_of::<(KeyIndex, Episodes)>() + size_of::<(KeyIndex, InForce)>() + size_of::<KeyIndex>();
        NODES * places as f64
            + Episodes::heap_bytes(alerts, columns, ID_BYTES)
            + InForce::heap_bytes(alerts, columns, ID_BYTES)
    }

    /// What the ended epoch brought acts from `epoch` on.
    pub fn roll(&mut self, epoch: i64) {
        if self.episodes.is_empty() && self.in_force.is_empty() {
            return;
        }
        let touched = &mut self.touched;
        self.episodes.retain(|key, episodes| {
            let known = episodes.len();
            episodes.pass(epoch);
            if episodes.len() < known {
                touched.insert(*key);
            }
            !episodes.is_empty()
        });
        for key in std::mem::take(touched) {
            let of = self.episodes.get(&key).map(Episodes::in_force).filter(|of| !of.alerts.is_empty());
            if self.in_force.get(&key) == of.as_ref() {
                continue;
            }
            // Past epochs keep what was in force in them.
            let in_force = Arc::make_mut(&mut self.in_force);
            match of {
                Some(of) => drop(in_force.insert(key, of)),
                None => drop(in_force.remove(&key)),
            }
            self.news = true;
        }
    }

    /// Takes note of how far an onset went that is told, or what else is of it.
    pub fn saw_onset(&mut self, key: KeyIndex, since_ns: i64, onset: &Onset) {
        self.touched.insert(key);
        let episodes = self.episodes.entry(key).or_default();
        episodes.saw(Detector::Onset, since_ns, 0.0, [departure(onset)].into_iter());
    }
}

/// Whether an onset goes no further than is tolerated of its key.
pub(crate) fn is_expected(tolerances: &Tolerances, key: KeyIndex, onset: &Onset) -> bool {
    tolerances.get(&key).is_some_and(|of| of.of(Detector::Onset).covers(departure(onset)))
}

fn departure(onset: &Onset) -> Departure {
    Departure::of_onset(onset.column, onset.watched, onset.low, onset.high, onset.value)
}

impl Partition {
    /// Counted by its number even where it means nothing here: then it will not later either.
    fn hear(&mut self, said: &Feedback, setup: &StreamSetup) {
        if said.number <= self.heard.number {
            return;
        }
        self.heard.number = said.number;
        let (name, onset) = (said.key.as_bytes(), EventTime(said.onset_ns));
        let key = self.keys.find(key_hash(name), name);
        let (Some(detector), Some(key)) = (Detector::of(&said.rule), key) else { return };
        // A key may come in several partitions of Kafka; each has alerts of its own.
        if setup.alert_id(self.id, name, &said.rule, onset) != said.alert {
            return;
        }
        let expected = match said.word {
            Word::Expected => Some(true),
            Word::Real => Some(false),
            Word::Undone => None,
        };
        if let Some(episodes) = self.heard.episodes.get_mut(&key) {
            self.heard.touched.insert(key);
            episodes.hear(detector, said.onset_ns, (said.number, &said.alert), expected, self.epoch);
        }
    }

    /// Takes note of how far the columns of an alert that fires went: that of the explained window in `row`.
    pub(super) fn saw(
        &mut self,
        row: usize,
        decision: &Decision,
        scoring: &Scoring,
        closing: &mut Closing<'_, '_>,
    ) {
        let Some(window) = decision.window().filter(|_| decision.state.is_firing()) else { return };
        self.widen(row, decision.onset.0, window.p_value, scoring, closing);
    }

    /// The same of the window in `row` while its alert goes on; seldom, since nothing is explained that nobody is told.
    pub(super) fn saw_more(
        &mut self,
        row: usize,
        verdict: Verdict,
        scoring: &Scoring,
        closing: &mut Closing<'_, '_>,
    ) {
        if !verdict.confident || !(verdict.anomalous || verdict.held_back.is_some()) {
            return;
        }
        let key = closing.scratch.batch.keys[row];
        let firing = self.told[key as usize].iter().rev().find(|told| told.state.is_firing());
        let Some(onset) = firing.map(|told| told.onset) else { return };
        let known = self.heard.episodes.get(&key);
        if known.is_some_and(|known| known.is_news(Detector::Window, onset, verdict.p_value)) {
            self.explain(row, scoring, closing);
            self.widen(row, onset, verdict.p_value, scoring, closing);
        }
    }

    fn widen(
        &mut self,
        row: usize,
        onset: i64,
        p_value: f64,
        scoring: &Scoring,
        closing: &mut Closing<'_, '_>,
    ) {
        let departures = self.departures_seen(row, scoring, closing);
        let key = closing.scratch.batch.keys[row];
        self.heard.touched.insert(key);
        let episodes = self.heard.episodes.entry(key).or_default();
        episodes.saw(Detector::Window, onset, p_value, departures.into_iter().flatten());
    }

    /// Whether the window in `row` would not be anomalous but for what people called expected of its key.
    pub(super) fn is_expected(&self, row: usize, scoring: &Scoring, closing: &mut Closing<'_, '_>) -> bool {
        let key = closing.scratch.batch.keys[row];
        let Some(tolerated) = self.heard.in_force.get(&key).map(|of| of.of(Detector::Window)) else {
            return false;
        };
        self.explain(row, scoring, closing);
        let departures = self.departures_seen(row, scoring, closing);
        let covers = |of: &Vec<Departure>| !of.is_empty() && of.iter().all(|of| tolerated.covers(*of));
        let is_covered: Vec<bool> = departures.iter().map(covers).collect();
        if !is_covered.contains(&true) {
            return false;
        }
        let (columns, width) = (is_covered.len(), closing.setup.cells * is_covered.len());
        let Scratch { backend, batch, .. } = &mut *closing.scratch;
        let mut rest = batch.z[row * width..][..width].to_vec();
        let values = rest.iter_mut().zip(is_covered.iter().cycle());
        values.filter(|(_, is_covered)| **is_covered).for_each(|(value, _)| *value = f32::NAN);
        let surprise = scoring.score_one(batch.cohort(row), &rest, columns, backend);
        let references = scoring.references(batch.cohort(row));
        references.map_or(1.0, |of| of.calibration.p_value(surprise)) >= scoring.alarm.threshold
    }

    /// By column of the explained window in `row`: how it departs from what was expected of it. A column with less than
    /// half of an equal part of the surprise has that by chance, as in the rules on departures.
    fn departures_seen(
        &self,
        row: usize,
        scoring: &Scoring,
        closing: &mut Closing<'_, '_>,
    ) -> Vec<Vec<Departure>> {
        let seen = self.columns_evidence(row, scoring, closing);
        let (raw, columns, cells) = (self.raw(row, closing), seen.len(), closing.setup.cells);
        let is_odd = |column: usize| seen[column].share > 0.5 / columns as f64;
        let Scratch { backend, batch, .. } = &mut *closing.scratch;
        let z = &batch.z[row * cells * columns..][..cells * columns];
        let model = scoring.model().filter(|_| cells > 1);
        let expected = model.map(|model| backend.expect(model, batch.cohort(row), z, is_odd));
        let scales = &self.scales[batch.keys[row] as usize * columns..][..columns];
        let of = |column: usize| {
            let ColumnEvidence { expected_low, expected_high, expected: last, .. } = &seen[column];
            let off: Vec<f64> = match &expected {
                Some(expected) => {
                    reasons::departures(&raw, (column, columns), &expected[column].cells, scales[column])
                }
                None => raw[column..]
                    .iter()
                    .step_by(columns)
                    .rev()
                    .map(|value| f64::from(*value) - last)
                    .collect(),
            };
            departures(column, &off, 0.5 * (expected_high - expected_low)).collect()
        };
        (0..columns).map(|column| if is_odd(column) { of(column) } else { Vec::new() }).collect()
    }
}
