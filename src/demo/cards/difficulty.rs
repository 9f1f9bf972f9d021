//! Are the frauds what they claim to be: hidden from a threshold on the amount?

use super::frauds::{Kind, Schedule};
use super::holders::Holder;
use super::ledger::Ledger;
use super::{CARDS_START, DAY_NS};
use crate::types::EventTime;

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
const DAYS: i64 = 30;
/// Sound payments above the threshold in a run: more than the product takes for fraud.
const FALSE_ALARMS: usize = 50;

/// Found by the lowest threshold that is granted so many false alarms, of how many, by kind.
fn by_amount(seed: u64, false_alarms: usize) -> [(usize, usize); 3] {
    let mut ledger = Ledger::new(seed, DAYS);
    ledger.advance(EventTime(CARDS_START.0 + DAYS * DAY_NS));
    let cents = ledger.cents_at(false_alarms);
    let mut found = [(0, 0); 3];
    for (at, fraud) in ledger.frauds().iter().enumerate() {
        let payments = ledger.payments_of(at);
        assert!(!payments.is_empty(), "seed {seed}: nobody pays in {fraud:?}");
        let (hits, all) = &mut found[fraud.kind as usize];
        *hits += usize::from(payments.iter().any(|payment| payment.cents > cents));
        *all += 1;
    }
    found
}

#[test]
fn a_threshold_on_the_amount_finds_less_than_half_of_the_frauds() {
    let mut sum = [(0, 0); 3];
    for seed in SEEDS {
        let found = by_amount(seed, FALSE_ALARMS);
        println!("seed {seed}: {found:?} at {FALSE_ALARMS} false alarms");
        sum.iter_mut().zip(found).for_each(|(sum, of)| *sum = (sum.0 + of.0, sum.1 + of.1));
    }
    assert!(sum.iter().zip([20, 20, 10]).all(|((_, all), least)| *all >= least), "{sum:?} in five runs");
    for (kind, (hits, all)) in Kind::ALL.into_iter().zip(sum) {
        assert!(hits * 2 < all, "{kind:?}: {hits} of {all} by the amount alone");
    }
}

#[test]
fn a_run_of_a_few_days_has_no_terminal_and_a_long_one_goes_on() {
    let holders = Holder::all();
    let kinds = |days| -> Vec<Kind> {
        Schedule::new(3, days, &holders).frauds.iter().map(|fraud| fraud.kind).collect()
    };
    assert!(!kinds(10).is_empty() && !kinds(10).contains(&Kind::TerminalCompromise));
    assert!(kinds(0).is_empty());
    assert!(kinds(900).len() > 300);
}
