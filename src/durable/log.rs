//! The message log: what was received, as received, before anything is understood of it.
//!
//! Body of a record, little-endian: `arrival i64 │ source len u16 │ topic len u16 │ key len u16
//! (65,535 = no key) │ source │ topic │ idempotency key │ payload`. The highest bit of the source's length says that
//! what a message of Kafka brought with it stands before the payload; see [`origin`].

mod origin;

use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::record_log::{CommitStats, RecordLog, RecordReader};
use super::{Disk, LogError};
use crate::types::{Arrival, Message, Position};

const MAGIC: [u8; 8] = *b"EDDYLOG\0";
const FIXED_BYTES: usize = 14;
const NO_KEY: u16 = u16::MAX;
/// In the length of the source, whose name is at most 64 bytes.
const OF_KAFKA: u16 = 1 << 15;

/// The append-only log of messages, `log/<first position, 20 digits>.log` in the data folder.
/// One owner and one writer; see [`super`] for what it promises.
pub struct Log {
    records: RecordLog,
    /// Position and arrival of the second segment's first message, once it was read.
    second_arrival: Option<(u64, Arrival)>,
}

impl Log {
    /// Opens the log of data folder `dir`, making it if need be, and recovers: a torn tail is cut, and
    /// everything readable from then on is durable. `segment_bytes`: a file is closed at this length.
    pub fn open(disk: Box<dyn Disk>, dir: &Path, segment_bytes: u64) -> Result<Log, LogError> {
        let records = RecordLog::open(disk, dir.join("log"), MAGIC, segment_bytes)?;
        Ok(Log { records, second_arrival: None })
    }

    /// The position the next appended message gets.
    pub fn next_position(&self) -> Position {
        Position(self.records.next_position())
    }

    /// The position of the oldest message kept; that of the next one if there is none.
    pub fn first_position(&self) -> Position {
        Position(self.records.first_position())
    }

    /// Removes the oldest segment if every message in it lies before `floor` and it is no longer wanted:
    /// the message after it arrived before `older_than`, or the log has more than `bytes_max`. Call it
    /// until it says `false`.
    pub fn trim(&mut self, floor: Position, older_than: Arrival, bytes_max: u64) -> Result<bool, LogError> {
        let Some(second) = self.records.second_segment().filter(|second| *second <= floor.0) else {
            return Ok(false);
        };
        if self.records.bytes() <= bytes_max && self.arrival_at(second)? >= older_than {
            return Ok(false);
        }
        self.records.remove_oldest()?;
        Ok(true)
    }

    /// Arrival of the message at a segment's beginning.
    fn arrival_at(&mut self, position: u64) -> Result<Arrival, LogError> {
        if let Some((at, arrival)) = self.second_arrival
            && at == position
        {
            return Ok(arrival);
        }
        let read = self.read_from(Position(position)).next();
        let arrival = read.transpose()?.map_or(Arrival(i64::MAX), |(_, message)| message.arrival);
        self.second_arrival = Some((position, arrival));
        Ok(arrival)
    }

