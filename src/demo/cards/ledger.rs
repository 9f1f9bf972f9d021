//! Which payments were fraud. A seed gives the same payments whenever they are made, so they are made once more rather
//! than handed over.

use std::collections::{BTreeMap, VecDeque};

use super::super::receiver::Received;
use super::frauds::{Fraud, Payment};
use super::rules::{Habits, Marks, Thresholds};
use super::shop::{Shop, Told};
use super::{CARDS_START, DAY_NS};
use crate::types::EventTime;

pub struct Ledger {
    shop: Shop,
    pending: VecDeque<Told>,
    habits: Habits,
    /// By card and time.
    fraudulent: BTreeMap<(usize, EventTime), (Payment, Marks)>,
    /// Of sound payments since the start, without the history.
    sound: Vec<Marks>,
    pub charge_backs: u64,
}

impl Ledger {
    pub fn new(seed: u64, days: i64) -> Self {
        Ledger {
            shop: Shop::new(seed, days),
            pending: VecDeque::new(),
            habits: Habits::default(),
            fraudulent: BTreeMap::new(),
            sound: Vec::new(),
            charge_backs: 0,
        }
    }

    /// Takes in what was sent by `now`.
    pub fn advance(&mut self, now: EventTime) {
        loop {
            while let Some(told) = self.pending.front().filter(|told| told.at <= now).copied() {
                self.pending.pop_front();
                self.note(told);
            }
            if !self.pending.is_empty() || CARDS_START.0 + self.shop.day() * DAY_NS > now.0 {
                return;
            }
            self.pending.extend(self.shop.next_day());
        }
    }

    fn note(&mut self, Told { payment, charge_back, .. }: Told) {
        if charge_back {
            self.charge_backs += 1;
            return;
        }
        let marks = self.habits.mark(&payment);
        if payment.fraud.is_some() {
            self.fraudulent.insert((payment.card, payment.time), (payment, marks));
        } else if payment.time >= CARDS_START {
            self.sound.push(marks);
        }
    }

    pub fn frauds(&self) -> &[Fraud] {
        &self.shop.schedule.frauds
    }

    /// Payments since the start, without the history.
    pub fn payments(&self) -> usize {
        self.sound.len() + self.fraudulent.len()
    }

    fn of(&self, fraud: usize) -> impl Iterator<Item = &(Payment, Marks)> {
        self.fraudulent.values().filter(move |(payment, _)| payment.fraud == Some(fraud))
    }

    /// In order of time.
    pub fn payments_of(&self, fraud: usize) -> Vec<Payment> {
        let mut own: Vec<Payment> = self.of(fraud).map(|(payment, _)| *payment).collect();
        own.sort_by_key(|payment| payment.time);
        own
    }

    /// Of its payments, in no order.
    pub fn marks_of(&self, fraud: usize) -> impl Iterator<Item = &Marks> {
        self.of(fraud).map(|(_, marks)| marks)
    }

    /// The fraudulent payment that an alert is about: its window ends just behind it.
    pub fn payment_of(&self, alert: &Received) -> Option<&Payment> {
        let card = alert.decision.key.strip_prefix("card-")?.parse().ok()?;
        self.fraudulent.get(&(card, EventTime(alert.end.0 - 1))).map(|(payment, _)| payment)
    }

    pub fn thresholds(&self, false_alarms: usize) -> Thresholds {
        Thresholds::new(&self.sound, false_alarms)
    }
}
