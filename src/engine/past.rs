//! What late rows may still change: the verdicts behind the watermark, and what they were given by.

mod state;

use std::collections::VecDeque;

use crate::alert::lifecycle::{Episode, Rule, Spell, Turn};
use crate::config::plan::Shape;
use crate::engine::batch::Span;
use crate::engine::epoch::{is_warm, known_moments};
use crate::engine::feedback::Tolerances;
use crate::engine::partition::{Partition, Scale};
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::warmup::scales;
use crate::types::{EPOCH_NS, Verdict};
use crate::window::keys::KeyIndex;
use crate::window::rows::ROWS_MAX;

/// Verdicts of a key of sliding windows that the watermark may still put right: as many as rows are kept.
const VERDICTS_MAX: usize = ROWS_MAX;

/// A verdict and the window it was given on, by its last cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PastVerdict {
    pub last_cell: i64,
    pub verdict: Verdict,
    /// Rows its window held; 0 on a grid.
    pub rows: u32,
}

/// A key's verdicts on windows that late rows may still change, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    /// The episode as the verdicts before left it.
    before: Episode,
    verdicts: VecDeque<PastVerdict>,
    /// Anomalous ones among them.
    odd: usize,
}

impl Past {
    /// Heap of as many verdicts, bytes; a queue grows to powers of two, of four at least.
    pub fn heap_bytes(verdicts: f64) -> f64 {
        verdicts.max(4.0).log2().ceil().exp2() * size_of::<PastVerdict>() as f64
    }

    /// Adds the newest verdict, and lets go of windows that end before `floor`.
    pub fn push(&mut self, newest: PastVerdict, floor: i64, setup: &StreamSetup) {
        self.odd += usize::from(newest.verdict.anomalous);
        self.verdicts.push_back(newest);
        self.let_go(setup, |oldest, _| oldest.last_cell < floor);
    }

    /// Puts a verdict in its place; gives back whether there was one on this window.
    pub fn replace(&mut self, new: PastVerdict) -> bool {
        let at = self.verdicts.partition_point(|old| old.last_cell < new.last_cell);
        self.odd += usize::from(new.verdict.anomalous);
        match self.verdicts.get_mut(at).filter(|old| old.last_cell == new.last_cell) {
            Some(old) => {
                self.odd -= usize::from(old.verdict.anomalous);
                *old = new;
                true
            }
            None => {
                self.verdicts.insert(at, new);
                false
            }
        }
    }

    /// What was said of a window when it held as many rows: nothing has come behind it that it holds, too.
    pub fn standing(&self, last_cell: i64, rows: u32) -> Option<Verdict> {
        let at = self.verdicts.partition_point(|old| old.last_cell < last_cell);
        let old = self.verdicts.get(at).filter(|old| (old.last_cell, old.rows) == (last_cell, rows))?;
        Some(old.verdict)
    }

    /// Whether this window is older than all of as many as are kept: what was said of it stands.
    pub fn is_beyond(&self, last_cell: i64) -> bool {
        self.verdicts.len() == VERDICTS_MAX && self.verdicts[0].last_cell > last_cell
    }

    /// Nothing odd in sight: no spell, and nothing that could become one.
    pub fn is_quiet(&self) -> bool {
        self.before.is_calm() && self.odd == 0
    }

    /// Lets go of windows that end at or before `end`: they are final. Gives the episode as they leave it.
    pub fn pass(&mut self, end: i64, setup: &StreamSetup) -> Episode {
        self.let_go(setup, |oldest, _| setup.end_ns(oldest.last_cell) <= end);
        self.before
    }

    /// Keeps the newest [`VERDICTS_MAX`].
    pub fn bound(&mut self, setup: &StreamSetup) {
        self.let_go(setup, |_, verdicts| verdicts > VERDICTS_MAX);
    }

    /// Lets go of the oldest as long as `goes` says so of it and of how many there are.
    fn let_go(&mut self, setup: &StreamSetup, goes: impl Fn(&PastVerdict, usize) -> bool) {
        while let Some(oldest) = self.verdicts.front().filter(|oldest| goes(oldest, self.verdicts.len())) {
            step(&mut self.before, oldest, setup);
            self.odd -= usize::from(oldest.verdict.anomalous);
            self.verdicts.pop_front();
        }
    }

    /// Every spell the verdicts show, and the episode they end in.
    pub fn spells(&self, setup: &StreamSetup) -> (Vec<Spell>, Episode) {
        let mut episode = self.before;
        let mut spells: Vec<Spell> = episode.open_spell().into_iter().collect();
        for past in &self.verdicts {
            match step(&mut episode, past, setup) {
                Some(Turn::Opens(spell)) => spells.push(spell),
                Some(Turn::Closes(spell)) => {
                    spells.pop();
                    spells.push(spell);
                }
                None => {}
            }
        }
        if let Some(open) = episode.open_spell() {
            spells.pop();
            spells.push(open);
        }
        (spells, episode)
    }
}

