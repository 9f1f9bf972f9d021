//! One pump in motion: its load, its physics, and what its four sensors show of them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::faults::{Effects, HEAD_LOSS};
use super::load::{Conditions, Load};
use super::noise::{Wander, gaussian, stream, waiting_s};
use super::plant::{COLUMNS, Column, Traits};

/// A pump in motion.
#[derive(Clone, Debug)]
pub struct Pump {
    pub traits: Traits,
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
    pub fn new(pump: usize, seed: u64, time_s: i64, ambient_degc: f64) -> Self {
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
    pub fn step(&mut self, time_s: i64, site: Conditions, effects: &Effects) -> Option<[f32; 4]> {
        let mut values = self.process(time_s, site, effects);
        self.transmitter_fault(&mut values, effects);
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
        let drift = t.drift(time_s);
        let (wear, cavitation) = effects.limited(self.fraction);
        let drop = cavitation * HEAD_LOSS * t.shutoff_bar;
        let jitter = |rng: &mut ChaCha8Rng| cavitation * gaussian(rng);
        let vibration = t.vibration(self.fraction + wear + 0.10 * cavitation)
            + t.vibration_gain * (self.rumble.step(rng) + 0.012 * gaussian(rng))
            + spike(&mut self.next_spike_s, time_s, rng) * t.vibration_gain;
        let pressure = t.pressure(fraction) - drop
            + t.shutoff_bar
                * (self.backpressure.step(rng) + 0.003 * gaussian(rng) + 0.015 * jitter(&mut self.fault_rng));
        let flow = t.flow_rated * (fraction + 0.004 * gaussian(rng) + 0.024 * jitter(&mut self.fault_rng));
        let temperature = self.temperature + 0.25 * gaussian(rng) + t.temperature_rise * effects.heat;
        [vibration + drift[0], temperature + drift[1], pressure + drift[2], flow + drift[3]]
    }

    fn transmitter_fault(&mut self, values: &mut [f64; 4], effects: &Effects) {
        if let Some(column) = effects.stuck {
            // Faults begin minutes into a run, so something has been shown before.
            values[column as usize] = self.shown[column as usize];
        }
        if let Some(column) = effects.dropped {
            // The live zero is not noiseless: the loop's own noise remains.
            values[column as usize] =
                self.traits.live_zero(column) * (1.0 + 0.004 * gaussian(&mut self.fault_rng));
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
