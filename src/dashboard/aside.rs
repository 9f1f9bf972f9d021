//! Beside the evidence of alerts: who was told, and what is not to be told for a while.

use jiff::tz::TimeZone;

use super::alerts::{AlertEntry, DeliveryRow, DeliveryState};
use super::format::clock;
use super::snapshot::Snapshot;

pub struct Receiver {
    pub at: String,
    pub name: String,
    pub mark: &'static str,
    pub what: &'static str,
    pub failing: bool,
    /// There is a time to the 2xx.
    pub reached: bool,
    /// There is a status.
    pub answered: bool,
    /// It says why it has not been reached.
    pub explained: bool,
}

/// A silence that is in force or to come; `at` is its path into the API's document.
pub struct SilenceLine {
    pub at: String,
    pub id: String,
    pub matchers: String,
    pub ends: String,
    pub author: String,
    pub comment: String,
    pub active: bool,
}

pub fn silence_lines(snapshot: &Snapshot, zone: &TimeZone) -> Vec<SilenceLine> {
    let line = |(i, silence): (usize, &std::sync::Arc<crate::types::Silence>)| SilenceLine {
        at: format!("silences[{i}]"),
        id: silence.id.clone(),
        matchers: silence.matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        ends: clock(silence.ends_at_ns, snapshot.time_ns, zone),
        author: silence.author.clone(),
        comment: silence.comment.clone(),
        active: silence.is_active(snapshot.time_ns),
    };
    snapshot.alerts.silences.iter().enumerate().map(line).collect()
}

pub fn receivers(at: &str, entry: &AlertEntry) -> Vec<Receiver> {
    let deliveries = entry.row.deliveries.iter().enumerate();
    deliveries.map(|(d, delivery)| Receiver::of(format!("{at}.deliveries[{d}]"), delivery)).collect()
}

impl Receiver {
    pub fn of(at: String, delivery: &DeliveryRow) -> Self {
        let failing = delivery.state != DeliveryState::Delivered && delivery.last_error.is_some();
        let (mark, what) = match delivery.state {
            DeliveryState::Delivered => ("✓", "told"),
            DeliveryState::Pending if failing => ("✗", "failed, tries again"),
            DeliveryState::Pending => ("○", "under way"),
            DeliveryState::Failed => ("✗", "gave up"),
            DeliveryState::Silenced => ("–", "silenced"),
        };
        Receiver {
            at,
            name: delivery.receiver.clone(),
            mark,
            what,
            failing,
            reached: delivery.stored_to_2xx_ns.is_some(),
            answered: delivery.last_status.is_some(),
            explained: failing,
        }
    }
}
