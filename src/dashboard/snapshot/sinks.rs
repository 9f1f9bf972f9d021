//! Receivers as the page lists them.

use serde::Serialize;

use crate::status::{SendRate, Waiting};

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
    /// Told under `problems`.
    #[serde(skip)]
    pub rival: Option<String>,
    /// Only of a receiver of CloudEvents that was asked.
    pub rate: Option<RateView>,
    /// It failed many messages in a row, and is only probed.
    pub circuit_open: bool,
    /// `null` where nothing waits for it.
    pub waiting: Option<WaitingView>,
}

/// What waits for a receiver, beside how much it is. Wall time, ns.
#[derive(Clone, Debug, Serialize)]
pub struct WaitingView {
    pub oldest_stored_at_ns: i64,
    /// That were made of the oldest; those before their time are not counted.
    pub attempts: u32,
    /// Something is being sent.
    pub trying: bool,
    /// `null` while something is being sent, and if nothing will be any more.
    pub next_attempt_at_ns: Option<i64>,
}

impl From<Waiting> for WaitingView {
    fn from(Waiting { oldest_stored_at_ns, attempts, trying, next_attempt_at_ns }: Waiting) -> Self {
        WaitingView { oldest_stored_at_ns, attempts, trying, next_attempt_at_ns }
    }
}

/// How often a receiver of CloudEvents allows to be sent to.
#[derive(Clone, Debug, Serialize)]
pub struct RateView {
    /// Messages; `null` where it sets no limit.
    pub per_minute: Option<u32>,
    /// `false`: it has not answered the handshake, and the limit is the sender's.
    pub permitted: bool,
}

impl From<SendRate> for RateView {
    fn from(SendRate { per_minute, permitted }: SendRate) -> Self {
        RateView { per_minute, permitted }
    }
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
