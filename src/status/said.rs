//! What people have said of alerts while this ran or before: silences, acknowledgements and what alerts were. Written by
//! the pipeline once it is in the control log, or where several Eddys hear it; read by delivery and page.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::types::{Acknowledgement, Feedback, LASTS_NS, PartitionId, Silence, StreamId, Word};

/// With one word of so many, those that are too old are forgotten.
const FORGET_EVERY: u64 = 64;

#[derive(Debug, Default)]
pub struct Said {
    /// In the order in which they were said.
    silences: RwLock<Vec<Arc<Silence>>>,
    /// By alert.
    acknowledged: RwLock<BTreeMap<String, Acknowledgement>>,
    feedback: RwLock<Words>,
    /// By stream and partition.
    expected: RwLock<BTreeMap<(u16, u8), Expected>>,
}

/// Alerts called expected by which a key is told less now.
type Expected = Vec<Box<str>>;

#[derive(Debug, Default)]
struct Words {
    /// Number of the newest.
    newest: u64,
    /// The last one on each alert, with its stream.
    by_alert: BTreeMap<String, (String, Feedback)>,
}

impl Said {
    pub fn silence(&self, silence: Silence) {
        self.silences.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(silence));
    }

    /// In place of what was known of this id. Of several Eddys each hears words in another order, by when it started: they
    /// stand in that of their beginnings.
    pub fn put_silence(&self, silence: Silence) {
        let mut silences = self.silences.write().unwrap_or_else(PoisonError::into_inner);
        silences.retain(|known| known.id != silence.id);
        let order =
            |known: &Arc<Silence>| (known.starts_at_ns, &known.id) < (silence.starts_at_ns, &silence.id);
        let at = silences.partition_point(order);
        silences.insert(at, Arc::new(silence));
    }

    pub fn forget_silence(&self, id: &str) {
        let mut silences = self.silences.write().unwrap_or_else(PoisonError::into_inner);
        silences.retain(|known| known.id != id);
    }

    pub fn forget_acknowledgement(&self, alert: &str) {
        self.acknowledged.write().unwrap_or_else(PoisonError::into_inner).remove(alert);
    }

    /// Gives the silence as it is then; `None` if there is none of this id.
    pub fn end_silence(&self, id: &str, at_ns: i64) -> Option<Arc<Silence>> {
        let mut silences = self.silences.write().unwrap_or_else(PoisonError::into_inner);
        let silence = silences.iter_mut().find(|silence| silence.id == id)?;
        let ends_at_ns = silence.ends_at_ns.min(at_ns);
        *silence = Arc::new(Silence { ends_at_ns, ..Silence::clone(silence) });
        Some(silence.clone())
    }

    pub fn silences(&self) -> Vec<Arc<Silence>> {
        self.silences.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those in force.
    pub fn active(&self, now_ns: i64) -> Vec<Arc<Silence>> {
        let mut silences = self.silences();
        silences.retain(|silence| silence.is_active(now_ns));
        silences
    }

    pub fn acknowledge(&self, acknowledgement: Acknowledgement) {
        let mut acknowledged = self.acknowledged.write().unwrap_or_else(PoisonError::into_inner);
        acknowledged.insert(acknowledgement.id.clone(), acknowledgement);
    }

    pub fn acknowledgement(&self, alert: &str) -> Option<Acknowledgement> {
        self.acknowledged.read().unwrap_or_else(PoisonError::into_inner).get(alert).cloned()
    }

    pub fn hear(&self, stream: &str, feedback: Feedback) {
        let mut words = self.feedback.write().unwrap_or_else(PoisonError::into_inner);
        words.newest = words.newest.max(feedback.number);
        if feedback.word == Word::Undone {
            words.by_alert.remove(&feedback.alert);
        } else {
            // By the wall clock, of which event time may be behind: twice the time for which a word holds.
            if feedback.number.is_multiple_of(FORGET_EVERY) {
                let oldest_ns = feedback.at_ns.saturating_sub(2 * LASTS_NS);
                words.by_alert.retain(|_, (_, said)| said.at_ns >= oldest_ns);
            }
            words.by_alert.insert(feedback.alert.clone(), (stream.to_owned(), feedback));
        }
    }

    /// Number of the newest word in the control log; 0 before the first.
    pub fn words(&self) -> u64 {
        self.feedback.read().unwrap_or_else(PoisonError::into_inner).newest
    }

    /// The last word on an alert, unless it was taken back.
    pub fn feedback(&self, alert: &str) -> Option<Feedback> {
        let words = self.feedback.read().unwrap_or_else(PoisonError::into_inner);
        words.by_alert.get(alert).map(|(_, feedback)| feedback.clone())
    }

    /// The same, with the alert's stream.
    pub fn word_on(&self, alert: &str) -> Option<(String, Feedback)> {
        let words = self.feedback.read().unwrap_or_else(PoisonError::into_inner);
        words.by_alert.get(alert).cloned()
    }

    /// Whether the last word on its alert says the same, or there is none to be taken back.
    pub fn says(&self, feedback: &Feedback) -> bool {
        match self.feedback(&feedback.alert) {
            Some(last) => (last.word, &last.reason) == (feedback.word, &feedback.reason),
            None => feedback.word == Word::Undone,
        }
    }

    /// The last word on every alert of a key, oldest word first.
    pub fn feedback_of(&self, stream: &str, key: &str) -> Vec<Feedback> {
        let words = self.feedback.read().unwrap_or_else(PoisonError::into_inner);
        let of = words.by_alert.values().filter(|(of, said)| of == stream && said.key == key);
        let mut of: Vec<Feedback> = of.map(|(_, said)| said.clone()).collect();
        of.sort_by_key(|said| said.number);
        of
    }

    /// What an engine goes by in a partition from now on.
    pub fn expect(&self, stream: StreamId, partition: PartitionId, alerts: Expected) {
        let mut expected = self.expected.write().unwrap_or_else(PoisonError::into_inner);
        expected.insert((stream.0, partition.0), alerts);
    }

    /// Whether a key is told less because this alert was called expected.
    pub fn is_expected(&self, alert: &str) -> bool {
        let expected = self.expected.read().unwrap_or_else(PoisonError::into_inner);
        expected.values().flatten().any(|of| **of == *alert)
    }

    /// Alerts of a stream of which that is so.
    pub fn expected(&self, stream: StreamId) -> usize {
        let expected = self.expected.read().unwrap_or_else(PoisonError::into_inner);
        expected.range((stream.0, 0)..=(stream.0, u8::MAX)).map(|(_, alerts)| alerts.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(alert: &str) -> Feedback {
        Feedback {
            number: 1,
            word: Word::Real,
            alert: alert.into(),
            key: "k".into(),
            rule: "window".into(),
            onset_ns: 0,
            reason: String::new(),
            who: "ana".into(),
            at_ns: 0,
        }
    }

    #[test]
    fn what_says_the_same_again_is_known() {
        let said = Said::default();
        let word = |word, reason: &str| Feedback { word, reason: reason.into(), ..self::word("a") };
        assert!(said.says(&word(Word::Undone, "")) && !said.says(&word(Word::Real, "")));
        said.hear("s", word(Word::Real, "bearing"));
        assert!(said.says(&word(Word::Real, "bearing")) && !said.says(&word(Word::Real, "pump")));
        assert!(!said.says(&word(Word::Expected, "bearing")) && !said.says(&word(Word::Undone, "bearing")));
        assert_eq!(said.word_on("a").map(|(stream, _)| stream).as_deref(), Some("s"));
    }

    #[test]
    fn words_that_have_long_ceased_to_act_are_forgotten() {
        let said = Said::default();
        let day = LASTS_NS / 30;
        for number in 1..=FORGET_EVERY {
            said.hear("s", Feedback { number, at_ns: number as i64 * day, ..word(&format!("a{number}")) });
        }
        let known = |number| said.feedback(&format!("a{number}")).is_some();
        assert!(!known(3) && known(4) && known(FORGET_EVERY));
    }
}
