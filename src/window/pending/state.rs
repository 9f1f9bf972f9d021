//! Waiting rows and known identities as bytes.

use super::{Bucket, Entry, Identity, Pending};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::types::Position;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 4 + 4 + 8 * 5;
const IDENTITY_BYTES: usize = 24;

impl Pending {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        // Spare vectors hold nothing.
        let Pending { buckets, late_cells: _, released, spare: _, rows } = self;
        to.len(*rows);
        to.len(buckets.len());
        for Bucket { columns: _, entries, values } in buckets {
            to.len(entries.len());
            entries.iter().for_each(|entry| encode_entry(entry, to));
            to.numbers(values);
        }
        to.len(released.len());
        for (cell, identities) in released {
            to.number(*cell);
            to.len(identities.len());
            for (key_hash, time, content_hash) in identities {
                to.number(*key_hash);
                to.number(*time);
                to.number(*content_hash);
            }
        }
    }

    /// # Errors
    /// If the bytes are those of another lateness, or name keys beyond `keys`.
    pub fn decode(
        cells: usize,
        late_cells: i64,
        columns: usize,
        keys: usize,
        from: &mut StateReader<'_>,
    ) -> Result<Self, NotUnderstood> {
        let mut pending = Pending::new(cells, late_cells);
        pending.rows = from.number::<u64>()? as usize;
        let mut kept = 0;
        expect(from.number::<u64>()? == cells as u64, "another lateness")?;
        for bucket in &mut pending.buckets {
            for _ in 0..from.len(ENTRY_BYTES)? {
                bucket.entries.push(decode_entry(from)?);
            }
            bucket.values = from.numbers()?;
            let len = bucket.entries.len();
            // Values of dropped duplicates are still among them.
            expect(bucket.values.len() >= len * columns, "rows of another width")?;
            let sound = |e: &Entry| {
                (e.key as usize) < keys && e.values_start as usize + columns <= bucket.values.len()
            };
            expect(bucket.entries.iter().all(sound), "a waiting row of no key")?;
            bucket.columns = columns;
            kept += len;
        }
        expect(pending.rows <= kept, "more rows wait than there are")?;
        for _ in 0..from.len(16)? {
            let cell = from.number()?;
            let len = from.len(IDENTITY_BYTES)?;
            let mut identities: Vec<Identity> = Vec::with_capacity(len);
            for _ in 0..len {
                identities.push((from.number()?, from.number()?, from.number()?));
            }
            pending.released.push_back((cell, identities));
        }
        Ok(pending)
    }
}

fn encode_entry(entry: &Entry, to: &mut StateWriter<'_>) {
    let Entry { key, values_start, key_hash, time, content_hash, arrival, position } = entry;
    to.number(*key);
    to.number(*values_start);
    to.number(*key_hash);
    to.number(*time);
    to.number(*content_hash);
    to.number(*arrival);
    to.number(position.0);
}

fn decode_entry(from: &mut StateReader<'_>) -> Result<Entry, NotUnderstood> {
    Ok(Entry {
        key: from.number()?,
        values_start: from.number()?,
        key_hash: from.number()?,
        time: from.number()?,
        content_hash: from.number()?,
        arrival: from.number()?,
        position: Position(from.number()?),
    })
}
