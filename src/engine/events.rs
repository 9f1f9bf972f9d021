//! Windows that events make. Rows become final in order of time behind the watermark, as on a grid; each
//! then ends a window (sliding), may end one (count), or is part of one that a pause ends (session).
//!
//! A window holds what its key did up to its last event and nothing later, whatever else was in the batch.

pub(super) mod early;
mod state;

use std::ops::Range;

use crate::config::plan::{Aggregate, Shape};
use crate::engine::batch::{Batch, Span};
use crate::engine::partition::{Closing, Partition};
use crate::engine::setup::StreamSetup;
use crate::engine::transactions::Transactions;
use crate::engine::usual::Usual;
use crate::window::cell::fold_column;
use crate::window::grow::grow;
use crate::window::keys::KeyIndex;
use crate::window::pending::Entry;
use crate::window::rows::{KeyRows, ROWS_MAX, RowTime};

/// What a partition keeps for windows of events; empty on a grid.
#[derive(Default)]
pub(crate) struct Events {
    rows: Vec<KeyRows>,
    usual: Usual,
    /// Of a stream of transactions.
    transactions: Option<Box<Transactions>>,
    /// No session ends before this, ns.
    next_end: i64,
    /// Windows gathered on arrival and not scored yet.
    early: Batch,
}

impl Events {
    pub fn new(setup: &StreamSetup) -> Self {
        Events {
            usual: Usual::new(&setup.aggregates),
            transactions: setup.roles.clone().map(|roles| Box::new(Transactions::new(roles))),
            next_end: i64::MAX,
            ..Events::default()
        }
    }

    pub fn add_key(&mut self, setup: &StreamSetup) {
        if setup.shape != Shape::Grid {
            grow(&mut self.rows, 1);
            self.rows.push(KeyRows::default());
            self.usual.add_key();
            self.transactions.iter_mut().for_each(|transactions| transactions.add_key());
        }
    }

    pub fn transactions(&self) -> Option<&Transactions> {
        self.transactions.as_deref()
    }

    pub fn transactions_mut(&mut self) -> Option<&mut Transactions> {
        self.transactions.as_deref_mut()
    }

    /// The first bucket of the watermark in which a session may end.
    pub fn next_end_bucket(&self, setup: &StreamSetup) -> i64 {
        if self.next_end == i64::MAX { i64::MAX } else { (self.next_end - 1).div_euclid(setup.grid_ns) }
    }

    /// Ends a key's epoch; in canonical order.
    pub fn commit_amounts(&mut self, key: KeyIndex, calm: bool) {
        self.usual.commit_amounts(key, calm);
    }

    /// Lets go of a key's rows that no window holds any more; a quiet key keeps none.
    pub fn rest(&mut self, key: KeyIndex, released: i64, setup: &StreamSetup) {
        let Some(rows) = self.rows.get_mut(key as usize) else { return };
        match setup.shape {
            // The event that ends the next window is not before this bucket.
            Shape::Sliding => rows.rest(released * setup.grid_ns - setup.size_ns, setup.columns.len()),
            Shape::Session { .. } => rows.rest(i64::MIN, setup.columns.len()),
            Shape::Count { .. } | Shape::Grid => {}
        }
    }

    pub fn commit(&mut self, calm: impl Fn(KeyIndex) -> bool) {
        self.usual.commit(calm);
    }
}

/// When an open session ends if nothing more comes, ns.
fn session_end(rows: &KeyRows, gap_ns: i64, setup: &StreamSetup) -> Option<i64> {
    let (first, last) = (rows.first()?, rows.last()?);
    Some((last.time + gap_ns).min(first.time + setup.size_ns))
}

/// Gathers windows out of a partition that is taken apart.
struct Gather<'a> {
    setup: &'a StreamSetup,
    usual: &'a mut Usual,
    transactions: Option<&'a mut Transactions>,
}

