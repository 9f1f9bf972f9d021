//! A seeded plant of twelve pumps, one sample each per second of event time. No clock inside.
//!
//! Flow follows load; pressure falls along the pump's curve; temperature lags load and ambient by
//! minutes; vibration has a base, a load part, and noise with a short memory. What makes one pump differ
//! from the next (size, age, drift of its sensors over days) comes from a fixed seed: the pumps of a run
//! are the pumps the model was trained on. Load and noise come from the run's own seed.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::faults::{Effects, HEAD_LOSS, Schedule};
use super::load::{Conditions, Load, Site};
use super::noise::{Wander, gaussian, stream, waiting_s};
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
    temperature_lag_s: f64,
    load_bias: f64,
    phase_ms: i64,
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

/// A pump in motion.
#[derive(Clone, Debug)]
struct Pump {
    traits: Traits,
    rng: ChaCha8Rng,
    fault_rng: ChaCha8Rng,
    load: Load,
    /// Flow as a fraction of the rated one.
    fraction: f64,
    temperature: f64,
    turbulence: Wander,
    backpressure: Wander,
    rumble: Wander,
    next_spike_s: i64,
    next_gap_s: i64,
    gap_left_s: i64,
    next_hole_s: i64,
    hole: Option<(Column, i64)>,
    shown: [f64; 4],
}

const SPIKE_EVERY_S: f64 = 1_500.0;
const GAP_EVERY_S: f64 = 600.0;
const HOLE_EVERY_S: f64 = 1_800.0;

impl Pump {
    fn new(pump: usize, seed: u64, time_s: i64, ambient_degc: f64) -> Self {
        let traits = Traits::of(pump);
        let mut rng = stream(seed, pump as u64);
        let load = Load::new(traits.load_bias, time_s, &mut rng);
        let settled = 0.6 + traits.load_bias;
        Pump {
            fault_rng: stream(seed, 1 << 32 | pump as u64),
            load,
            fraction: settled,
            temperature: traits.temperature(settled, ambient_degc),
            turbulence: Wander::new(0.008, 2.0, &mut rng),
            backpressure: Wander::new(0.008, 600.0, &mut rng),
            rumble: Wander::new(0.020, 3.0, &mut rng),
            next_spike_s: time_s + waiting_s(&mut rng, SPIKE_EVERY_S),
            next_gap_s: time_s + waiting_s(&mut rng, GAP_EVERY_S),
            gap_left_s: 0,
            next_hole_s: time_s + waiting_s(&mut rng, HOLE_EVERY_S),
            hole: None,
            shown: [f64::NAN; 4],
            traits,
            rng,
        }
    }

    /// The reading of this second; `None` inside a small gap.
    fn step(&mut self, time_s: i64, site: Conditions, effects: &Effects) -> Option<[f32; 4]> {
        let mut values = self.process(time_s, site, effects);
        if effects.stuck.is_some_and(|_| !self.shown[0].is_nan()) || effects.dropped.is_some() {
            self.transmitter_fault(&mut values, effects);
        }
        for (value, decimals) in values.iter_mut().zip([1_000.0, 100.0, 1_000.0, 100.0]) {
            *value = (*value * decimals).round() / decimals;
        }
        self.shown = values;
        let holed = self.hole(time_s);
        if self.gap(time_s) {
            return None;
        }
        let mut sent = values.map(|v| v as f32);
        if let Some(column) = holed {
            sent[column as usize] = f32::NAN;
        }
        Some(sent)
    }

    /// What the four sensors would show if each were sound.
    fn process(&mut self, time_s: i64, site: Conditions, effects: &Effects) -> [f64; 4] {
        let rng = &mut self.rng;
        let t = &self.traits;
        let load = self.load.step(time_s, site.demand, effects.load_shift, rng);
        self.fraction += (load - self.fraction) / 3.0;
        let settled = t.temperature(load, site.ambient_degc);
        self.temperature += (settled - self.temperature) / t.temperature_lag_s;

        let fraction = self.fraction + self.turbulence.step(rng);
        let drift = t.drift.each_ref().map(|d| d.at(time_s));
        let (wear, cavitation) = effects.limited(self.fraction);
        let drop = cavitation * HEAD_LOSS * t.shutoff_bar;
        let jitter = |rng: &mut ChaCha8Rng| cavitation * gaussian(rng);
        let vibration = t.vibration(self.fraction + wear + 0.10 * cavitation)
            + t.vibration_gain * (self.rumble.step(rng) + 0.012 * gaussian(rng))
            + spike(&mut self.next_spike_s, time_s, rng) * t.vibration_gain;
        let pressure = t.pressure(fraction) - drop
            + t.shutoff_bar * (self.backpressure.step(rng) + 0.003 * gaussian(rng) + 0.015 * jitter(&mut self.fault_rng));
        let flow = t.flow_rated * (fraction + 0.004 * gaussian(rng) + 0.024 * jitter(&mut self.fault_rng));
        let temperature = self.temperature + 0.25 * gaussian(rng) + t.temperature_rise * effects.heat;
        [vibration + drift[0], temperature + drift[1], pressure + drift[2], flow + drift[3]]
    }

    fn transmitter_fault(&mut self, values: &mut [f64; 4], effects: &Effects) {
        if let Some(column) = effects.stuck {
            values[column as usize] = self.shown[column as usize];
        }
        if let Some(column) = effects.dropped {
            // The live zero is not noiseless: the loop's own noise remains.
            values[column as usize] = self.traits.live_zero(column) * (1.0 + 0.004 * gaussian(&mut self.fault_rng));
        }
    }

    /// Now and then one or two samples are lost.
    fn gap(&mut self, time_s: i64) -> bool {
        if time_s >= self.next_gap_s {
            self.gap_left_s = self.rng.random_range(1..=2);
            self.next_gap_s = time_s + waiting_s(&mut self.rng, GAP_EVERY_S);
        }
        self.gap_left_s -= 1;
        self.gap_left_s >= 0
    }

    /// Now and then one column is missing for a few seconds: a nuisance, never a fault.
    fn hole(&mut self, time_s: i64) -> Option<Column> {
        if time_s >= self.next_hole_s {
            let column = COLUMNS[self.rng.random_range(0..COLUMNS.len())];
            self.hole = Some((column, time_s + self.rng.random_range(1..=4)));
            self.next_hole_s = time_s + waiting_s(&mut self.rng, HOLE_EVERY_S);
        }
        self.hole.filter(|(_, until_s)| time_s < *until_s).map(|(column, _)| column)
    }
}

/// A knock on the housing: one sample of vibration that is no fault. A fraction of the load's part.
fn spike(next_s: &mut i64, time_s: i64, rng: &mut ChaCha8Rng) -> f64 {
    if time_s < *next_s {
        return 0.0;
    }
    *next_s = time_s + waiting_s(rng, SPIKE_EVERY_S);
    rng.random_range(0.08..0.20)
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
        Plant { time_s, site, pumps, clock_rng: stream(seed, 1 << 33), faults, samples: Vec::with_capacity(PUMPS) }
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
