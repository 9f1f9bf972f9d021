//! The levels of a topic.

use crate::types::Message;

/// A level of a topic, counted from 1.
pub(super) fn topic_level(message: &Message, level: usize) -> Option<&str> {
    message.topic.split(separator(message.origin.is_some())).nth(level.checked_sub(1)?)
}

/// What stands between a topic's levels: Kafka's topics have no slashes.
pub(super) fn separator(of_kafka: bool) -> char {
    if of_kafka { '.' } else { '/' }
}