impl Gather<'_> {
    /// Adds the window of `rows` that ends with the row at `last`.
    fn window(&mut self, key: KeyIndex, rows: &KeyRows, last: usize, span: Span, batch: &mut Batch) {
        let arrival = rows.row(last).arrival;
        let columns = self.setup.columns.len();
        batch.push(key, span, arrival, columns, |out| match self.setup.shape {
            Shape::Count { .. } => (0..=last).for_each(|at| self.cell(key, rows, at..at + 1, out)),
            Shape::Session { .. } => self.cell(key, rows, 0..last + 1, out),
            Shape::Sliding | Shape::Grid => {
                let until = rows.row(last).time;
                for back in (0..self.setup.cells as i64).rev() {
                    let end = until - back * self.setup.cell_ns;
                    self.cell(key, rows, rows.between(end - self.setup.cell_ns, end), out);
                }
            }
        });
    }

    /// Appends what the rows of a cell come to; missing if there are none.
    fn cell(&self, key: KeyIndex, rows: &KeyRows, of: Range<usize>, out: &mut Vec<f32>) {
        let (start, columns) = (out.len(), self.setup.columns.len());
        if of.is_empty() {
            out.resize(start + columns, f32::NAN);
            return;
        }
        let values = rows.values(of.clone(), columns);
        for (column, &aggregate) in self.setup.aggregates.iter().enumerate() {
            let own = values[column..].iter().step_by(columns).copied();
            out.push(match aggregate {
                Aggregate::SinceLast => {
                    let last = own.clone().rposition(|value| !value.is_nan());
                    last.map_or(f32::NAN, |last| rows.since_last_s(of.start + last))
                }
                _ => fold_column(aggregate, own),
            });
        }
        self.usual.apply(key, &mut out[start..]);
    }

    /// A window that ends with an event: half open, so it ends just behind it.
    fn sliding(&mut self, key: KeyIndex, rows: &KeyRows, time: i64, batch: &mut Batch) {
        // Nothing is left of a key that sent more rows at once than are kept.
        let Some(last) = rows.between(i64::MIN, time).end.checked_sub(1) else { return };
        let span = Span { start: time + 1 - self.setup.size_ns, end: time + 1 };
        if let Some(transactions) = &self.transactions {
            batch.rows.push(transactions.twins(rows, time).len() as u32);
            return transactions.gather(key, rows, last, span, batch);
        }
        batch.rows.push(rows.between(time - self.setup.size_ns, time).len() as u32);
        self.window(key, rows, last, span, batch);
    }

    fn session(&mut self, key: KeyIndex, rows: &KeyRows, end: i64, batch: &mut Batch) {
        if let Some(first) = rows.first() {
            let span = Span { start: first.time, end: end.max(first.time + 1) };
            self.window(key, rows, rows.len() - 1, span, batch);
        }
    }

    fn count(&mut self, key: KeyIndex, rows: &KeyRows, batch: &mut Batch) {
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            let span = Span { start: first.time, end: last.time + 1 };
            self.window(key, rows, rows.len() - 1, span, batch);
        }
    }

    /// Takes a final row; leaves the window it ends, if it ends one.
    fn take(&mut self, entry: &Entry, values: &[f32], rows: &mut KeyRows, batch: &mut Batch) {
        let (key, time, columns) = (entry.key, entry.time, values.len());
        let row = RowTime { time, content_hash: entry.content_hash, arrival: entry.arrival };
        rows.finals += 1;
        match self.setup.shape {
            Shape::Sliding | Shape::Grid => {
                let span_end = batch.spans.last().map(|span| span.end);
                let twin = batch.keys.last() == Some(&key) && span_end == Some(time + 1);
                if !twin {
                    self.sliding(key, rows, time, batch);
                }
                rows.drop_until(time - self.setup.size_ns, columns);
            }
            Shape::Count { events, every } => {
                rows.insert(row, values);
                rows.keep(events as usize, columns);
                if rows.len() == events as usize && rows.finals.is_multiple_of(u64::from(every)) {
                    self.count(key, rows, batch);
                }
            }
            Shape::Session { gap } => {
                let end = session_end(rows, gap.as_nanos() as i64, self.setup);
                if let Some(end) = end.filter(|end| time >= *end || rows.len() == ROWS_MAX) {
                    self.session(key, rows, end.min(time), batch);
                    rows.keep(0, columns);
                }
                rows.insert(row, values);
            }
        }
        self.usual.observe(key, values);
        if let Some(transactions) = &mut self.transactions {
            transactions.observe(key, time, values);
        }
    }
}

