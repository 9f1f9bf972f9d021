//! Closing a window: gather every active key's cells, score them as one batch, judge each.

use crate::alert::told::{Change, tell};
use crate::backend::Phases;
use crate::engine::batch::{Batch, Span};
use crate::engine::output::{Judged, Raised};
use crate::engine::partition::{Closing, Partition, Scale};
use crate::engine::past::PastVerdict;
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::verdict::{is_whole, surprise, verdict};
use crate::engine::warmup::Standing;
use crate::judge::calibration::Surprise;
use crate::types::{Arrival, EventTime, Verdict};
use crate::window::keys::KeyIndex;

/// Standardised values beyond this are as odd as it gets; also bounds what one wild cell can weigh.
const Z_MAX: f32 = 20.0;

/// Clock readings of one closing, ns.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub closing: i64,
    pub gathered: i64,
    pub scored: i64,
    /// Of the time between the last two, what was spent on a device.
    pub device: Phases,
}

impl Partition {
    /// Closes the windows on the grid that end with `cell`.
    pub(super) fn close(&mut self, cell: i64, closing: &mut Closing<'_, '_>) {
        let began = (closing.env.now)();
        self.keys.sort();
        self.settle(cell, closing);
        self.gather(cell, closing);
        if !closing.scratch.batch.is_empty() {
            self.judge_batch(began, closing);
        }
    }

    /// Judges the final windows in the scratch, and keeps of them for a fit.
    pub(super) fn judge_batch(&mut self, began: i64, closing: &mut Closing<'_, '_>) {
        if self.scoring.is_none() || closing.setup.fits {
            self.collect(&closing.scratch.batch, closing.setup);
        }
        let Some(scoring) = self.scoring.take() else { return };
        let gathered = self.score_batch(&scoring, closing);
        let scored = (closing.env.now)();
        self.follow(closing);
        let device = closing.scratch.backend.take_phases();
        let times = Times { closing: began, gathered, scored, device };
        self.explain_ahead(&scoring, closing);
        for row in 0..closing.scratch.batch.len() {
            self.judge(row, &scoring, times, closing);
        }
        self.scoring = Some(scoring);
        let (episodes, p_odd) = (&self.episodes, closing.setup.p_odd);
        self.warmup.settle(|key| !episodes[key as usize].teaches(p_odd));
        self.account(times, closing);
    }

    fn account(&mut self, times: Times, closing: &mut Closing<'_, '_>) {
        let judged = (closing.env.now)();
        let windows = closing.scratch.batch.len() as u64;
        let out = &mut *closing.out;
        out.gather_ns += times.gathered - times.closing;
        out.scored(times, windows);
        out.judge_ns += judged - times.scored;
        out.windows += windows;
        out.verdicts.push((Arrival(closing.trigger), judged, windows as u32));
    }

    /// Keeps what a fit will learn from, raw.
    fn collect(&mut self, batch: &Batch, setup: &StreamSetup) {
        let width = setup.cells * setup.columns.len();
        let judged = self.scoring.is_some();
        let standing = if judged { Standing::Waiting } else { Standing::Unjudged };
        let rows = batch.z.chunks_exact(width).zip(&batch.keys).zip(&batch.spans);
        for ((window, &key), span) in rows {
            self.counts.windows_unscored += u64::from(!judged);
            let hash = self.keys.hash(key);
            self.warmup.offer(key, hash, span.end, standing, |out| out.extend_from_slice(window));
            // The last thousandth is for the epoch's end, where a fit must have succeeded.
            let progress = self.warmup.progress_milli(span.end, setup.warmup_ns).min(999);
            self.counts.warm_milli = self.counts.warm_milli.max(progress);
        }
    }

    /// Fills the scratch with the windows of all active keys, in canonical order.
    fn gather(&mut self, cell: i64, closing: &mut Closing<'_, '_>) {
        let setup = closing.setup;
        let columns = setup.columns.len();
        let batch = &mut closing.scratch.batch;
        batch.clear();
        // Once for all of them: growing by and by would take twice the room.
        batch.z.reserve_exact(self.keys.len() * setup.cells * columns);
        let (span, takes_rings) = (setup.span(cell), closing.scratch.backend.takes_rings());
        let batch = &mut closing.scratch.batch;
        for &key in self.keys.ordered() {
            if self.grid.active(key, cell) {
                if takes_rings {
                    batch.places.push(self.grid.place(key));
                }
                let arrival = self.grid.newest_arrival(key);
                batch.push(key, span, arrival, columns, |out| self.grid.gather(key, cell, out));
            }
        }
    }

    /// Brings the set of followed keys up to date when the page asked for others.
    pub(super) fn follow(&mut self, closing: &Closing<'_, '_>) {
        if self.follows_version != closing.env.follows_version {
            self.follows_version = closing.env.follows_version;
            for key in 0..self.followed.len() {
                let hash = self.keys.hash(key as KeyIndex);
                self.followed[key] = (closing.env.follows)(closing.setup.id, hash);
            }
        }
    }

