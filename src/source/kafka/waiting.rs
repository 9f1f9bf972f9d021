//! Partitions that wait: the next message of one needs its schema. Those that share a watermark wait together, for one that
//! went on would make late what is released.

use std::collections::{BTreeMap, VecDeque};

use super::batch::{Batch, OVERHEAD_BYTES};
use crate::schemas::{Passage, Way};
use crate::types::{Message, PartitionId};

/// With so much waiting a partition is paused. Enough that many ids are asked for at once.
const MESSAGES_MAX: usize = 1024;
const BYTES_MAX: usize = 1 << 20;

/// In order, each with where it stands; a message without a value is `None`.
pub(crate) struct Queue<P = i64> {
    waiting: VecDeque<(P, Option<Message>)>,
    bytes: usize,
}

impl<P> Default for Queue<P> {
    fn default() -> Self {
        Queue { waiting: VecDeque::new(), bytes: 0 }
    }
}

impl<P> Queue<P> {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// It takes more all the same, of what is on its way.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MESSAGES_MAX || self.bytes >= BYTES_MAX
    }

    pub fn push(&mut self, place: P, message: Option<Message>) {
        self.bytes += bytes(message.as_ref());
        self.waiting.push_back((place, message));
    }

    pub fn first(&self) -> Option<(&P, Option<&Message>)> {
        self.waiting.front().map(|(place, message)| (place, message.as_ref()))
    }

    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.waiting.iter().filter_map(|(_, message)| message.as_ref())
    }

    pub fn pop(&mut self) -> Option<(P, Option<Message>)> {
        let popped = self.waiting.pop_front();
        self.bytes -= popped.as_ref().map_or(0, |(_, message)| bytes(message.as_ref()));
        popped
    }
}

/// Of one partition.
impl Queue {
    /// Behind what was received.
    pub fn next(&self) -> Option<i64> {
        self.waiting.back().map(|(offset, _)| offset + 1)
    }
}

/// Of those with one watermark.
#[derive(Default)]
struct Held {
    /// By topic, partition and offset.
    queue: Queue<(Box<str>, i32, i64)>,
    /// Topics and partitions of which something was put here.
    of: Vec<(Box<str>, i32)>,
}

/// The partitions of one consumer.
#[derive(Default)]
pub(super) struct Waiting(BTreeMap<PartitionId, Held>);

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn partitions(&self) -> usize {
        self.0.values().map(|held| held.of.len()).sum()
    }

    /// Whether it goes behind what waits, of whatever topic.
    pub fn holds(&self, partition: i32) -> bool {
        self.0.contains_key(&PartitionId::of_kafka(partition))
    }

    /// Whether its partition is to be given nothing more.
    pub fn push(&mut self, (topic, partition, offset): (&str, i32, i64), message: Option<Message>) -> bool {
        let Held { queue, of } = self.0.entry(PartitionId::of_kafka(partition)).or_default();
        if !of.iter().any(|(t, p)| **t == *topic && *p == partition) {
            of.push((topic.into(), partition));
        }
        queue.push((topic.into(), partition, offset), message);
        queue.is_full()
    }

    /// Those that are to be given nothing more.
    pub fn full(&self) -> impl Iterator<Item = (&str, i32)> {
        let full = self.0.values().filter(|held| held.queue.is_full());
        full.flat_map(|held| &held.of).map(|(topic, partition)| (&**topic, *partition))
    }

    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.0.values().flat_map(|held| held.queue.messages())
    }

    /// Drops what waits of a partition; gives the first offset of that.
    pub fn forget(&mut self, topic: &str, partition: i32) -> Option<i64> {
        let Held { queue, of } = self.0.get_mut(&PartitionId::of_kafka(partition))?;
        of.retain(|(t, p)| **t != *topic || *p != partition);
        let all = std::mem::take(queue);
        let mut first = None;
        for (place, message) in all.waiting {
            if *place.0 == *topic && place.1 == partition {
                first.get_or_insert(place.2);
            } else {
                queue.push(place, message);
            }
        }
        first
    }

    /// Moves on what may go, while there is room; gives the partitions that wait no more.
    pub fn release(&mut self, passage: &mut Passage, to: &mut Batch) -> Vec<(Box<str>, i32)> {
        let mut done = Vec::new();
        self.0.retain(|_, Held { queue, of }| {
            while let Some((_, message)) = queue.first()
                && to.has_room()
                && passage.way_of(message) != Way::Shut
            {
                let Some(((topic, partition, offset), message)) = queue.pop() else { break };
                to.add((&topic, partition, offset), message);
            }
            if queue.is_empty() {
                done.append(of);
            }
            !queue.is_empty()
        });
        done
    }
}

