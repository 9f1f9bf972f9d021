//! One alert an episode: opened by a run of anomalous windows, closed once none of them is in sight.
//!
//! Overlapping windows share most of their cells, so one odd cell makes many odd windows; where windows
//! overlap, three of the last five confident ones must agree. An open episode ends only when as many
//! windows in a row are clearly normal as hold a given cell, so that the windows it closes on share
//! nothing with the odd ones, and an anomaly that comes and goes is one alert. A verdict that is not
//! confident neither opens nor closes anything.

mod state;

use sha2::{Digest, Sha256};

use crate::types::{EventTime, Position, Verdict};

/// When episodes open and close; the same for all keys of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How many windows hold a given cell: size / every.
    pub overlap: usize,
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
        self.overlap.clamp(LOOK_BACK as usize, CALM_MAX) as u16
    }
}

/// A key's way through its episodes, as its verdicts show it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Episode {
    /// Bit i: the confident window i back was anomalous.
    recent: u8,
    open: bool,
    /// Clearly normal windows in a row.
    calm: u16,
    /// Start of the first anomalous window since the key was last calm, or the event it is about, ns.
    first_window: i64,
    /// End of the window that opened the episode, ns.
    opened: i64,
    p_value_min: f64,
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
    /// The smallest p-value so far.
    pub p_value_min: f64,
}

/// What a verdict does to its key's episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    Opens(Spell),
    Closes(Spell),
}

impl Episode {
    /// Nothing odd lately.
    pub fn is_calm(&self) -> bool {
        !self.open && self.recent == 0
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
        self.open.then(|| self.spell(None))
    }

    /// Takes the verdict on the window `[start, end)`, ns; an episode begins with the start of its first.
    pub fn step(&mut self, verdict: Verdict, start: i64, end: i64, rule: Rule) -> Option<Turn> {
        if !verdict.confident {
            return None;
        }
        self.calm = if verdict.calm { self.calm.saturating_add(1) } else { 0 };
        let nothing_recent = self.recent == 0;
        self.recent = (self.recent << 1 | u8::from(verdict.anomalous)) & ((1 << LOOK_BACK) - 1);
        if self.open {
            self.p_value_min = self.p_value_min.min(verdict.p_value);
            return self.close(end, rule);
        }
        if !verdict.anomalous {
            return None;
        }
        if nothing_recent {
            self.first_window = start;
            self.p_value_min = f64::INFINITY;
        }
        self.p_value_min = self.p_value_min.min(verdict.p_value);
        if self.recent.count_ones() < rule.needed() {
            return None;
        }
        self.open = true;
        self.opened = end;
        Some(Turn::Opens(self.spell(None)))
    }

    fn close(&mut self, end: i64, rule: Rule) -> Option<Turn> {
        if self.calm < rule.calm_needed() {
            return None;
        }
        self.open = false;
        self.recent = 0;
        Some(Turn::Closes(self.spell(Some(end))))
    }

    fn spell(&self, closed: Option<i64>) -> Spell {
        Spell { first_window: self.first_window, opened: self.opened, closed, p_value_min: self.p_value_min }
    }
}

/// hash(deployment, stream, key, rule, first window of the episode): 32 hex digits, no `.` (Standard Webhooks). Of a
/// stream that was reset also the message at which it begins: what it told before was of another model.
pub fn alert_id(
    deployment: &str,
    stream: &str,
    beginning: Position,
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
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::told::Told;
    use crate::types::AlertState::{self, *};

    /// `x` anomalous, `-` neither odd enough to open nor clearly normal, `.` normal, `?` not confident.
    fn states(pattern: &str, overlap: usize) -> Vec<(usize, AlertState, u32, i64)> {
        let rule = Rule { overlap };
        let (mut episode, mut told) = (Episode::default(), Vec::<Told>::new());
        let step = |(i, c): (usize, char)| {
            let p_value = match c {
                'x' => 1e-5,
                '-' => 1e-3,
                _ => 0.5,
            };
            let (anomalous, calm) = (c == 'x', !matches!(c, 'x' | '-'));
            let verdict = Verdict { p_value, anomalous, calm, confident: c != '?' };
            let at = i as i64 * 10;
            let turn = episode.step(verdict, at, at + 10, rule)?;
            let change = crate::alert::told::tell(&mut told, turn, i64::MIN);
            Some((i, change.state, change.revision, change.onset.0))
        };
        pattern.chars().enumerate().filter_map(step).collect()
    }

    #[test]
    fn opens_on_three_of_five() {
        assert_eq!(states("..x.x.......", 16), []);
        assert_eq!(states("..x.xx......", 16), [(5, Raised, 1, 20)]);
        assert_eq!(states("xx....x....xx", 16), []);
    }

    #[test]
    fn closes_when_a_whole_window_s_length_was_clearly_normal() {
        assert_eq!(states("xxx.......", 8), [(2, Raised, 1, 0)]);
        assert_eq!(states("xxx........", 8), [(2, Raised, 1, 0), (10, Resolved, 2, 0)]);
        assert_eq!(states("xxx...-........", 8), [(2, Raised, 1, 0), (14, Resolved, 2, 0)]);
    }

    #[test]
    fn an_anomaly_that_comes_and_goes_is_one_alert() {
        assert_eq!(states("xxx......x.....xxx...x.....", 8).len(), 1);
    }

    #[test]
    fn windows_that_do_not_overlap_stand_alone() {
        assert_eq!(states(".x.....", 1), [(1, Raised, 1, 10), (6, Resolved, 2, 10)]);
    }

    #[test]
    fn unsure_windows_change_nothing() {
        assert_eq!(states("xx????????????", 16), []);
        assert_eq!(states("xxx????????????????????", 16).len(), 1);
    }

    #[test]
    fn a_key_teaches_unless_what_it_did_was_odd() {
        let mut episode = Episode::default();
        let mut step = |p_value: f64| {
            let verdict =
                Verdict { p_value, anomalous: p_value < 0.03, calm: p_value > 0.03, confident: true };
            episode.step(verdict, 0, 10, Rule { overlap: 1 });
            [episode.is_calm(), episode.teaches(1e-4), episode.teaches(0.03)]
        };
        assert_eq!(step(0.5), [true, true, true]);
        assert_eq!(
            step(0.02),
            [false, true, false],
            "an alert, and yet nothing that is not normal now and then"
        );
        assert_eq!(step(1e-5), [false, false, false]);
        let calm: Vec<_> = (0..5).map(|_| step(0.5)).collect();
        assert_eq!((calm[3], calm[4]), ([false, false, false], [true, true, true]));
    }

    #[test]
    fn ids_depend_on_every_part() {
        let id = |deployment, stream, beginning, key, time| {
            alert_id(deployment, stream, Position(beginning), key, "r", EventTime(time))
        };
        let base = id("d", "s", 0, b"k" as &[u8], 1);
        let others = [
            id("ds", "", 0, b"k", 1),
            id("d", "sk", 0, b"", 1),
            id("d", "s", 0, b"k", 2),
            id("d", "s", 1, b"k", 1),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_eq!(base.len(), 32);
    }
}
