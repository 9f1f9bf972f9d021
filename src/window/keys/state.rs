//! The keys as bytes. Their index is their place; look-up and order are made again.

use super::Keys;
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl Keys {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Keys { table: _, entries, order: _ } = self;
        to.len(entries.len());
        for (hash, bytes) in entries {
            to.number(*hash);
            to.bytes(bytes);
        }
    }

    /// # Errors
    /// If the bytes are no keys.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut keys = Keys::default();
        let len = from.len(16)?;
        keys.entries.reserve_exact(len);
        for _ in 0..len {
            let hash = from.number()?;
            expect(keys.intern(hash, from.bytes()?).1, "a key is there twice")?;
        }
        keys.sort();
        Ok(keys)
    }
}
