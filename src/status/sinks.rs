//! What is known of a receiver.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use super::{Rival, read, write};

/// Of one sink.
#[derive(Debug, Default)]
pub struct SinkStatus {
    pub name: String,
    pub delivered_total: AtomicU64,
    pub attempts_failed_total: AtomicU64,
    /// Waiting in the outbox for the receiver.
    pub queued: AtomicU64,
    /// Held back by silences.
    pub silenced: AtomicU64,
    /// It failed many messages in a row, and is only probed.
    pub circuit_open: AtomicBool,
    /// Deliveries given up since the start, by attempts that failed or a 410.
    pub failed_total: AtomicU64,
    /// Those given up, ever, that could be replayed.
    pub failed: AtomicU64,
    pub disabled: AtomicBool,
    pub blocked: AtomicBool,
    /// Who read standard output has closed it: nothing will be taken any more.
    pub closed: AtomicBool,
    /// Wall time of the last 2xx, ns; 0 = none yet.
    pub last_success: AtomicI64,
    pub last_error: Mutex<Option<String>>,
    pub rival: Rival,
    pub rate: Mutex<Option<SendRate>>,
    /// Wall time before which it is sent nothing, ns; `i64::MAX` = never again.
    pub paused_until: AtomicI64,
    pub waiting: Mutex<Option<Waiting>>,
}

/// What waits for the receiver, and for how long it still will. Times are wall time, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// When the oldest of it was stored.
    pub oldest_stored_at_ns: i64,
    /// That were made of the oldest; those before their time are not counted.
    pub attempts: u32,
    /// Something is being sent.
    pub trying: bool,
    /// `None` while something is being sent, and if nothing will be any more.
    pub next_attempt_at_ns: Option<i64>,
}

/// How often a receiver of CloudEvents may be sent to, by its answer to the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendRate {
    /// `None`: as often as there is something to send.
    pub per_minute: Option<u32>,
    /// It said that it wants events of this origin; a rate is its own then.
    pub permitted: bool,
}

impl SinkStatus {
    /// `None` where nothing was asked yet, or never is.
    pub fn rate(&self) -> Option<SendRate> {
        read(&self.rate)
    }

    /// `None` where nothing waits.
    pub fn waiting(&self) -> Option<Waiting> {
        read(&self.waiting)
    }

    pub fn set_waiting(&self, waiting: Option<Waiting>) {
        write(&self.waiting, waiting);
    }

    pub fn set_rate(&self, rate: Option<SendRate>) {
        write(&self.rate, rate);
    }
}
