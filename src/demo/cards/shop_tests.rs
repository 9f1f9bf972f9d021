use super::super::frauds::{Kind, Victim};
use super::*;

const DAYS: i64 = 30;

fn all(seed: u64) -> (Shop, Vec<Told>) {
    let mut shop = Shop::new(seed, DAYS);
    let mut told = Vec::new();
    while shop.day() < DAYS {
        told.extend(shop.next_day());
    }
    (shop, told)
}

#[test]
fn a_seed_gives_one_run_in_order_of_time() {
    let (_, told) = all(7);
    assert_eq!(told, all(7).1);
    assert_ne!(told, all(8).1);
    assert!(told.is_sorted_by_key(|told| told.at), "what is sent out of order would be late");
}

#[test]
fn each_fraud_in_time_is_charged_back_once_days_later_and_nothing_else_is() {
    let (_, told) = all(2);
    let end = CARDS_START.0 + DAYS * DAY_NS;
    let after = CHARGE_BACK_AFTER_DAYS * DAY_NS;
    let frauds: Vec<Payment> = told.iter().filter(|t| !t.charge_back).map(|t| t.payment).collect();
    let frauds: Vec<Payment> =
        frauds.into_iter().filter(|p| p.fraud.is_some() && p.time.0 + after < end).collect();
    let charged: Vec<&Told> = told.iter().filter(|t| t.charge_back).collect();
    assert!(charged.len() > 80, "{}", charged.len());
    assert_eq!(charged.iter().map(|t| t.payment).collect::<Vec<_>>(), frauds);
    assert!(charged.iter().all(|t| t.at.0 == t.payment.time.0 + after));
    assert!(frauds.iter().all(|p| p.time >= CARDS_START), "none in the history");
}

#[test]
fn frauds_are_what_they_claim_to_be() {
    let (shop, told) = all(1);
    let usual = |payment: &Payment| f64::from(payment.cents) / shop.holders[payment.card].usual_cents;
    for (at, fraud) in shop.schedule.frauds.iter().enumerate() {
        let own = told.iter().filter(|t| !t.charge_back && t.payment.fraud == Some(at)).map(|t| t.payment);
        let own: Vec<Payment> = own.collect();
        match fraud.kind {
            Kind::Takeover => {
                let mean = own.iter().map(usual).sum::<f64>() / own.len() as f64;
                assert!(own.len() == 8 && mean > 2.5, "{mean} times what the holder pays");
            }
            Kind::TestThenDrain => {
                assert!(own[..3].iter().all(|p| p.cents < 200), "{own:?}");
                assert!(own[3..].iter().all(|p| (1.2..2.0).contains(&usual(p))), "{own:?}");
                assert!(own[9].time.0 - own[0].time.0 < 20 * 60 * 1_000_000_000, "within minutes");
            }
            Kind::TerminalCompromise => {
                let Victim::Terminal(terminal) = fraud.victim else { panic!("{fraud:?}") };
                let inside =
                    |p: &Payment| p.terminal == terminal && (fraud.start..fraud.end).contains(&p.time);
                assert!(own.iter().all(inside), "no others");
                for payment in told.iter().filter(|t| !t.charge_back).map(|t| t.payment).filter(inside) {
                    let of = payment.fraud.map(|other| (other, shop.schedule.frauds[other].victim));
                    let card = Victim::Card(payment.card);
                    // Who pays there with somebody's card has a fraud of his own.
                    assert!(of.is_some_and(|of| of.0 == at || of.1 == card), "{payment:?} is sound");
                }
                let cards: std::collections::BTreeSet<usize> = own.iter().map(|p| p.card).collect();
                assert!(cards.len() >= 4, "many cards: {cards:?}");
            }
        }
    }
}

#[test]
fn a_charge_back_repeats_the_payment() {
    let payment = Payment {
        time: EventTime(CARDS_START.0 + 1_500 * MS_NS),
        card: 7,
        terminal: 42,
        cents: 2_305,
        fraud: None,
    };
    let told = |charge_back| Told { at: payment.time, payment, charge_back };
    let json = |charge_back| serde_json::from_str::<serde_json::Value>(&told(charge_back).payload()).unwrap();
    let mut expected = serde_json::json!({"time": 1_767_744_001_500_i64, "card": "card-007", "terminal": "t-042", "amount": 23.05});
    assert_eq!(json(false), expected);
    expected["fraud"] = true.into();
    assert_eq!(json(true), expected);
    assert_ne!(told(false).topic(), told(true).topic());
}
