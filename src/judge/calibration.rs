//! What a p-value is read off: a window's state and its oddest column, each by references of its own.
//!
//! The two are odd in different ways and drift in different ways, so that the smaller p-value counts, doubled for there
//! being two (Bonferroni).

use super::calibrate::Calibrator;
use crate::state::{NotUnderstood, StateReader, StateWriter};

/// A window's surprises, nats: of its state, and of its oddest column.
pub type Surprise = [f32; 2];

#[derive(Clone)]
pub struct Calibration([Calibrator; 2]);

impl Calibration {
    /// Calibrators of a partition.
    pub const PARTS: usize = 2;

    /// `references`: surprises of normal windows, any order, of states and of oddest columns.
    pub fn new(references: [&[f32]; 2]) -> Self {
        Calibration(references.map(Calibrator::new))
    }

    /// Notes a normal window's surprises; they count from the next epoch on.
    pub fn observe(&mut self, surprise: Surprise) {
        self.0.iter_mut().zip(surprise).for_each(|(of, surprise)| of.observe(surprise));
    }

    /// The running epoch has observed something.
    pub fn has_pending(&self) -> bool {
        self.0.iter().any(Calibrator::has_pending)
    }

    /// Takes in what the ended epoch observed.
    pub fn commit(&mut self) {
        self.0.iter_mut().for_each(Calibrator::commit);
    }

    /// Probability that a normal window is at least as surprising in one of the two.
    pub fn p_value(&self, surprise: Surprise) -> f64 {
        let [state, column] = &self.0;
        (2.0 * state.p_value(surprise[0]).min(column.p_value(surprise[1]))).min(1.0)
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        self.0.iter().for_each(|of| of.encode(to));
    }

    /// # Errors
    /// If the bytes are no references.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Calibration([Calibrator::decode(from)?, Calibrator::decode(from)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_of_the_two_counts_and_is_paid_for_twice() {
        let references: Vec<f32> = (0..1000).map(|i| -(1.0 - i as f32 / 1000.0).ln()).collect();
        let none = [0.0; 1000];
        let both = Calibration::new([&references, &none]);
        let alone = Calibrator::new(&references);
        assert_eq!(both.p_value([9.0, 0.0]), 2.0 * alone.p_value(9.0));
        assert_eq!(both.p_value([0.0, 0.0]), 1.0);
        assert!(both.p_value([0.0, 15.0]) < 1e-4, "no reference had an odd column");
    }
}