impl Partition {
    /// Makes the rows of a bucket final, and judges the windows that end in it.
    pub(super) fn close_events(&mut self, bucket: i64, closing: &mut Closing<'_, '_>) {
        let began = (closing.env.now)();
        let setup = closing.setup;
        let batch = &mut closing.scratch.batch;
        batch.clear();
        self.keys.sort();
        self.release_events(bucket, setup, batch);
        let until = (bucket + 1) * setup.grid_ns;
        if let Shape::Session { gap } = setup.shape
            && self.events.next_end <= until
        {
            self.end_sessions(until, gap.as_nanos() as i64, setup, batch);
        }
        let columns = setup.columns.len();
        for (row, &key) in batch.keys.iter().enumerate() {
            let moments = &mut self.moments[key as usize * columns..][..columns];
            for (moments, &value) in moments.iter_mut().zip(batch.newest(row, columns)) {
                if !value.is_nan() {
                    moments.observe(f64::from(value));
                }
            }
        }
        if !batch.is_empty() {
            self.judge_batch(began, closing);
        }
    }

    fn release_events(&mut self, bucket: i64, setup: &StreamSetup, batch: &mut Batch) {
        let Partition { pending, keys, events, counts, grid, silence, seen_keys, newest_cell, .. } = self;
        let Events { rows, usual, transactions, next_end, .. } = events;
        let mut gather = Gather { setup, usual, transactions: transactions.as_deref_mut() };
        let duplicates = pending.release(bucket, keys, |entry, values| {
            let rows = &mut rows[entry.key as usize];
            gather.take(entry, values, rows, batch);
            if let Shape::Session { gap } = setup.shape {
                let end = session_end(rows, gap.as_nanos() as i64, setup);
                *next_end = end.map_or(*next_end, |end| end.min(*next_end));
            }
            silence.row(entry.key, bucket, entry.time);
            *seen_keys += u64::from(!grid.seen(entry.key));
            grid.mark(entry.key, bucket, entry.arrival);
            *newest_cell = bucket;
        });
        counts.duplicates += duplicates;
        counts.events -= duplicates;
    }

    /// Ends the sessions that are over by `until`, in order of their end and then of their key.
    fn end_sessions(&mut self, until: i64, gap_ns: i64, setup: &StreamSetup, batch: &mut Batch) {
        let Partition { keys, events, .. } = self;
        let Events { rows, usual, next_end, .. } = events;
        let end_of = |key: KeyIndex| session_end(&rows[key as usize], gap_ns, setup).map(|end| (end, key));
        let open: Vec<(i64, KeyIndex)> = keys.ordered().iter().filter_map(|&key| end_of(key)).collect();
        let mut over: Vec<(i64, KeyIndex)> = open.iter().filter(|(end, _)| *end <= until).copied().collect();
        over.sort_by_key(|(end, _)| *end);
        *next_end = open.iter().map(|(end, _)| *end).filter(|end| *end > until).min().unwrap_or(i64::MAX);
        let mut gather = Gather { setup, usual, transactions: None };
        for (end, key) in over {
            let rows = &mut rows[key as usize];
            gather.session(key, rows, end, batch);
            rows.keep(0, setup.columns.len());
        }
    }
}
