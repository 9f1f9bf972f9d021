//! What the brokers refuse of a transaction, as the client library tells it: of a record in its report, of a right to write in its
//! log alone, where the transaction's error does not name the topic.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};

use crate::config::plan::KafkaPlan;
use crate::kafka::token::Tokens;
use crate::pipeline::letters;

/// In the library's log, before a topic's name and a quotation mark.
const BARRED: &str = "Failed to add partition \"";
/// And at the end.
const DENIED: &str = "Broker: Topic authorization failed";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub topic: String,
    /// Which one of the transaction's; `None`: no letter, or the topic takes none at all.
    pub letter: Option<usize>,
    pub code: Code,
}

/// Of a record, by which it is known when it comes back: 0 is no letter.
pub fn tag(letter: Option<usize>) -> usize {
    letter.map_or(0, |letter| letter + 1)
}

/// Whether it is the record, or the right to write it, that was refused. A topic that is gone is made again by the next session.
pub fn is_refusal(code: Code) -> bool {
    letters::is_hopeless(code)
        || matches!(
            code,
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::PolicyViolation
                | Code::TopicAuthorizationFailed
        )
}

/// Of a producer.
pub struct Refusals {
    tokens: Tokens,
    /// Since they were last taken.
    noted: Mutex<Vec<Refusal>>,
}

impl Refusals {
    pub fn of(plan: &KafkaPlan) -> Self {
        Refusals { tokens: Tokens::of(&plan.cluster), noted: Mutex::default() }
    }

    fn noted(&self) -> MutexGuard<'_, Vec<Refusal>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(&self) -> Vec<Refusal> {
        std::mem::take(&mut self.noted())
    }

    /// Others that were under way with what was refused come back too, and are not refused themselves.
    pub fn note(&self, topic: &str, tag: usize, error: &KafkaError) {
        let Some(code) = error.rdkafka_error_code().filter(|code| is_refusal(*code)) else { return };
        tracing::debug!(topic, tag, %code, "a record was not taken");
        self.noted().push(Refusal { topic: topic.to_owned(), letter: tag.checked_sub(1), code });
    }
}

impl ProducerContext<NoCustomPartitioner> for Refusals {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        if let Err((error, record)) = result {
            self.note(record.topic(), tag, error);
        }
    }
}

impl ClientContext for Refusals {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(facility, "{text}");
        let code = Code::TopicAuthorizationFailed;
        if let Some(topic) = barred(text) {
            self.noted().push(Refusal { topic: topic.to_owned(), letter: None, code });
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.tokens.fetch()
    }
}

/// The topic that this member may not write. Others of the same request are named with "not attempted".
fn barred(text: &str) -> Option<&str> {
    let (topic, then) = text.split_once(BARRED)?.1.split_once('"')?;
    then.ends_with(DENIED).then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_log_only_a_topic_that_is_barred_counts() {
        let log = |topic: &str, why: &str| {
            format!("[thrd:b]: b:9092/1: Failed to add partition \"{topic}\" [3] to transaction: {why}")
        };
        assert!(Code::TopicAuthorizationFailed.to_string().contains(DENIED), "the library's words");
        assert_eq!(barred(&log("plant-dead", DENIED)), Some("plant-dead"));
        assert_eq!(barred(&log("plant-alerts", "Broker: Operation not attempted")), None);
        assert_eq!(barred(DENIED), None);
    }
}
