//! The keys of one partition: bytes to a dense index, and their canonical order.

mod state;

use hashbrown::HashTable;

use crate::window::grow::{grow, grown};

/// Dense index of a key inside its partition, in order of first arrival. Never part of a decision.
pub type KeyIndex = u32;

#[derive(Default)]
pub struct Keys {
    table: HashTable<KeyIndex>,
    entries: Vec<(u64, Box<[u8]>)>,
    order: Vec<KeyIndex>,
}

impl Keys {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn hash(&self, key: KeyIndex) -> u64 {
        self.entries[key as usize].0
    }

    pub fn bytes(&self, key: KeyIndex) -> &[u8] {
        &self.entries[key as usize].1
    }

    /// Heap of `keys` keys of `key_bytes` each, bytes. The table keeps a control byte an entry and is
    /// filled to seven eighths of a power of two at most.
    pub fn heap_bytes(keys: f64, key_bytes: usize) -> f64 {
        let table = (keys * 8.0 / 7.0).max(4.0).log2().ceil().exp2() * (size_of::<KeyIndex>() + 1) as f64;
        let entries = grown(keys) * size_of::<(u64, Box<[u8]>)>() as f64 + keys * key_bytes as f64;
        table + entries + grown(keys) * size_of::<KeyIndex>() as f64
    }

    /// Index of `key`, made on first sight (`true`). Allocates for new keys only.
    pub fn intern(&mut self, hash: u64, key: &[u8]) -> (KeyIndex, bool) {
        if let Some(index) = self.find(hash, key) {
            return (index, false);
        }
        let index = self.entries.len() as KeyIndex;
        grow(&mut self.entries, 1);
        self.entries.push((hash, key.into()));
        let entries = &self.entries;
        self.table.insert_unique(hash, index, |&i| entries[i as usize].0);
        (index, true)
    }

    /// Index of `key`, if it was ever seen.
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<KeyIndex> {
        let same = |&index: &KeyIndex| {
            let entry = &self.entries[index as usize];
            entry.0 == hash && *entry.1 == *key
        };
        self.table.find(hash, same).copied()
    }

    /// Compares two keys in canonical order: by hash, then by bytes, never by arrival.
    pub fn compare(&self, a: KeyIndex, b: KeyIndex) -> std::cmp::Ordering {
        if a == b {
            return std::cmp::Ordering::Equal;
        }
        self.entries[a as usize].cmp(&self.entries[b as usize])
    }

    /// Brings `ordered` up to date after keys were added; call before a window closes.
    pub fn sort(&mut self) {
        if self.order.len() < self.entries.len() {
            let new = self.entries.len() - self.order.len();
            grow(&mut self.order, new);
            self.order.extend(self.order.len() as KeyIndex..self.entries.len() as KeyIndex);
            let entries = &self.entries;
            self.order.sort_unstable_by(|&a, &b| entries[a as usize].cmp(&entries[b as usize]));
        }
    }

    /// All keys in canonical order, as of the last [`Keys::sort`].
    pub fn ordered(&self) -> &[KeyIndex] {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_depend_on_arrival() {
        let names: Vec<Vec<u8>> = (0..500).map(|i| format!("pump-{i}").into_bytes()).collect();
        let listed = |names: &[Vec<u8>]| {
            let mut keys = Keys::default();
            for (i, name) in names.iter().enumerate() {
                keys.intern(crate::types::key_hash(name), name);
                if i % 7 == 0 {
                    keys.sort();
                }
            }
            keys.sort();
            keys.ordered().iter().map(|&k| keys.bytes(k).to_vec()).collect::<Vec<_>>()
        };
        let mut reversed = names.clone();
        reversed.reverse();
        assert_eq!(listed(&names), listed(&reversed));
    }

    #[test]
    fn equal_hashes_are_told_apart_by_bytes() {
        let mut keys = Keys::default();
        assert_eq!(keys.intern(7, b"b"), (0, true));
        assert_eq!(keys.intern(7, b"a"), (1, true));
        assert_eq!(keys.intern(7, b"b"), (0, false));
        keys.sort();
        assert_eq!(keys.ordered(), &[1, 0]);
    }
}
