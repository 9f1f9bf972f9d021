//! Dead letters that their topic refuses. They go in one transaction with everything else, which one that is never taken
//! would hold up for ever: such a letter goes to this member's file instead, before the offset of its message is told.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::End;
use super::deal::Failure;
use super::hand::Gone;
use super::refusals::{Refusal, is_refusal};
use super::session::Session;
use crate::pipeline::dead::Dead;
use crate::pipeline::letters;

/// For so long a topic is given time to take letters that a setting of the brokers could help.
const PATIENCE: Duration = Duration::from_secs(20);
/// After that a transaction that fails again and again is given up, and all begins anew.
const FAILS_MAX: Duration = Duration::from_secs(30);
/// And on a stop: what is not committed is judged again by the next owner.
const STOP_FAILS_MAX: Duration = Duration::from_secs(10);
/// With no letter refused for so long, the topic has time anew. Longer than attempts lie apart.
const FORGETS: Duration = Duration::from_secs(30);

/// How letters were refused lately.
#[derive(Default)]
pub struct Lately {
    /// For whatever reason.
    last: Option<Instant>,
    /// For one that somebody may mend: the first, and the last.
    mendable: Option<(Instant, Instant)>,
}

impl Lately {
    /// Takes note that letters were refused just now; whether that is news.
    fn note(&mut self, now: Instant, mendable: bool) -> bool {
        if mendable {
            let goes_on = self.mendable.filter(|(_, last)| now - *last < FORGETS);
            self.mendable = Some((goes_on.map_or(now, |(first, _)| first), now));
        }
        self.last.replace(now).is_none_or(|last| now - last >= FORGETS)
    }

    fn is_patience_over(&self, now: Instant) -> bool {
        self.mendable.is_some_and(|(first, _)| now - first >= PATIENCE)
    }
}

/// The letters that were refused, of so many, and why; not for what another topic refused. Of `failed` it is known only that it
/// was the transaction's error, and whether letters are `alone` in that.
fn of_letters(
    refusals: &[Refusal],
    dead_letters: &str,
    letters: usize,
    failed: Option<Code>,
    alone: bool,
) -> Vec<(usize, Code)> {
    let each = |refusal: &Refusal| Some((refusal.letter?, refusal.code));
    let mut refused: Vec<(usize, Code)> =
        refusals.iter().filter_map(each).filter(|(at, _)| *at < letters).collect();
    let all = match refusals {
        [] => failed.filter(|code| alone && is_refusal(*code)),
        _ => refusals.iter().find(|r| r.letter.is_none() && r.topic == dead_letters).map(|r| r.code),
    };
    if let Some(code) = all.filter(|_| refused.is_empty()) {
        refused.extend((0..letters).map(|at| (at, code)));
    }
    refused
}

/// Which letters are not tried again.
fn given_up(refused: &[(usize, Code)], patience_is_over: bool) -> BTreeSet<usize> {
    let is_given_up = |(_, code): &&(usize, Code)| patience_is_over || letters::is_hopeless(*code);
    refused.iter().filter(is_given_up).map(|(at, _)| *at).collect()
}

