use super::super::super::report::fixtures::alert;
use super::super::DAY_NS;
use super::super::holders::card_name;
use super::*;

const DAYS: i64 = 30;

fn ledger() -> Ledger {
    let mut ledger = Ledger::new(1, DAYS);
    ledger.advance(end());
    ledger
}

fn end() -> EventTime {
    EventTime(CARDS_START.0 + DAYS * DAY_NS)
}

/// Raised by `stream` on this payment; names `vibration`, or what it is told to name.
fn on(payment: &Payment, stream: &str, column: Option<&str>) -> Received {
    let id = format!("{}-{}", payment.card, payment.time.0);
    let mut alert = alert(&card_name(payment.card), &id, 0, 1);
    (alert.start, alert.end) = (EventTime(payment.time.0 - 10), EventTime(payment.time.0 + 1));
    alert.decision.stream = stream.into();
    if let (crate::types::About::Window(window), Some(column)) = (&mut alert.decision.about, column) {
        window.columns.iter_mut().for_each(|evidence| evidence.column = column.into());
    }
    alert
}

fn report(alerts: &[Received]) -> CardReport {
    CardReport::new(Facts::default(), &mut Ledger::new(1, DAYS), end(), alerts)
}

fn place(ledger: &Ledger, kind: Kind) -> usize {
    ledger.frauds().iter().position(|fraud| fraud.kind == kind).unwrap()
}

#[test]
fn an_alert_on_a_payment_of_the_fraud_finds_it_with_the_delay_from_its_first() {
    let ledger = ledger();
    let at = place(&ledger, Kind::Takeover);
    let payments = ledger.payments_of(at);
    let report = report(&[on(&payments[5], CARDS, None), on(&payments[2], BURSTS, None)]);
    assert_eq!((report.injected, report.found, report.missed, report.alerts_false), (10, 1, 9, 0));
    let outcome = &report.frauds[at];
    assert_eq!((outcome.payments, outcome.payments_alerted, outcome.payments_until_found), (8, 2, Some(3)));
    assert_eq!(outcome.delay_s, Some((payments[2].time.0 - payments[0].time.0) as f64 / 1e9));
    assert_eq!(outcome.stream.as_deref(), Some(BURSTS), "the first one");
    let kind = &report.kinds[Kind::Takeover as usize];
    assert_eq!((kind.injected, kind.found, kind.found_by_cards, kind.found_by_bursts), (4, 1, 1, 1));
}

#[test]
fn an_alert_on_any_other_payment_is_false_and_of_the_history_apart() {
    let ledger = ledger();
    let payment = ledger.payments_of(place(&ledger, Kind::Takeover))[0];
    let beside = Payment { time: EventTime(payment.time.0 + 1), ..payment };
    let other = Payment { card: (payment.card + 1) % 200, ..payment };
    let before = Payment { time: EventTime(CARDS_START.0 - DAY_NS), ..payment };
    let report =
        report(&[on(&beside, CARDS, None), on(&other, CARDS, Some(TERMINAL)), on(&before, CARDS, None)]);
    assert_eq!((report.found, report.alerts_raised, report.alerts_false), (0, 2, 2));
    assert_eq!((report.alerts_false_terminal, report.alerts_history), (1, 1));
    assert!(report.to_string().contains("of 2 alerts raised 2 belong to no fraud"), "{report}");
}

#[test]
fn a_compromised_terminal_is_found_by_its_name_alone() {
    let ledger = ledger();
    let at = place(&ledger, Kind::TerminalCompromise);
    let payments = ledger.payments_of(at);
    let by_chance = report(&[on(&payments[0], CARDS, Some("amount"))]);
    assert_eq!((by_chance.found, by_chance.alerts_false), (0, 0));
    let named = report(&[on(&payments[3], CARDS, Some(TERMINAL))]);
    assert_eq!((named.found, named.frauds[at].payments_until_found), (1, Some(4)));
}

#[test]
fn frauds_that_are_not_over_are_not_judged() {
    let ledger = ledger();
    let at = place(&ledger, Kind::TerminalCompromise);
    let fraud = &ledger.frauds()[at];
    let reached = EventTime(fraud.end.0 - DAY_NS);
    let report = CardReport::new(Facts::default(), &mut Ledger::new(1, DAYS), reached, &[]);
    let over = ledger.frauds().iter().filter(|fraud| fraud.end <= reached).count();
    let cut = ledger.frauds().iter().filter(|fraud| fraud.start <= reached && fraud.end > reached).count();
    assert!(over > 0 && cut > 0);
    assert_eq!((report.injected, report.missed, report.cut_short), (over, over, cut));
    assert!(report.payments < ledger.payments());
}

#[test]
fn the_table_and_the_json_name_what_was_found_and_what_was_not() {
    let ledger = ledger();
    let payments = ledger.payments_of(place(&ledger, Kind::TestThenDrain));
    let report = report(&[on(&payments[4], BURSTS, None)]);
    let table = report.to_string();
    assert!(table.contains("1 of 10 frauds found, 9 missed"), "{table}");
    assert!(table.contains("by payment 5 of 10") && table.contains("MISSED (8 payments)"), "{table}");
    assert!(table.contains("a threshold on the amount 0 of 10"), "{table}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["kinds"][1]["kind"], "test_then_drain");
    let victims = json["frauds"].as_array().unwrap().iter().map(|fraud| fraud["victim"].clone());
    let victims: Vec<_> = victims.collect();
    assert!(victims.iter().any(|victim| victim["terminal"].is_string()), "{victims:?}");
    assert!(victims.contains(&serde_json::json!({"card": card_name(payments[0].card)})), "{victims:?}");
}
