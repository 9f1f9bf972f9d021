//! A key's own mean and variance a column, and what the running epoch adds to them.

mod state;

/// Mean and variance over `count` cells, and the epoch's sums that join them when the epoch ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Cells behind `mean` and `variance`, capped (see [`Moments::commit`]).
    pub count: f64,
    pub mean: f64,
    /// Population variance, raw units squared.
    pub variance: f64,
    epoch_count: u32,
    epoch_mean: f64,
    /// Sum of squared deviations from `epoch_mean` (Welford 1962).
    epoch_m2: f64,
    epoch_least: f32,
    epoch_most: f32,
}

impl Moments {
    pub fn known(count: f64, mean: f64, variance: f64) -> Self {
        Moments { count, mean, variance, ..Default::default() }
    }

    /// Adds one observed cell to the running epoch; changes nothing that scoring sees.
    pub fn observe(&mut self, value: f64) {
        let narrow = value as f32;
        let first = self.epoch_count == 0;
        self.epoch_least = if first { narrow } else { self.epoch_least.min(narrow) };
        self.epoch_most = if first { narrow } else { self.epoch_most.max(narrow) };
        self.epoch_count += 1;
        let delta = value - self.epoch_mean;
        self.epoch_mean += delta / f64::from(self.epoch_count);
        self.epoch_m2 += delta * (value - self.epoch_mean);
    }

    /// Forgets the running epoch: what happened in it is not to be learnt.
    pub fn discard(&mut self) {
        self.epoch_count = 0;
        self.epoch_mean = 0.0;
        self.epoch_m2 = 0.0;
        (self.epoch_least, self.epoch_most) = (0.0, 0.0);
    }

    /// Mean of the running epoch's cells, if there were any.
    pub fn epoch_mean(&self) -> Option<f64> {
        (self.epoch_count > 0).then_some(self.epoch_mean)
    }

    /// Cells of the running epoch.
    pub fn epoch_count(&self) -> u32 {
        self.epoch_count
    }

    /// Root mean square of how far the running epoch's cells are from `level`, raw units; 0 without any.
    pub fn epoch_rms(&self, level: f32) -> f64 {
        match self.epoch_count {
            0 => 0.0,
            n => (self.epoch_m2 / f64::from(n) + (self.epoch_mean - f64::from(level)).powi(2)).sqrt(),
        }
    }

    /// How far the running epoch's farthest cell is from `level`, raw units; 0 without any.
    pub fn epoch_distance(&self, level: f32) -> f32 {
        match self.epoch_count {
            0 => 0.0,
            _ => (self.epoch_most - level).max(level - self.epoch_least),
        }
    }

    /// Forgets all but the running epoch.
    pub fn restart(&mut self) {
        (self.count, self.mean, self.variance) = (0.0, 0.0, 0.0);
    }

    /// Joins the epoch's cells in (Chan, Golub, LeVeque 1979). Capping the count at `count_max` cells
    /// makes it an exponential memory of about that length, so that slow drift is followed.
    pub fn commit(&mut self, count_max: f64) {
        if self.epoch_count > 0 {
            let n = f64::from(self.epoch_count);
            let total = self.count + n;
            let delta = self.epoch_mean - self.mean;
            let spread = self.variance * self.count + self.epoch_m2 + delta * delta * self.count * n / total;
            self.mean += delta * n / total;
            self.variance = spread / total;
            self.count = total.min(count_max);
        }
        self.discard();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_plain_formula(values in proptest::collection::vec(-1e3f64..1e3, 1..200), cut in 1usize..50) {
            let mut moments = Moments::default();
            for chunk in values.chunks(cut) {
                chunk.iter().for_each(|&v| moments.observe(v));
                moments.commit(f64::INFINITY);
            }
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            prop_assert!((moments.mean - mean).abs() < 1e-8);
            prop_assert!((moments.variance - variance).abs() < 1e-6 * variance.max(1.0));
        }
    }

    #[test]
    fn what_begins_anew_knows_the_running_epoch_alone() {
        let mut moments = Moments::known(1e4, 5e30, 1.0);
        [7.0, 9.0].into_iter().for_each(|value| moments.observe(value));
        assert_eq!(moments.epoch_mean(), Some(8.0));
        moments.restart();
        assert_eq!(moments.count, 0.0);
        moments.commit(1000.0);
        assert_eq!((moments.count, moments.mean, moments.variance), (2.0, 8.0, 1.0));
        assert_eq!(moments.epoch_mean(), None);
    }

    #[test]
    fn an_epoch_is_as_far_off_as_its_farthest_cell() {
        let mut moments = Moments::known(100.0, 5.0, 1.0);
        assert_eq!(moments.epoch_distance(5.0), 0.0);
        [9.0, 5.0, 3.0].into_iter().for_each(|value| moments.observe(value));
        assert_eq!((moments.epoch_distance(5.0), moments.epoch_distance(8.0)), (4.0, 5.0));
        assert!((moments.epoch_rms(5.0) - (20.0f64 / 3.0).sqrt()).abs() < 1e-12);
        moments.discard();
        moments.observe(-2.0);
        assert_eq!(moments.epoch_distance(-1.0), 1.0, "of the epoch that runs");
    }

    #[test]
    fn a_discarded_epoch_teaches_nothing() {
        let mut moments = Moments::known(100.0, 5.0, 1.0);
        let before = moments;
        moments.observe(1e6);
        moments.discard();
        moments.commit(1000.0);
        assert_eq!(moments, before);
    }
}
