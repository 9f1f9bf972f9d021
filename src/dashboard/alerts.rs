//! The page's view of the stored alerts. The pipeline adapts the outbox to it.

use serde::Serialize;

use crate::status::Said;
use crate::types::{Acknowledgement, Alert, AlertState, Feedback, Word};

/// What a page asks of the stored alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertQuery {
    /// Revisions, newest first, stored before `before` (an [`AlertRow::seq`]) if given.
    Page { before: Option<i64>, limit: usize, stream: Option<String>, key: Option<String> },
    /// Every revision of one alert, first to last.
    One { id: String },
    /// The latest revision of every alert that is firing, earliest onset first.
    Open,
}

/// Reads stored alerts. May block: called on threads that may. The error text is shown to the operator.
pub struct AlertsView {
    pub page: Box<dyn Fn(AlertQuery) -> Result<Vec<AlertRow>, String> + Send + Sync>,
    /// At most so many deliveries that were given up, in order of storing.
    pub failed: Box<dyn Fn(usize) -> Result<Vec<FailedRow>, String> + Send + Sync>,
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailedRow {
    /// Of the alert.
    pub id: String,
    pub revision: u32,
    pub stream: String,
    pub key: String,
    /// Of the alert, event time ns.
    pub onset_ns: i64,
    pub receiver: String,
    pub attempts: u32,
    pub last_status: Option<u16>,
    pub reason: String,
    /// `webhook-id` of the incident's message that tells of it.
    pub incident: Option<String>,
}

/// One revision of an alert as stored, and who was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertRow {
    /// Order of storing.
    pub seq: i64,
    /// Wall time, ns.
    pub stored_at_ns: i64,
    pub alert: Alert,
    pub deliveries: Vec<DeliveryRow>,
}

/// Where one receiver stands with one revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeliveryRow {
    pub receiver: String,
    pub state: DeliveryState,
    pub attempts: u32,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    /// From the durable outbox to the 2xx, all attempts included.
    pub stored_to_2xx_ns: Option<i64>,
    /// When it is tried next, wall time ns; at the earliest while the receiver is only probed. `None` unless it waits, and
    /// while it waits for an earlier revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at_ns: Option<i64>,
    /// The revision of the alert that the receiver is to be told first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<u32>,
    /// The silence that holds it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced_by: Option<String>,
    /// `webhook-id` of the incident's message that tells of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    Delivered,
    Failed,
    /// Held back by a silence, or over before the silence was.
    Silenced,
}

/// What a stretch of the receipt was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentKind {
    /// By design or by absence, not by Eddy's work: the watermark's wait, the time Eddy was away.
    Outside,
    /// In a queue of Eddy's.
    Waiting,
    Computing,
    /// To another thread, a disk, a receiver.
    Moving,
}

impl SegmentKind {
    pub fn of(stage: &str) -> Self {
        match stage {
            "recovery" => SegmentKind::Outside,
            "receive" | "log" | "outbox" | "deliver" => SegmentKind::Moving,
            _ if stage.starts_with("wait") => SegmentKind::Outside,
            _ if stage.starts_with("queue") => SegmentKind::Waiting,
            _ => SegmentKind::Computing,
        }
    }
}

/// A row as the API and the page show it. A list of alerts holds the revision that raised each, since that one has
/// the evidence, and how it ended beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertEntry {
    #[serde(flatten)]
    pub row: AlertRow,
    /// Only beside the revision that raised it, in lists of alerts and of one alert; `None` while it fires.
    pub resolved: Option<Resolution>,
    /// Who has seen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// What somebody said that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<Spoken>,
    /// The receipt's stretches that are Eddy's own: its total without the `Outside` ones.
    pub eddy_ns: u64,
    /// From the arrival of the window's last event to the first receiver's 2xx.
    pub total_to_2xx_ns: Option<u64>,
}

/// The last word on an alert, where it acts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spoken {
    pub verdict: Word,
    pub reason: String,
    pub who: String,
    /// Wall time, ns.
    pub at_ns: i64,
    /// The key is told less because of it.
    pub in_force: bool,
}

impl Spoken {
    pub fn of(said: &Said, feedback: Feedback) -> Spoken {
        let Feedback { alert, word, reason, who, at_ns, .. } = feedback;
        Spoken { verdict: word, reason, who, at_ns, in_force: said.is_expected(&alert) }
    }
}

/// The revision that ended an alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resolution {
    pub revision: u32,
    /// Resolved, or retracted: late data showed that there had been nothing.
    pub state: AlertState,
    /// End of the window that was normal, the row that ended a silence, or the end of an onset's quiet time; event
    /// time ns.
    pub window_end: i64,
    /// Wall time, ns.
    pub stored_at_ns: i64,
}

impl From<&AlertRow> for Resolution {
    fn from(row: &AlertRow) -> Self {
        let decision = &row.alert.decision;
        Resolution {
            revision: decision.revision,
            state: decision.state,
            window_end: decision.happened().0,
            stored_at_ns: row.stored_at_ns,
        }
    }
}

impl AlertEntry {
    /// Notes who has seen the alert, and what was said of it.
    pub fn see(&mut self, said: &Said) {
        let id = &self.row.alert.decision.id;
        self.acknowledged = said.acknowledgement(id);
        self.feedback = said.feedback(id).map(|feedback| Spoken::of(said, feedback));
    }

    pub fn is_silenced(&self) -> bool {
        self.row.deliveries.iter().any(|delivery| delivery.state == DeliveryState::Silenced)
    }
}

impl From<AlertRow> for AlertEntry {
    fn from(row: AlertRow) -> Self {
        let receipt = &row.alert.receipt;
        let own = receipt.segments.iter().filter(|s| SegmentKind::of(&s.stage) != SegmentKind::Outside);
        let eddy_ns = own.map(|segment| segment.ns).sum();
        let first_2xx = row.deliveries.iter().filter_map(|delivery| delivery.stored_to_2xx_ns).min();
        let total_to_2xx_ns = first_2xx.map(|ns| receipt.total_ns + ns.max(0) as u64);
        AlertEntry { row, resolved: None, acknowledged: None, feedback: None, eddy_ns, total_to_2xx_ns }
    }
}
