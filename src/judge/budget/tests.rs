use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::judge::onset::{Phase, Quiet, Records, Rule, step};
use crate::types::EventTime;

const EPOCH_A_DAY: usize = EPOCHS_A_DAY as usize;

/// One key of a stream of one, a window an epoch.
fn alone(per_day: f64) -> Terms {
    Terms { per_day, keys_here: 1, keys: 1 }
}

/// Runs `days` of one window an epoch, of surprises in nats; openings by day.
fn run(budget: &mut Budget, terms: &Terms, days: usize, mut surprise: impl FnMut(usize) -> f64) -> Vec<u64> {
    let day = |day: usize| {
        let mut opened = 0;
        for epoch in day * EPOCH_A_DAY..(day + 1) * EPOCH_A_DAY {
            budget.judged();
            if (-surprise(epoch)).exp() < budget.alarm(terms).threshold {
                budget.opened(epoch as i64 * EPOCH_NS);
                opened += 1;
            }
            budget.end_epoch(1, terms);
        }
        opened
    };
    (0..days).map(day).collect()
}

/// Openings a day over 30 days, mean of some seeds, where surprises are `nats` times what they should be.
fn rate(per_day: f64, nats: f64) -> f64 {
    let seeds = 8;
    let of = |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let exponential = |_| -nats * (1.0 - rng.random::<f64>()).ln();
        run(&mut Budget::new(EPOCHS_A_DAY), &alone(per_day), 30, exponential).iter().sum::<u64>()
    };
    (0..seeds).map(of).sum::<u64>() as f64 / seeds as f64 / 30.0
}

#[test]
fn openings_keep_to_the_budget() {
    // By 1.5 and 0.6 times the nats, ten times as many windows pass the first threshold, and a hundredth.
    for nats in [1.0, 1.5, 0.6] {
        for per_day in [0.2, 1.0, 5.0] {
            let rate = rate(per_day, nats);
            let kept = per_day / 2.0..=per_day * 2.0;
            assert!(kept.contains(&rate), "{rate} a day for {per_day}, surprises of {nats} times the nats");
        }
    }
}

/// Forty keys in eight partitions, each with a controller of its own.
#[test]
fn partitions_keep_to_the_budget_together() {
    let (keys_here, partitions, days) = (5, 8, 60);
    let terms = Terms { per_day: 1.0, keys_here, keys: keys_here * partitions };
    let mut opened = 0;
    for partition in 0..partitions {
        let mut rng = ChaCha8Rng::seed_from_u64(partition);
        let mut budget = Budget::new(EPOCHS_A_DAY);
        for epoch in 0..days * EPOCH_A_DAY {
            let threshold = budget.alarm(&terms).threshold;
            for _ in 0..keys_here {
                budget.judged();
                // A fifth of the nats too many.
                if (1.0 - rng.random::<f64>()).powf(1.2) < threshold {
                    budget.opened(epoch as i64 * EPOCH_NS);
                    opened += 1;
                }
            }
            budget.end_epoch(1, &terms);
        }
    }
    let rate = f64::from(opened) / days as f64;
    assert!((0.5..2.0).contains(&rate), "{rate} a day for 1");
}

/// By one nat an opening it would take a dozen.
#[test]
fn a_change_of_what_is_normal_costs_few_alerts() {
    let terms = alone(0.2);
    let mut budget = Budget::new(EPOCHS_A_DAY);
    run(&mut budget, &terms, 10, |_| 0.0);
    let opened: u64 = run(&mut budget, &terms, 5, |_| 18.0).iter().sum();
    assert!((2..=5).contains(&opened), "{opened}");
}

#[test]
fn a_storm_of_true_alerts_is_forgotten() {
    let terms = alone(1.0);
    let mut budget = Budget::new(EPOCHS_A_DAY);
    let before = budget.alarm(&terms).threshold;
    run(&mut budget, &terms, 1, |epoch| if epoch % 10 == 0 { 300.0 } else { 0.0 });
    let after = -budget.alarm(&terms).threshold.ln();
    assert!(after <= budget.base(&terms) + RAISE_MAX, "{after}");
    assert!(after > budget.base(&terms) + RAISE_MAX - 2.0, "{after}");
    run(&mut budget, &terms, 30, |_| 0.0);
    assert!(budget.alarm(&terms).threshold > before, "still {}", budget.alarm(&terms).threshold);
}

