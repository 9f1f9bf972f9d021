//! Rows whose cell the watermark has not passed yet, a bucket a grid cell.
//!
//! A bucket is filled in order of arrival and sorted once when it is released, so what comes out is a
//! function of the set of rows alone. Redelivered rows are neighbours then and are dropped. A released
//! bucket is kept while late rows may still join it, then retired: the identities of its rows stay for
//! one more lateness, to tell a redelivery from an event that came too late.

mod state;

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::types::{Position, RecordRef};
use crate::window::grow::{grow, grown};
use crate::window::keys::{KeyIndex, Keys};

/// A pending row; its values stand in the bucket's `values` from `values_start`.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub key: KeyIndex,
    values_start: u32,
    key_hash: u64,
    pub time: i64,
    content_hash: u64,
    /// Arrival of the row, ns; with duplicates that of the first one in log order.
    pub arrival: i64,
    pub position: Position,
}

impl Entry {
    fn of(key: KeyIndex, values_start: u32, record: &RecordRef<'_>) -> Self {
        Entry {
            key,
            values_start,
            key_hash: record.key_hash,
            time: record.time.0,
            content_hash: record.content_hash,
            arrival: record.arrival.0,
            position: record.position,
        }
    }
}

#[derive(Default)]
struct Bucket {
    /// Values a row.
    columns: usize,
    entries: Vec<Entry>,
    values: Vec<f32>,
}

type Identity = (u64, i64, u64);

/// How a row was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Pending,
    /// Its cell was already final, and the same row is part of it.
    Duplicate,
    /// Its cell was already final.
    Late,
}

pub struct Pending {
    buckets: Vec<Bucket>,
    /// Cells a released bucket is kept.
    late_cells: i64,
    /// Identities of released rows, sorted, newest cell last; as many cells as `buckets`.
    released: VecDeque<(i64, Vec<Identity>)>,
    spare: Vec<Vec<Identity>>,
    rows: usize,
}

impl Pending {
    /// `cells`: how many grid cells may be open at once (lateness / grid + 2), `late_cells` of them released.
    pub fn new(cells: usize, late_cells: i64) -> Self {
        Pending {
            late_cells,
            buckets: (0..cells).map(|_| Bucket::default()).collect(),
            released: VecDeque::new(),
            spare: Vec::new(),
            rows: 0,
        }
    }

    /// Heap of as many `cells` with `rows` each, bytes: buckets keep what they once needed, and the
    /// identities of as many cells again are known.
    pub fn heap_bytes(cells: usize, rows: f64, columns: usize) -> f64 {
        let bucket =
            grown(rows) * size_of::<Entry>() as f64 + grown(rows * columns as f64) * size_of::<f32>() as f64;
        let identities = grown(rows) * size_of::<Identity>() as f64;
        cells as f64 * (size_of::<Bucket>() as f64 + bucket + identities)
    }

