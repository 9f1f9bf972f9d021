//! What the way to the broker does to good samples: a few come late, a few come twice.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::noise::stream;
use super::plant::Sample;

const LATE_SHARE: f64 = 0.004;
const TWICE_SHARE: f64 = 0.002;
/// Steps (seconds of event time) a late or repeated sample is held back at most; below the demo's lateness.
const HELD_STEPS_MAX: u8 = 2;

/// Holds samples back by up to two steps and repeats some. Nothing is lost here.
pub struct Delivery {
    rng: ChaCha8Rng,
    held: Vec<(u8, Sample)>,
    due: Vec<Sample>,
    pub late_total: u64,
    pub repeated_total: u64,
}

impl Delivery {
    pub fn new(seed: u64) -> Self {
        Delivery {
            rng: stream(seed, 1 << 35),
            held: Vec::new(),
            due: Vec::new(),
            late_total: 0,
            repeated_total: 0,
        }
    }

    /// The samples that arrive in this step, in order of arrival.
    pub fn step(&mut self, samples: &[Sample]) -> &[Sample] {
        self.due.clear();
        for sample in samples {
            if self.rng.random_bool(LATE_SHARE) {
                self.late_total += 1;
                self.hold(*sample);
                continue;
            }
            self.due.push(*sample);
            if self.rng.random_bool(TWICE_SHARE) {
                self.repeated_total += 1;
                self.hold(*sample);
            }
        }
        self.release();
        &self.due
    }

    /// What is still held back when the run ends.
    pub fn finish(&mut self) -> &[Sample] {
        self.due.clear();
        self.due.extend(self.held.drain(..).map(|(_, sample)| sample));
        &self.due
    }

    fn hold(&mut self, sample: Sample) {
        // One more than the steps to wait: the release of this same step counts one down.
        let steps = 1 + self.rng.random_range(1..=HELD_STEPS_MAX);
        self.held.push((steps, sample));
    }

    fn release(&mut self) {
        let due = &mut self.due;
        self.held.retain_mut(|(steps, sample)| {
            *steps -= 1;
            if *steps == 0 {
                due.push(*sample);
            }
            *steps > 0
        });
    }
}
