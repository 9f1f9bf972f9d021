//! Outcomes: messages that come days later and say what a transaction turned out to be. They open no window, move no
//! watermark and are never late; what they say acts from the partition's next epoch on.

use super::{NO_SECOND, OUTCOMES_SEEN, Transactions};
use crate::engine::partition::Partition;
use crate::judge::risk;
use crate::types::RecordRef;
use crate::window::keys::KeyIndex;

/// An outcome of a payment that is further ahead of its partition than this is left out.
const AHEAD_MAX_NS: i64 = 86_400_000_000_000;
/// What a fraud says of its holder where the amount does not explain it: the place does.
const UNEXPLAINED_HOLDER_PART: f64 = 0.2;

/// A transaction that turned out to be fraud.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// `None`: no transaction of it has come.
    pub key: Option<KeyIndex>,
    pub key_hash: u64,
    /// When it happened, not when it was told.
    pub time: i64,
    pub amount: f32,
    pub content_hash: u64,
    pub seconds: Box<[u32]>,
}

impl Transactions {
    /// Takes an outcome; `false` if it is there already. That a transaction was sound changes nothing: all count as
    /// sound until an outcome says otherwise.
    fn take(&mut self, key: Option<KeyIndex>, record: &RecordRef<'_>, fraud: bool) -> bool {
        if !fraud {
            return true;
        }
        let RecordRef { key_hash, time, content_hash, values, .. } = *record;
        let identity = [key_hash, time.0 as u64, content_hash].map(u64::to_le_bytes);
        let identity = xxhash_rust::xxh3::xxh3_64(identity.as_flattened());
        if self.seen.contains(&identity) {
            return false;
        }
        if self.seen.len() == OUTCOMES_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(identity);
        let seconds = self.roles.numbers(values).collect();
        let amount = values[self.roles.amount];
        self.outcomes.push(Outcome { key, key_hash, time: time.0, amount, content_hash, seconds });
        true
    }

    /// Lets the frauds told in the epoch count, in canonical order.
    pub(super) fn charge(&mut self) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        outcomes.sort_by_key(|outcome| (outcome.time, outcome.key_hash, outcome.content_hash));
        // In order of time: those of payments that are not final yet wait for them, and what is said of days to come
        // is no outcome.
        let ended = outcomes.partition_point(|outcome| outcome.time <= self.now);
        outcomes.retain(|outcome| outcome.time <= self.now.saturating_add(AHEAD_MAX_NS));
        for Outcome { key, time, amount, seconds, .. } in outcomes.drain(..ended) {
            let spending = key.map(|key| self.holders[key as usize].spending).unwrap_or_default();
            let explained = !amount.is_nan() && spending.heights(f64::from(amount), &self.everyone).explain();
            let weight = risk::weight(time, self.era);
            self.ages.observe(self.now - time);
            if let Some(key) = key {
                let part = if explained { 1.0 } else { UNEXPLAINED_HOLDER_PART };
                self.holders[key as usize].counts[0] += (part * weight) as f32;
            }
            if !explained {
                let given = seconds.iter().filter(|second| **second != NO_SECOND);
                given.for_each(|second| self.seconds.fraud(*second, weight));
            }
        }
        self.outcomes = outcomes;
    }
}

impl Partition {
    /// Takes what is no transaction, but what an earlier one turned out to be.
    pub(in crate::engine) fn take_outcome(&mut self, record: &RecordRef<'_>, fraud: bool) {
        let key = self.keys.find(record.key_hash, record.key);
        let Some(transactions) = self.events.transactions_mut() else { return };
        if transactions.take(key, record, fraud) {
            self.counts.outcomes += 1;
        } else {
            self.counts.duplicates += 1;
        }
    }
}
