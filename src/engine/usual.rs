//! What a key usually does: amounts that a ratio is taken to, and how often it has which category.
//!
//! As everything that adapts, it is constant inside an epoch and learns from final rows of calm keys.

use crate::config::plan::Aggregate;
use crate::judge::habits::Habits;
use crate::judge::moments::Moments;
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::window::grow::grow;
use crate::window::keys::KeyIndex;

/// Rows a key's usual amount is taken over, about.
const MEMORY_ROWS: f64 = 256.0;

/// Rows that what is usual for everyone counts as: a new key's own amounts outweigh it soon.
const EVERYONE_ROWS: f64 = 3.0;

#[derive(Debug, Default)]
pub(crate) struct Usual {
    /// Columns told as a ratio, and those told as a rarity.
    ratios: Vec<usize>,
    rarities: Vec<usize>,
    /// keys x ratios
    amounts: Vec<Moments>,
    /// Over the keys' own means, a ratio each.
    everyone: Vec<Moments>,
    /// keys x rarities
    habits: Vec<Habits>,
    /// Key, which of the rarities, and bucket of the running epoch's rows.
    pending: Vec<(KeyIndex, u8, u8)>,
}

impl Usual {
    pub fn new(aggregates: &[Aggregate]) -> Self {
        let columns = |wanted: Aggregate| {
            (0..aggregates.len()).filter(|&column| aggregates[column] == wanted).collect::<Vec<_>>()
        };
        let ratios = columns(Aggregate::Ratio);
        Usual {
            everyone: vec![Moments::default(); ratios.len()],
            ratios,
            rarities: columns(Aggregate::Rarity),
            ..Usual::default()
        }
    }

    /// Heap a key, bytes.
    pub fn bytes_a_key(aggregates: &[Aggregate]) -> usize {
        let Usual { ratios, rarities, .. } = Usual::new(aggregates);
        ratios.len() * size_of::<Moments>() + rarities.len() * Habits::BYTES
    }

    pub fn add_key(&mut self) {
        grow(&mut self.amounts, self.ratios.len());
        grow(&mut self.habits, self.rarities.len());
        self.amounts.extend(self.ratios.iter().map(|_| Moments::default()));
        self.habits.extend(self.rarities.iter().map(|_| Habits::default()));
    }

    /// Notes a final row; changes nothing that scoring sees.
    pub fn observe(&mut self, key: KeyIndex, values: &[f32]) {
        let amounts = &mut self.amounts[key as usize * self.ratios.len()..];
        for (moments, &column) in amounts.iter_mut().zip(&self.ratios) {
            if !values[column].is_nan() {
                moments.observe(f64::from(values[column]));
            }
        }
        for (which, &column) in self.rarities.iter().enumerate() {
            if !values[column].is_nan() {
                self.pending.push((key, which as u8, Habits::bucket(values[column])));
            }
        }
    }

    /// Ends a key's epoch: learnt if it was calm. Keys must come in canonical order.
    pub fn commit_amounts(&mut self, key: KeyIndex, calm: bool) {
        let ratios = self.ratios.len();
        let own = &mut self.amounts[key as usize * ratios..][..ratios];
        for (moments, everyone) in own.iter_mut().zip(&mut self.everyone) {
            let before = moments.count;
            if calm {
                moments.commit(MEMORY_ROWS)
            } else {
                moments.discard()
            }
            if calm && moments.count > before {
                everyone.observe(moments.mean);
            }
        }
    }

    /// Ends the epoch, after all keys' amounts.
    pub fn commit(&mut self, calm: impl Fn(KeyIndex) -> bool) {
        self.everyone.iter_mut().for_each(|moments| moments.commit(MEMORY_ROWS));
        let rarities = self.rarities.len();
        for (key, which, bucket) in self.pending.drain(..) {
            if calm(key) {
                self.habits[key as usize * rarities + usize::from(which)].observe(bucket);
            }
        }
    }

