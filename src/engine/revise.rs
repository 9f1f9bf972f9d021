//! Rows behind the watermark, but within the allowed lateness: the windows that hold them are scored again,
//! each with its own epoch's values, and what was told of the key is put right.
//!
//! Such rows teach nothing: levels, spreads and calibration were learnt when the watermark passed.

use crate::alert::told::{Change, Told, revise};
use crate::backend::Phases;
use crate::engine::Env;
use crate::engine::close::{Times, standardise};
use crate::engine::partition::{Closing, Partition};
use crate::engine::past::PastVerdict;
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::verdict::{surprise, verdict};
use crate::types::{AlertState, RecordRef, Verdict};
use crate::window::keys::KeyIndex;
use crate::window::pending::Taken;

impl Partition {
    pub(super) fn take_late(
        &mut self,
        cell: i64,
        record: &RecordRef<'_>,
        setup: &StreamSetup,
        env: &Env<'_>,
    ) {
        let key = self.intern(record, setup, env);
        if self.pending.join(cell, &self.keys, key, record) == Taken::Duplicate {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.events += 1;
        self.counts.reopening += 1;
        self.silence.late_row(key, record.time.0);
        self.fold_again(cell, key);
        if self.unsettled.last() != Some(&(key, cell)) {
            self.unsettled.push((key, cell));
        }
    }

    /// Puts right what late rows changed in windows that ended before `until`, key by key in canonical order.
    /// They are taken together whenever a window closes: a device that was offline and sends all it has
    /// makes a revision, not one a row.
    pub(super) fn settle(&mut self, until: i64, closing: &mut Closing<'_, '_>) {
        if self.unsettled.is_empty() {
            return;
        }
        let mut unsettled = std::mem::take(&mut self.unsettled);
        unsettled.sort_unstable_by(|a, b| self.keys.compare(a.0, b.0).then(a.1.cmp(&b.1)));
        for cells in unsettled.chunk_by(|a, b| a.0 == b.0) {
            self.settle_key(cells, until, closing);
        }
        unsettled.clear();
        self.unsettled = unsettled;
    }

    fn settle_key(&mut self, cells: &[(KeyIndex, i64)], until: i64, closing: &mut Closing<'_, '_>) {
        let setup = closing.setup;
        let key = cells[0].0;
        let began = (closing.env.now)();
        let mut last_cells: Vec<i64> =
            cells.iter().flat_map(|&(_, cell)| windows_with(cell, until, setup)).collect();
        last_cells.sort_unstable();
        last_cells.dedup();
        let (before, _) = self.past[key as usize].spells(setup);
        let mut judged = Vec::new();
        for last_cell in last_cells {
            if let Some(verdict) = self.judge_again(key, last_cell, closing) {
                judged.push(PastVerdict { last_cell, verdict, rows: 0 });
            }
        }
        let (after, episode) = self.past[key as usize].spells(setup);
        let known = std::mem::replace(&mut self.episodes[key as usize], episode);
        self.note_standing(key, known);
        let horizon_ns = (self.released - setup.kept_cells()) * setup.grid_ns;
        let changes = self.telling(key, |told| revise(told, &before, &after, horizon_ns));
        for change in changes {
            if change.state == AlertState::Raised {
                self.budget.opened(change.opened);
            }
            self.tell_again(key, change, &judged, began, closing);
        }
    }

    /// Does what may raise or end alerts of a key, and keeps count of those that are firing.
    pub(super) fn telling<T>(&mut self, key: KeyIndex, tell: impl FnOnce(&mut Vec<Told>) -> T) -> T {
        let firing = |told: &[Told]| told.iter().filter(|told| told.state.is_firing()).count() as u64;
        let told = &mut self.told[key as usize];
        self.counts.alerts_open -= firing(told);
        let done = tell(told);
        self.counts.alerts_open += firing(told);
        done
    }

    /// Takes the means of a cell anew from all of its rows, in canonical order, as if none had been late.
    fn fold_again(&mut self, cell: i64, key: KeyIndex) {
        let Partition { pending, cell_fold, grid, .. } = self;
        let mut arrival = i64::MIN;
        pending.rows_of(cell, key, |entry, values| {
            arrival = arrival.max(entry.arrival);
            cell_fold.add(values);
        });
        self.seen_keys += u64::from(!grid.seen(key));
        grid.rewrite(key, cell, cell_fold.take(), arrival);
        self.newest_cell = self.newest_cell.max(cell);
    }

    /// `None` if nothing scored windows at that time.
    fn judge_again(
        &mut self,
        key: KeyIndex,
        last_cell: i64,
        closing: &mut Closing<'_, '_>,
    ) -> Option<Verdict> {
        let setup = closing.setup;
        let verdict =
            self.in_its_epoch(key, last_cell, closing, |partition, verdict, scoring, closing| {
                let surprise = surprise(0, closing);
                let span = setup.span(last_cell);
                partition.digest(key, span, surprise, verdict);
                partition.record(key, span, surprise, verdict, closing);
                if partition.followed[key as usize] {
                    partition.explain(0, scoring, closing);
                    let point = partition.point(0, verdict, scoring, closing);
                    closing.out.points.push(point);
                }
                verdict
            })?;
        let known = self.past[key as usize].replace(PastVerdict { last_cell, verdict, rows: 0 });
        self.counts.windows += u64::from(!known);
        if !known {
            self.budget.judged();
        }
        self.counts.windows_again += u64::from(known);
        Some(verdict)
    }

    /// Scores one window of a key by the values of the window's own epoch, and then does `what`.
    fn in_its_epoch<T>(
        &mut self,
        key: KeyIndex,
        last_cell: i64,
        closing: &mut Closing<'_, '_>,
        what: impl FnOnce(&mut Partition, Verdict, &Scoring, &mut Closing<'_, '_>) -> T,
    ) -> Option<T> {
        let setup = closing.setup;
        let values = self.values_in(setup.epoch_of(last_cell), key, setup)?;
        let scratch = &mut *closing.scratch;
        let arrival = self.grid.newest_arrival(key);
        let (span, columns) = (setup.span(last_cell), setup.columns.len());
        scratch.batch.clear();
        scratch.batch.push(key, span, arrival, columns, |out| self.grid.gather(key, last_cell, out));
        if !setup.deviations.is_empty() {
            scratch.batch.keep_raw();
        }
        standardise(&mut scratch.batch.z, &values.scales);
        scratch.batch.cohorts.push(values.cohort);
        values.scoring.score(columns, None, scratch);
        let verdict = verdict(0, |column| values.warm[column], &values.scoring, closing);
        // Departures are measured and bands are drawn in the scale of the window's own epoch.
        let own = key as usize * columns..(key as usize + 1) * columns;
        let present = self.scales[own.clone()].to_vec();
        self.scales[own.clone()].copy_from_slice(&values.scales);
        let tolerances = std::mem::replace(&mut self.heard.in_force, values.tolerances);
        let verdict = self.hold_back(0, verdict, &values.scoring, closing);
        let done = what(self, verdict, &values.scoring, closing);
        self.heard.in_force = tolerances;
        self.scales[own].copy_from_slice(&present);
        Some(done)
    }

    /// Tells a change with the evidence of the window it is about: what raises an alert is the window that
    /// opened it; what changes one, the first window that holds the late row.
    fn tell_again(
        &mut self,
        key: KeyIndex,
        change: Change,
        judged: &[PastVerdict],
        began: i64,
        closing: &mut Closing<'_, '_>,
    ) {
        let opened = |past: &&PastVerdict| closing.setup.end_ns(past.last_cell) == change.opened;
        let raising = judged.iter().find(opened).filter(|_| change.state == AlertState::Raised);
        let Some(&PastVerdict { last_cell, .. }) = raising.or(judged.first()) else { return };
        self.in_its_epoch(key, last_cell, closing, |partition, verdict, scoring, closing| {
            partition.explain(0, scoring, closing);
            let now = (closing.env.now)();
            let device = Phases::default();
            let times = Times { closing: began, gathered: began, scored: now, device };
            partition.announce(0, verdict, change, scoring, times, closing);
        });
    }
}

/// The last cells of the windows that hold `cell` and end before `until`.
fn windows_with(cell: i64, until: i64, setup: &StreamSetup) -> impl Iterator<Item = i64> {
    let every = setup.every_cells;
    let first = (cell + 1 + every - 1).div_euclid(every) * every - 1;
    (first..(cell + setup.cells as i64).min(until)).step_by(every as usize)
}
