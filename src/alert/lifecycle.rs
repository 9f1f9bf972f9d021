//! One alert an episode: opened by a run of anomalous windows, closed by a run of normal ones.
//!
//! Overlapping windows share most of their cells, so one odd cell makes many odd windows; where windows
//! overlap, three of the last five confident ones must agree. A verdict that is not confident neither
//! opens nor closes anything.

use sha2::{Digest, Sha256};

use crate::types::{AlertState, EventTime, Verdict};

/// How many of the last [`LOOK_BACK`] windows must agree, for windows that overlap `overlap` times.
fn needed(overlap: usize) -> u32 {
    overlap.clamp(1, 3) as u32
}

const LOOK_BACK: u32 = 5;

/// A key's way through its episodes. 40 bytes a key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Episode {
    /// Bit i: the confident window i back was anomalous.
    recent: u8,
    open: bool,
    revision: u32,
    /// Start of the first anomalous window since the key was last calm.
    first_window: i64,
    p_value_min: f64,
}

/// A change of state to announce.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    pub state: AlertState,
    pub revision: u32,
    pub onset: EventTime,
    pub p_value_min: f64,
}

impl Episode {
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Nothing odd lately: what this key does may be learnt as normal.
    pub fn is_calm(&self) -> bool {
        !self.open && self.recent == 0
    }

    /// Takes the verdict on the window starting at `window_start`; `every` and `overlap` as configured.
    pub fn step(&mut self, verdict: Verdict, window_start: EventTime, overlap: usize) -> Option<Change> {
        if !verdict.confident {
            return None;
        }
        let was_calm = self.recent == 0;
        self.recent = (self.recent << 1 | u8::from(verdict.anomalous)) & ((1 << LOOK_BACK) - 1);
        if self.open {
            self.p_value_min = self.p_value_min.min(verdict.p_value);
            return self.close();
        }
        if !verdict.anomalous {
            return None;
        }
        if was_calm {
            self.first_window = window_start.0;
            self.p_value_min = f64::INFINITY;
        }
        self.p_value_min = self.p_value_min.min(verdict.p_value);
        if self.recent.count_ones() < needed(overlap) {
            return None;
        }
        self.open = true;
        self.revision = 1;
        Some(self.change(AlertState::Raised))
    }

    fn close(&mut self) -> Option<Change> {
        if self.recent != 0 {
            return None;
        }
        self.open = false;
        self.revision += 1;
        Some(self.change(AlertState::Resolved))
    }

    fn change(&self, state: AlertState) -> Change {
        Change {
            state,
            revision: self.revision,
            onset: EventTime(self.first_window),
            p_value_min: self.p_value_min,
        }
    }
}

/// hash(deployment, stream, key, rule, first window of the episode): 32 hex digits, no `.` (Standard Webhooks).
pub fn alert_id(deployment: &str, stream: &str, key: &[u8], rule: &str, first_window: EventTime) -> String {
    let mut hash = Sha256::new();
    for part in [deployment.as_bytes(), stream.as_bytes(), key, rule.as_bytes()] {
        // Lengths first, so that ("ab", "c") and ("a", "bc") differ.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(first_window.0.to_le_bytes());
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pattern: &str, overlap: usize) -> Vec<(usize, Change)> {
        let mut episode = Episode::default();
        let step = |(i, c): (usize, char)| {
            let verdict = Verdict { p_value: 0.5, anomalous: c == 'x', confident: c != '?' };
            episode.step(verdict, EventTime(i as i64 * 10), overlap).map(|change| (i, change))
        };
        pattern.chars().enumerate().filter_map(step).collect()
    }

    fn states(pattern: &str, overlap: usize) -> Vec<(usize, AlertState, u32, i64)> {
        run(pattern, overlap).into_iter().map(|(i, c)| (i, c.state, c.revision, c.onset.0)).collect()
    }

    #[test]
    fn opens_on_three_of_five_and_closes_on_five_calm() {
        use AlertState::*;
        assert_eq!(states("..x.x.......", 16), []);
        assert_eq!(states("..x.xx......", 16), [(5, Raised, 1, 20), (10, Resolved, 2, 20)]);
        assert_eq!(states("xxx....x....xx", 16), [(2, Raised, 1, 0)]);
    }

    #[test]
    fn windows_that_do_not_overlap_stand_alone() {
        use AlertState::*;
        assert_eq!(states(".x.....", 1), [(1, Raised, 1, 10), (6, Resolved, 2, 10)]);
    }

    #[test]
    fn unsure_windows_change_nothing() {
        assert_eq!(states("xx????????????", 16), []);
        assert_eq!(states("xxx????????????", 16).len(), 1);
    }

    #[test]
    fn ids_depend_on_every_part() {
        let base = alert_id("d", "s", b"k", "r", EventTime(1));
        let others = [
            alert_id("ds", "", b"k", "r", EventTime(1)),
            alert_id("d", "sk", b"", "r", EventTime(1)),
            alert_id("d", "s", b"k", "r", EventTime(2)),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_eq!(base.len(), 32);
    }
}
