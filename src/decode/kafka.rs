//! What a message of Kafka carries beside its value: key, timestamp and headers.

use super::found::Found;
use crate::config::plan::KafkaField;
use crate::types::Message;

/// A key or header that is no UTF-8 is as good as an array: nothing here reads it.
pub(super) fn find<'a>(field: &KafkaField, message: &'a Message) -> Found<'a> {
    let Some(origin) = &message.origin else { return Found::Absent };
    let bytes = match field {
        KafkaField::Key => origin.key.as_ref(),
        KafkaField::Header(name) => origin.header(name),
        KafkaField::Timestamp => return origin.timestamp_ms.map_or(Found::Absent, Found::Int),
    };
    match bytes {
        None => Found::Absent,
        Some(bytes) => std::str::from_utf8(bytes).map_or(Found::Binary, Found::Text),
    }
}
