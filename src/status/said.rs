//! What people have said of alerts while this ran or before: silences and acknowledgements. Written by the pipeline once
//! it is in the control log; read by delivery and page.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::types::{Acknowledgement, Silence};

#[derive(Debug, Default)]
pub struct Said {
    /// In the order in which they were said.
    silences: RwLock<Vec<Arc<Silence>>>,
    /// By alert.
    acknowledged: RwLock<BTreeMap<String, Acknowledgement>>,
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
}
