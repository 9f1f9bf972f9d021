//! One alert an episode: opened by a run of anomalous windows, closed once none of them is in sight.
//!
//! Overlapping windows share most of their cells, so one odd cell makes many odd windows; where windows
//! overlap, three of the last five confident ones must agree. An open episode ends only when as many
//! windows in a row are clearly normal as hold a given cell, so that the windows it closes on share
//! nothing with the odd ones, and an anomaly that comes and goes is one alert. A verdict that is not
//! confident neither opens nor closes anything.
//!
//! An episode that has been open for a set time is resolved as well: what stands that long is the key's new state. For
//! a while after that no window counts, so that what was learnt of the key before it changed can be learnt anew.

mod state;

use sha2::{Digest, Sha256};

use crate::types::{EventTime, PartitionId, Position, Resolution, Verdict, hex};

/// When episodes open and close; the same for all keys of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How many windows hold a given cell: size / every. 0: a window says nothing of any other.
    pub overlap: usize,
    /// An episode that was seen to be open for so long is resolved, ns of event time; `i64::MAX`: never.
    pub standing_ns: i64,
    /// For how long after that no window counts, ns. From one sure window to the next no more than this counts as seen.
    pub settling_ns: i64,
}

const LOOK_BACK: u32 = 5;
const CALM_MAX: usize = 60;

impl Rule {
    /// How many of the last [`LOOK_BACK`] windows must be anomalous to open.
    fn needed(&self) -> u32 {
        self.overlap.clamp(1, 3) as u32
    }

    /// How many windows in a row must be clearly normal to close.
    fn calm_needed(&self) -> u16 {
        if self.overlap == 0 { 1 } else { self.overlap.clamp(LOOK_BACK as usize, CALM_MAX) as u16 }
    }
}

/// A key's way through its episodes, as its verdicts show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// Bit i: the confident window i back was anomalous.
    recent: u8,
    /// Bit i: it would have been, had it given a reason.
    held_back: u8,
    open: bool,
    /// Clearly normal windows in a row.
    calm: u16,
    /// Start of the first anomalous window since the key was last calm, or the event it is about, ns.
    first_window: i64,
    /// End of the window that opened the episode, ns.
    opened: i64,
    /// How long the episode was seen to be open, ns, until the window that ended at `last`.
    stood: i64,
    last: i64,
    p_value_min: f64,
    /// Anomalous windows of the run or episode, where windows say nothing of each other; else 0. End of the newest, ns.
    odd: u32,
    newest_odd: i64,
    /// Windows that end before this do not count: an episode that stood too long was resolved. `i64::MIN`: none was.
    settled: i64,
}

impl Default for Episode {
    fn default() -> Self {
        Episode {
            recent: 0,
            held_back: 0,
            open: false,
            calm: 0,
            first_window: 0,
            opened: 0,
            stood: 0,
            last: 0,
            p_value_min: 0.0,
            odd: 0,
            newest_odd: 0,
            settled: i64::MIN,
        }
    }
}

/// One episode: from its first anomalous window to its end, if it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spell {
    /// Start of its first anomalous window, or the event that is about, ns.
    pub first_window: i64,
    /// End of the window that opened it, ns.
    pub opened: i64,
    /// End of the window that closed it, ns.
    pub closed: Option<i64>,
    /// What closed it.
    pub resolution: Option<Resolution>,
    /// The smallest p-value so far.
    pub p_value_min: f64,
    /// Anomalous windows so far, where windows say nothing of each other; else 0. End of the newest, ns.
    pub odd: u32,
    pub newest_odd: i64,
}

/// What a verdict does to its key's episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    Opens(Spell),
    Closes(Spell),
}

impl Episode {
    /// Nothing odd lately, told or not.
    pub fn is_calm(&self) -> bool {
        !self.open && self.recent == 0 && self.held_back == 0
    }

    /// Until when an episode that stood too long keeps windows from counting, ns; `i64::MIN` if none did.
    pub fn settled(&self) -> i64 {
        self.settled
    }

    /// What ends at `end` does not count: the key is learning its new level.
    pub fn settles(&self, end: i64) -> bool {
        end < self.settled
    }

