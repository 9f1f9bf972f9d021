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
        let raised = alerts
            .iter()
            .filter(|alert| alert.decision.state == AlertState::Raised && alert.end > CARDS_START);
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

#[cfg(test)]
mod tests {
    use super::super::super::report::fixtures::alert;
    use super::super::DAY_NS;
    use super::super::frauds::Payment;
    use super::super::holders::card_name;
    use super::*;

    fn on(payment: &Payment, id: &str) -> Received {
        let mut alert = alert(&card_name(payment.card), id, 0, 1);
        (alert.start, alert.end) = (EventTime(payment.time.0 - 10), EventTime(payment.time.0 + 1));
        alert
    }

    #[test]
    fn each_fraud_and_each_alert_since_the_start_is_told_once() {
        let mut live = CardsLive::new(1, 30);
        live.ledger.advance(EventTime(CARDS_START.0 + 30 * DAY_NS));
        let frauds = live.ledger.frauds().to_vec();
        let own = live.ledger.payments_of(0);
        let mut live = CardsLive::new(1, 30);
        assert!(live.lines(CARDS_START, 1.0, &[]).is_empty());
        let lines = live.lines(frauds[0].start, 2.0, &[]);
        assert!(lines.len() == 1 && lines[0].contains(frauds[0].kind.as_str()), "{lines:?}");

        let beside = Payment { time: EventTime(own[1].time.0 + 1), ..own[1] };
        let history = Payment { time: EventTime(CARDS_START.0 - DAY_NS), ..own[1] };
        let mut later = on(&own[1], "a");
        (later.decision.revision, later.decision.state) = (2, AlertState::Revised);
        let mut over = on(&own[1], "a");
        (over.decision.revision, over.decision.state) = (3, AlertState::Resolved);
        let alerts = [on(&own[1], "a"), later, over, on(&beside, "b"), on(&history, "c")];
        let lines = live.lines(own[1].time, 3.0, &alerts);
        let told: Vec<&String> = lines.iter().filter(|line| line.contains("ALERT")).collect();
        assert_eq!(told.len(), 2, "{lines:?}");
        assert!(told[0].contains(&format!("({}, ", frauds[0].kind.as_str())), "{told:?}");
        assert!(told[1].contains("no fraud: a false alert"), "{told:?}");
    }
}
