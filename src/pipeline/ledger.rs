//! What must outlive a restart besides the partitions: how many messages each source has given, and how far
//! into each topic of Kafka, which requests were answered, and how the partitions stand. Kept by the decode thread, which sees every
//! message in log order, so that what it saves belongs to one exact position.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::pipeline::rounds::Standing;
use crate::source::http::{AnsweredKey, KEYS_MAX};
use crate::state::{NotUnderstood, StateReader, StateWriter};
use crate::types::kafka::advance;
use crate::types::{Arrival, Message, Offsets, PARTITIONS, Position};

/// Name of its snapshots. A partition's ends in its number, so no stream's is called so.
pub use crate::durable::LEDGER;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Every message before it is accounted for.
    pub position: Position,
    /// Messages by source.
    pub counted: BTreeMap<Arc<str>, u64>,
    /// Where each source goes on in Kafka's topics.
    pub offsets: BTreeMap<Arc<str>, Offsets>,
    /// Oldest first, as many as are remembered.
    pub answered: VecDeque<AnsweredKey>,
}

/// How the partitions of a stream stood at a ledger's position.
pub type Standings = BTreeMap<String, Vec<Standing>>;

impl Ledger {
    /// Takes note of the message at `position`, unless it has been; gives its key, if it has one.
    pub fn observe(&mut self, position: Position, message: &Message) -> Option<&AnsweredKey> {
        if position < self.position {
            return None;
        }
        self.position = Position(position.0 + 1);
        match self.counted.get_mut(&message.source) {
            Some(count) => *count += 1,
            None => drop(self.counted.insert(message.source.clone(), 1)),
        }
        if let Some(origin) = &message.origin {
            let offsets = match self.offsets.get_mut(&message.source) {
                Some(offsets) => offsets,
                None => self.offsets.entry(message.source.clone()).or_default(),
            };
            advance(offsets, &message.topic, origin.partition, origin.offset + 1);
        }
        self.answered.push_back(AnsweredKey::of(message)?);
        if self.answered.len() > KEYS_MAX {
            self.answered.pop_front();
        }
        self.answered.back()
    }

    pub fn encode<'a>(
        &self,
        standings: impl ExactSizeIterator<Item = (&'a str, &'a [Standing])>,
        to: &mut Vec<u8>,
    ) {
        let Ledger { position: _, counted, offsets, answered } = self;
        let to = &mut StateWriter(to);
        to.len(counted.len());
        for (source, count) in counted {
            to.bytes(source.as_bytes());
            to.number(*count);
        }
        to.len(answered.len());
        for AnsweredKey { key, body_hash, arrival } in answered {
            to.bytes(key.as_bytes());
            to.number(*body_hash);
            to.number(arrival.0);
        }
        to.len(standings.len());
        for (stream, partitions) in standings {
            to.bytes(stream.as_bytes());
            for standing in partitions {
                let (kind, at) = match standing {
                    Standing::Changed { first } => (0u8, first.0),
                    Standing::Empty => (1, 0),
                    Standing::SavedAt(at) => (2, at.0),
                };
                to.number(kind);
                to.number(at);
            }
        }
        to.len(offsets.len());
        for (source, offsets) in offsets {
            to.bytes(source.as_bytes());
            encode_offsets(offsets, to);
        }
    }

    /// # Errors
    /// If the bytes are no ledger.
    pub fn decode(position: Position, bytes: &[u8]) -> Result<(Ledger, Standings), NotUnderstood> {
        let mut from = StateReader::new(bytes);
        let mut ledger = Ledger { position, ..Ledger::default() };
        for _ in 0..from.len(16)? {
            let source = text(&mut from)?.into();
            ledger.counted.insert(source, from.number()?);
        }
        for _ in 0..from.len(32)? {
            let key = text(&mut from)?.into();
            let (body_hash, arrival) = (from.number()?, Arrival(from.number()?));
            ledger.answered.push_back(AnsweredKey { key, body_hash, arrival });
        }
        let mut standings = Standings::new();
        for _ in 0..from.len(8)? {
            let stream = text(&mut from)?.to_owned();
            let partitions = (0..PARTITIONS).map(|_| standing(&mut from)).collect::<Result<_, _>>()?;
            standings.insert(stream, partitions);
        }
        // Ledgers of before there was Kafka end here, and a stream that was reset goes on from one.
        if !from.is_over() {
            for _ in 0..from.len(16)? {
                let source = text(&mut from)?.into();
                ledger.offsets.insert(source, decode_offsets(&mut from)?);
            }
        }
        from.end()?;
        Ok((ledger, standings))
    }
}

