//! What happens at the cards, as it happens: one line a fraud and one an alert.

use super::super::receiver::Received;
use super::CARDS_START;
use super::frauds::Fraud;
use super::ledger::Ledger;
use super::table::{day, duration};
use crate::types::{AlertState, EventTime};

/// Remembers what has been told.
pub struct CardsLive {
    pub ledger: Ledger,
    frauds_told: usize,
}

impl CardsLive {
    pub fn new(seed: u64, days: i64) -> Self {
        CardsLive { ledger: Ledger::new(seed, days), frauds_told: 0 }
    }

    /// Lines about everything new: frauds that began by `now`, and alerts that were raised. Those of the history are
    /// left to the report.
    pub fn lines(&mut self, now: EventTime, real_s: f64, alerts: &[Received]) -> Vec<String> {
        self.ledger.advance(now);
        let frauds = self.ledger.frauds();
        let begun = frauds[self.frauds_told..].iter().take_while(|fraud| fraud.start <= now);
        let mut lines: Vec<String> = begun.map(|fraud| began(fraud, real_s)).collect();
        self.frauds_told += lines.len();
        let raised = alerts.iter().filter(|alert| {
            alert.decision.state == AlertState::Raised
                && alert.decision.revision == 0
                && alert.end > CARDS_START
        });
        lines.extend(raised.map(|alert| told(alert, &self.ledger)));
        lines
    }
}

fn began(fraud: &Fraud, real_s: f64) -> String {
    format!(
        "{real_s:6.1} s  {:<8}  {}  fraud     {} begins",
        day(fraud.start),
        fraud.victim,
        fraud.kind.as_str()
    )
}

fn told(alert: &Received, ledger: &Ledger) -> String {
    let decision = &alert.decision;
    let cause = match ledger.payment_of(alert).and_then(|payment| payment.fraud) {
        Some(fraud) => {
            let fraud = &ledger.frauds()[fraud];
            let delay_s = (alert.end.0 - fraud.start.0) as f64 / 1e9;
            format!("{}, {} after its start", fraud.kind.as_str(), duration(delay_s))
        }
        None => "no fraud: a false alert".to_owned(),
    };
    let column = decision.top_column().unwrap_or("no column");
    let p = decision.window().map_or(f64::NAN, |window| window.p_value);
    let (at_s, day, key) = (alert.at_s, day(alert.end), &decision.key);
    format!("{at_s:6.1} s  {day:<8}  {key}  ALERT     {column} stands out, p = {p:.1e} ({cause})")
}
