//! Slots: columnar blocks of decoded rows in host memory. The owner moves, nothing is locked or copied.
//!
//! A slot is filled by decode, travels to one shard, and returns to be cleared and filled again:
//! its buffers keep their capacity, so the steady state allocates nothing per event.

use crate::types::{Arrival, EventTime, PartitionId, Position, RecordRef, StreamId};

#[derive(Clone, Copy, Debug)]
struct Row {
    stream: StreamId,
    key_start: u32,
    key_len: u16,
    columns: u16,
    values_start: u32,
    key_hash: u64,
    partition: PartitionId,
    content_hash: u64,
    time: EventTime,
    arrival: Arrival,
    position: Position,
    row: u32,
    outcome: Option<bool>,
}

/// Decoded rows of one shard, in log order.
#[derive(Debug, Default)]
pub struct Slot {
    rows: Vec<Row>,
    keys: Vec<u8>,
    values: Vec<f32>,
}

impl Slot {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.keys.clear();
        self.values.clear();
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Copies one record in. `record.key` must be at most 65,535 bytes (decode dead-letters longer ones).
    pub fn push(&mut self, record: RecordRef<'_>) {
        self.rows.push(Row {
            stream: record.stream,
            key_start: self.keys.len() as u32,
            key_len: record.key.len() as u16,
            columns: record.values.len() as u16,
            values_start: self.values.len() as u32,
            key_hash: record.key_hash,
            partition: record.partition,
            content_hash: record.content_hash,
            time: record.time,
            arrival: record.arrival,
            position: record.position,
            row: record.row,
            outcome: record.outcome,
        });
        self.keys.extend_from_slice(record.key);
        self.values.extend_from_slice(record.values);
    }

    pub fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.rows.iter().map(|row| RecordRef {
            stream: row.stream,
            key: &self.keys[row.key_start as usize..][..row.key_len as usize],
            key_hash: row.key_hash,
            partition: row.partition,
            time: row.time,
            arrival: row.arrival,
            position: row.position,
            row: row.row,
            outcome: row.outcome,
            values: &self.values[row.values_start as usize..][..row.columns as usize],
            content_hash: row.content_hash,
        })
    }
}
