//! Alerts as the page lists them, and what people have said of alerts.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::dashboard::alerts::{AlertEntry, FailedRow};
use crate::types::Silence;

/// What the page lists: every alert once, open ones first (earliest onset first), then the newest.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    pub rows: Vec<AlertEntry>,
    /// How many there are open, those that are not listed for want of room among them; they come first in `rows`.
    pub open: usize,
    /// In force or to come.
    pub silences: Vec<Arc<Silence>>,
    /// Deliveries that were given up, the first of them.
    pub failed: Vec<FailedRow>,
    pub error: Option<String>,
}

impl Alerts {
    /// What the page's list shows, without the time of looking.
    pub fn content(&self) -> Value {
        json!({"rows": self.rows, "silences": self.silences, "failed": self.failed})
    }
}
