//! How often a key does what: counts of categories, hashed into a few buckets.

use crate::state::{NotUnderstood, StateReader, StateWriter};

const BUCKETS: usize = 32;

/// Category counts of one key and column, halved when one is full, so that old habits fade.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Habits([u16; BUCKETS]);

impl Habits {
    pub const BYTES: usize = BUCKETS * size_of::<u16>();

    /// Where a category, a whole number as decoded, is counted.
    pub fn bucket(category: f32) -> u8 {
        (category as u64 % BUCKETS as u64) as u8
    }

    pub fn observe(&mut self, bucket: u8) {
        if self.0[usize::from(bucket)] == u16::MAX {
            self.0.iter_mut().for_each(|count| *count /= 2);
        }
        self.0[usize::from(bucket)] += 1;
    }

    /// `-ln` of the category's share, nats, every bucket counted half an event more than it had
    /// (Krichevsky and Trofimov 1981): what was never seen is rare, the rarer the more was seen.
    pub fn rarity(&self, category: f32) -> f32 {
        let count = f64::from(self.0[usize::from(Self::bucket(category))]);
        let all: f64 = self.0.iter().map(|count| f64::from(*count)).sum();
        -((count + 0.5) / (all + 0.5 * BUCKETS as f64)).ln() as f32
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        self.0.iter().for_each(|count| to.number(*count));
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut habits = Habits::default();
        for count in &mut habits.0 {
            *count = from.number()?;
        }
        Ok(habits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_never_does_is_rare_and_the_more_so_the_more_it_did() {
        let mut habits = Habits::default();
        let before = habits.rarity(3.0);
        assert_eq!(habits.rarity(7.0), before, "nothing is known");
        for _ in 0..100 {
            habits.observe(Habits::bucket(3.0));
        }
        assert!(habits.rarity(3.0) < 0.2 && habits.rarity(7.0) > before + 1.0);
        (0..70_000).for_each(|_| habits.observe(Habits::bucket(3.0)));
        assert!(habits.rarity(7.0).is_finite());
    }
}
