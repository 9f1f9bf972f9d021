//! One stream's state in one partition: rows in, cells and windows out in canonical order.

mod counts;
mod fold;
pub(super) mod scoring;
pub(super) mod state;

use crate::alert::lifecycle::Episode;
use crate::alert::told::Told;
use crate::backend::Rings;
use crate::config::plan::Shape;
use crate::engine::events::Events;
use crate::engine::feedback::Heard;
use crate::engine::idle::Hearing;
use crate::engine::onsets::Onsets;
use crate::engine::output::{Counts, LateRow, Outputs};
use crate::engine::past::{Past, PastEpochs};
use crate::engine::probation::Probation;
use crate::engine::reservoir::Reservoir;
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::silence::Silence;
use crate::engine::warmup::Warmup;
use crate::engine::{Env, Scratch};
use crate::judge::budget::Budget;
use crate::judge::calibration::Surprise;
use crate::judge::drift::Watched;
use crate::judge::moments::Moments;
use crate::model::{EVERYONE, FitError};
use crate::types::{EPOCH_NS, EventTime, PartitionId, RecordRef};
use crate::window::cell::CellFold;
use crate::window::grid::{Grid, cell_of};
use crate::window::grow::grow;
use crate::window::keys::{KeyIndex, Keys};
use crate::window::pending::{Pending, Taken};

pub(crate) use crate::backend::Scale;
pub(crate) use state::Models;

pub(crate) struct Partition {
    pub id: PartitionId,
    /// Tells its rings apart from those of others, as long as the process runs.
    pub rings_id: u64,
    pub keys: Keys,
    pub grid: Grid,
    /// keys x columns
    pub moments: Vec<Moments>,
    /// keys x columns
    pub scales: Vec<Scale>,
    /// Of each key, in the model that scores.
    pub cohorts: Vec<u32>,
    pub episodes: Vec<Episode>,
    /// What was told of each key's alerts.
    pub told: Vec<Vec<Told>>,
    /// Each key's verdicts that late rows may still change; empty if the stream allows none.
    pub past: Vec<Past>,
    /// What those verdicts were given by.
    pub past_epochs: PastEpochs,
    /// Keys and cells that late rows changed since the last window closed.
    pub unsettled: Vec<(KeyIndex, i64)>,
    /// Keys whose episode stood in the running epoch: they learn their level anew.
    pub restarts: Vec<KeyIndex>,
    /// Surprises of each key's last confident window of the epoch; NaN if there was none.
    pub last_surprise: Vec<Surprise>,
    pub probation: Probation,
    pub followed: Vec<bool>,
    pub follows_version: u64,
    /// What scores this partition, with its calibration; none while warming up.
    pub scoring: Option<Scoring>,
    pub warmup: Warmup,
    /// How many alerts it opens, and how many it may.
    pub budget: Budget,
    pub drift: Watched,
    /// What a refit may learn from.
    pub reservoir: Reservoir,
    /// Why the last fit failed, until it was told.
    pub fit_error: Option<FitError>,
    pub epoch: i64,
    pub counts: Counts,
    pub touched: bool,
    pub pending: Pending,
    pub cell_fold: CellFold,
    pub events: Events,
    pub silence: Silence,
    pub onsets: Onsets,
    pub hearing: Hearing,
    pub heard: Heard,
    pub started: bool,
    pub newest_time: i64,
    /// Cells below are behind the watermark.
    pub released: i64,
    /// Newest cell with data among those.
    pub newest_cell: i64,
    /// Keys with such a cell. `keys.len()` also counts rows still pending, so it depends on arrival.
    pub seen_keys: u64,
}

impl Partition {
    pub fn new(setup: &StreamSetup, id: PartitionId) -> Self {
        let columns = setup.columns.len();
        let budget = Budget::new(setup.windows_expected);
        let scoring = setup.scoring(setup.alarm(&budget, 0));
        let warm_milli = if scoring.is_some() { 1000 } else { 0 };
        Partition {
            id,
            rings_id: Rings::next_id(),
            keys: Keys::default(),
            grid: Grid::new(setup.cells, setup.ring_cells(), columns),
            moments: Vec::new(),
            scales: Vec::new(),
            cohorts: Vec::new(),
            episodes: Vec::new(),
            told: Vec::new(),
            past: Vec::new(),
            past_epochs: PastEpochs::default(),
            unsettled: Vec::new(),
            restarts: Vec::new(),
            last_surprise: Vec::new(),
            probation: Probation::default(),
            followed: Vec::new(),
            follows_version: 0,
            scoring,
            warmup: Warmup::of(setup.cells * columns),
            budget,
            drift: Watched::new(columns),
            reservoir: Reservoir::default(),
            fit_error: None,
            epoch: i64::MIN,
            counts: Counts { watermark: i64::MIN, warm_milli, ..Counts::default() },
            touched: false,
            pending: Pending::new(setup.pending_cells(), setup.late_cells()),
            cell_fold: CellFold::new(setup.aggregates.clone()),
            events: Events::new(setup),
            silence: Silence::new(setup.patience),
            onsets: Onsets::new(setup.onsets, setup.grid_ns, columns),
            hearing: Hearing::default(),
            heard: Heard::default(),
            started: false,
            newest_time: i64::MIN,
            released: i64::MIN,
            newest_cell: i64::MIN,
            seen_keys: 0,
        }
    }

