//! What the cards' bank sends, day by day: payments, and days later which of them were fraud. No clock inside.

use std::collections::VecDeque;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::noise::stream;
use super::frauds::{Payment, Schedule};
use super::holders::{Holder, card_name, terminal_name};
use super::{CARDS_START, DAY_NS, HISTORY_DAYS, MS_NS};
use crate::types::EventTime;

/// From a fraudulent payment to its charge-back.
pub const CHARGE_BACK_AFTER_DAYS: i64 = 2;

pub const PAYMENTS_TOPIC: &str = "shop/demo/payments";
pub const CHARGE_BACKS_TOPIC: &str = "shop/demo/charge-backs";

/// A message of the bank's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// When it is sent.
    pub at: EventTime,
    pub payment: Payment,
    /// That an earlier payment was fraud.
    pub charge_back: bool,
}

impl Told {
    /// `{"time":…,"card":…,"terminal":…,"amount":…}`; a charge-back repeats the payment and adds `"fraud":true`.
    pub fn payload(&self) -> String {
        let Payment { time, card, terminal, cents, .. } = self.payment;
        let fraud = if self.charge_back { ",\"fraud\":true" } else { "" };
        format!(
            "{{\"time\":{},\"card\":\"{}\",\"terminal\":\"{}\",\"amount\":{}.{:02}{fraud}}}",
            time.0 / MS_NS,
            card_name(card),
            terminal_name(terminal),
            cents / 100,
            cents % 100
        )
    }

    pub fn topic(&self) -> &'static str {
        if self.charge_back { CHARGE_BACKS_TOPIC } else { PAYMENTS_TOPIC }
    }
}

pub struct Shop {
    seed: u64,
    day: i64,
    holders: Vec<Holder>,
    pub schedule: Schedule,
    /// Frauds without a charge-back yet, in order of time.
    uncharged: VecDeque<Payment>,
}

impl Shop {
    /// From the first day of the history to `days` days after the start.
    pub fn new(seed: u64, days: i64) -> Self {
        let holders = Holder::all();
        let schedule = Schedule::new(seed, days, &holders);
        Shop { seed, day: -HISTORY_DAYS, holders, schedule, uncharged: VecDeque::new() }
    }

    /// Days since the start that [`Shop::next_day`] is about.
    pub fn day(&self) -> i64 {
        self.day
    }

    /// Everything of the next day, in the order in which it is sent.
    pub fn next_day(&mut self) -> Vec<Told> {
        let payments = self.payments();
        self.day += 1;
        self.uncharged.extend(payments.iter().filter(|payment| payment.fraud.is_some()));
        let mut told: Vec<Told> = Vec::with_capacity(payments.len());
        told.extend(payments.into_iter().map(|payment| Told {
            at: payment.time,
            payment,
            charge_back: false,
        }));
        let end = CARDS_START.0 + self.day * DAY_NS;
        let due = |payment: &Payment| EventTime(payment.time.0 + CHARGE_BACK_AFTER_DAYS * DAY_NS);
        while let Some(&payment) = self.uncharged.front().filter(|payment| due(payment).0 < end) {
            told.push(Told { at: due(&payment), payment, charge_back: true });
            self.uncharged.pop_front();
        }
        told.sort_by_key(|told| told.at);
        told
    }

    /// Those of the day, in order of time.
    fn payments(&self) -> Vec<Payment> {
        // The history's days have streams of their own, beside those of everything else in the demo.
        let rng = &mut stream(self.seed, (1 << 41) + (self.day + HISTORY_DAYS) as u64);
        let midnight = CARDS_START.0 + self.day * DAY_NS;
        let mut payments = Vec::new();
        for (card, holder) in self.holders.iter().enumerate() {
            for _ in 0..poisson(holder.payments_a_day, rng) {
                let time = EventTime(midnight + holder.time_of_day_ms(rng) * MS_NS);
                let (terminal, cents) = (holder.terminal(rng), holder.cents(rng));
                let fraud = self.schedule.at_terminal(terminal, time);
                payments.push(Payment { time, card, terminal, cents, fraud });
            }
        }
        let today = midnight..midnight + DAY_NS;
        let frauds = self.schedule.frauds.iter().flat_map(|fraud| &fraud.payments);
        payments.extend(frauds.filter(|payment| today.contains(&payment.time.0)));
        payments.sort_by_key(|payment| (payment.time, payment.card));
        payments
    }
}

/// By Knuth's product of uniform numbers (1969), for small means.
fn poisson(mean: f64, rng: &mut ChaCha8Rng) -> usize {
    let least = (-mean).exp();
    let mut product = rng.random::<f64>();
    let mut count = 0;
    while product > least {
        product *= rng.random::<f64>();
        count += 1;
    }
    count
}

#[cfg(test)]
#[path = "shop_tests.rs"]
mod tests;
