//! Alerts and delivery attempts as spans, by the times of their receipts.

use super::proto::{KeyValue, Link, Span, SpanKind, SpanStatus, Value};
use super::{Parent, SpanId, TraceId, traceparent};
use crate::config::plan::{Plan, SourceKind};
use crate::types::Alert;

const ERROR: i32 = 2;
/// W3C's flag `sampled`: whoever asks is told that the span is recorded.
const SAMPLED: u32 = 1;

/// One attempt to deliver a message, as it ended. Times are wall time, ns.
pub struct Attempt<'a> {
    /// Of the alert or incident.
    pub id: &'a str,
    pub revision: u32,
    /// The message tells of an incident, which has a trace of its own.
    pub is_incident: bool,
    pub message_id: &'a str,
    pub sink: &'a str,
    /// `type` of the sink.
    pub sink_kind: &'a str,
    /// From 1.
    pub number: u32,
    pub started_at_ns: i64,
    pub finished_at_ns: i64,
    pub status: Option<u16>,
    pub error: Option<&'a str>,
}

/// Where a stream's messages come from, by the conventions for messaging spans. Where it has several sources, an alert
/// does not say which of them it is of, and neither does this.
pub fn origin(plan: &Plan, stream: &str) -> Vec<KeyValue> {
    let from = plan.streams.iter().find(|known| known.name == stream).map_or(&[][..], |known| &known.from);
    let [from] = from else { return Vec::new() };
    let Some(source) = plan.sources.iter().find(|source| source.name == *from) else { return Vec::new() };
    let (system, topics, group) = match &source.kind {
        SourceKind::Mqtt(mqtt) => ("mqtt", &mqtt.topics, None),
        SourceKind::Kafka(kafka) => ("kafka", &kafka.topics, Some(&kafka.group)),
        SourceKind::Http(_) | SourceKind::Replay(_) => return Vec::new(),
    };
    let mut attributes = vec![KeyValue::text("messaging.system", system)];
    if let [topic] = &topics[..] {
        let is_pattern = topic.contains(['+', '#']) || topic.starts_with('^');
        let name = if is_pattern { "messaging.destination.template" } else { "messaging.destination.name" };
        attributes.push(KeyValue::text(name, topic));
    }
    attributes.extend(group.map(|group| KeyValue::text("messaging.consumer.group.name", group)));
    attributes
}

/// The span of a revision as a whole.
fn whole_id(id: &str, revision: u32) -> SpanId {
    SpanId::of(&[b"revision", id.as_bytes(), &revision.to_le_bytes()])
}

/// `traceparent` of a revision where it is told of once and by no attempt.
pub fn of_revision(id: &str, revision: u32, sampled: bool) -> String {
    traceparent(TraceId::of(id), whole_id(id, revision), sampled)
}

/// The span of an attempt, which its `traceparent` names.
pub fn attempt_id(message_id: &str, sink: &str, number: u32, started_at_ns: i64) -> SpanId {
    let (number, at) = (number.to_le_bytes(), started_at_ns.to_le_bytes());
    SpanId::of(&[b"attempt", message_id.as_bytes(), sink.as_bytes(), &number, &at])
}

/// A revision from the arrival of its last reading to the outbox, and in it each stretch of its receipt. Later revisions
/// lie below the first. `origin` as from [`origin`]; `linked`: what sent that reading.
pub fn of_alert(alert: &Alert, origin: &[KeyValue], linked: Option<Parent>) -> Vec<Span> {
    let (decision, receipt) = (&alert.decision, &alert.receipt);
    let trace_id = TraceId::of(&decision.id).0.to_vec();
    let whole = whole_id(&decision.id, decision.revision);
    let first = whole_id(&decision.id, 1);
    let mut attributes = vec![
        KeyValue::text("eddy.stream", &decision.stream),
        KeyValue::text("eddy.key", &decision.key),
        KeyValue::text("eddy.alert.id", &decision.id),
        KeyValue::new("eddy.alert.revision", Value::Integer(i64::from(decision.revision))),
        KeyValue::text("eddy.rule", &decision.rule),
        KeyValue::new("eddy.recovered", Value::Flag(receipt.recovered)),
    ];
    attributes.extend_from_slice(origin);
    let mut spans = vec![Span {
        trace_id: trace_id.clone(),
        span_id: whole.0.to_vec(),
        parent_span_id: if whole == first { Vec::new() } else { first.0.to_vec() },
        name: decision.event_type().to_owned(),
        kind: SpanKind::Consumer.into(),
        start_time_unix_nano: receipt.start_ns as u64,
        end_time_unix_nano: receipt.end_ns as u64,
        attributes,
        links: linked.into_iter().map(link).collect(),
        status: None,
        flags: SAMPLED,
    }];
    let mut at_ns = receipt.start_ns as u64;
    for (index, segment) in receipt.segments.iter().enumerate() {
        let span_id = SpanId::of(&[b"stage", &whole.0, &(index as u64).to_le_bytes()]);
        spans.push(Span {
            trace_id: trace_id.clone(),
            span_id: span_id.0.to_vec(),
            parent_span_id: whole.0.to_vec(),
            name: segment.stage.clone(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: at_ns,
            end_time_unix_nano: at_ns + segment.ns,
            flags: SAMPLED,
            ..Span::default()
        });
        at_ns += segment.ns;
    }
    spans
}

fn link(parent: Parent) -> Link {
    Link {
        trace_id: parent.trace.0.to_vec(),
        span_id: parent.span.0.to_vec(),
        trace_state: parent.state.into(),
        flags: u32::from(parent.flags),
    }
}

/// Below the revision it tells of.
pub fn of_attempt(attempt: &Attempt<'_>) -> Span {
    let id = attempt_id(attempt.message_id, attempt.sink, attempt.number, attempt.started_at_ns);
    let parent = (!attempt.is_incident).then(|| whole_id(attempt.id, attempt.revision).0.to_vec());
    let which = if attempt.is_incident { "eddy.incident.id" } else { "eddy.alert.id" };
    let mut attributes = vec![
        KeyValue::text("eddy.sink", attempt.sink),
        KeyValue::text("eddy.sink.type", attempt.sink_kind),
        KeyValue::text(which, attempt.id),
        KeyValue::text("messaging.message.id", attempt.message_id),
        KeyValue::new("eddy.attempt", Value::Integer(i64::from(attempt.number))),
    ];
    let status = attempt.status.map(i64::from);
    attributes.extend(status.map(|s| KeyValue::new("http.response.status_code", Value::Integer(s))));
    if attempt.error.is_some() {
        // By the conventions: of few values, and `_OTHER` where there is no better word.
        let kind = attempt.status.map_or("_OTHER".to_owned(), |status| status.to_string());
        attributes.push(KeyValue::text("error.type", kind));
    }
    Span {
        trace_id: TraceId::of(attempt.id).0.to_vec(),
        span_id: id.0.to_vec(),
        parent_span_id: parent.unwrap_or_default(),
        name: "deliver".to_owned(),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: attempt.started_at_ns as u64,
        end_time_unix_nano: attempt.finished_at_ns.max(attempt.started_at_ns) as u64,
        attributes,
        links: Vec::new(),
        status: attempt.error.map(|error| SpanStatus { message: error.to_owned(), code: ERROR }),
        flags: SAMPLED,
    }
}
