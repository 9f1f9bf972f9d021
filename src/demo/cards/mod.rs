//! Card payments beside the pumps: holders with habits, three kinds of fraud, charge-backs that come days later, and
//! an honest count at the end.
//!
//! ```text
//! holders + frauds ─► shop ─► publish ─► broker ─► … the product … ─► receiver ─► report
//! ```
//!
//! Cards have a clock of their own, a day every [`DAY_REAL_S`] seconds: nothing would come of charge-backs in the hour
//! and a half that the pumps live through.
pub mod frauds;
pub mod holders;
pub mod ledger;
pub mod live;
pub mod publish;
pub mod report;
pub mod rules;
pub mod shop;
pub mod table;

#[cfg(test)]
mod difficulty;

use crate::types::EventTime;

/// Midnight of the day on which the demo starts, 2026-01-07 UTC: day 0.
pub const CARDS_START: EventTime = EventTime(1_767_744_000_000_000_000);
/// Days without fraud before that. They are sent as fast as they are taken, so that the cards have a past.
pub const HISTORY_DAYS: i64 = 20;
/// Real seconds a day of the cards.
pub const DAY_REAL_S: i64 = 3;

/// Alerts on sound payments of which a run of 30 days stays below. Tests grant as many false alarms to the rules that the
/// product is held against.
pub const FALSE_ALERTS_MAX: usize = 50;

pub const MS_NS: i64 = 1_000_000;
pub const DAY_MS: i64 = 86_400_000;
pub const DAY_NS: i64 = DAY_MS * MS_NS;
/// Seconds of the cards' time a second of real time.
pub const CARD_SPEED: i64 = 86_400 / DAY_REAL_S;

/// Days since the start, with fractions.
pub fn days_since_start(time: EventTime) -> f64 {
    (time.0 - CARDS_START.0) as f64 / DAY_NS as f64
}
