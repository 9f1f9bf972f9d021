//! What stands beside an alert in a topic.

use rdkafka::message::{Header, OwnedHeaders};

/// The key is the id of the alert, or of the incident, so that its revisions are in one partition and in order there; the value
/// is the body that webhooks get.
pub(crate) fn headers(message_id: &str, r#type: &str, traceparent: &str) -> OwnedHeaders {
    let all = [
        ("webhook-id", message_id),
        ("type", r#type),
        ("content-type", "application/json"),
        ("traceparent", traceparent),
    ];
    all.into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
