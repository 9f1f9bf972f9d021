//! `type = "kafka"`: alerts to a topic of a Kafka cluster.

use super::super::kafka::{cluster, topic_name};
use super::super::kind::{Kind, Naming};
use super::super::plan::{KafkaSinkPlan, SinkKind};
use super::super::section::Section;
use super::{Parse, timeout};

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
    let timeout = timeout(section);
    Some(SinkKind::Kafka(KafkaSinkPlan { cluster: cluster?, topic: topic?, timeout: timeout? }))
}
