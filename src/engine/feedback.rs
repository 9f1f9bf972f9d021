//! What people said of a key's alerts: an entry of the control log changes what is told of the key from its next epoch
//! on; see [`crate::judge::tolerance`].
//!
//! A window below the threshold is held back if it would not be by what its surprise owes to columns that go further than
//! is tolerated; a column with less than half of an equal part of it has that by chance, as in the rules on departures. An
//! onset is passed over if its column goes no further. Nothing is learnt from a window that is held back.

pub(in crate::engine) mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use crate::engine::partition::{Closing, Partition};
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::verdict::surprise;
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

impl Heard {
    /// What the ended epoch brought acts from `epoch` on.
    pub fn roll(&mut self, epoch: i64) {
        if self.episodes.is_empty() && self.in_force.is_empty() {
            return;
        }
        self.episodes.retain(|_, episodes| episodes.pass(epoch));
        let of = |(key, episodes): (&KeyIndex, &Episodes)| Some((*key, episodes.in_force()));
        let in_force: BTreeMap<_, _> =
            self.episodes.iter().filter_map(of).filter(|(_, of)| !of.alerts.is_empty()).collect();
        if *self.in_force != in_force {
            self.in_force = Arc::new(in_force);
            self.news = true;
        }
    }

    /// Takes note of how far an onset went that is told, or what else is of it.
    pub fn saw_onset(&mut self, key: KeyIndex, since_ns: i64, onset: &Onset) {
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
            episodes.hear(detector, said.onset_ns, (said.number, &said.alert), expected, self.epoch);
        }
    }

    /// Takes note of how far the columns of an alert that fires went.
    pub(super) fn saw(&mut self, key: KeyIndex, decision: &Decision) {
        let Some(window) = decision.window().filter(|_| decision.state.is_firing()) else { return };
        let episodes = self.heard.episodes.entry(key).or_default();
        episodes.saw(
            Detector::Window,
            decision.onset.0,
            window.p_value,
            departures(&window.columns).filter_map(|(departure, _)| departure),
        );
    }

    /// The same of the window in `row` while its alert goes on; seldom, since nothing is explained that nobody is told.
    pub(super) fn saw_more(
        &mut self,
        row: usize,
        verdict: Verdict,
        scoring: &Scoring,
        closing: &mut Closing<'_, '_>,
    ) {
        if !verdict.confident || !(verdict.anomalous || verdict.held_back) {
            return;
        }
        let key = closing.scratch.batch.keys[row];
        let firing = self.told[key as usize].iter().rev().find(|told| told.state.is_firing());
        let Some(onset) = firing.map(|told| told.onset) else { return };
        let known = self.heard.episodes.get(&key);
        if known.is_some_and(|known| known.is_news(Detector::Window, onset, verdict.p_value)) {
            let columns = self.columns_seen(row, scoring, closing);
            let episodes = self.heard.episodes.entry(key).or_default();
            episodes.saw(
                Detector::Window,
                onset,
                verdict.p_value,
                departures(&columns).filter_map(|(departure, _)| departure),
            );
        }
    }

    /// Whether the window in `row` would not be anomalous but for what people called expected of its key.
    pub(super) fn is_expected(&self, row: usize, scoring: &Scoring, closing: &mut Closing<'_, '_>) -> bool {
        let key = closing.scratch.batch.keys[row];
        let Some(tolerated) = self.heard.in_force.get(&key).map(|of| of.of(Detector::Window)) else {
            return false;
        };
        let columns = self.columns_seen(row, scoring, closing);
        let (mut covered, mut left) = (false, 0.0);
        for (departure, share) in departures(&columns) {
            let is_covered = departure.is_some_and(|departure| tolerated.covers(departure));
            (covered, left) = (covered || is_covered, if is_covered { left } else { left + share as f32 });
        }
        let calibration = scoring.references(closing.scratch.batch.cohort(row)).map(|of| &*of.calibration);
        let p_value =
            calibration.map_or(1.0, |of| of.p_value(surprise(row, closing).map(|nats| left * nats)));
        covered && p_value >= scoring.alarm.threshold
    }

    /// What an alert would say of the columns of the window in `row`.
    fn columns_seen(
        &self,
        row: usize,
        scoring: &Scoring,
        closing: &mut Closing<'_, '_>,
    ) -> Vec<ColumnEvidence> {
        self.explain(row, scoring, closing);
        self.columns_evidence(row, scoring, closing)
    }
}
