//! How a row is written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;

use super::{Content, DeadEntry, MAX_PAYLOAD_BYTES};
use crate::types::{Position, Reason};

/// A line of the file.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    position: Position,
    row: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    source: &'a str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    /// RFC 3339, to the nanosecond.
    arrival: String,
    arrival_ns: i64,
    reason: Reason,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    /// Length of the whole row in bytes, when `payload` holds only its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_cut_from_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<Option<f32>>>,
}

impl<'a> Line<'a> {
    pub(super) fn new(entry: &DeadEntry<'a>) -> Self {
        let mut line = Line {
            position: entry.position,
            row: entry.row,
            stream: entry.stream,
            source: entry.source,
            topic: entry.topic,
            partition: entry.kafka.map(|(partition, _)| partition),
            offset: entry.kafka.map(|(_, offset)| offset),
            arrival: rfc3339(entry.arrival.0),
            arrival_ns: entry.arrival.0,
            reason: entry.reason,
            detail: entry.detail,
            payload: None,
            payload_base64: None,
            payload_cut_from_bytes: None,
            key: None,
            time: None,
            values: None,
        };
        match entry.content {
            Content::Bytes(bytes) => line.set_payload(bytes),
            Content::Values { key, time, values } => {
                line.key = Some(String::from_utf8_lossy(key).into_owned());
                line.time = Some(rfc3339(time.0));
                line.values = Some(values.iter().map(|value| value.is_finite().then_some(*value)).collect());
            }
        }
        line
    }

    fn set_payload(&mut self, bytes: &'a [u8]) {
        let kept = &bytes[..bytes.len().min(MAX_PAYLOAD_BYTES)];
        let is_cut = kept.len() < bytes.len();
        self.payload_cut_from_bytes = is_cut.then_some(bytes.len());
        match std::str::from_utf8(kept) {
            Ok(text) => self.payload = Some(text),
            // The cut went through a character.
            Err(error) if is_cut && error.error_len().is_none() => {
                self.payload = std::str::from_utf8(&kept[..error.valid_up_to()]).ok();
            }
            Err(_) => self.payload_base64 = Some(STANDARD.encode(kept)),
        }
    }
}

/// RFC 3339 in UTC with nine digits; jiff holds every `i64` of nanoseconds.
fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| ns.to_string(), |timestamp| format!("{timestamp:.9}"))
}