    pub fn push(
        &mut self,
        setup: &StreamSetup,
        record: &RecordRef<'_>,
        scratch: &mut Scratch,
        env: &Env<'_>,
        out: &mut Outputs,
    ) {
        if let Some(fraud) = record.outcome {
            return self.take_outcome(record, fraud);
        }
        let time = record.time.0;
        let cell = cell_of(time, setup.grid_ns);
        self.hearing.row(record, self.newest_time);
        if !self.started {
            self.started = true;
            self.newest_time = time;
            self.released = cell_of(time - setup.disorder_ns, setup.grid_ns);
            self.counts.watermark = time - setup.disorder_ns;
        }
        if cell < self.released - setup.late_cells() {
            return self.refuse(cell, record, out);
        }
        if cell < self.released {
            return self.take_late(cell, record, setup, env);
        }
        if time > self.newest_time {
            self.newest_time = time;
            self.counts.watermark = time - setup.disorder_ns;
            let until = cell_of(self.counts.watermark, setup.grid_ns);
            let mut closing = Closing { setup, scratch, env, out, trigger: record.arrival.0 };
            self.advance(until, &mut closing);
        }
        let key = self.intern(record, setup, env);
        if setup.shape == Shape::Sliding && !self.take_early(key, record, setup) {
            self.counts.duplicates += 1;
            return;
        }
        self.pending.push(cell, key, record);
        self.counts.events += 1;
    }

    fn refuse(&mut self, cell: i64, record: &RecordRef<'_>, out: &mut Outputs) {
        match self.pending.after_release(cell, record) {
            Taken::Duplicate => self.counts.duplicates += 1,
            Taken::Late | Taken::Pending => {
                self.counts.late += 1;
                out.late.push(LateRow::of(record, EventTime(self.counts.watermark)));
            }
        }
    }

    pub fn intern(&mut self, record: &RecordRef<'_>, setup: &StreamSetup, env: &Env<'_>) -> KeyIndex {
        let (key, new) = self.keys.intern(record.key_hash, record.key);
        if new {
            self.add_key(setup, env);
        }
        key
    }

    fn add_key(&mut self, setup: &StreamSetup, env: &Env<'_>) {
        let key = self.keys.len() - 1;
        self.grid.add_key();
        self.silence.add_key();
        self.onsets.add_key();
        grow(&mut self.told, 1);
        self.told.push(Vec::new());
        self.events.add_key(setup);
        if setup.keeps_past() {
            grow(&mut self.past, 1);
            self.past.push(Past::default());
        }
        grow(&mut self.episodes, 1);
        grow(&mut self.last_surprise, 1);
        self.episodes.push(Episode::default());
        self.last_surprise.push([f32::NAN; 2]);
        let hash = self.keys.hash(key as KeyIndex);
        (env.meets)(setup.id, hash, self.keys.bytes(key as KeyIndex));
        self.followed.push((env.follows)(setup.id, hash));
        let columns = setup.columns.len();
        grow(&mut self.moments, columns);
        grow(&mut self.scales, columns);
        self.moments.extend(std::iter::repeat_n(Moments::default(), columns));
        self.scales.extend(std::iter::repeat_n(Scale { mean: 0.0, sd: 1.0 }, columns));
        let cohort = match &mut self.scoring {
            Some(scoring) => scoring.meet(self.keys.bytes(key as KeyIndex)),
            None => EVERYONE,
        };
        grow(&mut self.cohorts, 1);
        self.cohorts.push(cohort);
        self.seed(key as KeyIndex, setup);
        self.counts.keys += 1;
        self.counts.keys_alive += 1;
    }

    /// Makes all cells below `until` final, closing windows on the way.
    pub(super) fn advance(&mut self, until: i64, closing: &mut Closing<'_, '_>) {
        let setup = closing.setup;
        if self.released < until {
            self.judge_early(closing);
        }
        while self.released < until {
            let next = self.next_cell(until, setup);
            if next > self.released {
                self.settle(self.released, closing);
                self.pending.skip_to(self.released, next);
                self.released = next;
                self.mind_silence(closing);
                continue;
            }
            let cell = self.released;
            let epoch = (cell * setup.grid_ns).div_euclid(EPOCH_NS);
            if epoch > self.epoch {
                self.roll_epoch(epoch, setup);
            }
            self.released += 1;
            if setup.shape != Shape::Grid {
                self.close_events(cell, closing);
                self.mind_silence(closing);
                continue;
            }
            self.fold(cell, setup.columns.len());
            self.tell_onsets(closing);
            self.mind_silence(closing);
            if (cell + 1).rem_euclid(setup.every_cells) == 0 {
                self.close(cell, closing);
            }
        }
    }

    /// The next cell, up to `until`, in which anything may happen.
    fn next_cell(&self, until: i64, setup: &StreamSetup) -> i64 {
        if self.pending.rows() > 0 {
            return self.released;
        }
        if setup.shape != Shape::Grid {
            return self.events.next_end_bucket(setup).clamp(self.released, until);
        }
        let last = self.newest_cell.saturating_add(setup.cells as i64 + setup.every_cells);
        if self.newest_cell == i64::MIN || self.released > last { until } else { self.released }
    }
}

/// What closing a window needs besides the partition.
pub(crate) struct Closing<'a, 'e> {
    pub setup: &'a StreamSetup,
    pub scratch: &'a mut Scratch,
    pub env: &'a Env<'e>,
    pub out: &'a mut Outputs,
    pub trigger: i64,
}