    fn judge(&mut self, row: usize, scoring: &Scoring, times: Times, closing: &mut Closing<'_, '_>) {
        let setup = closing.setup;
        let batch = &closing.scratch.batch;
        let (key, span, rows) = (batch.keys[row], batch.spans[row], batch.rows.get(row).copied());
        let verdict = verdict(row, self.warm(key, setup), scoring, closing);
        let verdict = self.hold_back(row, verdict, scoring, closing);
        let standing = rows.and_then(|rows| self.standing_verdict(key, span, rows));
        let verdict = standing.unwrap_or(verdict);
        // What stands since its arrival was on the chart then.
        let shown = self.followed[key as usize] && standing.is_none();
        let surprise = surprise(row, closing);
        self.count(verdict);
        if let Some(why) = verdict.held_back {
            closing.out.held_back.push((setup.id, EventTime(span.end), why));
        }
        self.digest(key, span, surprise, verdict);
        self.record(key, span, surprise, verdict, closing);
        // A window without a column shows less, and would teach that there is less to see.
        let teaches = verdict.confident && is_whole(row, closing);
        if teaches {
            self.last_surprise[key as usize] = surprise;
        }
        let before = self.episodes[key as usize];
        let changes = match rows {
            Some(rows) => self.replace_finally(key, span, rows, verdict, setup),
            None => self.turn(key, span, verdict, setup).into_iter().collect(),
        };
        if teaches && before.is_calm() && !before.settles(span.end) {
            self.drift.judged(verdict.p_value);
        }
        self.note_opening(key, before.opened());
        self.note_standing(key, before);
        self.saw_more(row, verdict, scoring, closing);
        self.keep_for_refit(row, teaches, &closing.scratch.batch, setup);
        if changes.is_empty() && !shown {
            return;
        }
        self.explain(row, scoring, closing);
        for change in changes {
            self.announce(row, verdict, change, scoring, times, closing);
        }
        if shown {
            let point = self.point(row, verdict, scoring, closing);
            closing.out.points.push(point);
        }
    }

    /// What a final verdict does to the key's episode.
    fn turn(&mut self, key: KeyIndex, span: Span, verdict: Verdict, setup: &StreamSetup) -> Option<Change> {
        let floor = self.released - setup.kept_cells();
        if let Some(past) = self.past.get_mut(key as usize) {
            past.push(
                PastVerdict { last_cell: span.end / setup.unit_ns - 1, verdict, rows: 0 },
                floor,
                setup,
            );
        }
        let turn = self.episodes[key as usize].step(verdict, span.start, span.end, setup.rule)?;
        Some(self.telling(key, |told| tell(told, turn, floor * setup.grid_ns)))
    }

    /// Tells a change of the scored and explained window in `row`.
    pub(super) fn announce(
        &mut self,
        row: usize,
        verdict: Verdict,
        change: Change,
        scoring: &Scoring,
        times: Times,
        closing: &mut Closing<'_, '_>,
    ) {
        let decision = self.decision(row, verdict, change, scoring, closing);
        self.saw(row, &decision, scoring, closing);
        closing.out.raised.push(Raised {
            decision,
            last_row: Arrival(closing.scratch.batch.arrivals[row]),
            trigger: Arrival(closing.trigger),
            closing_ns: times.closing,
            gathered_ns: times.gathered,
            scored_ns: times.scored,
            device: times.device,
            judged_ns: (closing.env.now)(),
        });
    }

    fn count(&mut self, verdict: Verdict) {
        self.budget.judged();
        let counts = &mut self.counts;
        counts.windows += 1;
        counts.windows_unsure += u64::from(!verdict.confident);
        counts.windows_anomalous += u64::from(verdict.anomalous && verdict.confident);
        counts.windows_held_back += u64::from(verdict.held_back.is_some());
    }

    /// Keeps a final verdict, if somebody wants them all.
    pub(super) fn record(
        &self,
        key: KeyIndex,
        span: Span,
        surprise: Surprise,
        verdict: Verdict,
        closing: &mut Closing<'_, '_>,
    ) {
        if let Some(judged) = &mut closing.out.judged {
            let (stream, key) = (closing.setup.id, self.keys.bytes(key).into());
            judged.push(Judged { stream, key, end: EventTime(span.end), surprise, verdict });
        }
    }

    pub(super) fn digest(&mut self, key: KeyIndex, span: Span, surprise: Surprise, verdict: Verdict) {
        let counts = &mut self.counts;
        let mut bytes = [0u8; 41];
        bytes[..8].copy_from_slice(&counts.digest.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.keys.hash(key).to_le_bytes());
        bytes[16..24].copy_from_slice(&span.end.to_le_bytes());
        bytes[24..32].copy_from_slice(&verdict.p_value.to_bits().to_le_bytes());
        bytes[32..36].copy_from_slice(&surprise[0].to_bits().to_le_bytes());
        bytes[36..40].copy_from_slice(&surprise[1].to_bits().to_le_bytes());
        let Verdict { p_value: _, anomalous, held_back, calm, confident } = verdict;
        bytes[40] = u8::from(held_back.is_some()) * 8
            + u8::from(calm) * 4
            + u8::from(confident) * 2
            + u8::from(anomalous);
        counts.digest = xxhash_rust::xxh3::xxh3_64(&bytes);
    }
}

/// `(x - mean) / sd`, clipped; missing stays NaN.
pub(super) fn standardise(window: &mut [f32], scales: &[Scale]) {
    for cell in window.chunks_exact_mut(scales.len()) {
        for (value, scale) in cell.iter_mut().zip(scales) {
            *value = ((*value - scale.mean) / scale.sd).clamp(-Z_MAX, Z_MAX);
        }
    }
}