#[test]
fn however_calm_the_threshold_goes_no_lower_than_half_its_nats() {
    let mut budget = Budget::new(EPOCHS_A_DAY);
    run(&mut budget, &alone(1.0), 90, |_| 0.0);
    let h0 = EPOCHS_A_DAY.ln();
    assert!((-budget.alarm(&alone(1.0)).threshold.ln() - h0 / 2.0).abs() < 1e-6);
    // Four windows a day could never open ten alerts.
    let Alarm { threshold, calm } = Budget::new(4.0).alarm(&alone(10.0));
    assert!((threshold - P_MAX).abs() < 1e-12 && calm >= threshold, "{threshold} {calm}");
}

/// Twenty keys, a cell each five minutes, of which the spread grows by a tenth a day, so that records never become
/// rare; openings a day over a month, with windows that never open anything.
fn onsets_a_day(per_day: Option<f64>, seed: u64) -> f64 {
    const KEYS: u64 = 20;
    const CELLS_A_DAY: usize = 288;
    let terms = Terms { per_day: per_day.unwrap_or(1.0), keys_here: KEYS, keys: KEYS };
    let mut budget = Budget::new(CELLS_A_DAY as f64);
    let mut keys = vec![([Records::default()], Quiet::default(), false); KEYS as usize];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut opened, days) = (0, 2..32);
    for cell in 0..days.end * CELLS_A_DAY {
        let time = EventTime(cell as i64 * 5 * EPOCH_NS);
        let spread = 1.1f64.powf(cell as f64 / CELLS_A_DAY as f64);
        let rule = match per_day {
            Some(_) => Rule::new(500).rarer_by(budget.onset_nats(&terms)),
            None => Rule::new(500),
        };
        for (records, quiet, open) in &mut keys {
            budget.judged();
            let value = (-(1.0 - rng.random::<f64>()).ln() * spread) as f32;
            let onset = step(&rule, records, quiet, &[value], Phase::of(time));
            // The stronger one while it is open is no other.
            if onset.is_some() && !*open {
                budget.opened(time.0);
                opened += usize::from(days.contains(&(cell / CELLS_A_DAY)));
            }
            *open = onset.is_some() || *open && !quiet.ends(&rule);
        }
        budget.end_epoch(5, &terms);
    }
    opened as f64 / days.len() as f64
}

#[test]
fn onsets_alone_keep_to_the_budget() {
    let free = onsets_a_day(None, 1);
    assert!(free > 10.0, "{free} a day without a budget");
    for per_day in [0.2, 0.5, 1.0] {
        let rate = (1..=4).map(|seed| onsets_a_day(Some(per_day), seed)).sum::<f64>() / 4.0;
        assert!((0.6 * per_day..1.4 * per_day).contains(&rate), "{rate} a day for {per_day}, {free} without");
    }
}

/// What windows open makes onsets rarer as well.
#[test]
fn either_rule_asks_for_more_where_the_other_opens_too_much() {
    let terms = alone(1.0);
    let mut budget = Budget::new(EPOCHS_A_DAY);
    assert_eq!(budget.onset_nats(&terms), RECORDS_A_DAY.ln());
    let thousand = Terms { per_day: 1.0, keys_here: 10, keys: 1000 };
    assert_eq!(budget.onset_nats(&thousand), (1000.0 * RECORDS_A_DAY).ln());
    run(&mut budget, &terms, 1, |epoch| if epoch % 300 == 0 { 300.0 } else { 0.0 });
    assert!(budget.onset_nats(&terms) > RECORDS_A_DAY.ln() + 3.0);
}

/// During a warm-up nothing can open but onsets.
#[test]
fn windows_that_are_not_judged_yet_lower_nothing() {
    let terms = alone(1.0);
    let mut budget = Budget::new(EPOCHS_A_DAY);
    let before = budget.clone();
    (0..3 * EPOCH_A_DAY).for_each(|_| budget.end_unjudged(1, &terms));
    assert_eq!((budget.raise, budget.windows_a_key), (0.0, before.windows_a_key));
    budget.opened(0);
    budget.end_unjudged(1, &terms);
    assert!(budget.raise > 0.9, "{}", budget.raise);
}