fn step(episode: &mut Episode, past: &PastVerdict, setup: &StreamSetup) -> Option<Turn> {
    let end = setup.end_ns(past.last_cell);
    let rule: Rule = setup.rule;
    // A sliding window is about its last event; on a grid nobody knows which cell of it was odd.
    let start = if setup.shape == Shape::Sliding { end - 1 } else { end - setup.size_ns };
    episode.step(past.verdict, start, end, rule)
}

/// What scored and judged in an epoch that is over.
struct PastEpoch {
    epoch: i64,
    /// `None` while warming up.
    scoring: Option<Scoring>,
    /// keys x columns, of the keys known then.
    scales: Vec<Scale>,
    /// The same: whether they are known.
    warm: Vec<bool>,
    tolerances: Tolerances,
}

/// Epochs of windows that late rows may still change, oldest first.
#[derive(Default)]
pub(crate) struct PastEpochs(VecDeque<PastEpoch>);

impl PastEpochs {
    pub fn scorings(&self) -> impl Iterator<Item = &Scoring> {
        self.0.iter().filter_map(|past| past.scoring.as_ref())
    }
}

/// What one key's windows were scored by in an epoch.
pub(crate) struct KeyValues {
    pub scoring: Scoring,
    pub cohort: u32,
    /// By column, and whether they are known.
    pub scales: Vec<Scale>,
    pub warm: Vec<bool>,
    pub tolerances: Tolerances,
}

impl Partition {
    /// Keeps the ending epoch's values if late rows may still need them.
    pub(super) fn keep_epoch(&mut self, setup: &StreamSetup) {
        if setup.kept_cells() == 0 || self.epoch == i64::MIN {
            return;
        }
        let floor_epoch = setup.epoch_of(self.released - setup.kept_cells());
        let epochs = &mut self.past_epochs.0;
        while epochs.front().is_some_and(|oldest| oldest.epoch < floor_epoch) {
            epochs.pop_front();
        }
        let warm = self.moments.iter().map(|own| is_warm(own, setup)).collect();
        self.past_epochs.0.push_back(PastEpoch {
            epoch: self.epoch,
            scoring: self.scoring.clone(),
            scales: self.scales.clone(),
            warm,
            tolerances: self.heard.in_force.clone(),
        });
    }

    /// What scores `key` in the windows that close in `epoch`; `None` while nothing does.
    pub(super) fn values_in(&self, epoch: i64, key: KeyIndex, setup: &StreamSetup) -> Option<KeyValues> {
        let columns = setup.columns.len();
        let own = key as usize * columns..(key as usize + 1) * columns;
        // An epoch that nothing was rolled into was skipped: the next one's values are those it would have had.
        let Some(past) = self.past_epochs.0.iter().find(|past| past.epoch >= epoch) else {
            let mut scoring = self.scoring.clone()?;
            let cohort = scoring.meet(self.keys.bytes(key));
            let warm = self.moments[own.clone()].iter().map(|own| is_warm(own, setup)).collect();
            let (scales, tolerances) = (self.scales[own].to_vec(), self.heard.in_force.clone());
            return Some(KeyValues { scoring, cohort, scales, warm, tolerances });
        };
        let mut scoring = past.scoring.clone()?;
        let tolerances = past.tolerances.clone();
        let cohort = scoring.meet(self.keys.bytes(key));
        if let (Some(scales), Some(warm)) = (past.scales.get(own.clone()), past.warm.get(own)) {
            let (scales, warm) = (scales.to_vec(), warm.to_vec());
            return Some(KeyValues { scoring, cohort, scales, warm, tolerances });
        }
        // Not met by then: it is scored as a key is whose first row has just come.
        let model = scoring.model()?;
        let moments = known_moments(model, self.keys.bytes(key), setup);
        let scales = scales(model.prior_of(cohort), &moments);
        let warm = moments.iter().map(|own| is_warm(own, setup)).collect();
        Some(KeyValues { scoring, cohort, scales, warm, tolerances })
    }
}

impl StreamSetup {
    pub(super) fn end_ns(&self, last_cell: i64) -> i64 {
        (last_cell + 1) * self.unit_ns
    }

    /// The window on the grid that ends with `last_cell`.
    pub(super) fn span(&self, last_cell: i64) -> Span {
        let end = self.end_ns(last_cell);
        Span { start: end - self.size_ns, end }
    }

    pub(super) fn epoch_of(&self, last_cell: i64) -> i64 {
        (last_cell * self.unit_ns).div_euclid(EPOCH_NS)
    }
}
