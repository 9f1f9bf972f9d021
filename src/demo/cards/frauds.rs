//! The frauds of a run: which card or terminal, what, when.
//!
//! None of them pays more than sound holders do, so that no threshold common to all cards gives them away. Two kinds are
//! unlike what the card pays otherwise; at a compromised terminal nothing but what becomes of the payments is.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::noise::stream;
use super::holders::{Holder, any_terminal, card_name, terminal_name};
use super::{CARDS_START, DAY_MS, DAY_NS, MS_NS};
use crate::types::EventTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody else pays with the card, as another holder would: amounts, hours and terminals.
    Takeover,
    /// Three tiny payments, and when they go through some of the size of the holder's larger ones, within minutes.
    TestThenDrain,
    /// All payments at a terminal turn out to be fraud. Each by itself is its holder's usual one.
    TerminalCompromise,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Takeover, Kind::TestThenDrain, Kind::TerminalCompromise];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Takeover => "takeover",
            Kind::TestThenDrain => "test, then drain",
            Kind::TerminalCompromise => "terminal compromise",
        }
    }
}

/// One payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    pub time: EventTime,
    pub card: usize,
    pub terminal: usize,
    pub cents: u32,
    /// Place of its fraud in [`Schedule::frauds`]; `None`: a sound one.
    pub fraud: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Victim {
    #[serde(serialize_with = "serialize_card")]
    Card(usize),
    #[serde(serialize_with = "serialize_terminal")]
    Terminal(usize),
}

impl std::fmt::Display for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Victim::Card(card) => f.write_str(&card_name(card)),
            Victim::Terminal(terminal) => f.write_str(&terminal_name(terminal)),
        }
    }
}

fn serialize_card<S: serde::Serializer>(card: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&card_name(*card))
}

fn serialize_terminal<S: serde::Serializer>(terminal: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&terminal_name(*terminal))
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Fraud {
    pub kind: Kind,
    pub victim: Victim,
    pub start: EventTime,
    pub end: EventTime,
    /// What the fraudster pays, in order of time; empty of a terminal, where the holders pay themselves.
    #[serde(skip)]
    pub payments: Vec<Payment>,
}

/// A takeover and a test-then-drain every so many days.
const CARD_EVERY_DAYS: i64 = 7;
const TAKEOVER_DAYS: i64 = 2;
const TAKEOVER_PAYMENTS_A_DAY: usize = 4;
/// Those who are taken over usually pay less than this ...
const MODEST_CENTS: f64 = 2_500.0;
/// ... and those whose habits the fraudster has more than this.
const LAVISH_CENTS: f64 = 8_000.0;

const TESTS: usize = 3;
const TEST_CENTS: std::ops::Range<u32> = 50..200;
const DRAINS: usize = 7;
/// Of what the holder usually pays.
const DRAIN_PARTS: std::ops::Range<f64> = 1.3..2.0;
const DRAIN_MS_MAX: i64 = 20 * 60_000;

const TERMINAL_EVERY_DAYS: i64 = 10;
const TERMINAL_DAYS: i64 = 16;
/// Somewhere that people come to is chosen: it has so many regulars.
const REGULARS_MIN: usize = 3;
/// A card or terminal has peace for so long after a fraud.
const REST_NS: i64 = 30 * DAY_NS;

/// The frauds of one run, in order of start.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    pub frauds: Vec<Fraud>,
}

impl Schedule {
    /// Those that are over by the end of `days` days. A run of 30 days has four takeovers, four or five test-then-drains and
    /// two compromised terminals; one of less than 17 no compromised terminal.
    pub fn new(seed: u64, days: i64, holders: &[Holder]) -> Self {
        let rng = &mut stream(seed, 1 << 40);
        let mut frauds: Vec<Fraud> = Vec::new();
        for week in (0..days).step_by(CARD_EVERY_DAYS as usize) {
            let takeover = week + rng.random_range(1..=4);
            if takeover + TAKEOVER_DAYS <= days {
                let victim = rested_card(
                    &frauds,
                    takeover,
                    |card| holders[card].usual_cents < MODEST_CENTS,
                    holders,
                    rng,
                );
                frauds.push(take_over(victim, takeover, holders, rng));
            }
            let drain = week + rng.random_range(1..=6);
            if drain < days {
                let victim = rested_card(&frauds, drain, |_| true, holders, rng);
                frauds.push(test_then_drain(victim, drain, &holders[victim], rng));
            }
        }
        for from in (1..days).step_by(TERMINAL_EVERY_DAYS as usize) {
            let start = from + rng.random_range(0..=2);
            if start + TERMINAL_DAYS <= days {
                frauds.push(compromise(&frauds, start, holders, rng));
            }
        }
        frauds.sort_by_key(|fraud| (fraud.start, fraud.kind));
        for (at, fraud) in frauds.iter_mut().enumerate() {
            fraud.payments.iter_mut().for_each(|payment| payment.fraud = Some(at));
        }
        Schedule { frauds }
    }

