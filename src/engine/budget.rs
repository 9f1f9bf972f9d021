//! The stream's alert budget as its partitions keep to it.
//!
//! A partition's share goes by its keys among the stream's. Partitions know nothing of each other, so the number
//! of the stream's keys is told them by entries of the control log; each acts from the partition's next epoch on.

use super::Engine;
use crate::config::plan::AlarmPlan;
use crate::engine::partition::Partition;
use crate::engine::setup::StreamSetup;
use crate::judge::budget::{Alarm, Budget, Terms, keys_due};
use crate::types::StreamId;
use crate::window::keys::KeyIndex;

impl Engine {
    /// Keys of `stream` in this engine, if they are to be written down and told all engines of it
    /// ([`Engine::set_keys`]). Only for whoever has the whole stream in one engine.
    pub fn keys_due(&self, stream: StreamId) -> Option<u64> {
        let setup = &self.streams[stream.0 as usize];
        let first = stream.0 as usize * crate::types::PARTITIONS;
        let partitions = self.partitions[first..first + crate::types::PARTITIONS].iter().flatten();
        let keys = partitions.map(|partition| partition.counts.keys).sum();
        let budgeted = matches!(setup.alarm, AlarmPlan::Budget { .. });
        (budgeted && keys_due(setup.keys, keys)).then_some(keys)
    }

    /// From here on the stream has so many keys, over all engines.
    pub fn set_keys(&mut self, stream: StreamId, keys: u64) {
        self.streams[stream.0 as usize].keys = keys;
    }
}

impl StreamSetup {
    /// What a partition of so many keys goes by.
    pub(super) fn alarm(&self, budget: &Budget, keys_here: u64) -> Alarm {
        match self.alarm {
            AlarmPlan::PValue(threshold) => Alarm::fixed(threshold),
            AlarmPlan::Budget { per_day } => budget.alarm(&self.terms(per_day, keys_here)),
        }
    }

    pub(super) fn terms(&self, per_day: f64, keys_here: u64) -> Terms {
        let keys = self.partitions.map_or(self.keys, |partitions| keys_here.max(1) * partitions);
        Terms { per_day, keys_here, keys }
    }
}

impl Partition {
    /// Ends an epoch before `epoch`: what it showed acts from there on, see [`Partition::set_alarm`].
    pub(super) fn learn_budget(&mut self, epoch: i64, setup: &StreamSetup) {
        if let AlarmPlan::Budget { per_day } = setup.alarm
            && self.epoch != i64::MIN
        {
            let (terms, epochs) = (setup.terms(per_day, self.seen_keys), epoch - self.epoch);
            match self.scoring {
                Some(_) => self.budget.end_epoch(epochs, &terms),
                None => self.budget.end_unjudged(epochs, &terms),
            }
            self.onsets.nats = self.budget.onset_nats(&terms);
        }
    }

    /// By the budget as it is, and by whether the epoch that begins is early.
    pub(super) fn set_alarm(&mut self, setup: &StreamSetup) {
        let alarm = self.alarm(setup);
        if let Some(scoring) = &mut self.scoring {
            scoring.alarm = alarm;
        }
    }

    pub(super) fn alarm(&self, setup: &StreamSetup) -> Alarm {
        let alarm = setup.alarm(&self.budget, self.seen_keys);
        // A budget bounds what is told in the first minutes by itself, and would make up for it afterwards.
        let by_p_value = matches!(setup.alarm, AlarmPlan::PValue(_));
        if by_p_value && self.is_early(setup) { alarm.early() } else { alarm }
    }

    /// Takes note of an alert that a verdict on `key` has opened; `before` is what was open until then.
    pub(super) fn note_opening(&mut self, key: KeyIndex, before: Option<i64>) {
        if let Some(opened) = self.episodes[key as usize].opened().filter(|_| before.is_none()) {
            self.budget.opened(opened);
        }
    }

    pub(super) fn note_opened(&mut self) {
        self.counts.alerts_opened_day = self.budget.opened_in_day(self.counts.watermark);
    }
}
