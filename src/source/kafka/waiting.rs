//! Partitions whose next message waits for its schema, and what was received of them since.

use std::collections::VecDeque;

use super::batch::{Batch, OVERHEAD_BYTES};
use crate::schemas::{Passage, Way};
use crate::types::Message;

/// With so much waiting a partition is paused. Enough that many ids are asked for at once.
const MESSAGES_MAX: usize = 1024;
const BYTES_MAX: usize = 1 << 20;

/// Of one partition, in order; a message without a value is `None`.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<(i64, Option<Message>)>,
    bytes: usize,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// It takes more all the same, of what is on its way.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MESSAGES_MAX || self.bytes >= BYTES_MAX
    }

    /// Behind what was received.
    pub fn next(&self) -> Option<i64> {
        self.waiting.back().map(|(offset, _)| offset + 1)
    }

    pub fn push(&mut self, offset: i64, message: Option<Message>) {
        self.bytes += bytes(message.as_ref());
        self.waiting.push_back((offset, message));
    }

    pub fn first(&self) -> Option<(i64, Option<&Message>)> {
        self.waiting.front().map(|(offset, message)| (*offset, message.as_ref()))
    }

    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.waiting.iter().filter_map(|(_, message)| message.as_ref())
    }

    pub fn pop(&mut self) -> Option<(i64, Option<Message>)> {
        let popped = self.waiting.pop_front();
        self.bytes -= popped.as_ref().map_or(0, |(_, message)| bytes(message.as_ref()));
        popped
    }
}

/// The partitions of one consumer.
#[derive(Default)]
pub(super) struct Waiting(Vec<(Box<str>, i32, Queue)>);

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn partitions(&self) -> usize {
        self.0.len()
    }

    pub fn queue(&mut self, topic: &str, partition: i32) -> Option<&mut Queue> {
        let of = |(t, p, _): &&mut (Box<str>, i32, Queue)| **t == *topic && *p == partition;
        self.0.iter_mut().find(of).map(|(_, _, queue)| queue)
    }

    pub fn begin(&mut self, topic: &str, partition: i32) -> &mut Queue {
        self.0.push((topic.into(), partition, Queue::default()));
        let last = self.0.len() - 1;
        &mut self.0[last].2
    }

    /// Those that are to be given nothing more.
    pub fn full(&self) -> impl Iterator<Item = (&str, i32)> {
        self.0
            .iter()
            .filter(|(_, _, queue)| queue.is_full())
            .map(|(topic, partition, _)| (&**topic, *partition))
    }

    /// Moves on what may go, while there is room; gives the partitions that wait no more.
    pub fn release(&mut self, passage: &mut Passage, to: &mut Batch) -> Vec<(Box<str>, i32)> {
        for (topic, partition, queue) in &mut self.0 {
            while let Some((_, message)) = queue.first()
                && to.has_room()
                && passage.way_of(message) != Way::Shut
            {
                let Some((offset, message)) = queue.pop() else { break };
                to.add((topic, *partition, offset), message);
            }
        }
        let done = self.0.extract_if(.., |(_, _, queue)| queue.is_empty());
        done.map(|(topic, partition, _)| (topic, partition)).collect()
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

    #[test]
    fn a_partition_goes_on_behind_what_it_waited_for_and_in_order() {
        let schemas = Arc::<Schemas>::default();
        let needs = Box::new(|message: &Message| Some(i32::from(message.payload[0])));
        let to = schemas.clone();
        let keep = Box::new(move |schema: &Schema| {
            to.add("a", schema.clone());
            Ok(())
        });
        let door = Arc::new(Door::new("a", schemas, needs, keep));
        let (mut passage, mut waiting, mut batch) =
            (Passage::through(Some(door.clone())), Waiting::default(), Batch::default());
        for (partition, ids) in [(0, [7, 0, 8]), (1, [8, 7, 0])] {
            let queue = waiting.begin("t", partition);
            (0..).zip(ids).for_each(|(offset, id)| queue.push(offset, Some(message(id))));
            assert_eq!(queue.next(), Some(3));
        }
        assert!(waiting.release(&mut passage, &mut batch).is_empty() && batch.is_empty());
        let known =
            |id| Schema { id, kind: "AVRO".into(), text: String::new(), references: Vec::new(), from: 0 };
        door.answer(7, Some(known(7)));
        door.take_in(0);
        assert!(waiting.release(&mut passage, &mut batch).is_empty());
        let sent = |batch: &Batch| -> Vec<u8> { batch.messages.iter().map(|m| m.payload[0]).collect() };
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
}
