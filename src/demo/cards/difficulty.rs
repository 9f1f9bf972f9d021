//! Are the frauds what they claim to be: hidden from a threshold on the amount that all cards share, and terminals from any?

use super::frauds::{Kind, Schedule};
use super::holders::Holder;
use super::ledger::Ledger;
use super::rules::{Marks, Thresholds};
use super::{CARDS_START, DAY_NS, FALSE_ALERTS_MAX};
use crate::types::EventTime;

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
const DAYS: i64 = 30;

/// Found by a rule that is granted so many false alarms in each run, of how many, by kind.
fn found(false_alarms: usize, rule: fn(&Thresholds, &Marks) -> bool) -> [(usize, usize); 3] {
    let mut sum = [(0, 0); 3];
    for seed in SEEDS {
        let mut ledger = Ledger::new(seed, DAYS);
        ledger.advance(EventTime(CARDS_START.0 + DAYS * DAY_NS));
        let thresholds = ledger.thresholds(false_alarms);
        for (at, fraud) in ledger.frauds().iter().enumerate() {
            assert!(ledger.marks_of(at).next().is_some(), "seed {seed}: nobody pays in {fraud:?}");
            let (hits, all) = &mut sum[fraud.kind as usize];
            *hits += usize::from(ledger.marks_of(at).any(|marks| rule(&thresholds, marks)));
            *all += 1;
        }
    }
    println!("{sum:?} in five runs, at {false_alarms} false alarms in each");
    assert!(sum.iter().zip([20, 20, 10]).all(|((_, all), least)| *all >= least), "{sum:?}");
    sum
}

#[test]
fn a_threshold_on_the_amount_finds_less_than_half_of_the_frauds() {
    for (kind, (hits, all)) in Kind::ALL.into_iter().zip(found(FALSE_ALERTS_MAX, Thresholds::by_amount)) {
        assert!(hits * 2 < all, "{kind:?}: {hits} of {all} by the amount alone");
    }
}

#[test]
fn what_is_a_cards_own_gives_takeovers_and_drains_away_and_no_terminal() {
    for false_alarms in [20, FALSE_ALERTS_MAX] {
        let [takeovers, drains, terminals] = found(false_alarms, Thresholds::by_own_mean);
        for (hits, all) in [takeovers, drains] {
            assert!(hits * 10 >= all * 9, "{hits} of {all} at {false_alarms} false alarms");
        }
        assert!(terminals.0 * 2 < terminals.1, "{terminals:?} at {false_alarms} false alarms");
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
