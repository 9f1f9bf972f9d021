//! Moments as bytes.

use super::Moments;
use crate::state::{NotUnderstood, StateReader, StateWriter};

impl Moments {
    pub const BYTES: usize = 52;

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Moments { count, mean, variance, epoch_count, epoch_mean, epoch_m2, epoch_least, epoch_most } =
            *self;
        to.number(count);
        to.number(mean);
        to.number(variance);
        to.number(epoch_count);
        to.number(epoch_mean);
        to.number(epoch_m2);
        to.number(epoch_least);
        to.number(epoch_most);
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Moments {
            count: from.number()?,
            mean: from.number()?,
            variance: from.number()?,
            epoch_count: from.number()?,
            epoch_mean: from.number()?,
            epoch_m2: from.number()?,
            epoch_least: from.number()?,
            epoch_most: from.number()?,
        })
    }
}
