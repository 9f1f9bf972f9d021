//! What a device told of windows before anybody asked. It is found by the window itself, so that none is ever told of
//! another: who asks for one that is not here has the CPU's answer, to the same bits.

use std::ops::Range;

use crate::model::pyramid::Told;

#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    known: Vec<Known>,
    windows: Vec<f32>,
    words: Vec<u32>,
    /// Where the next question is likely answered: they come in the order of the windows.
    next: usize,
}

#[derive(Clone, Debug)]
struct Known {
    /// Of the pyramid.
    model: u64,
    window: Range<usize>,
    words: Range<usize>,
}

impl Ahead {
    pub fn clear(&mut self) {
        let Ahead { known, windows, words, next } = self;
        known.clear();
        windows.clear();
        words.clear();
        *next = 0;
    }

    pub fn put(&mut self, model: u64, window: &[f32], told: impl Iterator<Item = u32>) {
        let (first, before) = (self.windows.len(), self.words.len());
        self.windows.extend_from_slice(window);
        self.words.extend(told);
        self.known.push(Known { model, window: first..self.windows.len(), words: before..self.words.len() });
    }

    pub fn told(&mut self, model: u64, window: &[f32]) -> Option<Told<'_>> {
        let Ahead { known, windows, words, next } = self;
        let same = |a: &f32, b: &f32| a.to_bits() == b.to_bits();
        let is_of = |of: &Known| {
            let there = &windows[of.window.clone()];
            of.model == model
                && there.len() == window.len()
                && there.iter().zip(window).all(|(a, b)| same(a, b))
        };
        let at = (0..known.len()).map(|n| (*next + n) % known.len()).find(|at| is_of(&known[*at]))?;
        *next = at;
        Some(Told { words: &words[known[at].words.clone()] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_known_by_its_model_and_its_bits() {
        let mut ahead = Ahead::default();
        ahead.put(7, &[1.0, f32::NAN], [1, 2].into_iter());
        ahead.put(7, &[1.0, 0.0], [3].into_iter());
        let mut told = |model, window: &[f32]| ahead.told(model, window).map(|told| told.words.to_vec());
        assert_eq!(told(7, &[1.0, 0.0]), Some(vec![3]));
        assert_eq!(told(7, &[1.0, f32::NAN]), Some(vec![1, 2]), "before the one that was asked for last");
        assert_eq!(told(7, &[1.0, -0.0]), None);
        assert_eq!(told(8, &[1.0, 0.0]), None);
        assert_eq!(told(7, &[1.0]), None);
        ahead.clear();
        assert!(ahead.told(7, &[1.0, 0.0]).is_none());
    }
}