fn bytes(message: Option<&Message>) -> usize {
    let of = |message: &Message| {
        message.payload.len() + message.origin.as_ref().map_or(0, |origin| origin.bytes())
    };
    message.map_or(0, of) + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::schemas::{Door, Schema, Schemas};
    use crate::types::Arrival;

    /// Its schema's id is its first byte; 0: it needs none.
    fn message(id: u8) -> Message {
        Message {
            source: "a".into(),
            topic: "t".into(),
            payload: vec![id].into(),
            arrival: Arrival(1),
            idempotency_key: None,
            origin: None,
        }
    }

    /// Schemas that a test tells of.
    fn door() -> Arc<Door> {
        let schemas = Arc::<Schemas>::default();
        let needs = Box::new(|message: &Message| Some(i32::from(message.payload[0])));
        let to = schemas.clone();
        let keep = Box::new(move |schema: &Schema| {
            to.add("a", schema.clone());
            Ok(())
        });
        Arc::new(Door::new("a", schemas, needs, keep))
    }

    fn known(id: i32) -> Schema {
        Schema { id, kind: "AVRO".into(), text: String::new(), references: Vec::new(), from: 0 }
    }

    fn sent(batch: &Batch) -> Vec<u8> {
        batch.messages.iter().map(|m| m.payload[0]).collect()
    }

    #[test]
    fn a_partition_goes_on_behind_what_it_waited_for_and_in_order() {
        let door = door();
        let (mut passage, mut waiting, mut batch) =
            (Passage::through(Some(door.clone())), Waiting::default(), Batch::default());
        for (partition, ids) in [(0, [7, 0, 8]), (1, [8, 7, 0])] {
            for (at, id) in (0..).zip(ids) {
                waiting.push(("t", partition, at), Some(message(id)));
            }
        }
        assert!(waiting.release(&mut passage, &mut batch).is_empty() && batch.is_empty());
        door.answer(7, Some(known(7)));
        door.take_in(0);
        assert!(waiting.release(&mut passage, &mut batch).is_empty());
        assert_eq!(
            (sent(&batch), batch.next["t"].get(&0), batch.next["t"].get(&1)),
            (vec![7, 0], Some(&2), None)
        );
        // The registry has none: what names it is refused later, and holds nothing up.
        door.answer(8, None);
        let done = waiting.release(&mut passage, &mut batch);
        assert_eq!(done, [("t".into(), 0), ("t".into(), 1)]);
        assert_eq!((sent(&batch), waiting.is_empty()), (vec![7, 0, 8, 8, 7, 0], true));
        assert_eq!((batch.next["t"][&0], batch.next["t"][&1]), (3, 3));
    }

    #[test]
    fn partitions_with_one_watermark_wait_together_whatever_their_topic() {
        let door = door();
        let (mut passage, mut waiting, mut batch) =
            (Passage::through(Some(door.clone())), Waiting::default(), Batch::default());
        waiting.push(("t", 0, 5), Some(message(7)));
        // Also the 65th of a topic.
        assert_eq!([0, 64, 1].map(|partition| waiting.holds(partition)), [true, true, false]);
        waiting.push(("u", 0, 3), Some(message(0)));
        waiting.push(("t", 0, 6), None);
        waiting.push(("u", 64, 9), Some(message(1)));
        passage.way_of(Some(&message(1)));
        assert!(waiting.release(&mut passage, &mut batch).is_empty() && batch.is_empty());
        assert_eq!(waiting.partitions(), 3);
        assert_eq!(waiting.full().count(), 0);
        door.answer(7, Some(known(7)));
        door.answer(1, Some(known(1)));
        door.take_in(0);
        let done = waiting.release(&mut passage, &mut batch);
        assert_eq!(done, [("t".into(), 0), ("u".into(), 0), ("u".into(), 64)]);
        assert_eq!((sent(&batch), waiting.is_empty()), (vec![7, 0, 1], true));
        assert_eq!((batch.next["t"][&0], batch.next["u"][&0], batch.next["u"][&64]), (7, 4, 10));
    }

    #[test]
    fn a_full_queue_takes_nothing_more_of_any_of_its_partitions() {
        let mut waiting = Waiting::default();
        waiting.push(("u", 0, 0), Some(message(7)));
        let full = |waiting: &mut Waiting, at| waiting.push(("t", 0, at), Some(message(0)));
        assert!((1..MESSAGES_MAX as i64 - 1).all(|at| !full(&mut waiting, at)));
        assert!(full(&mut waiting, MESSAGES_MAX as i64));
        assert_eq!(waiting.full().collect::<Vec<_>>(), [("u", 0), ("t", 0)]);
    }

    #[test]
    fn what_waits_of_a_partition_that_is_taken_away_goes_and_holds_up_nothing() {
        let (mut passage, mut waiting, mut batch) =
            (Passage::through(Some(door())), Waiting::default(), Batch::default());
        waiting.push(("t", 0, 5), Some(message(7)));
        waiting.push(("u", 0, 3), Some(message(0)));
        waiting.push(("t", 0, 6), Some(message(0)));
        assert_eq!((waiting.forget("t", 1), waiting.forget("v", 0)), (None, None));
        assert_eq!(waiting.forget("t", 0), Some(5));
        assert_eq!(waiting.messages().count(), 1);
        assert_eq!(waiting.release(&mut passage, &mut batch), [("u".into(), 0)]);
        assert_eq!((sent(&batch), batch.next.get("t")), (vec![0], None));
        waiting.push(("t", 0, 5), Some(message(7)));
        waiting.forget("t", 0);
        assert!(waiting.release(&mut passage, &mut batch).is_empty() && waiting.is_empty());
    }
}
