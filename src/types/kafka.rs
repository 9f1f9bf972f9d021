//! What a message of Kafka brings with it.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The offset that comes next, by topic and partition.
pub type Offsets = BTreeMap<Box<str>, BTreeMap<i32, i64>>;

/// Where a message stands in its topic, and what it carries beside its value. Kept in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaOrigin {
    pub partition: i32,
    pub offset: i64,
    /// The producer's or the broker's time, as the topic is set up, ms since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Bytes>,
    /// In the order they were sent; a name may come twice.
    pub headers: Box<[Header]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: Box<str>,
    pub value: Option<Bytes>,
}

impl KafkaOrigin {
    /// The last header of this name; `None` if it has no value, or there is no such header.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().rev().find(|header| &*header.name == name)?.value.as_ref()
    }

    /// Of key and headers.
    pub fn bytes(&self) -> usize {
        let of_header = |header: &Header| header.name.len() + header.value.as_ref().map_or(0, Bytes::len);
        self.key.as_ref().map_or(0, Bytes::len) + self.headers.iter().map(of_header).sum::<usize>()
    }
}

/// Notes what follows this message.
pub fn advance(offsets: &mut Offsets, topic: &str, partition: i32, next: i64) {
    match offsets.get_mut(topic) {
        Some(partitions) => drop(partitions.insert(partition, next)),
        None => drop(offsets.insert(topic.into(), BTreeMap::from([(partition, next)]))),
    }
}

/// Takes note of a message; `false` if it was noted before.
pub fn takes(offsets: &mut Offsets, topic: &str, partition: i32, offset: i64) -> bool {
    let is_new = next_of(offsets, topic, partition).is_none_or(|next| offset >= next);
    if is_new {
        advance(offsets, topic, partition, offset + 1);
    }
    is_new
}

/// The offset that comes next, if something of this partition is known.
pub fn next_of(offsets: &Offsets, topic: &str, partition: i32) -> Option<i64> {
    offsets.get(topic)?.get(&partition).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_once_and_gaps_are_none_of_our_business() {
        let mut offsets = Offsets::new();
        let taken = [(0, 5), (0, 5), (0, 4), (1, 0), (0, 9), (0, 8), (1, 1)]
            .map(|(partition, offset)| takes(&mut offsets, "pumps", partition, offset));
        assert_eq!(taken, [true, false, false, true, true, false, true]);
        assert_eq!(offsets, Offsets::from([("pumps".into(), BTreeMap::from([(0, 10), (1, 2)]))]));
        assert!(takes(&mut offsets, "fans", 0, 0));
    }
}
