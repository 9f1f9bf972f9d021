//! Reading what the group has said, from its beginning on and for as long as this runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::word::{Heard, Needed, Word, read};
use super::{Ledger, PARTITION};
use crate::alert::outbox::OutboxHandle;
use crate::config::plan::{KafkaPlan, SharedPlan};
use crate::kafka::reasons::{away, unreached, user};
use crate::pipeline::group::clients::{self, Reader};
use crate::status::Status;

const POLL: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_millis(500);
/// After so long without a message is asked whether there is none, or nobody who would tell.
const QUIET: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Has what it reads hold here. One thread.
pub(super) struct Tail {
    pub kafka: KafkaPlan,
    pub shared: SharedPlan,
    pub member: String,
    pub applying: Applying,
    pub stop: CancellationToken,
    /// Behind what was read and holds.
    pub next: watch::Sender<i64>,
    /// It was read to its end once.
    pub known: watch::Sender<bool>,
}

impl Tail {
    /// Runs until told to stop; a client that reaches nobody is made again, with files and tokens as they are then.
    pub fn run(mut self) {
        let mut told = false;
        while !self.stop.is_cancelled() {
            let followed = clients::tail(&self.kafka, &self.member).and_then(|reader| {
                let followed = self.follow(&reader);
                clients::close(reader);
                followed
            });
            if let Err(error) = followed {
                let (reason, status) = (self.reason(&error), &self.applying.status);
                told &= status.sources[0].kafka.words_error().is_some();
                // Before this is one of the group its topics may not be there.
                if !status.recovering.load(Relaxed) && !std::mem::replace(&mut told, true) {
                    tracing::warn!(
                        reason,
                        "what the group silences and acknowledges is not read, trying again"
                    );
                }
                self.show(Some(reason));
                std::thread::sleep(RETRY);
            }
        }
    }

    fn follow(&mut self, reader: &Reader) -> KafkaResult<()> {
        self.assign(reader)?;
        let mut heard = Instant::now();
        while !self.stop.is_cancelled() {
            match reader.poll(POLL) {
                Some(Ok(message)) => {
                    let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
                    self.applying.take(key.unwrap_or_default(), message.payload());
                    self.next.send_replace(message.offset() + 1);
                    heard = Instant::now();
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    heard = Instant::now();
                    self.show(None);
                    self.known.send_replace(true);
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "while reading words");
                    self.end(reader)?;
                    if !is_passing(&error) {
                        return Err(error);
                    }
                }
                None if heard.elapsed() >= QUIET => {
                    self.end(reader)?;
                    heard = Instant::now();
                }
                None => {}
            }
            self.applying.release_again();
        }
        Ok(())
    }

    /// From where the last client ended. Asked for the end first: a leader that has just become one says it once it knows its whole
    /// partition, and what is read after that lacks nothing.
    fn assign(&self, reader: &Reader) -> KafkaResult<()> {
        let (end, next) = (self.end(reader)?, *self.next.borrow());
        // Beyond the end: it is another topic of the same name.
        let from = if next == 0 || next > end { Offset::Beginning } else { Offset::Offset(next) };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.shared.state, PARTITION, from)?;
        reader.assign(&list)
    }

    fn end(&self, reader: &Reader) -> KafkaResult<i64> {
        reader.fetch_watermarks(&self.shared.state, PARTITION, ANSWER_MAX).map(|(_, end)| end)
    }

    fn reason(&self, error: &KafkaError) -> String {
        let (cluster, topic) = (&self.kafka.cluster, &self.shared.state);
        let (code, detail) = (error.rdkafka_error_code().unwrap_or(Code::Unknown), error.to_string());
        match code {
            Code::TopicAuthorizationFailed => {
                format!(
                    "{} may not read topic {topic}; allow it to Read and Describe it (kafka-acls)",
                    user(cluster)
                )
            }
            Code::AllBrokersDown => away(cluster, &detail),
            _ => unreached(cluster, "source", code, &detail).unwrap_or_else(|| {
                format!("the state topic {topic} cannot be read ({detail}); see that it is there")
            }),
        }
    }

    fn show(&self, error: Option<String>) {
        self.applying.status.sources[0].kafka.set_words_error(error);
    }
}

/// A way to a broker was lost, and the client finds one by itself. Of what else goes wrong it says nothing again: brokers that refuse
/// what is read may tell all the same where it ends.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut)
    )
}

/// Has words hold for what this member shows and sends.
pub(super) struct Applying {
    pub status: Arc<Status>,
    pub outbox: OutboxHandle,
    pub ledger: Ledger,
    /// Silences of which the outbox did not take the end, and that end.
    pub unreleased: BTreeMap<String, i64>,
    pub tried: Instant,
}

impl Applying {
    pub fn take(&mut self, key: &str, value: Option<&[u8]>) {
        match read(key, value) {
            None => {}
            Some(Ok(heard)) => self.apply(key, heard),
            Some(Err(why)) => {
                tracing::error!(key, why, "a word of the group is not understood, and does not hold here")
            }
        }
    }

    fn apply(&mut self, key: &str, heard: Heard) {
        let said = &self.status.said;
        match heard {
            Heard::Said(Needed { word, until_ns }) => {
                self.ledger.keep(key, until_ns);
                match word {
                    Word::Silence(silence) => {
                        let (id, ends_at_ns) = (silence.id.clone(), silence.ends_at_ns);
                        said.put_silence(silence);
                        self.release(id, ends_at_ns);
                    }
                    Word::Acknowledgement(acknowledgement) => said.acknowledge(acknowledgement),
                }
            }
            Heard::SilenceForgotten(id) => {
                self.ledger.forget(key);
                said.forget_silence(&id);
            }
            Heard::AcknowledgementForgotten(alert) => {
                self.ledger.forget(key);
                said.forget_acknowledgement(&alert);
            }
        }
    }

    /// What a silence holds back here is due at its end, also where that was moved. The outbox second: a worker that has it now may hold
    /// back by the silence as it was.
    fn release(&mut self, id: String, ends_at_ns: i64) {
        // An end that was said before is none any more.
        self.unreleased.remove(&id);
        if let Err(error) = self.outbox.end_silence(&id, ends_at_ns) {
            tracing::error!(%error, id, "what a silence holds back is not let go of at its end, trying again");
            self.unreleased.insert(id, ends_at_ns);
        }
    }

    fn release_again(&mut self) {
        if self.unreleased.is_empty() || self.tried.elapsed() < RETRY {
            return;
        }
        self.tried = Instant::now();
        for (id, ends_at_ns) in std::mem::take(&mut self.unreleased) {
            self.release(id, ends_at_ns);
        }
    }
}

#[cfg(test)]
mod tests;
