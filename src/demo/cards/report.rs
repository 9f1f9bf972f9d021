//! What came of the frauds: alerts matched to payments, counted as they are.
//!
//! A fraud is found by an alert that was raised on one of its payments, a compromised terminal only by one that names the
//! terminal first: the amounts there are the holders' own, and one of them may stand out by chance. Its delay runs, in the
//! cards' time, from its first payment to that one. An alert on a payment that is no fraud is false. Of frauds that were
//! not over when the run ended nothing is said.
//!
//! Beside that stands what rules on amounts find at as many false alerts: any payment of the fraud counts for them, at a
//! compromised terminal too.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::receiver::Received;
use super::super::report::{Scored, median, raised};
use super::frauds::{Fraud, Kind, Payment};
use super::ledger::Ledger;
use super::rules::Thresholds;
use super::{CARDS_START, DAY_REAL_S, HISTORY_DAYS, days_since_start};
use crate::types::EventTime;

/// Streams in `configs/demo.toml`: one judges a payment by its amount and its terminal, ...
pub const CARDS: &str = "cards";
/// ... one the last minutes of a card.
pub const BURSTS: &str = "bursts";

/// The column of the terminal's risk.
const TERMINAL: &str = "terminal";

/// What a run did, besides its alerts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    pub published: u64,
    pub acked: u64,
    pub cards: Scored,
    pub bursts: Scored,
}

/// One fraud, and the first alert that found it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub fraud: Fraud,
    pub payments: usize,
    pub payments_alerted: usize,
    /// Payments up to the one that raised the first alert, that one among them.
    pub payments_until_found: Option<usize>,
    pub delay_s: Option<f64>,
    /// Stream of the first alert, and column with the largest share in it.
    pub stream: Option<String>,
    pub top_column: Option<String>,
    /// By a threshold on the amount, common to all cards, with as many false alerts.
    pub found_by_amount_alone: bool,
    /// By thresholds on the amount and on the sum of 15 minutes, in terms of what the card pays otherwise, with as many.
    pub found_by_own_mean: bool,
    #[serde(skip)]
    streams: BTreeSet<String>,
}