    /// Adds a message to the commit being gathered: one copy of the payload, no I/O. It is not durable
    /// yet, and its position is only lent until [`Log::commit`] returns `Ok`.
    ///
    /// `TooLarge` if the message is over [`MESSAGE_BYTES_MAX`](super::MESSAGE_BYTES_MAX) or one of its
    /// text fields over 65,534 bytes; the commit being gathered is as before.
    pub fn append(&mut self, message: &Message) -> Result<Position, LogError> {
        let source = message.source.as_bytes();
        let topic = message.topic.as_bytes();
        let key = message.idempotency_key.as_ref().map(|key| key.as_bytes());
        let key_bytes = key.unwrap_or_default();
        let origin = message.origin.as_deref();
        let fields = source.len() + topic.len() + key_bytes.len() + origin.map_or(0, origin::bytes);
        let bytes = (FIXED_BYTES + fields + message.payload.len()) as u64;
        let long = [topic, key_bytes].iter().any(|field| field.len() >= NO_KEY as usize);
        if long || source.len() >= OF_KAFKA as usize || !origin.is_none_or(origin::fits) {
            return Err(LogError::TooLarge { bytes });
        }
        let position = self.records.append(bytes, |buffer| {
            buffer.extend_from_slice(&message.arrival.0.to_le_bytes());
            let flag = if origin.is_some() { OF_KAFKA } else { 0 };
            buffer.extend_from_slice(&(source.len() as u16 | flag).to_le_bytes());
            buffer.extend_from_slice(&(topic.len() as u16).to_le_bytes());
            buffer.extend_from_slice(&key.map_or(NO_KEY, |key| key.len() as u16).to_le_bytes());
            buffer.extend_from_slice(source);
            buffer.extend_from_slice(topic);
            buffer.extend_from_slice(key_bytes);
            if let Some(origin) = origin {
                origin::encode(origin, buffer);
            }
            buffer.extend_from_slice(&message.payload);
        })?;
        Ok(Position(position))
    }

    /// Makes every message appended since the last commit durable: one write, one fsync (and one of
    /// the folder when a file begins). Only after `Ok` may they be acknowledged. After `Err` none of
    /// them is in the log and their positions are given again: refuse them, or append them anew.
    pub fn commit(&mut self) -> Result<CommitStats, LogError> {
        self.records.commit()
    }

    /// The committed messages from `position` on, in order.
    pub fn read_from(&self, position: Position) -> LogReader<'_> {
        LogReader { records: self.records.read_from(position.0), sources: Vec::new() }
    }
}

/// Reads messages in order, in large sequential reads. Ends after the first error.
///
/// A payload is a slice of the chunk it was read in: keeping one keeps up to a MiB of memory, so copy
/// what is to be kept for long.
pub struct LogReader<'a> {
    records: RecordReader<'a>,
    /// Source names seen so far, so that all messages of a source share one.
    sources: Vec<Arc<str>>,
}

impl Iterator for LogReader<'_> {
    type Item = Result<(Position, Message), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let Some(message) = decode(record.body, &mut self.sources) else {
            let detail = "its checksum is right, but it is no message";
            return Some(Err(LogError::corrupt(self.records.path(), record.offset, detail)));
        };
        Some(Ok((Position(record.position), message)))
    }
}

fn decode(mut body: Bytes, sources: &mut Vec<Arc<str>>) -> Option<Message> {
    if body.len() < FIXED_BYTES {
        return None;
    }
    let arrival = Arrival(body.get_i64_le());
    let source_len = body.get_u16_le();
    let topic_len = body.get_u16_le();
    let key_len = body.get_u16_le();
    let source = take(&mut body, source_len & !OF_KAFKA)?;
    let topic = take(&mut body, topic_len)?;
    let idempotency_key = match key_len {
        NO_KEY => None,
        len => Some(std::str::from_utf8(&take(&mut body, len)?).ok()?.into()),
    };
    let origin = match source_len & OF_KAFKA {
        0 => None,
        _ => Some(Box::new(origin::decode(&mut body)?)),
    };
    Some(Message {
        source: intern(std::str::from_utf8(&source).ok()?, sources),
        topic: std::str::from_utf8(&topic).ok()?.into(),
        payload: body,
        arrival,
        idempotency_key,
        origin,
    })
}

fn take(body: &mut Bytes, len: u16) -> Option<Bytes> {
    (body.len() >= len as usize).then(|| body.split_to(len as usize))
}

/// A deployment has a handful of sources, so a scan beats a map.
fn intern(name: &str, sources: &mut Vec<Arc<str>>) -> Arc<str> {
    if let Some(known) = sources.iter().find(|known| ***known == *name) {
        return known.clone();
    }
    let new: Arc<str> = name.into();
    sources.push(new.clone());
    new
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "log_trim_tests.rs"]
mod trim_tests;
