//! `type = "mqtt"`: alerts are published at an MQTT broker.

use super::super::field::Field;
use super::super::kind::{Kind, Naming};
use super::super::mqtt::{broker, version};
use super::super::plan::{MqttSinkPlan, SinkKind, Version};
use super::super::section::Section;
use super::super::topic::parse_topic;
use super::{Parse, timeout};

pub const KIND: Kind<Parse> = Kind {
    name: "mqtt",
    summary: "publish each alert at an MQTT broker",
    example: r#"
type = "mqtt"
url = "mqtt://broker.plant.local:1883"
topic = "alerts/eddy"
qos = 1
retain = false
timeout = "15s"
"#,
    parse,
};

fn parse(section: &mut Section<'_>, naming: &Naming<'_>) -> Option<SinkKind> {
    // A source of the same name is another client.
    let broker = broker(section, format!("eddy-{}-sink-{}", naming.deployment, naming.name));
    // What 3.1.1 cannot say, that nobody was there or that it is not allowed, would count as told.
    let version = section.or("protocol", Version::V5, |field| version(&field));
    let topic = section.required("topic", "\"alerts/eddy\"").and_then(|field| parse_topic(&field));
    let qos = section.or("qos", (), |field| qos(&field));
    let retain = section.or("retain", false, |field| field.boolean());
    let timeout = timeout(section);
    qos?;
    Some(SinkKind::Mqtt(MqttSinkPlan {
        broker: broker?,
        version: version?,
        topic: topic?,
        retain: retain?,
        timeout: timeout?,
    }))
}

fn qos(field: &Field<'_>) -> Option<()> {
    let fault = match field.peek_integer() {
        Some(0) => "with QoS 0 the broker never says that it took a message",
        Some(2) => "QoS 2 is not supported: its message ids do not survive a reconnect in the client library",
        Some(other) if other != 1 => "is no quality of service",
        _ => return field.integer(1..=1).map(|_| ()),
    };
    field.problem(fault, "Use `qos = 1`; receivers know a repetition by the alert's id and revision.");
    None
}