#[test]
fn partitions_share_by_their_keys_and_assume_little_until_they_know() {
    let budget = Budget::new(EPOCHS_A_DAY);
    let nats = |keys_here, keys| -budget.alarm(&Terms { per_day: 1.0, keys_here, keys }).threshold.ln();
    // Windows of the whole stream for an alert of the whole stream, wherever its keys are.
    assert!((nats(10, 1000) - (1000.0 * EPOCHS_A_DAY).ln()).abs() < 1e-9);
    assert_eq!(nats(1, 1000), nats(500, 1000));
    assert!((nats(2, 0) - nats(2, 128)).abs() < 1e-9, "as one of 64 alike");
    assert_eq!(nats(7, 3), nats(7, 7), "an entry that is out of date");
    let share = |keys_here| Terms { per_day: 1.0, keys_here, keys: 1000 }.per_epoch();
    assert!((share(250) * 4.0 * EPOCHS_A_DAY - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_measured_takes_the_place_of_what_was_expected() {
    let terms = alone(1.0);
    let mut budget = Budget::new(1.0);
    for _ in 0..600 {
        (0..5).for_each(|_| budget.judged());
        budget.end_epoch(1, &terms);
    }
    let expected = (5.0 * EPOCHS_A_DAY * 600.0 + 10.0) / 610.0;
    assert!((budget.windows_a_key - expected).abs() < 1e-6, "{}", budget.windows_a_key);
    // Windows rarer than epochs are counted over the time between them.
    let mut hourly = Budget::new(24.0);
    for _ in 0..100 {
        hourly.judged();
        hourly.end_epoch(60, &terms);
    }
    assert!((hourly.windows_a_key - 24.0).abs() < 1e-9);
}

#[test]
fn a_pause_counts_for_a_day_at_most() {
    let terms = alone(1.0);
    let mut day = Budget::new(EPOCHS_A_DAY);
    let mut year = day.clone();
    day.end_epoch(EPOCH_A_DAY as i64, &terms);
    year.end_epoch(365 * EPOCH_A_DAY as i64, &terms);
    assert_eq!(day, year);
}

#[test]
fn openings_of_the_last_day_are_counted_by_the_hour() {
    let mut budget = Budget::new(1.0);
    assert_eq!(budget.opened_in_day(i64::MIN), 0);
    let at = |hour: i64| hour * HOUR_NS + 1;
    for hour in [0, 0, 5, 23, 3, 30] {
        budget.opened(at(hour));
    }
    let in_day = |hour| budget.opened_in_day(at(hour));
    assert_eq!([in_day(30), in_day(46), in_day(47), in_day(54), in_day(9999)], [2, 2, 1, 0, 0]);
    budget.opened(at(2));
    assert_eq!(budget.opened_in_day(at(30)), 2, "an alert that late readings raise counts where it belongs");
}

#[test]
fn a_budget_comes_back_from_its_bytes() {
    let mut budget = Budget::new(7.5);
    budget.judged();
    budget.opened(5 * HOUR_NS);
    budget.end_epoch(3, &alone(1.0));
    budget.judged();
    budget.opened(6 * HOUR_NS);
    let mut bytes = Vec::new();
    budget.encode(&mut crate::state::StateWriter(&mut bytes));
    let read = |bytes| Budget::decode(&mut crate::state::StateReader::new(bytes));
    assert_eq!(read(&bytes).as_ref(), Ok(&budget));
    assert!(read(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn keys_are_written_down_as_they_grow() {
    let mut noted = 0;
    let mut entries = 0;
    for keys in 0..=1_000_000 {
        assert!(noted + noted / 8 + 1 >= keys, "{keys} keys shared as {noted}");
        if keys_due(noted, keys) {
            (noted, entries) = (keys, entries + 1);
        }
    }
    assert!((100..=125).contains(&entries), "{entries}");
}