    /// What this key does may be learnt as normal: nothing lately, nor in an alert that is open, had a p-value below
    /// `p_odd`.
    pub fn teaches(&self, p_odd: f64) -> bool {
        self.is_calm() || self.p_value_min >= p_odd
    }

    /// End of the window that opened the episode that is open, ns.
    pub fn opened(&self) -> Option<i64> {
        self.open.then_some(self.opened)
    }

    /// The episode that is open.
    pub fn open_spell(&self) -> Option<Spell> {
        self.open.then(|| self.spell(None, None))
    }

    /// Takes the verdict on the window `[start, end)`, ns; an episode begins with the start of its first.
    pub fn step(&mut self, verdict: Verdict, start: i64, end: i64, rule: Rule) -> Option<Turn> {
        if !verdict.confident || self.settles(end) {
            return None;
        }
        self.calm = if verdict.calm { self.calm.saturating_add(1) } else { 0 };
        let before = *self;
        self.recent = shifted(before.recent, verdict.anomalous);
        self.held_back = shifted(before.held_back, verdict.held_back.is_some());
        if rule.overlap == 0 && verdict.anomalous {
            let first = !self.open && before.recent == 0;
            self.odd = if first { 1 } else { self.odd.saturating_add(1) };
            self.newest_odd = end;
        }
        if self.open {
            self.p_value_min = self.p_value_min.min(verdict.p_value);
            let seen = end.saturating_sub(self.last).clamp(0, rule.settling_ns);
            (self.stood, self.last) = (self.stood.saturating_add(seen), end);
            return self.close(end, rule);
        }
        if !verdict.anomalous && verdict.held_back.is_none() {
            return None;
        }
        let p_value_min = if before.is_calm() { f64::INFINITY } else { before.p_value_min };
        self.p_value_min = p_value_min.min(verdict.p_value);
        if !verdict.anomalous {
            return None;
        }
        if before.recent == 0 {
            self.first_window = start;
        }
        if self.recent.count_ones() < rule.needed() {
            return None;
        }
        self.open = true;
        (self.opened, self.stood, self.last) = (end, 0, end);
        Some(Turn::Opens(self.spell(None, None)))
    }

    fn close(&mut self, end: i64, rule: Rule) -> Option<Turn> {
        let resolution = if self.calm >= rule.calm_needed() {
            Resolution::Calm
        } else if self.stood >= rule.standing_ns && self.calm == 0 {
            self.settled = end.saturating_add(rule.settling_ns);
            Resolution::Standing
        } else {
            return None;
        };
        self.open = false;
        (self.recent, self.held_back) = (0, 0);
        Some(Turn::Closes(self.spell(Some(end), Some(resolution))))
    }

    fn spell(&self, closed: Option<i64>, resolution: Option<Resolution>) -> Spell {
        let Episode { first_window, opened, p_value_min, odd, newest_odd, .. } = *self;
        Spell { first_window, opened, closed, resolution, p_value_min, odd, newest_odd }
    }
}

/// The last windows' bits, one more of them.
fn shifted(bits: u8, newest: bool) -> u8 {
    (bits << 1 | u8::from(newest)) & ((1 << LOOK_BACK) - 1)
}

/// hash(deployment, stream, key, rule, first window of the episode): 32 hex digits, no `.` (Standard Webhooks). Of a
/// stream that was reset also the message at which it begins: what it told before was of another model. And the
/// partition, if it is not the one that the key's hash gives: of a key that comes in two partitions of Kafka, each is a
/// key of its own to the engine, and the one's alerts must not pass for the other's.
pub fn alert_id(
    deployment: &str,
    stream: &str,
    beginning: Position,
    elsewhere: Option<PartitionId>,
    key: &[u8],
    rule: &str,
    first_window: EventTime,
) -> String {
    let mut hash = Sha256::new();
    for part in [deployment.as_bytes(), stream.as_bytes(), key, rule.as_bytes()] {
        // Lengths first, so that ("ab", "c") and ("a", "bc") differ.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(first_window.0.to_le_bytes());
    if beginning > Position(0) {
        hash.update(beginning.0.to_le_bytes());
    }
    if let Some(partition) = elsewhere {
        hash.update([b'p', partition.0]);
    }
    hex(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests;
