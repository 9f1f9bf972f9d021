//! What people have said of alerts while this ran or before: silences, acknowledgements and what alerts were. Written by
//! the pipeline once it is in the control log; read by delivery and page.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::types::{Acknowledgement, Feedback, PartitionId, Silence, StreamId, Word};

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

    /// The same of every alert of a key, oldest word first.
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
