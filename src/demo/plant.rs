//! A seeded plant of twelve pumps, one sample each per second of event time. No clock inside.
//!
//! Flow follows load; pressure falls along the pump's curve; temperature lags load and ambient by
//! minutes; vibration has a base, a load part, and noise with a short memory. What makes one pump differ
//! from the next (size, age, drift of its sensors over days) comes from a fixed seed: the pumps of a run
//! are the pumps the model was trained on. Load and noise come from the run's own seed.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::faults::Schedule;
use super::load::Site;
use super::noise::stream;
use super::pump::Pump;
use crate::types::EventTime;

pub const PUMPS: usize = 12;
pub const SECOND_NS: i64 = 1_000_000_000;

/// The pumps themselves never change: `models/pumps.safetensors` was trained on these.
const PLANT_SEED: u64 = 0x0065_6464_7970_756d;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// mm/s RMS
    Vibration,
    /// degC
    Temperature,
    /// bar
    Pressure,
    /// L/s
    Flow,
}

pub const COLUMNS: [Column; 4] = [Column::Vibration, Column::Temperature, Column::Pressure, Column::Flow];

impl Column {
    pub fn as_str(self) -> &'static str {
        match self {
            Column::Vibration => "vibration",
            Column::Temperature => "temperature",
            Column::Pressure => "pressure",
            Column::Flow => "flow",
        }
    }
}

/// `pump-01` for pump 0.
pub fn pump_name(pump: usize) -> String {
    format!("pump-{:02}", pump + 1)
}

/// One reading of one pump. `values[Column as usize]` is NaN where the sensor sent nothing.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub pump: usize,
    pub time: EventTime,
    pub values: [f32; 4],
}

/// Slow movement of one sensor over days, a fraction of its `size`: a pure function of event time, so
/// that a run continues where the training history left off.
#[derive(Clone, Copy, Debug)]
struct Drift {
    size: f64,
    period_s: f64,
    phase: f64,
}

impl Drift {
    fn new(size: f64, rng: &mut ChaCha8Rng) -> Self {
        Drift { size, period_s: rng.random_range(3.0..9.0) * 86_400.0, phase: rng.random_range(0.0..TAU) }
    }

    fn at(&self, time_s: i64) -> f64 {
        self.size * (TAU * time_s as f64 / self.period_s + self.phase).sin()
    }
}

/// What is fixed about a pump: its size, age, and how its sensors drift.
#[derive(Clone, Debug)]
pub struct Traits {
    pub flow_rated: f64,
    pub shutoff_bar: f64,
    /// Share of the shut-off pressure lost at rated flow.
    pub curve: f64,
    pub vibration_base: f64,
    pub vibration_gain: f64,
    pub temperature_rise: f64,
    pub temperature_offset: f64,
    pub temperature_lag_s: f64,
    pub load_bias: f64,
    /// When in the second the device samples.
    pub phase_ms: i64,
    drift: [Drift; 4],
}

impl Traits {
    pub fn of(pump: usize) -> Self {
        let rng = &mut stream(PLANT_SEED, pump as u64);
        let flow_rated = rng.random_range(9.0..22.0);
        let shutoff_bar = rng.random_range(4.8..7.2);
        let vibration_gain = rng.random_range(1.6..2.6);
        Traits {
            flow_rated,
            shutoff_bar,
            curve: rng.random_range(0.36..0.42),
            vibration_base: rng.random_range(0.9..1.6),
            vibration_gain,
            temperature_rise: rng.random_range(22.0..30.0),
            temperature_offset: rng.random_range(-2.0..4.0),
            temperature_lag_s: rng.random_range(240.0..420.0),
            load_bias: rng.random_range(-0.04..0.04),
            phase_ms: rng.random_range(60..940),
            drift: [
                Drift::new(0.02 * vibration_gain, rng),
                Drift::new(0.5, rng),
                Drift::new(0.006 * shutoff_bar, rng),
                Drift::new(0.006 * flow_rated, rng),
            ],
        }
    }

    /// How far each sensor has drifted, in the units of its column.
    pub fn drift(&self, time_s: i64) -> [f64; 4] {
        self.drift.each_ref().map(|d| d.at(time_s))
    }

    /// mm/s at a flow that is this fraction of the rated one.
    pub fn vibration(&self, fraction: f64) -> f64 {
        self.vibration_base + self.vibration_gain * fraction.max(0.0).powf(1.2)
    }

    /// bar on the pump's curve at this fraction of the rated flow.
    pub fn pressure(&self, fraction: f64) -> f64 {
        self.shutoff_bar * (1.0 - self.curve * fraction * fraction)
    }

    /// degC the pump settles at under this load.
    pub fn temperature(&self, load: f64, ambient_degc: f64) -> f64 {
        ambient_degc + self.temperature_offset + self.temperature_rise * load
    }

    /// What the transmitter of `column` shows when it falls to the bottom of its working range.
    pub fn live_zero(&self, column: Column) -> f64 {
        match column {
            Column::Vibration => self.vibration(0.33),
            Column::Temperature => self.temperature(0.45, 19.0),
            Column::Pressure => self.pressure(0.97),
            Column::Flow => 0.33 * self.flow_rated,
        }
    }
}

/// The whole plant.
#[derive(Clone, Debug)]
pub struct Plant {
    time_s: i64,
    site: Site,
    pumps: Vec<Pump>,
    clock_rng: ChaCha8Rng,
    faults: Schedule,
    samples: Vec<Sample>,
}

impl Plant {
    /// A plant without faults. `start` is cut to a whole second.
    pub fn new(seed: u64, start: EventTime) -> Self {
        Self::with_faults(seed, start, Schedule::default())
    }

    pub fn with_faults(seed: u64, start: EventTime, faults: Schedule) -> Self {
        let time_s = start.0.div_euclid(SECOND_NS);
        let site = Site::new(seed, time_s);
        let ambient_degc = site.clone().step(time_s).ambient_degc;
        let pumps = (0..PUMPS).map(|pump| Pump::new(pump, seed, time_s, ambient_degc)).collect();
        Plant {
            time_s,
            site,
            pumps,
            clock_rng: stream(seed, 1 << 33),
            faults,
            samples: Vec::with_capacity(PUMPS),
        }
    }

    /// Event time of the next step.
    pub fn now(&self) -> EventTime {
        EventTime(self.time_s * SECOND_NS)
    }

    /// The samples of the next second, at most one a pump, in order of pump.
    pub fn step(&mut self) -> &[Sample] {
        let now = self.now();
        let site = self.site.step(self.time_s);
        self.samples.clear();
        for (pump, state) in self.pumps.iter_mut().enumerate() {
            let effects = self.faults.effects(pump, now);
            // Each device samples at its own phase of the second, with a few ms of jitter.
            let ms = state.traits.phase_ms + self.clock_rng.random_range(-20..=20);
            if let Some(values) = state.step(self.time_s, site, &effects) {
                self.samples.push(Sample { pump, time: EventTime(now.0 + ms * 1_000_000), values });
            }
        }
        self.time_s += 1;
        &self.samples
    }
}
