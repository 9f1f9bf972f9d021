//! `type = "kafka"`: alerts to a topic of a Kafka cluster.

use std::time::Duration;

use super::super::kafka::{cluster, topic_name};
use super::super::kind::Kind;
use super::super::plan::{KafkaSinkPlan, SinkKind};
use super::super::section::Section;
use super::super::source::Naming;
use super::{Parse, TIMEOUT_DEFAULT};

pub const KIND: Kind<Parse> = Kind {
    name: "kafka",
    summary: "write each alert to a topic of a Kafka cluster",
    example: r#"
type = "kafka"
brokers = ["kafka-1.plant.local:9092", "kafka-2.plant.local:9092"]
topic = "plant.anomalies"
timeout = "15s"
"#,
    parse,
};

fn parse(section: &mut Section<'_>, _naming: &Naming<'_>) -> Option<SinkKind> {
    let cluster = cluster(section);
    let topic = section.required("topic", "\"plant.anomalies\"").and_then(|field| topic_name(&field));
    let timeout = section.or("timeout", TIMEOUT_DEFAULT, |field| {
        field.duration(Duration::from_secs(1)..=Duration::from_secs(60))
    });
    Some(SinkKind::Kafka(KafkaSinkPlan { cluster: cluster?, topic: topic?, timeout: timeout? }))
}
