//! `type = "mqtt"`: an MQTT broker, persistent session.

mod protocol;

use std::time::Duration;

use super::super::field::Field;
use super::super::kind::{Kind, Naming};
use super::super::mqtt::broker;
use super::super::plan::{MqttPlan, Protocol, SourceKind};
use super::super::section::Section;
use super::super::topic::parse_filter;
use super::Parse;
use protocol::protocol;

pub const KIND: Kind<Parse> = Kind {
    name: "mqtt",
    summary: "subscribe at an MQTT broker",
    example: r#"
type = "mqtt"
url = "mqtt://broker.plant.local:1883"
topics = ["plant/+/pump/+/telemetry"]
qos = 1
"#,
    parse,
};

const TOPICS_MAX: usize = 256;
const KEEP_ALIVE_DEFAULT: Duration = Duration::from_secs(30);

fn parse(section: &mut Section<'_>, naming: &Naming<'_>) -> Option<SourceKind> {
    let broker = broker(section, format!("eddy-{}-{}", naming.deployment, naming.name));
    let protocol = protocol(section);
    let topics = section.required("topics", "[\"plant/#\"]").and_then(|field| topics(&field, protocol));
    let qos = section.or("qos", 1, |field| qos(&field));
    let retained = section.or("retained", false, |field| field.boolean());
    let keep_alive = section.or("keep_alive", KEEP_ALIVE_DEFAULT, |field| keep_alive(&field));
    Some(SourceKind::Mqtt(MqttPlan {
        broker: broker?,
        protocol: protocol?,
        topics: topics?,
        qos: qos?,
        retained: retained?,
        keep_alive: keep_alive?,
    }))
}

/// `protocol` is `None` when there was a problem with it.
fn topics(field: &Field<'_>, protocol: Option<Protocol>) -> Option<Vec<String>> {
    let fields = field.one_or_many();
    if fields.is_empty() || fields.len() > TOPICS_MAX {
        let fault = format!("lists {} topic filters", fields.len());
        field.problem(fault, format!("List 1 to {TOPICS_MAX}, such as [\"plant/#\"]."));
        return None;
    }
    let filters: Vec<Option<String>> = fields.iter().map(|field| filter(field, protocol)).collect();
    for (index, filter) in filters.iter().enumerate() {
        if filter.is_some() && filters[..index].contains(filter) {
            fields[index].problem("the same topic filter is listed twice", "Remove one of them.");
        }
    }
    filters.into_iter().collect()
}

/// A topic filter; with MQTT 5 it may be shared with others: `$share/GROUP/FILTER`.
fn filter(field: &Field<'_>, protocol: Option<Protocol>) -> Option<String> {
    let filter = parse_filter(field, '/')?;
    let Some(shared) = filter.strip_prefix("$share") else { return Some(filter) };
    let (fault, remedy) = match shared.strip_prefix('/').and_then(|shared| shared.split_once('/')) {
        // Another word, which a broker may have a use for.
        None if !matches!(shared.as_bytes().first(), None | Some(b'/')) => return Some(filter),
        _ if protocol == Some(Protocol::V3) => {
            ("MQTT 3.1.1 has no shared subscriptions", "Add `protocol = \"5\"`, or remove `$share/GROUP/`.")
        }
        Some((group, topic)) if !group.is_empty() && !topic.is_empty() && !group.contains(['+', '#']) => {
            return Some(filter);
        }
        _ => ("names no group or no topics", "Write it like \"$share/eddy/plant/#\"."),
    };
    field.problem(format!("the shared topic filter {filter:?}: {fault}"), remedy);
    None
}

fn qos(field: &Field<'_>) -> Option<u8> {
    if field.peek_integer() == Some(2) {
        field.problem(
            "QoS 2 is not supported: its message ids do not survive a reconnect in the client library",
            "Use `qos = 1`; Eddy drops duplicates anyway.",
        );
        return None;
    }
    field.integer(0..=1).map(|qos| qos as u8)
}

/// MQTT carries it in whole seconds.
fn keep_alive(field: &Field<'_>) -> Option<Duration> {
    let keep_alive = field.duration(Duration::from_secs(5)..=Duration::from_secs(3600))?;
    if keep_alive.subsec_nanos() != 0 {
        field.problem("MQTT counts the keep-alive in seconds", "Write whole seconds, such as \"30s\".");
        return None;
    }
    Some(keep_alive)
}
