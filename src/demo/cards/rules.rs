//! What a bank without outcomes and without a model would have: thresholds on amounts, one common to all cards, and two that
//! go by what a card pays itself. The report holds the product against them.

use std::collections::VecDeque;

use super::MS_NS;
use super::frauds::Payment;
use super::holders::CARDS;
use crate::types::EventTime;

/// Of so few payments no card has habits.
const EARLIER_MIN: u32 = 10;
/// The time in which payments are added up: that of the windows of the stream `bursts`.
const RECENT_NS: i64 = 15 * 60_000 * MS_NS;

/// A payment as the rules see it; the last two are 0 while the card has no habits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Marks {
    pub cents: f64,
    /// Amount less the mean of the card's earlier ones, in their sds.
    pub above_own_sd: f64,
    /// What the card paid in the last quarter of an hour, this payment included, over that mean.
    pub recent_to_own_mean: f64,
}

/// What every card has paid so far, frauds included: no rule knows of them.
pub struct Habits(Vec<Habit>);

#[derive(Clone, Default)]
struct Habit {
    count: u32,
    mean: f64,
    /// Sum of squared distances from the mean, by Welford's update (1962).
    squares: f64,
    recent: VecDeque<(EventTime, f64)>,
}

impl Default for Habits {
    fn default() -> Self {
        Habits(vec![Habit::default(); CARDS])
    }
}

impl Habits {
    /// Payments of a card come in order of time.
    pub fn mark(&mut self, payment: &Payment) -> Marks {
        self.0[payment.card].mark(payment.time, f64::from(payment.cents))
    }
}

impl Habit {
    fn mark(&mut self, time: EventTime, cents: f64) -> Marks {
        self.recent.push_back((time, cents));
        while self.recent.front().is_some_and(|(at, _)| at.0 <= time.0 - RECENT_NS) {
            self.recent.pop_front();
        }
        let mut marks = Marks { cents, ..Marks::default() };
        if self.count >= EARLIER_MIN {
            let sd = (self.squares / f64::from(self.count - 1)).sqrt();
            marks.above_own_sd = (cents - self.mean) / sd.max(1.0);
            marks.recent_to_own_mean = self.recent.iter().map(|(_, cents)| cents).sum::<f64>() / self.mean;
        }
        self.count += 1;
        let off = cents - self.mean;
        self.mean += off / f64::from(self.count);
        self.squares += off * (cents - self.mean);
        marks
    }
}

/// The lowest that no more sound payments than were granted are above.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    cents: f64,
    above_own_sd: f64,
    recent_to_own_mean: f64,
}

impl Thresholds {
    /// `false_alarms` for the one on the amount; the two on what is the card's own share as many between them.
    pub fn new(sound: &[Marks], false_alarms: usize) -> Self {
        let half = false_alarms / 2;
        Thresholds {
            cents: exceeded_by(sound, false_alarms, |marks| marks.cents),
            above_own_sd: exceeded_by(sound, half, |marks| marks.above_own_sd),
            recent_to_own_mean: exceeded_by(sound, false_alarms - half, |marks| marks.recent_to_own_mean),
        }
    }

    pub fn by_amount(&self, marks: &Marks) -> bool {
        marks.cents > self.cents
    }

    pub fn by_own_mean(&self, marks: &Marks) -> bool {
        marks.above_own_sd > self.above_own_sd || marks.recent_to_own_mean > self.recent_to_own_mean
    }
}

fn exceeded_by(sound: &[Marks], payments: usize, of: impl Fn(&Marks) -> f64) -> f64 {
    let mut values: Vec<f64> = sound.iter().map(of).collect();
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values.get(payments).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid(minute: i64, cents: u32) -> Payment {
        Payment { time: EventTime(minute * 60_000 * MS_NS), card: 3, terminal: 1, cents, fraud: None }
    }

    #[test]
    fn a_payment_is_held_against_what_its_card_paid_before_it() {
        let mut habits = Habits::default();
        for at in 0..10 {
            let cents = if at % 2 == 0 { 2_900 } else { 1_100 };
            assert_eq!(habits.mark(&paid(60 * at, cents)).above_own_sd, 0.0, "no habits yet");
        }
        let marks = habits.mark(&paid(1_000, 5_000));
        let near = |found: f64, value: f64| assert!((found - value).abs() < 1e-9, "{found} is not {value}");
        near(marks.above_own_sd, 3_000.0 / (900.0 * (10.0_f64 / 9.0).sqrt()));
        near(marks.recent_to_own_mean, 2.5);
        assert_eq!(marks.cents, 5_000.0);
        let mut other = paid(1_001, 5_000);
        other.card = 4;
        assert_eq!(habits.mark(&other), Marks { cents: 5_000.0, ..Marks::default() });
        // The mean is 25000 over 11 by now; the payment of 15 minutes ago is out.
        near(habits.mark(&paid(1_014, 1_000)).recent_to_own_mean, 6_000.0 * 11.0 / 25_000.0);
        near(habits.mark(&paid(1_015, 0)).recent_to_own_mean, 1_000.0 * 12.0 / 26_000.0);
    }

    #[test]
    fn no_rule_has_more_false_alarms_than_it_is_granted() {
        let sound: Vec<Marks> = (0..100)
            .map(|at| Marks {
                cents: f64::from(at),
                above_own_sd: f64::from(at * 37 % 100),
                recent_to_own_mean: f64::from(at * 61 % 100),
            })
            .collect();
        for granted in [0, 1, 7, 20] {
            let thresholds = Thresholds::new(&sound, granted);
            let alarms = |rule: &dyn Fn(&Marks) -> bool| sound.iter().filter(|marks| rule(marks)).count();
            assert_eq!(alarms(&|marks| thresholds.by_amount(marks)), granted);
            let own = alarms(&|marks| thresholds.by_own_mean(marks));
            assert!(own <= granted && 2 * own >= granted, "{own} of {granted}");
        }
    }
}
