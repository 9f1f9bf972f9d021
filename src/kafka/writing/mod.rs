//! Writing to a topic a message at a time, each told once the brokers say that they have it.
//!
//! *Order.* The producer is idempotent, and goes on under a new epoch after a message that timed out: one that still lies with a broker
//! that hangs is refused by it when it wakes up, and is not written behind what was written since. One producer knows nothing of
//! another, of a later start or of another Eddy.

mod producer;
mod reasons;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::BaseRecord;
use tokio::sync::{Mutex, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::plan::ClusterPlan;
use producer::{Kept, Producer};

/// A client that reaches no broker closes slowly.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What is written to, and how long a message may take. Has no `Debug`: it holds secrets.
#[derive(Clone)]
pub(crate) struct Target {
    pub cluster: ClusterPlan,
    pub topic: String,
    pub timeout: Duration,
    pub client_id: String,
    /// What of the config has the keys to correct: `sink` or `source`.
    pub of: &'static str,
    /// Which of its keys names the topic.
    pub names_topic: &'static str,
}

/// One message. `None` for a partition: the one that its key gives.
pub(crate) struct Entry<'a> {
    pub partition: Option<i32>,
    pub key: &'a str,
    /// `None`: what was there under the key is no more.
    pub value: Option<&'a [u8]>,
    pub headers: Option<OwnedHeaders>,
}

/// Why it is not known to be there; the text names the remedy.
#[derive(Debug)]
pub(crate) struct Untaken {
    pub reason: String,
    /// The cluster as a whole has enough to do.
    pub is_busy: bool,
    /// It is certain that it is not there.
    pub is_refused: bool,
}

pub(crate) struct Writer {
    to: Target,
    /// `None`: there is none yet, or the last one could not go on.
    kept: Mutex<Option<Kept>>,
}

impl Writer {
    /// Its producer is made with the first message.
    pub fn new(to: Target) -> Self {
        Writer { to, kept: Mutex::new(None) }
    }

    /// # Errors
    /// Why the producer cannot be made; the text names the remedy.
    pub fn start(to: Target) -> Result<Self, String> {
        let kept = Mutex::new(Some(producer::start(&to)?));
        Ok(Writer { to, kept })
    }

    /// The offset, once the brokers have it, on as many replicas as the topic asks for. Takes as long as the timeout and some
    /// two seconds at most: until the client has given the message up.
    ///
    /// # Errors
    /// If that is not known of it.
    pub async fn write(&self, entry: Entry<'_>) -> Result<i64, Untaken> {
        let unmade = |reason| Untaken { reason, is_busy: false, is_refused: true };
        let producer = self.producer().await.map_err(unmade)?;
        let (reported, report) = oneshot::channel();
        let bytes = entry.value.map_or(0, <[u8]>::len);
        let told = match producer.send(self.record(entry, reported)) {
            Ok(()) => report.await.unwrap_or(Err(KafkaError::Canceled)),
            Err(error) => Err(error),
        };
        match told {
            Ok(offset) => Ok(offset),
            Err(error) => Err(self.failed(&producer, &error, bytes).await),
        }
    }

    fn record<'a>(
        &'a self,
        entry: Entry<'a>,
        reported: oneshot::Sender<Result<i64, KafkaError>>,
    ) -> BaseRecord<'a, str, [u8], producer::Reported> {
        let Entry { partition, key, value, headers } = entry;
        let mut record = BaseRecord::with_opaque_to(&self.to.topic, Box::new(reported)).key(key);
        (record.partition, record.payload, record.headers) = (partition, value, headers);
        record
    }

    async fn failed(&self, producer: &Arc<Producer>, error: &KafkaError, bytes: usize) -> Untaken {
        let away = producer.away();
        let fatal = producer.fatal();
        let (code, detail) = match &fatal {
            Some((code, detail)) => (*code, detail.clone()),
            None => (error.rdkafka_error_code().unwrap_or(Code::Unknown), error.to_string()),
        };
        if fatal.is_some() || away.as_ref().is_some_and(|away| away.of_credentials) {
            self.give_up(producer).await;
        }
        let reason = reasons::of(&self.to, (code, &detail), away.map(|away| away.reason), bytes);
        Untaken { reason, is_busy: reasons::is_busy(code), is_refused: reasons::is_refused(code) }
    }

    /// Made off the runtime, since it reads files.
    async fn producer(&self) -> Result<Arc<Producer>, String> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept {
            return Ok(kept.producer.clone());
        }
        let to = self.to.clone();
        let made = spawn_blocking(move || producer::start(&to)).await;
        Ok(kept.insert(made.map_err(|error| error.to_string())??).producer.clone())
    }

    /// The next message gets another one, which reads the files of certificates again. What is under way with this one ends
    /// with it.
    async fn give_up(&self, producer: &Arc<Producer>) {
        self.kept.lock().await.take_if(|kept| Arc::ptr_eq(&kept.producer, producer));
    }

    /// Nothing is written from here on, not what is under way either.
    pub async fn close(&self) {
        if let Some(Kept { producer, gone }) = self.kept.lock().await.take() {
            drop(producer);
            let _ = timeout(CLOSE_MAX, gone).await;
        }
    }
}

#[cfg(test)]
mod tests;