impl Session<'_> {
    /// After a transaction that was taken back, with this error: whether one without some of its letters is to be made.
    pub(super) fn set_aside(&mut self, refusals: &[Refusal], failed: Option<Code>) -> Result<bool, End> {
        let topic = self.driver.kafka.dead_letters.as_deref().unwrap_or_default();
        let pending = &mut self.pending;
        let alone = pending.alerts.is_empty() && pending.controls.is_empty() && pending.state.is_empty();
        let refused = of_letters(refusals, topic, pending.letters.len(), failed, alone);
        let Some((_, code)) = refused.first() else { return Ok(false) };
        let now = Instant::now();
        if pending.refused.note(now, refused.iter().any(|(_, code)| !letters::is_hopeless(*code))) {
            tracing::error!(
                topic,
                reason = %code,
                "dead letters are refused; once that is so for longer than {} s, those that are go to this member's file. Let the \
                 topic take them: its max.message.bytes, its cleanup.policy, and the right to Write to it (kafka-acls)",
                PATIENCE.as_secs()
            );
        }
        let aside = given_up(&refused, pending.refused.is_patience_over(now));
        self.keep(&aside)?;
        Ok(!aside.is_empty())
    }

    /// It is made again a while later, unless that has not helped for long.
    pub(super) fn failed(&self, failure: Failure, refusals: &[Refusal]) -> Result<(), End> {
        let reason = reason(failure.error(), refusals);
        let patience = if self.driver.stop.is_cancelled() { STOP_FAILS_MAX } else { FAILS_MAX };
        let is_patient = self.pending.fails.is_none_or(|since| since.elapsed() < patience);
        if matches!(failure, Failure::Aborted(..)) && is_patient {
            tracing::debug!(reason, "a transaction was taken back and is made again");
            return Ok(());
        }
        Err(End::Again(format!("a transaction failed: {reason}")))
    }

    /// In the file, on the disk.
    fn keep(&mut self, aside: &BTreeSet<usize>) -> Result<(), Gone> {
        if aside.is_empty() {
            return Ok(());
        }
        let dead = &self.driver.hand.dead;
        for at in aside.iter().rev() {
            let letter = self.pending.letters.remove(*at);
            dead.blocking_send(Dead::Refused(letter)).map_err(|_| Gone)?;
        }
        let (kept_to, kept) = mpsc::channel();
        dead.blocking_send(Dead::Sync(kept_to)).map_err(|_| Gone)?;
        kept.recv().map_err(|_| Gone)?;
        self.driver.status.dead_letters_refused_total.fetch_add(aside.len() as u64, Relaxed);
        Ok(())
    }
}

/// Why a transaction failed, with the topics that refused something of it.
fn reason(error: &str, refusals: &[Refusal]) -> String {
    let of: BTreeSet<String> =
        refusals.iter().map(|refusal| format!("{} ({})", refusal.topic, refusal.code)).collect();
    if of.is_empty() {
        return error.to_owned();
    }
    format!("{error}; refused by {}", of.into_iter().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(topic: &str, letter: Option<usize>, code: Code) -> Refusal {
        Refusal { topic: topic.to_owned(), letter, code }
    }

    #[test]
    fn a_hopeless_letter_goes_at_once_and_others_after_a_while() {
        let refused =
            [(0, Code::InvalidRecord), (1, Code::MessageSizeTooLarge), (3, Code::TopicAuthorizationFailed)];
        assert_eq!(given_up(&refused, false), BTreeSet::from([0]));
        assert_eq!(given_up(&refused, true), BTreeSet::from([0, 1, 3]));
    }

    #[test]
    fn letters_are_not_blamed_for_what_another_topic_refused() {
        let (large, barred) = (Code::MessageSizeTooLarge, Code::TopicAuthorizationFailed);
        let of = |refusals: &[Refusal], alone| of_letters(refusals, "dead", 2, Some(barred), alone);
        let all = vec![(0, barred), (1, barred)];
        assert_eq!(of(&[refusal("alerts", None, large)], true), []);
        assert_eq!(of(&[refusal("alerts", None, barred)], false), []);
        assert_eq!(
            of(&[refusal("alerts", None, large), refusal("dead", Some(1), large)], false),
            [(1, large)]
        );
        assert_eq!(of(&[refusal("dead", None, barred)], false), all, "none may be written");
        assert_eq!((of(&[], false), of(&[], true)), (vec![], all), "only where there is nothing else in it");
        assert_eq!(of(&[refusal("dead", Some(2), large)], false), [], "it is there no more");
        let told = reason("aborted", &[refusal("alerts", None, large), refusal("alerts", None, large)]);
        assert_eq!(told, format!("aborted; refused by alerts ({large})"));
        assert_eq!(reason("aborted", &[]), "aborted");
    }

    #[test]
    fn a_topic_has_its_time_once_and_anew_after_none_was_refused_for_a_while() {
        let (mut lately, began) = (Lately::default(), Instant::now());
        let mut at = |s: u64, mendable| {
            let now = began + Duration::from_secs(s);
            (lately.note(now, mendable), lately.is_patience_over(now))
        };
        assert_eq!(at(0, false), (true, false));
        assert_eq!(at(15, true), (false, false));
        assert_eq!((at(34, true), at(35, true)), ((false, false), (false, true)));
        // Letters beside it that are hopeless are none of it.
        assert_eq!((at(50, false), at(66, true)), ((false, true), (false, false)));
        assert_eq!(at(96, true), (true, false));
    }
}
