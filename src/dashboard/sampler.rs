//! One snapshot a second, read by every page and viewer, and the last few dozen kept so that a page's
//! numbers can be compared with exactly what it was made from.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use serde_json::Value;
use tokio::sync::watch;

use super::alerts::{AlertEntry, AlertQuery, AlertRow, AlertsView, Resolution};
use super::snapshot::{Alerts, Snapshot};
use crate::status::Said;

/// Snapshots kept: about a minute.
pub const KEPT: usize = 64;

/// Rates are over this long.
const RATE_NS: i64 = 10_000_000_000;

/// Alerts a snapshot holds, open ones first.
pub const ALERTS_MAX: usize = 50;

/// Failed deliveries a snapshot holds.
const FAILED_MAX: usize = 10;

/// A snapshot and what is made of it once for all viewers.
#[derive(Debug)]
pub struct Frame {
    pub snapshot: Snapshot,
    /// The snapshot as the API serves it.
    pub json: Value,
    pub text: String,
    /// Of [`Snapshot::timeless`].
    pub content: u64,
    /// Of the alerts listed.
    pub alerts: u64,
}

impl Frame {
    pub fn new(snapshot: Snapshot) -> Self {
        let hash = |text: &[u8]| xxhash_rust::xxh3::xxh3_64(text);
        // Serialising plain structs into memory cannot fail; an empty text would show at once.
        let json = serde_json::to_value(&snapshot).unwrap_or_default();
        let still = serde_json::to_vec(&snapshot.timeless()).unwrap_or_default();
        let alerts = serde_json::to_vec(&snapshot.alerts.content()).unwrap_or_default();
        Frame { text: json.to_string(), content: hash(&still), alerts: hash(&alerts), json, snapshot }
    }
}

/// The newest frame and its predecessors.
pub struct Frames {
    ring: RwLock<VecDeque<Arc<Frame>>>,
    newest: watch::Sender<Arc<Frame>>,
}

impl Frames {
    pub fn new(first: Snapshot) -> Self {
        let first = Arc::new(Frame::new(first));
        Frames { ring: RwLock::new(VecDeque::from([first.clone()])), newest: watch::Sender::new(first) }
    }

    pub fn newest(&self) -> Arc<Frame> {
        self.newest.borrow().clone()
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<Frame>> {
        self.newest.subscribe()
    }

    /// The frame of that sequence number, if it is still kept.
    pub fn get(&self, seq: u64) -> Option<Arc<Frame>> {
        self.read().iter().find(|frame| frame.snapshot.seq == seq).cloned()
    }

    /// The frame to compute rates against at `time_ns`: the youngest that is 10 s old, else the oldest.
    pub fn before(&self, time_ns: i64) -> Option<Arc<Frame>> {
        let ring = self.read();
        let old_enough = |frame: &&Arc<Frame>| time_ns - frame.snapshot.time_ns >= RATE_NS;
        ring.iter().rev().find(old_enough).or(ring.front()).cloned()
    }

    pub fn push(&self, snapshot: Snapshot) {
        let frame = Arc::new(Frame::new(snapshot));
        {
            let mut ring = self.ring.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            if ring.len() == KEPT {
                ring.pop_front();
            }
            ring.push_back(frame.clone());
        }
        self.newest.send_replace(frame);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, VecDeque<Arc<Frame>>> {
        self.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Reads what the page lists: open alerts, earliest onset first, then the newest others, each once.
pub fn list_alerts(view: &AlertsView, said: &Said, now_ns: i64) -> Alerts {
    let mut alerts =
        read_alerts(view).unwrap_or_else(|error| Alerts { error: Some(error), ..Alerts::default() });
    alerts.rows.iter_mut().for_each(|entry| entry.see(said));
    alerts.silences = said.silences();
    alerts.silences.retain(|silence| silence.ends_at_ns > now_ns);
    alerts
}

fn read_alerts(view: &AlertsView) -> Result<Alerts, String> {
    let open = (view.page)(AlertQuery::Open)?;
    let newest = AlertQuery::Page { before: None, limit: 2 * ALERTS_MAX, stream: None, key: None };
    let recent = (view.page)(newest)?;
    let (open, listed) = (open.len(), open.into_iter().take(ALERTS_MAX));
    let mut rows: Vec<AlertEntry> = listed.map(AlertEntry::from).collect();
    for last in recent.iter().filter(|row| !row.alert.decision.state.is_firing()) {
        if rows.len() == ALERTS_MAX {
            break;
        }
        // Newest first: of an alert that ended twice, the later end is met first.
        let id = &last.alert.decision.id;
        if !rows.iter().any(|entry| entry.row.alert.decision.id == *id) {
            let raised = raised(view, &recent, id)?.unwrap_or_else(|| last.clone());
            rows.push(AlertEntry { resolved: Some(Resolution::from(last)), ..raised.into() });
        }
    }
    let failed = (view.failed)(FAILED_MAX)?;
    Ok(Alerts { rows, open, failed, ..Alerts::default() })
}

/// The newest revision that raised the alert.
fn raised(view: &AlertsView, recent: &[AlertRow], id: &str) -> Result<Option<AlertRow>, String> {
    let raises = |row: &&AlertRow| row.alert.decision.id == id && row.alert.decision.state.is_firing();
    if let Some(row) = recent.iter().find(raises) {
        return Ok(Some(row.clone()));
    }
    let all = (view.page)(AlertQuery::One { id: id.to_owned() })?;
    Ok(all.iter().rfind(raises).cloned())
}