    /// Turns the last amounts and categories of a cell into ratios and rarities.
    pub fn apply(&self, key: KeyIndex, values: &mut [f32]) {
        let amounts = &self.amounts[key as usize * self.ratios.len()..];
        for ((own, everyone), &column) in amounts.iter().zip(&self.everyone).zip(&self.ratios) {
            let ratio = f64::from(values[column]) / usual(own, everyone);
            // Next to nothing is usual of some: a ratio to it must stay a number.
            values[column] = ratio.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        }
        let habits = &self.habits[key as usize * self.rarities.len()..];
        for (habits, &column) in habits.iter().zip(&self.rarities) {
            if !values[column].is_nan() {
                values[column] = habits.rarity(values[column]);
            }
        }
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Usual { ratios: _, rarities: _, amounts, everyone, habits, pending } = self;
        amounts.iter().for_each(|moments| moments.encode(to));
        everyone.iter().for_each(|moments| moments.encode(to));
        habits.iter().for_each(|habits| habits.encode(to));
        to.len(pending.len());
        for (key, which, bucket) in pending {
            to.number(*key);
            to.number(*which);
            to.number(*bucket);
        }
    }

    /// # Errors
    /// If the bytes are those of other columns or keys.
    pub fn decode(
        aggregates: &[Aggregate],
        keys: usize,
        from: &mut StateReader<'_>,
    ) -> Result<Self, NotUnderstood> {
        let mut usual = Usual::new(aggregates);
        let (ratios, rarities) = (usual.ratios.len(), usual.rarities.len());
        usual.amounts = (0..keys * ratios).map(|_| Moments::decode(from)).collect::<Result<_, _>>()?;
        usual.everyone = (0..ratios).map(|_| Moments::decode(from)).collect::<Result<_, _>>()?;
        usual.habits = (0..keys * rarities).map(|_| Habits::decode(from)).collect::<Result<_, _>>()?;
        for _ in 0..from.len(6)? {
            usual.pending.push((from.number()?, from.number()?, from.number()?));
        }
        let fits =
            |&(key, which, _): &(KeyIndex, u8, u8)| (key as usize) < keys && usize::from(which) < rarities;
        expect(usual.pending.iter().all(fits), "a category of no key")?;
        Ok(usual)
    }
}

/// NaN while nothing is known; what a ratio to nothing would be, too.
fn usual(own: &Moments, everyone: &Moments) -> f64 {
    let weight = if everyone.count > 0.0 { EVERYONE_ROWS } else { 0.0 };
    let mean = (own.mean * own.count + everyone.mean * weight) / (own.count + weight);
    if mean.abs() >= f64::from(f32::MIN_POSITIVE) { mean } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_key_s_own_amounts_once_it_has_some() {
        let mut usual = Usual::new(&[Aggregate::Ratio, Aggregate::Mean]);
        (0..2).for_each(|_| usual.add_key());
        let ratio = |usual: &Usual, key| {
            let mut values = [60.0, 7.0];
            usual.apply(key, &mut values);
            assert_eq!(values[1], 7.0, "other columns stay as they are");
            values[0]
        };
        assert!(ratio(&usual, 0).is_nan(), "nothing is known");
        (0..100).for_each(|_| usual.observe(0, &[20.0, 0.0]));
        assert!(ratio(&usual, 0).is_nan(), "the running epoch does not count yet");
        (0..2).for_each(|key| usual.commit_amounts(key, true));
        usual.commit(|_| true);
        assert_eq!(ratio(&usual, 0), 3.0);
        assert_eq!(ratio(&usual, 1), 3.0, "of a new key: to everyone's");
        (0..3).for_each(|_| usual.observe(1, &[100.0, 0.0]));
        usual.commit_amounts(1, true);
        usual.commit(|_| true);
        assert!(
            (ratio(&usual, 1) - 0.75).abs() < 0.01,
            "3 own rows weigh as much as everyone's, now 60 itself"
        );
    }

    #[test]
    fn what_an_odd_key_did_is_not_learnt() {
        let mut usual = Usual::new(&[Aggregate::Rarity]);
        usual.add_key();
        let before = usual.habits[0];
        usual.observe(0, &[5.0]);
        usual.commit(|_| false);
        assert_eq!(usual.habits[0], before);
        usual.observe(0, &[5.0]);
        usual.commit(|_| true);
        assert_ne!(usual.habits[0], before);
    }
}
