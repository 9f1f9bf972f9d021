//! Receivers as the page lists them.

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct SinkView {
    pub name: String,
    pub kind: &'static str,
    pub state: SinkState,
    pub delivered_total: u64,
    pub attempts_failed_total: u64,
    pub queued: u64,
    /// Held back by silences.
    pub silenced: u64,
    pub failed_total: u64,
    /// Given up, ever, and in the outbox now.
    pub failed: u64,
    pub last_success_ns: Option<i64>,
    pub last_success_age_ns: Option<i64>,
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkState {
    /// Nothing sent yet.
    Idle,
    Ok,
    /// The last attempt failed and alerts wait.
    Retrying,
    /// Nobody takes what is being written.
    Blocked,
    /// Who took what is written has closed it.
    Closed,
    /// The receiver said 410 Gone.
    Disabled,
}
