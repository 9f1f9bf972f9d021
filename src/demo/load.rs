//! What the plant asks of its pumps: the site's rhythm, and each pump's own share of it.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::noise::{Wander, ramp, stream, waiting_s};

const DAY_S: i64 = 86_400;
const SHIFT_S: i64 = 8 * 3_600;
/// Shifts change at 06:00, 14:00 and 22:00 UTC.
const SHIFT_OFFSET_S: i64 = 6 * 3_600;

pub const LOAD_MIN: f64 = 0.30;
pub const LOAD_MAX: f64 = 1.00;

/// What all pumps share: demand over the day, the shift's habits, the weather.
#[derive(Clone, Debug)]
pub struct Site {
    seed: u64,
    rng: ChaCha8Rng,
    shift_level: f64,
    weather: Wander,
}

/// The site in one second.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Fraction of a pump's rated load.
    pub demand: f64,
    pub ambient_degc: f64,
}

impl Site {
    pub fn new(seed: u64, time_s: i64) -> Self {
        let mut rng = stream(seed, u64::MAX);
        let weather = Wander::new(0.8, 3_600.0, &mut rng);
        Site { seed, rng, shift_level: shift_habit(seed, time_s), weather }
    }

    pub fn step(&mut self, time_s: i64) -> Conditions {
        // The new shift takes about three minutes to set the site its own way.
        self.shift_level = ramp(self.shift_level, shift_habit(self.seed, time_s), 0.0005);
        Conditions {
            demand: 0.60 + 0.09 * daily(time_s, 15) + self.shift_level,
            ambient_degc: 22.0 + 4.0 * daily(time_s, 15) + self.weather.step(&mut self.rng),
        }
    }
}

/// Cosine over the day, 1 at `peak_hour` UTC.
fn daily(time_s: i64, peak_hour: i64) -> f64 {
    (TAU * (time_s - peak_hour * 3_600).rem_euclid(DAY_S) as f64 / DAY_S as f64).cos()
}

fn shift_habit(seed: u64, time_s: i64) -> f64 {
    let shift = (time_s - SHIFT_OFFSET_S).div_euclid(SHIFT_S);
    stream(seed, 1 << 40 | shift as u64).random_range(-0.04..0.04)
}

/// A short excursion to minimum flow or to full load, as valves are tested and tanks switched.
#[derive(Clone, Copy, Debug)]
struct Transient {
    level: f64,
    until_s: i64,
}

/// One pump's load: the site's demand, steps between duties, slow wander, and short transients.
#[derive(Clone, Debug)]
pub struct Load {
    bias: f64,
    step: f64,
    step_target: f64,
    step_rate: f64,
    next_step_s: i64,
    wander: Wander,
    control: Wander,
    transient: Option<Transient>,
    next_transient_s: i64,
    value: f64,
}

/// Valves take about a minute from minimum to full flow; a fraction of the rated load a second.
const RATE_MAX: f64 = 0.012;
const STEP_EVERY_S: f64 = 240.0;
const TRANSIENT_EVERY_S: f64 = 2_400.0;

impl Load {
    pub fn new(bias: f64, time_s: i64, rng: &mut ChaCha8Rng) -> Self {
        let step = rng.random_range(-0.12..0.12);
        Load {
            bias,
            step,
            step_target: step,
            step_rate: 0.008,
            next_step_s: time_s + waiting_s(rng, STEP_EVERY_S),
            wander: Wander::new(0.035, 120.0, rng),
            control: Wander::new(0.015, 15.0, rng),
            transient: None,
            next_transient_s: time_s + waiting_s(rng, TRANSIENT_EVERY_S),
            value: 0.60 + bias + step,
        }
    }

    /// Load of this second, a fraction of the rated one. `shift` is added to the duty.
    pub fn step(&mut self, time_s: i64, demand: f64, shift: f64, rng: &mut ChaCha8Rng) -> f64 {
        if time_s >= self.next_step_s {
            self.step_target = rng.random_range(-0.15..0.15);
            self.step_rate = rng.random_range(0.004..0.012);
            self.next_step_s = time_s + waiting_s(rng, STEP_EVERY_S);
        }
        self.step = ramp(self.step, self.step_target, self.step_rate);
        let duty = demand + self.bias + self.step + shift + self.wander.step(rng) + self.control.step(rng);
        let target = self.transient_level(time_s, rng).unwrap_or(duty);
        self.value = ramp(self.value, target.clamp(LOAD_MIN, LOAD_MAX), RATE_MAX);
        self.value
    }

    fn transient_level(&mut self, time_s: i64, rng: &mut ChaCha8Rng) -> Option<f64> {
        if time_s >= self.next_transient_s {
            let level = if rng.random_bool(0.5) { LOAD_MIN } else { LOAD_MAX };
            let until_s = time_s + rng.random_range(60..150);
            self.transient = Some(Transient { level, until_s });
            self.next_transient_s = until_s + waiting_s(rng, TRANSIENT_EVERY_S);
        }
        self.transient = self.transient.filter(|t| time_s < t.until_s);
        self.transient.map(|t| t.level)
    }
}
