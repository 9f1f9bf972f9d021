//! The client library's producer, as a writer keeps it.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer,
};
use tokio::sync::oneshot;

use super::{Target, reasons};
use crate::config::plan::ClusterPlan;
use crate::kafka::client::connection;
use crate::kafka::reasons::unreached;
use crate::kafka::token::Tokens;

/// The library tells of an error again after 30 s only. What was longer ago explains no failure of now.
const RECENT: Duration = Duration::from_secs(60);
/// A topic that was made a moment ago is not known to every broker.
const UNKNOWN_MAX: Duration = Duration::from_secs(5);
/// The least that the library takes for setting a connection up.
const SETUP_MIN: Duration = Duration::from_secs(1);

/// Of a refusal that passes, such as too few replicas, so that it is told by its name and not as one more time-out: some five
/// seconds with the library's pauses.
const RETRIES: &str = "8";
/// Small, since a topic's limit of sizes is held against all that is sent together.
const BATCH_BYTES: &str = "65536";
/// The topic decides what is too large.
const MESSAGE_BYTES_MAX: &str = "67108864";

/// Told where a message is, or what became of it.
pub(super) type Reported = Box<oneshot::Sender<Result<i64, KafkaError>>>;

/// With a thread that polls it. Whoever drops the last of its `Arc`s, a worker within the runtime mostly, does not wait for the
/// library: that takes long, and asks for a token perhaps, which cannot be fetched there.
pub(super) struct Producer {
    /// `None`: being dropped.
    library: Option<Library>,
}

/// Told when it is dropped. In this order.
struct Library {
    producer: ThreadedProducer<Watching>,
    _gone: oneshot::Sender<()>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        let library = self.library.take();
        // Nothing is left to do where there are no threads to be had.
        let _ = std::thread::Builder::new().name("sink-closing".to_owned()).spawn(move || drop(library));
    }
}

/// What a writer keeps of it.
pub(super) struct Kept {
    pub producer: Arc<Producer>,
    /// Ends when the library has let go of it.
    pub gone: oneshot::Receiver<()>,
}

/// Reads the files of certificates.
pub(super) fn start(to: &Target) -> Result<Kept, String> {
    let Target { cluster, of, .. } = to;
    let (tokens, cluster) = (Tokens::of(cluster), cluster.clone());
    let watching = Watching { tokens, cluster, of, away: Mutex::default() };
    let producer = ThreadedProducer::from_config_and_context(&settings(to), watching)
        .map_err(|error| reasons::not_made(to, &error.to_string()))?;
    let (gone_to, gone) = oneshot::channel();
    let library = Some(Library { producer, _gone: gone_to });
    Ok(Kept { producer: Arc::new(Producer { library }), gone })
}

impl Producer {
    fn library(&self) -> &ThreadedProducer<Watching> {
        &self.library.as_ref().expect("there until it is dropped").producer
    }

    pub fn send(&self, record: BaseRecord<'_, str, [u8], Reported>) -> Result<(), KafkaError> {
        self.library().send(record).map_err(|(error, _)| error)
    }

    /// The error that it cannot go on from.
    pub fn fatal(&self) -> Option<(Code, String)> {
        self.library().client().fatal_error()
    }

    pub fn away(&self) -> Option<Away> {
        self.watching().noted().clone().filter(|away| away.at.elapsed() < RECENT)
    }

    pub(super) fn watching(&self) -> &Watching {
        self.library().context()
    }
}

fn settings(to: &Target) -> ClientConfig {
    let ms = |duration: Duration| duration.as_millis().to_string();
    let timeout = to.timeout;
    let mut config = connection(&to.cluster);
    config.set("client.id", &to.client_id);
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

/// Why a broker was not reached.
#[derive(Clone)]
pub(super) struct Away {
    at: Instant,
    pub reason: String,
    /// A certificate, a password or a token: what a new producer may have better ones of.
    pub of_credentials: bool,
}

/// What the library tells.
pub(super) struct Watching {
    tokens: Tokens,
    cluster: ClusterPlan,
    of: &'static str,
    /// Since the last message that was taken.
    away: Mutex<Option<Away>>,
}

impl Watching {
    fn noted(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProducerContext<NoCustomPartitioner> for Watching {
    type DeliveryOpaque = Reported;

    fn delivery(&self, result: &DeliveryResult<'_>, reported: Self::DeliveryOpaque) {
        let told = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        if told.is_ok() {
            *self.noted() = None;
        }
        // Whoever wrote it may have stopped waiting: what is sent again has the same id.
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
        if let Some(reason) = unreached(&self.cluster, self.of, code, detail) {
            let of_credentials =
                matches!(code, Code::SSL | Code::Authentication | Code::SaslAuthenticationFailed);
            *self.noted() = Some(Away { at: Instant::now(), reason, of_credentials });
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.tokens.fetch()
    }
}
