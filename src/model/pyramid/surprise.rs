//! How surprising rows are by the tails of their levels and of their states, several rows at a time: what takes the time is
//! to find an energy's place among the references, and searches of several rows wait for memory side by side.

use super::Pyramid;
use super::work::{Energies, Work};

/// Rows that are looked up together.
const TOGETHER: usize = 8;
/// A level of which less than this share is observed has no say.
const SPEAKS_FROM: f64 = 0.5;

impl Pyramid {
    /// Mean surprise of a level's densities; NaN where too little is observed.
    #[inline(always)]
    pub(super) fn level_surprise<const N: usize>(&self, level: usize, energies: &[Energies; N]) -> [f64; N] {
        let tails = &self.levels[level].tails;
        let mut sums = [0.0; N];
        for (density, tail) in tails.iter().enumerate() {
            let mut known = [0.0; N];
            for (known, of) in known.iter_mut().zip(energies) {
                let energy = of.energy[density];
                *known = (if of.observed < 1.0 { tail.whole(energy, of.observed) } else { energy }) as f32;
            }
            for (sum, surprise) in sums.iter_mut().zip(tail.surprises(known)) {
                *sum += surprise.max(0.0);
            }
        }
        for (sum, of) in sums.iter_mut().zip(energies) {
            *sum = if of.observed < SPEAKS_FROM { f64::NAN } else { *sum / tails.len() as f64 };
        }
        sums
    }

    /// Of the rows in `work.energies`, into `work.surprises`.
    #[inline(always)]
    pub(super) fn level_surprises(&self, level: usize, work: &mut Work) {
        let (together, rest) = work.energies.as_chunks::<TOGETHER>();
        work.surprises.clear();
        for energies in together {
            work.surprises.extend_from_slice(&self.level_surprise(level, energies));
        }
        for energies in rest {
            work.surprises.extend_from_slice(&self.level_surprise(level, &[*energies]));
        }
    }

    /// Of these states of the rows in `work.sums`, into `work.surprises`; 0 where nothing has a say.
    #[inline(always)]
    pub(super) fn state_surprises(&self, states: &[f32], work: &mut Work) {
        work.surprises.clear();
        let Some(tail) = &self.state_tail else { return work.surprises.resize(states.len(), 0.0) };
        let (together, rest) = states.as_chunks::<TOGETHER>();
        for states in together {
            work.surprises.extend_from_slice(&tail.surprises(*states));
        }
        for state in rest {
            work.surprises.extend_from_slice(&tail.surprises([*state]));
        }
        for (surprise, (_, n)) in work.surprises.iter_mut().zip(&work.sums) {
            *surprise = if *n == 0 { 0.0 } else { *surprise };
        }
    }
}