    /// Rows waiting, duplicates included.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn push(&mut self, cell: i64, key: KeyIndex, record: &RecordRef<'_>) {
        let bucket = self.bucket(cell);
        grow(&mut bucket.entries, 1);
        grow(&mut bucket.values, record.values.len());
        bucket.columns = record.values.len();
        bucket.entries.push(Entry::of(key, bucket.values.len() as u32, record));
        bucket.values.extend_from_slice(record.values);
        self.rows += 1;
    }

    /// What to call a row whose cell is already final.
    pub fn after_release(&self, cell: i64, record: &RecordRef<'_>) -> Taken {
        let wanted = (record.key_hash, record.time.0, record.content_hash);
        let known = self.released.iter().find(|(c, _)| *c == cell);
        match known.map(|(_, ids)| ids.binary_search(&wanted)) {
            Some(Ok(_)) => Taken::Duplicate,
            _ => Taken::Late,
        }
    }

    /// Adds a row to a released cell that is still kept.
    pub fn join(&mut self, cell: i64, keys: &Keys, key: KeyIndex, record: &RecordRef<'_>) -> Taken {
        let bucket = self.bucket(cell);
        bucket.columns = record.values.len();
        let entry = Entry::of(key, bucket.values.len() as u32, record);
        let place = bucket.entries.partition_point(|other| identity(keys, other, &entry) == Ordering::Less);
        let same = bucket.entries.get(place).is_some_and(|other| identity(keys, other, &entry).is_eq());
        if same {
            return Taken::Duplicate;
        }
        bucket.entries.insert(place, entry);
        bucket.values.extend_from_slice(record.values);
        Taken::Pending
    }

    /// Hands the rows of one key in a released cell, in canonical order, to `fold`.
    pub fn rows_of(&self, cell: i64, key: KeyIndex, mut fold: impl FnMut(&Entry, &[f32])) {
        let bucket = &self.buckets[self.slot(cell)];
        let columns = bucket.columns;
        for entry in bucket.entries.iter().filter(|entry| entry.key == key) {
            fold(entry, &bucket.values[entry.values_start as usize..][..columns]);
        }
    }

    /// Releases a cell: hands each distinct row, in canonical order, to `fold`. Returns how many
    /// duplicates were dropped.
    pub fn release(&mut self, cell: i64, keys: &Keys, mut fold: impl FnMut(&Entry, &[f32])) -> u64 {
        let bucket = self.bucket(cell);
        let columns = bucket.columns;
        let waiting = bucket.entries.len();
        bucket.entries.sort_unstable_by(|a, b| compare(keys, a, b));
        bucket.entries.dedup_by(|later, first| identity(keys, later, first).is_eq());
        for entry in &bucket.entries {
            fold(entry, &bucket.values[entry.values_start as usize..][..columns]);
        }
        let duplicates = waiting - bucket.entries.len();
        self.rows -= waiting;
        self.retire(cell - self.late_cells);
        duplicates as u64
    }

    /// Keeps no more than the identities of a released cell.
    fn retire(&mut self, cell: i64) {
        let slot = self.slot(cell);
        let bucket = &mut self.buckets[slot];
        if bucket.entries.is_empty() {
            return;
        }
        let mut identities = self.spare.pop().unwrap_or_default();
        grow(&mut identities, bucket.entries.len());
        identities.extend(bucket.entries.iter().map(|e| (e.key_hash, e.time, e.content_hash)));
        bucket.entries.clear();
        bucket.values.clear();
        self.remember(cell, identities);
    }

    /// Retires what late rows can no longer join, after cells were skipped because no row waited.
    pub fn skip_to(&mut self, from: i64, until: i64) {
        for cell in from - self.late_cells..from.min(until - self.late_cells) {
            self.retire(cell);
        }
    }

    fn remember(&mut self, cell: i64, identities: Vec<Identity>) {
        let horizon = self.buckets.len() as i64;
        self.released.push_back((cell, identities));
        while let Some((oldest, _)) = self.released.front() {
            if *oldest > cell - horizon {
                break;
            }
            if let Some((_, mut ids)) = self.released.pop_front() {
                ids.clear();
                self.spare.push(ids);
            }
        }
    }

    fn slot(&self, cell: i64) -> usize {
        cell.rem_euclid(self.buckets.len() as i64) as usize
    }

    fn bucket(&mut self, cell: i64) -> &mut Bucket {
        let slot = self.slot(cell);
        &mut self.buckets[slot]
    }
}

/// Key, time and content: equal for a row and its redelivery.
fn identity(keys: &Keys, a: &Entry, b: &Entry) -> Ordering {
    a.key_hash
        .cmp(&b.key_hash)
        .then_with(|| keys.compare(a.key, b.key))
        .then_with(|| (a.time, a.content_hash).cmp(&(b.time, b.content_hash)))
}

/// By identity, then log order (so that the first of equal rows is the one kept).
fn compare(keys: &Keys, a: &Entry, b: &Entry) -> Ordering {
    identity(keys, a, b).then_with(|| (a.position, a.values_start).cmp(&(b.position, b.values_start)))
}
