//! Randomness of the simulated plant: everything comes from a seeded ChaCha8, nothing from a clock.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A generator for one purpose of one run. Purposes do not share draws, so that adding a fault to one
/// pump leaves every other pump's values as they were.
pub fn stream(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose);
    rng
}

/// Standard normal, by Box and Muller (1958).
pub fn gaussian(rng: &mut ChaCha8Rng) -> f64 {
    // 1 - u lies in (0, 1], so the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Whole seconds to the next event of a Poisson process with this mean; at least 1.
pub fn waiting_s(rng: &mut ChaCha8Rng, mean_s: f64) -> i64 {
    1 + (-mean_s * (1.0 - rng.random::<f64>()).ln()) as i64
}

/// Ornstein-Uhlenbeck process sampled every second: stationary deviation `sd`, memory `tau_s`.
#[derive(Clone, Copy, Debug)]
pub struct Wander {
    value: f64,
    keep: f64,
    kick: f64,
}

impl Wander {
    /// Starts in its stationary distribution, so that a run has no settling-in.
    pub fn new(sd: f64, tau_s: f64, rng: &mut ChaCha8Rng) -> Self {
        let keep = (-1.0 / tau_s).exp();
        Wander { value: sd * gaussian(rng), keep, kick: sd * (1.0 - keep * keep).sqrt() }
    }

    pub fn step(&mut self, rng: &mut ChaCha8Rng) -> f64 {
        self.value = self.keep * self.value + self.kick * gaussian(rng);
        self.value
    }
}

/// Moves `value` towards `target` by at most `rate`.
pub fn ramp(value: f64, target: f64, rate: f64) -> f64 {
    value + (target - value).clamp(-rate, rate)
}