    /// The fraud that a holder's own payment is part of.
    pub fn at_terminal(&self, terminal: usize, time: EventTime) -> Option<usize> {
        let hit = |fraud: &Fraud| {
            fraud.victim == Victim::Terminal(terminal) && (fraud.start..fraud.end).contains(&time)
        };
        self.frauds.iter().position(hit)
    }
}

fn midnight(day: i64) -> EventTime {
    EventTime(CARDS_START.0 + day * DAY_NS)
}

fn rested(frauds: &[Fraud], victim: Victim, day: i64) -> bool {
    frauds.iter().all(|fraud| fraud.victim != victim || fraud.end.0 + REST_NS <= midnight(day).0)
}

fn rested_card(
    frauds: &[Fraud],
    day: i64,
    fits: impl Fn(usize) -> bool,
    holders: &[Holder],
    rng: &mut ChaCha8Rng,
) -> usize {
    // A tenth of the holders are at rest at most, so that one is soon found.
    loop {
        let card = rng.random_range(0..holders.len());
        if fits(card) && rested(frauds, Victim::Card(card), day) {
            return card;
        }
    }
}

fn take_over(card: usize, day: i64, holders: &[Holder], rng: &mut ChaCha8Rng) -> Fraud {
    let lavish: Vec<&Holder> = holders.iter().filter(|holder| holder.usual_cents > LAVISH_CENTS).collect();
    let habits = lavish[rng.random_range(0..lavish.len())];
    let mut payments = Vec::new();
    for at in 0..TAKEOVER_DAYS {
        for _ in 0..TAKEOVER_PAYMENTS_A_DAY {
            let time = EventTime(midnight(day + at).0 + habits.time_of_day_ms(rng) * MS_NS);
            let (terminal, cents) = (any_terminal(rng), habits.cents(rng));
            payments.push(Payment { time, card, terminal, cents, fraud: None });
        }
    }
    paid(Kind::Takeover, card, payments)
}

fn test_then_drain(card: usize, day: i64, holder: &Holder, rng: &mut ChaCha8Rng) -> Fraud {
    let mut ms = holder.time_of_day_ms(rng).min(DAY_MS - DRAIN_MS_MAX);
    let mut payments = Vec::new();
    for at in 0..TESTS + DRAINS {
        ms += rng.random_range(20_000..90_000);
        let cents = if at < TESTS {
            rng.random_range(TEST_CENTS)
        } else {
            (holder.usual_cents * rng.random_range(DRAIN_PARTS)) as u32
        };
        let time = EventTime(midnight(day).0 + ms * MS_NS);
        payments.push(Payment { time, card, terminal: any_terminal(rng), cents, fraud: None });
    }
    paid(Kind::TestThenDrain, card, payments)
}

/// A fraud from the first to the last of these.
fn paid(kind: Kind, card: usize, mut payments: Vec<Payment>) -> Fraud {
    payments.sort_by_key(|payment| payment.time);
    let (start, end) = (payments[0].time, EventTime(payments[payments.len() - 1].time.0 + 1));
    Fraud { kind, victim: Victim::Card(card), start, end, payments }
}

fn compromise(frauds: &[Fraud], day: i64, holders: &[Holder], rng: &mut ChaCha8Rng) -> Fraud {
    let regulars = |terminal| holders.iter().filter(|holder| holder.frequents(terminal)).count();
    let terminal = loop {
        let terminal = any_terminal(rng);
        if regulars(terminal) >= REGULARS_MIN && rested(frauds, Victim::Terminal(terminal), day) {
            break terminal;
        }
    };
    let (start, end) = (midnight(day), midnight(day + TERMINAL_DAYS));
    Fraud {
        kind: Kind::TerminalCompromise,
        victim: Victim::Terminal(terminal),
        start,
        end,
        payments: Vec::new(),
    }
}