impl Outcome {
    pub fn found(&self) -> bool {
        self.delay_s.is_some()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindOutcome {
    pub kind: Kind,
    pub injected: usize,
    pub found: usize,
    pub missed: usize,
    /// Found by that stream; a fraud may be found by both.
    pub found_by_cards: usize,
    pub found_by_bursts: usize,
    pub found_by_amount_alone: usize,
    pub found_by_own_mean: usize,
    pub delay_s_median: Option<f64>,
    pub payments: usize,
    pub payments_alerted: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct CardReport {
    #[serde(flatten)]
    pub facts: Facts,
    pub history_days: i64,
    pub day_real_s: i64,
    /// Days reached, from the start.
    pub days: f64,
    /// Since the start; those of the history are not among them.
    pub payments: usize,
    pub charge_backs: u64,
    pub injected: usize,
    pub found: usize,
    pub missed: usize,
    /// Frauds that had begun and were not over when the run ended.
    pub cut_short: usize,
    /// Since the start.
    pub alerts_raised: usize,
    /// On payments that were no fraud.
    pub alerts_false: usize,
    /// Of these, those that named the terminal: a fraudster had paid there once, or it had been compromised.
    pub alerts_false_terminal: usize,
    /// On payments of the history, where nothing is fraud.
    pub alerts_history: usize,
    /// By a threshold on the amount with as many false alerts.
    pub found_by_amount_alone: usize,
    /// By thresholds on what is the card's own with as many false alerts.
    pub found_by_own_mean: usize,
    pub kinds: Vec<KindOutcome>,
    pub frauds: Vec<Outcome>,
}

impl CardReport {
    /// `reached` is the cards' time; `alerts` are those of both streams, in order of receipt.
    pub fn new(facts: Facts, ledger: &mut Ledger, reached: EventTime, alerts: &[Received]) -> Self {
        ledger.advance(reached);
        let (run, history): (Vec<&Received>, Vec<&Received>) =
            raised(alerts).into_iter().partition(|alert| alert.end > CARDS_START);
        let false_alerts: Vec<&&Received> = run.iter().filter(|a| ledger.payment_of(a).is_none()).collect();
        let begun = ledger.frauds().iter().enumerate().filter(|(_, fraud)| fraud.start <= reached);
        let (over, cut): (Vec<_>, Vec<_>) = begun.partition(|(_, fraud)| fraud.end <= reached);
        let rules = ledger.thresholds(false_alerts.len());
        let outcomes: Vec<Outcome> =
            over.iter().filter_map(|(at, fraud)| outcome(*at, fraud, ledger, &rules, &run)).collect();
        let number = |of: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| of(outcome)).count();
        let found = number(Outcome::found);
        CardReport {
            facts,
            history_days: HISTORY_DAYS,
            day_real_s: DAY_REAL_S,
            days: days_since_start(reached).max(0.0),
            payments: ledger.payments(),
            charge_backs: ledger.charge_backs,
            injected: outcomes.len(),
            found,
            missed: outcomes.len() - found,
            cut_short: cut.len(),
            alerts_raised: run.len(),
            alerts_false: false_alerts.len(),
            alerts_false_terminal: false_alerts
                .iter()
                .filter(|alert| alert.decision.top_column() == Some(TERMINAL))
                .count(),
            alerts_history: history.len(),
            found_by_amount_alone: number(|outcome| outcome.found_by_amount_alone),
            found_by_own_mean: number(|outcome| outcome.found_by_own_mean),
            kinds: Kind::ALL.iter().map(|kind| of_kind(*kind, &outcomes)).collect(),
            frauds: outcomes,
        }
    }
}

/// `None`: nobody paid.
fn outcome(
    at: usize,
    fraud: &Fraud,
    ledger: &Ledger,
    rules: &Thresholds,
    raised: &[&Received],
) -> Option<Outcome> {
    let payments = ledger.payments_of(at);
    let hits = || {
        let of_fraud = |alert: &&&Received| ledger.payment_of(alert).is_some_and(|p| p.fraud == Some(at));
        raised.iter().filter(of_fraud).filter(|alert| names(alert, fraud.kind))
    };
    let first = hits().min_by_key(|alert| alert.end);
    let begin = payments.first()?.time;
    let alerted = |payment: &&Payment| hits().any(|alert| ledger.payment_of(alert) == Some(payment));
    Some(Outcome {
        fraud: fraud.clone(),
        payments: payments.len(),
        payments_alerted: payments.iter().filter(alerted).count(),
        payments_until_found: first.map(|alert| payments.iter().filter(|p| p.time < alert.end).count()),
        delay_s: first.map(|alert| (alert.end.0 - 1 - begin.0) as f64 / 1e9),
        stream: first.map(|alert| alert.decision.stream.clone()),
        top_column: first.and_then(|alert| alert.decision.top_column()).map(str::to_owned),
        found_by_amount_alone: ledger.marks_of(at).any(|marks| rules.by_amount(marks)),
        found_by_own_mean: ledger.marks_of(at).any(|marks| rules.by_own_mean(marks)),
        streams: hits().map(|alert| alert.decision.stream.clone()).collect(),
    })
}

fn names(alert: &Received, kind: Kind) -> bool {
    kind != Kind::TerminalCompromise || alert.decision.top_column() == Some(TERMINAL)
}

fn of_kind(kind: Kind, outcomes: &[Outcome]) -> KindOutcome {
    let own: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.fraud.kind == kind).collect();
    let number = |of: fn(&Outcome) -> bool| own.iter().filter(|outcome| of(outcome)).count();
    let found = number(Outcome::found);
    let by = |stream: &str| own.iter().filter(|outcome| outcome.streams.contains(stream)).count();
    KindOutcome {
        kind,
        injected: own.len(),
        found,
        missed: own.len() - found,
        found_by_cards: by(CARDS),
        found_by_bursts: by(BURSTS),
        found_by_amount_alone: number(|outcome| outcome.found_by_amount_alone),
        found_by_own_mean: number(|outcome| outcome.found_by_own_mean),
        delay_s_median: median(own.iter().filter_map(|outcome| outcome.delay_s)),
        payments: own.iter().map(|outcome| outcome.payments).sum(),
        payments_alerted: own.iter().map(|outcome| outcome.payments_alerted).sum(),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
