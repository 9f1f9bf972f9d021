//! Dead letters that go to a topic of Kafka: each message of which something was refused, as it came, with headers
//! that say what and why.
//!
//! The headers are those of Kafka Connect's dead letter queue (KIP-298), so that what reads one reads the other.

mod writer;

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::util::IntoOpaque;

use crate::config::plan::{KafkaPlan, Plan, SinkKind, SourceKind, SourcePlan};
use crate::decode::DeadRow;
use crate::types::{Header as Carried, Message, Position};

pub use writer::Writer;

/// What a broker takes by default is 1 MB, headers and all. What is longer goes to the file.
const BYTES_MAX: usize = 900_000;
/// What the headers made here take at most.
const HEADERS_BYTES: usize = 4_000;
/// Of what was wrong, so much is told.
const DETAIL_BYTES: usize = 1_000;

/// Whether no setting of the brokers will ever have them take such a letter. (A topic's limit of sizes is one that may be
/// mended.)
pub fn is_hopeless(code: Code) -> bool {
    matches!(code, Code::InvalidRecord | Code::InvalidTimestamp)
}

/// A message of Kafka and what was refused of it, one row at least.
#[derive(Debug)]
pub struct Letter {
    pub position: Position,
    pub message: Message,
    pub rows: Vec<DeadRow>,
}

impl Letter {
    /// With a copy of the bytes: read back from the log, they hold a piece of it in memory that is much larger.
    pub fn new(position: Position, message: &Message, rows: Vec<DeadRow>) -> Self {
        let mut message = message.clone();
        message.payload = Bytes::copy_from_slice(&message.payload);
        if let Some(origin) = &mut message.origin {
            let copied = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
            origin.key = origin.key.as_ref().map(copied);
            origin.headers.iter_mut().for_each(|header| header.value = header.value.as_ref().map(copied));
        }
        Letter { position, message, rows }
    }
}

/// The source whose topic takes what is refused of a message; `None`: the file does.
pub fn source_of<'p>(plan: &'p Plan, message: &Message) -> Option<(&'p KafkaPlan, &'p str)> {
    let source = plan.sources.iter().find(|source| *source.name == *message.source)?;
    let SourceKind::Kafka(kafka) = &source.kind else { return None };
    let topic = kafka.dead_letters.as_deref()?;
    (bytes(message) <= BYTES_MAX).then_some((kafka, topic))
}

/// Topics that a source of Kafka is not to take in, if a regular expression fits them: dead letters go there, or alerts.
pub fn own_topics(plan: &Plan, source: &SourcePlan) -> Arc<[String]> {
    let SourceKind::Kafka(reads) = &source.kind else { return Arc::new([]) };
    let dead = plan.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Kafka(kafka) => kafka.dead_letters.clone(),
        _ => None,
    });
    let told = plan.sinks.iter().filter_map(|sink| match &sink.kind {
        SinkKind::Kafka(kafka) => kafka.cluster.is_of(&reads.cluster).then(|| kafka.topic.clone()),
        _ => None,
    });
    dead.chain(told).collect()
}

fn bytes(message: &Message) -> usize {
    message.payload.len() + message.origin.as_ref().map_or(0, |origin| origin.bytes()) + HEADERS_BYTES
}

/// Key, value and headers as they came, and behind those what was wrong. Its time is that of its writing, the original's is
/// in a header: brokers refuse times far ahead, and delete at once what lies far back.
pub fn fill<'a, D: IntoOpaque>(
    mut record: BaseRecord<'a, [u8], [u8], D>,
    letter: &'a Letter,
    (plan, kafka): (&Plan, &KafkaPlan),
    task: Option<&str>,
) -> BaseRecord<'a, [u8], [u8], D> {
    record.payload = Some(&letter.message.payload);
    if let Some(origin) = &letter.message.origin {
        record.key = origin.key.as_deref();
    }
    record.headers(headers(letter, plan, kafka, task))
}

fn headers(letter: &Letter, plan: &Plan, kafka: &KafkaPlan, task: Option<&str>) -> OwnedHeaders {
    let Letter { position: _, message, rows } = letter;
    let mut headers = OwnedHeaders::new();
    let mut add = |key: &str, value: Option<&[u8]>| {
        headers = std::mem::take(&mut headers).insert(Header { key, value });
    };
    if let Some(origin) = &message.origin {
        for Carried { name, value } in &origin.headers {
            add(name, value.as_deref());
        }
        add("__connect.errors.partition", Some(origin.partition.to_string().as_bytes()));
        add("__connect.errors.offset", Some(origin.offset.to_string().as_bytes()));
        if let Some(timestamp_ms) = origin.timestamp_ms {
            add("eddy.timestamp_ms", Some(timestamp_ms.to_string().as_bytes()));
        }
    }
    add("__connect.errors.topic", Some(message.topic.as_bytes()));
    add("__connect.errors.connector.name", Some(kafka.member.as_bytes()));
    if let Some(task) = task {
        add("__connect.errors.task.id", Some(task.as_bytes()));
    }
    add("__connect.errors.stage", Some(b"VALUE_CONVERTER"));
    if let Some(first) = rows.first() {
        add("__connect.errors.exception.class.name", Some(first.reason.as_str().as_bytes()));
        add("__connect.errors.exception.message", Some(start_of(&first.detail).as_bytes()));
        if let Some(stream) = first.stream {
            add("eddy.stream", Some(plan.streams[stream.0 as usize].name.as_bytes()));
        }
        add("eddy.row", Some(first.row.to_string().as_bytes()));
        add("eddy.rows", Some(rows.len().to_string().as_bytes()));
    }
    headers
}

/// Whole characters of a text, of so many bytes.
fn start_of(text: &str) -> &str {
    let mut end = text.len().min(DETAIL_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