fn encode_offsets(offsets: &Offsets, to: &mut StateWriter<'_>) {
    to.len(offsets.len());
    for (topic, partitions) in offsets {
        to.bytes(topic.as_bytes());
        to.len(partitions.len());
        for (partition, next) in partitions {
            to.number(*partition);
            to.number(*next);
        }
    }
}

fn decode_offsets(from: &mut StateReader<'_>) -> Result<Offsets, NotUnderstood> {
    let mut offsets = Offsets::new();
    for _ in 0..from.len(16)? {
        let topic = text(from)?.to_owned();
        for _ in 0..from.len(12)? {
            advance(&mut offsets, &topic, from.number()?, from.number()?);
        }
    }
    Ok(offsets)
}

fn text<'a>(from: &mut StateReader<'a>) -> Result<&'a str, NotUnderstood> {
    std::str::from_utf8(from.bytes()?).map_err(|_| NotUnderstood("a name is no text"))
}

fn standing(from: &mut StateReader<'_>) -> Result<Standing, NotUnderstood> {
    let (kind, at): (u8, u64) = (from.number()?, from.number()?);
    match kind {
        0 => Ok(Standing::Changed { first: Position(at) }),
        1 => Ok(Standing::Empty),
        2 => Ok(Standing::SavedAt(Position(at))),
        _ => Err(NotUnderstood("a partition stands in a way that is not known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::KafkaOrigin;

    fn message(source: &str, key: Option<&str>) -> Message {
        Message {
            source: source.into(),
            topic: "pumps".into(),
            payload: bytes::Bytes::from_static(b"{}"),
            arrival: Arrival(5),
            idempotency_key: key.map(Into::into),
            origin: None,
        }
    }

    fn of_kafka(partition: i32, offset: i64) -> Message {
        let origin = KafkaOrigin { partition, offset, ..KafkaOrigin::default() };
        Message { origin: Some(Box::new(origin)), ..message("bus", None) }
    }

    #[test]
    fn a_ledger_knows_what_comes_next_of_each_partition_of_kafka() {
        let mut ledger = Ledger::default();
        for (i, (partition, offset)) in [(0, 0), (3, 17), (0, 1)].into_iter().enumerate() {
            ledger.observe(Position(i as u64), &of_kafka(partition, offset));
        }
        let mut bytes = Vec::new();
        ledger.encode(std::iter::empty(), &mut bytes);
        let (found, _) = Ledger::decode(Position(3), &bytes).unwrap();
        assert_eq!(found.offsets["bus"]["pumps"], BTreeMap::from([(0, 2), (3, 18)]));
        assert_eq!(found, ledger);
    }

    #[test]
    fn a_ledger_comes_back_and_goes_on_at_its_position() {
        let mut ledger = Ledger::default();
        for (i, key) in [None, Some("a"), Some("b")].into_iter().enumerate() {
            ledger.observe(Position(i as u64), &message("web", key));
        }
        let first = Position(1);
        let mut of_pumps = vec![Standing::SavedAt(Position(2)); 64];
        of_pumps[7] = Standing::Changed { first };
        let standings = [vec![Standing::Empty; 64], of_pumps];
        let mut bytes = Vec::new();
        let named = ["fans", "pumps"].into_iter().zip(standings.iter().map(Vec::as_slice));
        ledger.encode(named.collect::<Vec<_>>().into_iter(), &mut bytes);
        let (mut found, found_standings) = Ledger::decode(Position(3), &bytes).unwrap();
        assert_eq!(found, ledger);
        assert_eq!(found_standings.into_values().collect::<Vec<_>>(), standings);
        assert!(found.observe(Position(2), &message("web", Some("b"))).is_none(), "counted already");
        found.observe(Position(3), &message("web", Some("c")));
        assert_eq!((found.counted["web"], found.answered.len()), (4, 3));
        assert!(Ledger::decode(Position(3), &bytes[..bytes.len() - 1]).is_err());
    }
}
