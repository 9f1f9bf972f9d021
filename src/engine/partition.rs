//! One stream's state in one partition: rows in, cells and windows out in canonical order.

mod state;

use std::sync::Arc;

use crate::alert::lifecycle::Episode;
use crate::engine::output::{Counts, LateRow, Outputs};
use crate::engine::setup::StreamSetup;
use crate::engine::warmup::{Warmup, scale};
use crate::engine::{Env, Scratch};
use crate::judge::calibrate::Calibrator;
use crate::judge::moments::Moments;
use crate::model::Model;
use crate::types::{EPOCH_NS, EventTime, RecordRef};
use crate::window::grid::{CellMean, Grid, cell_of};
use crate::window::grow::grow;
use crate::window::keys::{KeyIndex, Keys};
use crate::window::pending::{Pending, Taken};

pub(crate) use state::Models;

/// A column's level and spread as scoring sees them, constant inside an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub mean: f32,
    pub sd: f32,
}

pub(crate) struct Partition {
    pub keys: Keys,
    pub grid: Grid,
    /// keys x columns
    pub moments: Vec<Moments>,
    /// keys x columns
    pub scales: Vec<Scale>,
    pub episodes: Vec<Episode>,
    /// Surprise of each key's last confident window of the epoch; NaN if there was none.
    pub last_surprise: Vec<f32>,
    pub followed: Vec<bool>,
    pub follows_version: u64,
    /// What scores this partition, with its calibration; none while warming up.
    pub scoring: Option<Scoring>,
    pub warmup: Warmup,
    /// Why the last fit failed, until it was told.
    pub fit_error: Option<String>,
    pub epoch: i64,
    pub counts: Counts,
    pub touched: bool,
    pending: Pending,
    cell_mean: CellMean,
    started: bool,
    newest_time: i64,
    /// Cells below are final.
    released: i64,
    /// Newest cell with data among the final ones.
    newest_cell: i64,
    /// Keys with a final cell. `keys.len()` also counts rows still pending, so it depends on arrival.
    seen_keys: u64,
}

pub(crate) struct Scoring {
    pub model: Arc<Model>,
    pub calibrator: Calibrator,
}

impl Scoring {
    pub fn new(model: Arc<Model>) -> Self {
        let calibrator = Calibrator::new(&model.reference_surprise);
        Scoring { model, calibrator }
    }
}

