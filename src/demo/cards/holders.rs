//! The holders of the cards, and what is usual for each. They never change: only what they do on a day comes from the
//! run's seed.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::noise::{gaussian, stream};
use super::DAY_MS;

pub const CARDS: usize = 200;
pub const TERMINALS: usize = 500;

const HOLDERS_SEED: u64 = 0x0065_6464_7963_6172;
const FAVOURITES: usize = 6;
const FAVOURITE_SHARE: f64 = 0.8;
/// Cents that a holder usually pays, from the most modest to the most lavish.
const USUAL_CENTS: (f64, f64) = (1_200.0, 12_000.0);
/// Now and then a sound payment is larger than all that is usual.
const TREAT_SHARE: f64 = 0.000_3;
const HOURS_SD: f64 = 2.2;

#[derive(Clone, Debug)]
pub struct Holder {
    pub usual_cents: f64,
    /// Of amounts, as a fraction of the usual one.
    spread: f64,
    /// Around which hour of the day the holder pays.
    hour: f64,
    pub payments_a_day: f64,
    favourites: [usize; FAVOURITES],
}

impl Holder {
    pub fn all() -> Vec<Holder> {
        (0..CARDS).map(Holder::of).collect()
    }

    fn of(card: usize) -> Self {
        let rng = &mut stream(HOLDERS_SEED, card as u64);
        let (low, high) = USUAL_CENTS;
        // One in ten lives at night.
        let hour = match rng.random_range(0..10) {
            0..3 => 11.0,
            3..6 => 15.0,
            6..9 => 19.0,
            _ => 1.0,
        };
        Holder {
            usual_cents: rng.random_range(low.ln()..high.ln()).exp(),
            spread: rng.random_range(0.2..0.35),
            hour: hour + rng.random_range(-1.5..1.5),
            payments_a_day: rng.random_range(2.0..6.0),
            favourites: std::array::from_fn(|_| rng.random_range(0..TERMINALS)),
        }
    }

    /// When on a day the holder pays, ms.
    pub fn time_of_day_ms(&self, rng: &mut ChaCha8Rng) -> i64 {
        let hour = self.hour + HOURS_SD * gaussian(rng);
        ((hour * 3_600_000.0) as i64).rem_euclid(DAY_MS)
    }

    pub fn cents(&self, rng: &mut ChaCha8Rng) -> u32 {
        let treat = if rng.random_bool(TREAT_SHARE) { rng.random_range(1.5..2.5) } else { 1.0 };
        (self.usual_cents * treat * (1.0 + self.spread * gaussian(rng)).max(0.15)) as u32
    }

    pub fn frequents(&self, terminal: usize) -> bool {
        self.favourites.contains(&terminal)
    }

    pub fn terminal(&self, rng: &mut ChaCha8Rng) -> usize {
        if rng.random_bool(FAVOURITE_SHARE) {
            self.favourites[rng.random_range(0..FAVOURITES)]
        } else {
            any_terminal(rng)
        }
    }
}

pub fn any_terminal(rng: &mut ChaCha8Rng) -> usize {
    rng.random_range(0..TERMINALS)
}

/// `card-017` for card 17.
pub fn card_name(card: usize) -> String {
    format!("card-{card:03}")
}

/// `t-042` for terminal 42.
pub fn terminal_name(terminal: usize) -> String {
    format!("t-{terminal:03}")
}
