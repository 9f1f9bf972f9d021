//! Telling what set in, and that it has been quiet since.

use super::{Does, Turn};
use crate::engine::partition::{Closing, Partition};
use crate::engine::setup::StreamSetup;
use crate::engine::tell::Told;
use crate::types::{About, AlertState, EventTime, OnsetEvidence, rule};

impl Turn {
    pub(super) fn ended(&self) -> Option<i64> {
        match self.does {
            Does::Ends(cell) => Some(cell),
            Does::SetsIn | Does::GoesOn => None,
        }
    }
}

impl Partition {
    /// Tells what the cell folded last has set in or ended: keys in canonical order, as their rows came.
    #[inline]
    pub(in crate::engine) fn tell_onsets(&mut self, closing: &mut Closing<'_, '_>) {
        if self.onsets.turns.is_empty() {
            return;
        }
        let mut turns = std::mem::take(&mut self.onsets.turns);
        for turn in turns.drain(..) {
            self.tell_onset(turn, closing);
        }
        self.onsets.turns = turns;
    }

    fn tell_onset(&mut self, turn: Turn, closing: &mut Closing<'_, '_>) {
        let setup = closing.setup;
        let state = match (turn.does, turn.open.revision) {
            (Does::Ends(_), _) => AlertState::Resolved,
            (Does::SetsIn | Does::GoesOn, 1) => AlertState::Raised,
            (Does::SetsIn | Does::GoesOn, _) => AlertState::Revised,
        };
        if state.is_firing() {
            self.heard.saw_onset(turn.key, turn.open.since * setup.grid_ns, &turn.open.onset);
        }
        if turn.does == Does::GoesOn {
            return;
        }
        match state {
            AlertState::Raised => {
                self.counts.alerts_open += 1;
                self.budget.opened(setup.end_ns(turn.open.cell));
            }
            AlertState::Resolved => self.counts.alerts_open -= 1,
            AlertState::Revised | AlertState::Retracted => {}
        }
        self.digest_onset(turn);
        let told = Told {
            rule: rule::ONSET,
            onset: EventTime(turn.open.since * setup.grid_ns),
            revision: turn.open.revision,
            state,
            about: About::Onset(evidence(turn, setup)),
        };
        self.tell_at_once(turn.key, told, closing);
    }

    fn digest_onset(&mut self, turn: Turn) {
        let mut bytes = [0u8; 36];
        bytes[..8].copy_from_slice(&self.counts.digest.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.keys.hash(turn.key).to_le_bytes());
        bytes[16..24].copy_from_slice(&turn.ended().unwrap_or(turn.open.cell).to_le_bytes());
        bytes[24..32].copy_from_slice(&turn.open.onset.score.to_bits().to_le_bytes());
        bytes[32..].copy_from_slice(&turn.open.revision.to_le_bytes());
        self.counts.digest = xxhash_rust::xxh3::xxh3_64(&bytes);
    }
}

/// Of the strongest cell so far, also where the onset is over.
fn evidence(turn: Turn, setup: &StreamSetup) -> OnsetEvidence {
    let (cell, onset) = (turn.open.cell, turn.open.onset);
    OnsetEvidence {
        cell_start: EventTime(cell * setup.grid_ns),
        cell_end: EventTime(setup.end_ns(cell)),
        epoch: setup.epoch_of(cell),
        column: setup.columns[onset.column].clone(),
        unit: setup.units[onset.column].clone(),
        watched: onset.watched,
        value: f64::from(onset.value),
        range_low: f64::from(onset.low),
        range_high: f64::from(onset.high),
        score: onset.score,
        score_threshold: onset.threshold,
        ended: turn.ended().map(|cell| EventTime(setup.end_ns(cell))),
    }
}
