//! Beside the evidence of alerts: who was told, and what is not to be told for a while.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::alerts::{AlertEntry, DeliveryRow, DeliveryState, FailedRow};
use super::format::clock;
use crate::types::Silence;

pub struct Receiver {
    pub at: String,
    pub name: String,
    pub mark: &'static str,
    pub what: &'static str,
    pub failing: bool,
    /// It is the turn of an earlier revision.
    pub waits_for: bool,
    /// Clock, where it waits for its time.
    pub next: Option<String>,
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

/// Of these silences those that have not ended.
pub fn silence_lines(silences: &[Arc<Silence>], now_ns: i64, zone: &TimeZone) -> Vec<SilenceLine> {
    let line = |(i, silence): (usize, &Arc<Silence>)| SilenceLine {
        at: format!("silences[{i}]"),
        id: silence.id.clone(),
        matchers: silence.matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        ends: clock(silence.ends_at_ns, now_ns, zone),
        author: silence.author.clone(),
        comment: silence.comment.clone(),
        active: silence.is_active(now_ns),
    };
    let coming = |(_, silence): &(usize, &Arc<Silence>)| silence.ends_at_ns > now_ns;
    silences.iter().enumerate().filter(coming).map(line).collect()
}

/// Onsets of the alerts whose deliveries were given up.
pub fn onsets(given_up: &[FailedRow], now_ns: i64, zone: &TimeZone) -> Vec<String> {
    given_up.iter().map(|row| clock(row.onset_ns, now_ns, zone)).collect()
}

/// `at`: path of the entry into the API's document.
pub fn receivers(at: &str, entry: &AlertEntry, now_ns: i64, zone: &TimeZone) -> Vec<Receiver> {
    let deliveries = entry.row.deliveries.iter().enumerate();
    deliveries.map(|(d, row)| Receiver::of(format!("{at}.deliveries[{d}]"), row, now_ns, zone)).collect()
}

impl Receiver {
    fn of(at: String, delivery: &DeliveryRow, now_ns: i64, zone: &TimeZone) -> Self {
        let next = delivery.next_attempt_at_ns.filter(|next_ns| *next_ns > now_ns);
        let waits_for = delivery.waits_for.is_some();
        let failing = delivery.state != DeliveryState::Delivered && delivery.last_error.is_some();
        let (mark, what) = match delivery.state {
            DeliveryState::Delivered => ("✓", "told"),
            DeliveryState::Pending if waits_for => ("○", "waits for revision"),
            DeliveryState::Pending if failing && next.is_some() => ("✗", "failed, tries again at"),
            DeliveryState::Pending if failing => ("✗", "failed, tries again"),
            DeliveryState::Pending if next.is_some() => ("○", "waits until"),
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
            waits_for,
            next: next.map(|next_ns| clock(next_ns, now_ns, zone)),
            reached: delivery.stored_to_2xx_ns.is_some(),
            answered: delivery.last_status.is_some(),
            explained: failing,
        }
    }
}
