//! Dead letters that their topic refuses. They go in one transaction with everything else, which one that is never taken
//! would hold up for ever: such a letter goes to this member's file instead, before the offset of its message is told.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext};

use super::End;
use super::hand::Gone;
use super::session::Session;
use crate::pipeline::dead::Dead;
use crate::pipeline::letters;
use crate::source::kafka::quiet::Quiet;

/// For so long a letter is tried that a setting of the brokers could help.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the brokers refused of a transaction, by [`tag`].
pub type Refused = Mutex<Vec<(usize, Code)>>;

/// Of a record, by which it is known when it comes back: 0 is no letter.
pub fn tag(letter: Option<usize>) -> usize {
    letter.map_or(0, |letter| letter + 1)
}

impl ProducerContext<NoCustomPartitioner> for Quiet<Refused> {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        let Err((error, record)) = result else { return };
        if let Some(code) = error.rdkafka_error_code().filter(|_| tag > 0) {
            tracing::debug!(topic = record.topic(), %code, "a dead letter was not taken");
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push((tag - 1, code));
        }
    }
}

/// Whether it is the letter, or the right to write it, that was refused. A topic that is gone is made again by the next session.
fn is_refusal(code: Code) -> bool {
    letters::is_hopeless(code)
        || matches!(
            code,
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::PolicyViolation
                | Code::TopicAuthorizationFailed
        )
}

/// Which letters are not tried again.
fn given_up(refused: &[(usize, Code)], letters: usize, patience_is_over: bool) -> BTreeSet<usize> {
    let is_given_up = |(at, code): &&(usize, Code)| {
        *at < letters && (letters::is_hopeless(*code) || patience_is_over && is_refusal(*code))
    };
    refused.iter().filter(is_given_up).map(|(at, _)| *at).collect()
}

impl Session<'_> {
    /// After a transaction that was taken back, for this reason.
    pub(super) fn set_aside(&mut self, failed: Option<Code>) -> Result<(), End> {
        let kept = &self.producer.context().kept;
        let mut refused = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
        let letters = self.pending.letters.len();
        if let Some(code) = failed.filter(|code| is_refusal(*code) && refused.is_empty()) {
            // The transaction was refused before a letter was sent.
            refused.extend((0..letters).map(|at| (at, code)));
        }
        let Some((_, code)) = refused.iter().find(|(at, code)| *at < letters && is_refusal(*code)) else {
            return Ok(());
        };
        let topic = self.driver.kafka.dead_letters.as_deref().unwrap_or_default();
        let first = self.pending.refused.is_none();
        let since = *self.pending.refused.get_or_insert_with(Instant::now);
        if first {
            tracing::error!(
                topic,
                reason = %code,
                "dead letters are refused; those that are refused for longer than {} s go to this member's file. Let the topic \
                 take them: its max.message.bytes, its cleanup.policy, and the right to Write to it (kafka-acls)",
                PATIENCE.as_secs()
            );
        }
        let aside = given_up(&refused, letters, since.elapsed() >= PATIENCE);
        self.keep(&aside)?;
        Ok(())
    }

    /// In the file, on the disk.
    fn keep(&mut self, aside: &BTreeSet<usize>) -> Result<(), Gone> {
        let (done_to, done) = mpsc::channel();
        for at in aside.iter().rev() {
            let letter = self.pending.letters.remove(*at);
            self.driver.hand.dead.blocking_send(Dead::Refused(letter, done_to.clone())).map_err(|_| Gone)?;
        }
        drop(done_to);
        let mut kept = 0;
        while done.recv().is_ok() {
            kept += 1;
        }
        self.driver.status.dead_letters_refused_total.fetch_add(kept, Relaxed);
        if kept < aside.len() as u64 { Err(Gone) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hopeless_letter_goes_at_once_and_others_after_a_while() {
        let refused = [
            (0, Code::InvalidRecord),
            (1, Code::MessageSizeTooLarge),
            (2, Code::PurgeQueue),
            (3, Code::TopicAuthorizationFailed),
            (4, Code::UnknownTopicOrPartition),
            (9, Code::InvalidRecord),
        ];
        assert_eq!(given_up(&refused, 5, false), BTreeSet::from([0]));
        assert_eq!(
            given_up(&refused, 5, true),
            BTreeSet::from([0, 1, 3]),
            "others are not refused themselves"
        );
    }
}
