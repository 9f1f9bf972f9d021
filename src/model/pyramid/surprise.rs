//! How surprising rows are by the tails of their levels and of their states.

use super::Pyramid;
use super::work::Energies;

/// A level of which less than this share is observed has no say.
const SPEAKS_FROM: f64 = 0.5;

impl Pyramid {
    /// Mean surprise of a level's densities; NaN where too little is observed.
    #[inline(always)]
    pub(super) fn level_surprise(&self, level: usize, of: &Energies) -> f64 {
        if of.observed < SPEAKS_FROM {
            return f64::NAN;
        }
        let tails = &self.levels[level].tails;
        let mut sum = 0.0;
        for (tail, energy) in tails.iter().zip(of.energy) {
            let known = if of.observed < 1.0 { tail.whole(energy, of.observed) } else { energy };
            sum += tail.surprise(known as f32).max(0.0);
        }
        sum / tails.len() as f64
    }

    /// Of a state; 0 where nothing has a say.
    #[inline(always)]
    pub(super) fn state_surprise(&self, state: f32, voices: u32) -> f32 {
        match &self.state_tail {
            Some(tail) if voices > 0 => tail.surprise(state) as f32,
            _ => 0.0,
        }
    }
}
