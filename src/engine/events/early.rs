//! Sliding windows on arrival: a provisional verdict on every event, by what has come until then. The final
//! one, when the watermark has passed it, takes its place; where the two differ, what was told is put right.
//!
//! Nothing is learnt from a provisional verdict.

use super::{Events, Gather, Span};
use crate::alert::told::{Change, revise};
use crate::config::plan::Shape;
use crate::engine::close::{Times, standardise};
use crate::engine::partition::{Closing, Partition};
use crate::engine::past::PastVerdict;
use crate::engine::scoring::Scoring;
use crate::engine::setup::StreamSetup;
use crate::engine::verdict::verdict;
use crate::types::{Arrival, RecordRef, Verdict};
use crate::window::keys::KeyIndex;
use crate::window::rows::{ROWS_MAX, RowTime};

impl Partition {
    /// Takes a row of a sliding window as it comes; `false` if it is there already.
    pub(in crate::engine) fn take_early(
        &mut self,
        key: KeyIndex,
        record: &RecordRef<'_>,
        setup: &StreamSetup,
    ) -> bool {
        let Partition { events, scoring, .. } = self;
        let Events { rows, usual, early, transactions, .. } = events;
        let rows = &mut rows[key as usize];
        let row =
            RowTime { time: record.time.0, content_hash: record.content_hash, arrival: record.arrival.0 };
        if !rows.insert(row, record.values) {
            return false;
        }
        rows.keep(ROWS_MAX, record.values.len());
        if scoring.is_some() {
            let mut gather = Gather { setup, usual, transactions: transactions.as_deref_mut() };
            gather.sliding(key, rows, row.time, early);
        }
        true
    }

    pub(in crate::engine) fn has_early(&self) -> bool {
        !self.events.early.is_empty()
    }

    /// Judges what was gathered on arrival: before anything behind the watermark changes, so that batches
    /// do not matter.
    pub(in crate::engine) fn judge_early(&mut self, closing: &mut Closing<'_, '_>) {
        if !self.has_early() {
            return;
        }
        std::mem::swap(&mut self.events.early, &mut closing.scratch.batch);
        if let Some(scoring) = self.scoring.take() {
            let began = (closing.env.now)();
            let gathered = self.score_batch(&scoring, closing);
            let scored = (closing.env.now)();
            self.follow(closing);
            let device = closing.scratch.backend.take_phases();
            let times = Times { closing: began, gathered, scored, device };
            self.explain_ahead(&scoring, closing);
            for row in 0..closing.scratch.batch.len() {
                self.judge_provisionally(row, &scoring, times, closing);
            }
            let windows = closing.scratch.batch.len() as u64;
            closing.out.scored(times, windows);
            self.scoring = Some(scoring);
        }
        std::mem::swap(&mut self.events.early, &mut closing.scratch.batch);
        self.events.early.clear();
    }

    fn judge_provisionally(
        &mut self,
        row: usize,
        scoring: &Scoring,
        times: Times,
        closing: &mut Closing<'_, '_>,
    ) {
        let setup = closing.setup;
        let batch = &closing.scratch.batch;
        let (key, span, rows, arrival) =
            (batch.keys[row], batch.spans[row], batch.rows[row], batch.arrivals[row]);
        let verdict = verdict(row, self.warm(key, setup), scoring, closing);
        let verdict = self.hold_back(row, verdict, scoring, closing);
        self.counts.windows_provisional += 1;
        let changes = self.replace_verdict(key, span, rows, verdict, setup);
        closing.out.verdicts.push((Arrival(arrival), (closing.env.now)(), 1));
        let shown = self.followed[key as usize];
        if !changes.is_empty() || shown {
            self.explain(row, scoring, closing);
        }
        let trigger = std::mem::replace(&mut closing.trigger, arrival);
        for change in changes {
            self.announce(row, verdict, change, scoring, times, closing);
        }
        closing.trigger = trigger;
        // With the values and risks of now: what p-value and alert are of.
        if shown {
            let point = self.point(row, verdict, scoring, closing);
            closing.out.points.push(point);
        }
    }

    /// The verdict on a window that came or became final; what is to be told of it.
    fn replace_verdict(
        &mut self,
        key: KeyIndex,
        span: Span,
        rows: u32,
        verdict: Verdict,
        setup: &StreamSetup,
    ) -> Vec<Change> {
        let past = &mut self.past[key as usize];
        let new = PastVerdict { last_cell: span.end - 1, verdict, rows };
        if past.is_beyond(new.last_cell) {
            return Vec::new();
        }
        if past.is_quiet() && !verdict.anomalous {
            past.replace(new);
            past.bound(setup);
            return Vec::new();
        }
        let (before, _) = past.spells(setup);
        past.replace(new);
        let (after, _) = past.spells(setup);
        // Only now: a spell that is let go of is in neither.
        past.bound(setup);
        let horizon_ns = self.released * setup.grid_ns - setup.size_ns;
        self.telling(key, |told| revise(told, &before, &after, horizon_ns))
    }

    /// The verdict that was given on a sliding window as it came, if nothing has come behind it since that it holds:
    /// it is final. What the key has learnt meanwhile changes no verdict on the same events.
    pub(in crate::engine) fn standing_verdict(
        &self,
        key: KeyIndex,
        span: Span,
        rows: u32,
    ) -> Option<Verdict> {
        self.past[key as usize].standing(span.end - 1, rows)
    }

    /// What the final verdict on a sliding window changes; the key's episode goes on from it.
    pub(in crate::engine) fn replace_finally(
        &mut self,
        key: KeyIndex,
        span: Span,
        rows: u32,
        verdict: Verdict,
        setup: &StreamSetup,
    ) -> Vec<Change> {
        debug_assert_eq!(setup.shape, Shape::Sliding);
        let changes = self.replace_verdict(key, span, rows, verdict, setup);
        self.episodes[key as usize] = self.past[key as usize].pass(span.end, setup);
        changes
    }

    /// Standardises the windows in the scratch, each by its key's scales.
    pub(in crate::engine) fn standardise_batch(&self, closing: &mut Closing<'_, '_>) {
        // The nats of causes are no values of a column.
        if closing.setup.roles.is_some() {
            return;
        }
        let columns = closing.setup.columns.len();
        let width = closing.setup.cells * columns;
        let batch = &mut closing.scratch.batch;
        // An alert shows any cell of its window as it was.
        if !closing.setup.deviations.is_empty()
            || (closing.setup.shape != Shape::Grid && closing.setup.cells > 1)
        {
            batch.keep_raw();
        }
        for (z, &key) in batch.z.chunks_exact_mut(width).zip(&batch.keys) {
            standardise(z, &self.scales[key as usize * columns..][..columns]);
        }
    }
}
