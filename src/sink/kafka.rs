//! A topic of Kafka: a message an alert revision, with the bytes a webhook gets, told once the brokers say that they have it.
//!
//! *Order.* The outbox hands a revision out when the one before is told or given up. One that timed out may still lie with a
//! broker that hangs; were it written later, behind the revision after it, the end of an alert could come before its
//! beginning. The brokers refuse it then: the producer is idempotent, goes on under a new epoch after a message that timed out,
//! and all revisions of an alert are in one partition, by their key. One producer knows nothing of another, of a later start or
//! of another Eddy.

mod producer;
mod reasons;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::BaseRecord;
use tokio::sync::{Mutex, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Answer, Outgoing, SinkError, SinkType, format};
use crate::config::plan::{KafkaSinkPlan, SinkPlan};
use crate::kafka::alert::headers;
use producer::{Kept, Producer};

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

/// A client that reaches no broker closes slowly.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// One topic. Has no `Debug`: its plan holds secrets.
pub struct KafkaSink {
    plan: KafkaSinkPlan,
    client_id: String,
    /// `None`: the last one could not go on.
    kept: Mutex<Option<Kept>>,
}

impl KafkaSink {
    pub fn start(sink: &SinkPlan, plan: &KafkaSinkPlan) -> Result<Self, SinkError> {
        let client_id = format!("eddy-{}-{}", sink.deployment, sink.name);
        match producer::start(plan, &client_id) {
            Ok(kept) => Ok(KafkaSink { plan: plan.clone(), client_id, kept: Mutex::new(Some(kept)) }),
            Err(reason) => Err(SinkError::Kafka { sink: sink.name.clone(), reason }),
        }
    }

    /// Accepted once the brokers have it, on as many replicas as the topic asks for. Takes as long as the timeout and some
    /// two seconds at most: until the client has given the message up.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        let r#type = match format::type_of(&outgoing.body) {
            Ok(r#type) => r#type,
            Err(error) => return Answer::unsent(&error.to_string()),
        };
        let producer = match self.producer().await {
            Ok(producer) => producer,
            Err(reason) => return Answer::unsent(&reason),
        };
        let (reported, report) = oneshot::channel();
        let record = BaseRecord::with_opaque_to(&self.plan.topic, Box::new(reported))
            .key(outgoing.id.as_bytes())
            .payload(&outgoing.body[..])
            .headers(headers(&outgoing.message_id, r#type, &outgoing.traceparent));
        let told = match producer.send(record) {
            Ok(()) => report.await.unwrap_or(Err(KafkaError::Canceled)),
            Err(error) => Err(error),
        };
        match told {
            Ok(()) => Answer::Accepted { status: None },
            Err(error) => self.failed(&producer, &error, outgoing.body.len()).await,
        }
    }

    async fn failed(&self, producer: &Arc<Producer>, error: &KafkaError, bytes: usize) -> Answer {
        let away = producer.away();
        let fatal = producer.fatal();
        let (code, detail) = match &fatal {
            Some((code, detail)) => (*code, detail.clone()),
            None => (error.rdkafka_error_code().unwrap_or(Code::Unknown), error.to_string()),
        };
        if fatal.is_some() || away.as_ref().is_some_and(|away| away.of_credentials) {
            self.give_up(producer).await;
        }
        let reason = reasons::of(&self.plan, (code, &detail), away.map(|away| away.reason), bytes);
        Answer::Failed { status: None, reason, busy: reasons::is_busy(code), retry_after: None }
    }

    /// Made off the runtime, since it reads files.
    async fn producer(&self) -> Result<Arc<Producer>, String> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept {
            return Ok(kept.producer.clone());
        }
        let (plan, client_id) = (self.plan.clone(), self.client_id.clone());
        let made = spawn_blocking(move || producer::start(&plan, &client_id)).await;
        Ok(kept.insert(made.map_err(|error| error.to_string())??).producer.clone())
    }

    /// The next message gets another one, which reads the files of certificates again. What is under way with this one ends
    /// with it.
    async fn give_up(&self, producer: &Arc<Producer>) {
        self.kept.lock().await.take_if(|kept| Arc::ptr_eq(&kept.producer, producer));
    }

    /// Nothing is sent from here on, not what is under way either.
    pub(super) async fn close(&self) {
        if let Some(Kept { producer, gone }) = self.kept.lock().await.take() {
            drop(producer);
            let _ = timeout(CLOSE_MAX, gone).await;
        }
    }
}

#[cfg(test)]
mod tests;
