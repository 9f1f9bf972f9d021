//! A topic of Kafka: a message an alert revision, with the bytes a webhook gets, told once the brokers say that they have it.
//!
//! *Order.* The outbox hands a revision out when the one before is told or given up. One that timed out may still lie with a
//! broker that hangs; were it written later, behind the revision after it, the end of an alert could come before its
//! beginning. The brokers refuse it then, by what the producer is, and since all revisions of an alert are in one partition, by
//! their key.

use super::{Answer, Outgoing, SinkError, SinkType, format};
use crate::config::plan::{KafkaSinkPlan, SinkPlan};
use crate::kafka::alert::headers;
use crate::kafka::writing::{Entry, Target, Untaken, Writer};

pub const TYPE: SinkType = SinkType {
    name: "kafka",
    summary: "a message an alert revision in a topic of Kafka, written by an idempotent producer",
    example: r#"[sink.bus]
type = "kafka"
brokers = ["kafka-1.plant.local:9092"]
topic = "plant.anomalies"
"#,
};

/// Messages under way at once: they share requests.
pub const WIDTH: usize = 64;

/// One topic.
pub struct KafkaSink {
    writer: Writer,
}

impl KafkaSink {
    pub fn start(sink: &SinkPlan, plan: &KafkaSinkPlan) -> Result<Self, SinkError> {
        let KafkaSinkPlan { cluster, topic, timeout } = plan.clone();
        let client_id = format!("eddy-{}-{}", sink.deployment, sink.name);
        let to = Target { cluster, topic, timeout, client_id, of: "sink", names_topic: "topic" };
        let unmade = |reason| SinkError::Kafka { sink: sink.name.clone(), reason };
        Ok(KafkaSink { writer: Writer::start(to).map_err(unmade)? })
    }

    /// Accepted once the brokers have it. Takes as long as the timeout and some two seconds at most.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        let r#type = match format::type_of(&outgoing.body) {
            Ok(r#type) => r#type,
            Err(error) => return Answer::unsent(&error.to_string()),
        };
        let headers = headers(&outgoing.message_id, r#type, &outgoing.traceparent);
        let entry = Entry {
            partition: None,
            key: &outgoing.id,
            value: Some(&outgoing.body[..]),
            headers: Some(headers),
        };
        match self.writer.write(entry).await {
            Ok(_) => Answer::Accepted { status: None },
            Err(Untaken { reason, is_busy, is_refused: _ }) => {
                Answer::Failed { status: None, reason, busy: is_busy, retry_after: None }
            }
        }
    }

    /// Nothing is sent from here on, not what is under way either.
    pub(super) async fn close(&self) {
        self.writer.close().await;
    }
}
