//! A topic of Kafka: a message an alert revision, with the bytes a webhook gets, told once the brokers say that they have it.
//!
//! *Order.* The outbox hands a revision out when the one before is told or given up. One that timed out may still lie with a
//! broker that hangs; were it written later, behind the revision after it, the end of an alert could come before its
//! beginning. The brokers refuse it then: the producer is idempotent, goes on under a new epoch after a message that timed out,
//! and all revisions of an alert are in one partition, by their key.

mod reasons;

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer,
};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::{Answer, Outgoing, SinkError, SinkType, format};
use crate::config::plan::{ClusterPlan, KafkaSinkPlan, SinkPlan};
use crate::kafka::alert::headers;
use crate::kafka::client::connection;
use crate::kafka::reasons::unreached;
use crate::kafka::token::Tokens;
use crate::types::hex;

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

/// The library tells of an error again after 30 s only. What was longer ago explains no failure of now.
const RECENT: Duration = Duration::from_secs(60);
/// A topic that was made a moment ago is not known to every broker.
const UNKNOWN_MAX: Duration = Duration::from_secs(5);
/// The least that the library takes for setting a connection up.
const SETUP_MIN: Duration = Duration::from_secs(1);
/// A client that reaches no broker closes slowly.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Of a refusal that passes, such as too few replicas, so that it is told by its name and not as one more time-out: some five
/// seconds with the library's pauses.
const RETRIES: &str = "8";
/// Small, since a topic's limit of sizes is held against all that is sent together.
const BATCH_BYTES: &str = "65536";
/// The topic decides what is too large.
const MESSAGE_BYTES_MAX: &str = "67108864";

/// A producer, with a thread that polls it.
type Producer = ThreadedProducer<Watching>;

/// One topic. Has no `Debug`: its plan holds secrets.
pub struct KafkaSink {
    plan: KafkaSinkPlan,
    client_id: String,
    /// `None`: the last one could not go on.
    producer: Mutex<Option<Arc<Producer>>>,
}

impl KafkaSink {
    pub fn start(sink: &SinkPlan, plan: &KafkaSinkPlan) -> Result<Self, SinkError> {
        let client_id = format!("eddy-{}-{}", sink.deployment, sink.name);
        let kafka = KafkaSink { plan: plan.clone(), client_id, producer: Mutex::default() };
        match kafka.producer() {
            Ok(_) => Ok(kafka),
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
        let producer = match self.producer() {
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
            Err((error, _)) => Err(error),
        };
        match told {
            Ok(()) => Answer::Accepted { status: None },
            Err(error) => self.failed(producer, &error, outgoing.body.len()),
        }
    }

    fn failed(&self, producer: Arc<Producer>, error: &KafkaError, bytes: usize) -> Answer {
        let away = producer.context().away();
        let fatal = producer.client().fatal_error();
        let (code, detail) = match &fatal {
            Some((code, detail)) => (*code, detail.clone()),
            None => (error.rdkafka_error_code().unwrap_or(Code::Unknown), error.to_string()),
        };
        if fatal.is_some() {
            self.give_up(producer);
        }
        let reason = reasons::of(&self.plan, (code, &detail), away, bytes);
        Answer::Failed { status: None, reason, busy: reasons::is_busy(code), retry_after: None }
    }

    fn producer(&self) -> Result<Arc<Producer>, String> {
        let mut kept = self.kept();
        if let Some(producer) = &*kept {
            return Ok(producer.clone());
        }
        let cluster = &self.plan.cluster;
        let watching =
            Watching { tokens: Tokens::of(cluster), cluster: cluster.clone(), away: Mutex::default() };
        let made =
            ThreadedProducer::from_config_and_context(&settings(&self.plan, &self.client_id), watching)
                .map_err(|error| reasons::not_made(&error.to_string()))?;
        Ok(kept.insert(Arc::new(made)).clone())
    }

    /// The next message gets another one.
    fn give_up(&self, producer: Arc<Producer>) {
        let last = self.kept().take_if(|kept| Arc::ptr_eq(kept, &producer));
        drop(last);
        close(producer);
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<Producer>>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is sent from here on, not what is under way either.
    pub(super) async fn close(&self) {
        let last = self.kept().take();
        if let Some(producer) = last {
            let _ = tokio::time::timeout(CLOSE_MAX, close(producer)).await;
        }
    }

    /// A digest of cluster and topic.
    pub(super) fn target(&self) -> String {
        hex(&Sha256::digest(format!("kafka {} {}", self.plan.cluster.brokers.join(","), self.plan.topic)))
    }
}

/// On a thread of its own, which nobody has to wait for: the library waits for its own.
fn close(producer: Arc<Producer>) -> oneshot::Receiver<()> {
    let (closed_to, closed) = oneshot::channel();
    let _ = std::thread::Builder::new().name("sink-closing".to_owned()).spawn(move || {
        drop(producer);
        let _ = closed_to.send(());
    });
    closed
}

fn settings(plan: &KafkaSinkPlan, client_id: &str) -> ClientConfig {
    let ms = |duration: Duration| duration.as_millis().to_string();
    let timeout = plan.timeout;
    let mut config = connection(&plan.cluster);
    config.set("client.id", client_id);
    config.set("enable.idempotence", "true");
    config.set("acks", "all");
    config.set("message.timeout.ms", ms(timeout));
    config.set("socket.timeout.ms", ms(timeout));
    config.set("socket.connection.setup.timeout.ms", ms((timeout / 2).max(SETUP_MIN)));
    config.set("topic.metadata.propagation.max.ms", ms((timeout / 2).min(UNKNOWN_MAX)));
    config.set("retries", RETRIES);
    config.set("compression.type", "zstd");
    config.set("partitioner", "murmur2_random");
    config.set("linger.ms", "1");
    config.set("batch.size", BATCH_BYTES);
    config.set("message.max.bytes", MESSAGE_BYTES_MAX);
    config
}

/// What the library tells.
struct Watching {
    tokens: Tokens,
    cluster: ClusterPlan,
    /// Why a broker was not reached, and when, since the last message that was taken.
    away: Mutex<Option<(Instant, String)>>,
}

impl Watching {
    fn noted(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> Option<String> {
        self.noted().as_ref().filter(|(at, _)| at.elapsed() < RECENT).map(|(_, reason)| reason.clone())
    }
}

impl ProducerContext<NoCustomPartitioner> for Watching {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, reported: Self::DeliveryOpaque) {
        let told = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.clone()),
        };
        if told.is_ok() {
            *self.noted() = None;
        }
        // The worker may have stopped waiting: the message is then sent again, with the same id.
        let _ = reported.send(told);
    }
}

impl ClientContext for Watching {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(facility, "{text}");
    }

    fn error(&self, error: KafkaError, detail: &str) {
        tracing::debug!(%error, detail, "Kafka");
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        if let Some(reason) = unreached(&self.cluster, "sink", code, detail) {
            *self.noted() = Some((Instant::now(), reason));
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.tokens.fetch()
    }
}
