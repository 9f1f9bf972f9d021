//! What was received and is to be logged next.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use crate::types::kafka::advance;
use crate::types::{Arrival, Header, KafkaOrigin, Message, Offsets};

/// What a message takes besides its bytes, about.
const OVERHEAD_BYTES: usize = 256;

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

    /// Nothing of it is logged.
    pub fn pass_over(&mut self, received: &BorrowedMessage<'_>) {
        advance(&mut self.next, received.topic(), received.partition(), received.offset() + 1);
    }

    /// `false` if it has no value: a tombstone says that a key is no more, which is no reading.
    pub fn add(&mut self, received: &BorrowedMessage<'_>, source: &Arc<str>, arrival: Arrival) -> bool {
        self.pass_over(received);
        let Some(message) = message(received, source, arrival) else { return false };
        self.bytes += message.payload.len()
            + message.origin.as_ref().map_or(0, |origin| origin.bytes())
            + OVERHEAD_BYTES;
        self.messages.push(message);
        true
    }
}

/// A copy of its own; `None` if it has no value.
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