impl Partition {
    pub fn new(setup: &StreamSetup) -> Self {
        let columns = setup.columns.len();
        let scoring = setup.model.clone().map(Scoring::new);
        let warm_milli = if scoring.is_some() { 1000 } else { 0 };
        Partition {
            keys: Keys::default(),
            grid: Grid::new(setup.cells, columns),
            moments: Vec::new(),
            scales: Vec::new(),
            episodes: Vec::new(),
            last_surprise: Vec::new(),
            followed: Vec::new(),
            follows_version: 0,
            scoring,
            warmup: Warmup::default(),
            fit_error: None,
            epoch: i64::MIN,
            counts: Counts { watermark: i64::MIN, warm_milli, ..Counts::default() },
            touched: false,
            pending: Pending::new(setup.pending_cells()),
            cell_mean: CellMean::new(columns),
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
        let time = record.time.0;
        let cell = cell_of(time, setup.grid_ns);
        if !self.started {
            self.started = true;
            self.newest_time = time;
            self.released = cell_of(time - setup.lateness_ns, setup.grid_ns);
            self.counts.watermark = time - setup.lateness_ns;
        }
        if cell < self.released {
            return self.refuse(setup, cell, record, out);
        }
        if time > self.newest_time {
            self.newest_time = time;
            self.counts.watermark = time - setup.lateness_ns;
            let until = cell_of(self.counts.watermark, setup.grid_ns);
            let mut closing = Closing { setup, scratch, env, out, trigger: record.arrival.0 };
            self.advance(until, &mut closing);
        }
        let (key, new) = self.keys.intern(record.key_hash, record.key);
        if new {
            self.add_key(setup, env);
        }
        self.pending.push(cell, key, record);
        self.counts.events += 1;
    }

    /// Everything held back becomes final.
    pub fn flush(&mut self, setup: &StreamSetup, scratch: &mut Scratch, env: &Env<'_>, out: &mut Outputs) {
        if self.started {
            let until = cell_of(self.newest_time, setup.grid_ns) + 1;
            self.counts.watermark = until * setup.grid_ns;
            let mut closing = Closing { setup, scratch, env, out, trigger: (env.now)() };
            self.advance(until, &mut closing);
        }
    }

    fn refuse(&mut self, setup: &StreamSetup, cell: i64, record: &RecordRef<'_>, out: &mut Outputs) {
        match self.pending.after_release(cell, record) {
            Taken::Duplicate => self.counts.duplicates += 1,
            Taken::Late | Taken::Pending => {
                self.counts.late += 1;
                out.late.push(LateRow {
                    stream: setup.id,
                    key: record.key.into(),
                    time: record.time,
                    arrival: record.arrival,
                    position: record.position,
                    row: record.row,
                    values: record.values.to_vec(),
                    watermark: EventTime(self.counts.watermark),
                });
            }
        }
    }

    fn add_key(&mut self, setup: &StreamSetup, env: &Env<'_>) {
        let key = self.keys.len() - 1;
        self.grid.add_key();
        grow(&mut self.episodes, 1);
        grow(&mut self.last_surprise, 1);
        self.episodes.push(Episode::default());
        self.last_surprise.push(f32::NAN);
        let hash = self.keys.hash(key as KeyIndex);
        (env.meets)(setup.id, hash);
        self.followed.push((env.follows)(setup.id, hash));
        let columns = setup.columns.len();
        grow(&mut self.moments, columns);
        grow(&mut self.scales, columns);
        self.moments.extend(std::iter::repeat_n(Moments::default(), columns));
        self.scales.extend(std::iter::repeat_n(Scale { mean: 0.0, sd: 1.0 }, columns));
        self.seed(key as KeyIndex, setup);
        self.counts.keys += 1;
    }

    /// Starts a key that has no final cell yet from what the model knows of it.
    fn seed(&mut self, key: KeyIndex, setup: &StreamSetup) {
        let Some(scoring) = &self.scoring else { return };
        let columns = setup.columns.len();
        let own = &mut self.moments[key as usize * columns..][..columns];
        own.fill(Moments::default());
        if let Some(known) = scoring.model.prior.keys.get(self.keys.bytes(key)) {
            for (column, moments) in own.iter_mut().enumerate() {
                let count = (known.count[column] as f64).min(setup.memory_cells());
                *moments = Moments::known(count, known.mean[column], known.sd[column].powi(2));
            }
        }
        self.rescale(key, columns);
    }

    /// Sets a key's scale from its moments and the cohort's.
    pub fn rescale(&mut self, key: KeyIndex, columns: usize) {
        let Some(scoring) = &self.scoring else { return };
        let own = key as usize * columns..(key as usize + 1) * columns;
        let moments = &self.moments[own.clone()];
        for (column, (to, moments)) in self.scales[own].iter_mut().zip(moments).enumerate() {
            *to = scale(&scoring.model.prior, column, moments);
        }
    }

    /// Makes all cells below `until` final, closing windows on the way.
    fn advance(&mut self, until: i64, closing: &mut Closing<'_, '_>) {
        let setup = closing.setup;
        while self.released < until {
            let nothing_left = self.newest_cell == i64::MIN
                || self.released > self.newest_cell.saturating_add(setup.cells as i64 + setup.every_cells);
            if self.pending.rows() == 0 && nothing_left {
                self.released = until;
                return;
            }
            let cell = self.released;
            let epoch = (cell * setup.grid_ns).div_euclid(EPOCH_NS);
            if epoch > self.epoch {
                self.roll_epoch(epoch, setup);
            }
            self.fold(cell, setup.columns.len());
            self.released += 1;
            if (cell + 1).rem_euclid(setup.every_cells) == 0 {
                self.close(cell, closing);
            }
        }
    }

    /// Turns the pending rows of a cell into the keys' means of that cell.
    fn fold(&mut self, cell: i64, columns: usize) {
        let Partition { pending, keys, grid, moments, cell_mean, newest_cell, seen_keys, counts, .. } = self;
        let mut current: Option<(KeyIndex, i64)> = None;
        let mut write = |key: KeyIndex, arrival: i64, cell_mean: &mut CellMean| {
            let means = cell_mean.take();
            for (column, &mean) in means.iter().enumerate() {
                if !mean.is_nan() {
                    moments[key as usize * columns + column].observe(f64::from(mean));
                }
            }
            *seen_keys += u64::from(!grid.seen(key));
            grid.write(key, cell, means, arrival);
            *newest_cell = cell;
        };
        let duplicates = pending.release(cell, keys, |entry, values| {
            match &mut current {
                Some((key, arrival)) if *key == entry.key => *arrival = (*arrival).max(entry.arrival),
                _ => {
                    if let Some((key, arrival)) = current {
                        write(key, arrival, cell_mean);
                    }
                    current = Some((entry.key, entry.arrival));
                }
            }
            cell_mean.add(values);
        });
        if let Some((key, arrival)) = current {
            write(key, arrival, cell_mean);
        }
        counts.duplicates += duplicates;
        counts.events -= duplicates;
    }

    /// Lets the ended epoch teach: moments and calibration of keys that were calm, then a fit if one is due.
    fn roll_epoch(&mut self, epoch: i64, setup: &StreamSetup) {
        let columns = setup.columns.len();
        self.keys.sort();
        // About 64 samples an epoch, however many keys; the choice is the keys' own.
        let share = (self.seen_keys / 64).max(1);
        let mut warm = 0;
        for i in 0..self.keys.len() {
            let key = self.keys.ordered()[i];
            let calm = self.episodes[key as usize].is_calm();
            for moments in &mut self.moments[key as usize * columns..][..columns] {
                if calm { moments.commit(setup.memory_cells()) } else { moments.discard() }
            }
            let surprise = std::mem::replace(&mut self.last_surprise[key as usize], f32::NAN);
            if let Some(scoring) = &mut self.scoring {
                let chosen = (self.keys.hash(key) ^ self.epoch as u64).is_multiple_of(share);
                if calm && chosen && !surprise.is_nan() {
                    scoring.calibrator.observe(surprise);
                }
            }
            self.rescale(key, columns);
            warm += u64::from(self.scoring.is_some() && self.is_warm(key, setup));
        }
        if let Some(scoring) = &mut self.scoring {
            scoring.calibrator.commit();
        }
        self.adopt(setup);
        self.epoch = epoch;
        self.counts.keys_warm = warm;
        self.fit_if_due(setup);
    }

    /// Lets what the running epoch gathered count; for training, after the last row.
    pub fn end_epoch(&mut self, setup: &StreamSetup) {
        self.roll_epoch(self.epoch, setup);
    }

    /// A model activated since acts from this epoch on.
    fn adopt(&mut self, setup: &StreamSetup) {
        let Some(model) = &setup.model else { return };
        if self.scoring.as_ref().is_some_and(|scoring| Arc::ptr_eq(&scoring.model, model)) {
            return;
        }
        self.scoring = Some(Scoring::new(model.clone()));
        self.counts.warm_milli = 1000;
        for key in 0..self.keys.len() as KeyIndex {
            // When a key's first row arrived must not matter, only when it became final.
            if self.grid.seen(key) { self.rescale(key, setup.columns.len()) } else { self.seed(key, setup) }
        }
    }

    /// A key's own level and spread rest on at least one window's worth of cells.
    pub fn is_warm(&self, key: KeyIndex, setup: &StreamSetup) -> bool {
        let columns = setup.columns.len();
        let moments = &self.moments[key as usize * columns..][..columns];
        moments.iter().all(|m| m.count >= setup.cells as f64)
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
