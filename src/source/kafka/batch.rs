//! What was received and is to be logged next.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use crate::types::kafka::advance;
use crate::types::{Arrival, Header, KafkaOrigin, Message, Offsets};

/// A submission is at most about this large, and as much gathers while it is on its way.
const BATCH_BYTES_MAX: usize = 4 << 20;
const BATCH_MESSAGES_MAX: usize = 8192;
/// What a message takes besides its bytes, about.
pub(super) const OVERHEAD_BYTES: usize = 256;

/// Messages in the order received, and what follows them in their partitions.
#[derive(Default)]
pub(super) struct Batch {
    pub messages: Vec<Message>,
    pub bytes: usize,
    /// Also past messages of which there is nothing to log.
    pub next: Offsets,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    pub fn has_room(&self) -> bool {
        self.bytes < BATCH_BYTES_MAX && self.messages.len() < BATCH_MESSAGES_MAX
    }

    /// Of `None` there is nothing to log: it has no value, or is passed over.
    pub fn add(&mut self, (topic, partition, offset): (&str, i32, i64), message: Option<Message>) {
        advance(&mut self.next, topic, partition, offset + 1);
        let Some(message) = message else { return };
        self.bytes += message.payload.len()
            + message.origin.as_ref().map_or(0, |origin| origin.bytes())
            + OVERHEAD_BYTES;
        self.messages.push(message);
    }
}

/// A copy of its own; `None` if it has no value: a tombstone says that a key is no more, which is no reading.
pub(crate) fn message(
    received: &BorrowedMessage<'_>,
    source: &Arc<str>,
    arrival: Arrival,
) -> Option<Message> {
    let payload = received.payload()?;
    let origin = KafkaOrigin {
        partition: received.partition(),
        offset: received.offset(),
        timestamp_ms: received.timestamp().to_millis(),
        key: received.key().map(Bytes::copy_from_slice),
        headers: headers(received),
    };
    Some(Message {
        source: source.clone(),
        topic: received.topic().into(),
        payload: Bytes::copy_from_slice(payload),
        arrival,
        idempotency_key: None,
        origin: Some(Box::new(origin)),
    })
}

fn headers(received: &BorrowedMessage<'_>) -> Box<[Header]> {
    let Some(headers) = received.headers() else { return Box::default() };
    let owned = |header: rdkafka::message::Header<'_, &[u8]>| Header {
        name: header.key.into(),
        value: header.value.map(Bytes::copy_from_slice),
    };
    headers.iter().map(owned).collect()
}
