//! How far a stream has moved from what its model was trained on, as partitions count it; counts of partitions add up.

/// Shifts are counted in bins of a quarter sd, from -4 to 4; what lies beyond is in the outermost.
const BINS: usize = 32;
const BIN_SD: f64 = 0.25;

/// A key's minute has moved if it is so far from what it was trained on, sd of its own cells.
const MOVED_SD: f64 = 1.0;

/// p-values below this are counted: of true ones it is their share.
pub const LOW_P: f64 = 0.1;

/// What partitions saw of drift; what was seen a day ago counts half.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// columns x bins: minutes of keys by how far the mean of their cells was off, whatever the key's alerts.
    pub shifts: Vec<f64>,
    /// Windows of keys of which nothing was odd lately, and those of a p-value below [`LOW_P`].
    pub windows: f64,
    pub low: f64,
}

impl Drift {
    pub fn new(columns: usize) -> Self {
        Drift { shifts: vec![0.0; columns * BINS], windows: 0.0, low: 0.0 }
    }

    /// A minute of a key, `shift` sd above what its column was trained on.
    pub fn count(&mut self, column: usize, shift: f64) {
        let bin = ((shift / BIN_SD).floor() + BINS as f64 / 2.0).clamp(0.0, BINS as f64 - 1.0);
        self.shifts[column * BINS + bin as usize] += 1.0;
    }

    /// All counts by so much less.
    pub fn fade(&mut self, factor: f64) {
        self.shifts.iter_mut().chain([&mut self.windows, &mut self.low]).for_each(|count| *count *= factor);
    }

    pub fn add(&mut self, other: &Drift) {
        if self.shifts.len() < other.shifts.len() {
            self.shifts.resize(other.shifts.len(), 0.0);
        }
        self.shifts.iter_mut().zip(&other.shifts).for_each(|(own, other)| *own += other);
        self.windows += other.windows;
        self.low += other.low;
    }

    pub fn columns(&self) -> usize {
        self.shifts.len() / BINS
    }

    fn bins(&self, column: usize) -> &[f64] {
        &self.shifts[column * BINS..][..BINS]
    }

    /// Median shift of a column, sd: keys that go different ways have none together. `None` before any was seen.
    pub fn shift_sd(&self, column: usize) -> Option<f64> {
        let bins = self.bins(column);
        let half = bins.iter().sum::<f64>() / 2.0;
        let mut below = 0.0;
        for (bin, &count) in bins.iter().enumerate() {
            if count > 0.0 && below + count >= half {
                let within = (half - below) / count;
                return Some((bin as f64 - BINS as f64 / 2.0 + within) * BIN_SD);
            }
            below += count;
        }
        None
    }

    /// Share of the minutes that have moved the way of the median.
    pub fn moved(&self, column: usize) -> f64 {
        let (bins, one) = (self.bins(column), (MOVED_SD / BIN_SD) as usize);
        let all: f64 = bins.iter().sum();
        let moved: f64 = match self.shift_sd(column) {
            Some(shift) if shift >= 0.0 => bins[BINS / 2 + one..].iter().sum(),
            _ => bins[..BINS / 2 - one].iter().sum(),
        };
        if all > 0.0 { moved / all } else { 0.0 }
    }

    /// Share of the windows with a p-value below [`LOW_P`].
    pub fn low_share(&self) -> Option<f64> {
        (self.windows > 0.0).then(|| self.low / self.windows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_all_keys_and_says_how_many_moved_its_way() {
        let mut drift = Drift::new(2);
        assert_eq!((drift.shift_sd(1), drift.moved(1)), (None, 0.0));
        (0..80).for_each(|_| drift.count(1, 2.1));
        (0..20).for_each(|_| drift.count(1, -0.1));
        let shift = drift.shift_sd(1).unwrap();
        assert!((2.0..2.25).contains(&shift), "{shift}");
        assert_eq!((drift.moved(1), drift.shift_sd(0)), (0.8, None));
        let mut one = Drift::new(1);
        (0..19).for_each(|_| one.count(0, 0.1));
        one.count(0, 90.0);
        assert!(one.shift_sd(0).unwrap() < 0.25, "one key of twenty is no drift");
        let mut apart = Drift::new(1);
        (0..50).for_each(|_| (apart.count(0, 3.0), apart.count(0, -3.0)).0);
        assert!(apart.shift_sd(0).unwrap().abs() < 3.0 && apart.moved(0) == 0.5);
    }

    #[test]
    fn counts_of_partitions_add_up() {
        let (mut a, mut b) = (Drift::default(), Drift::new(1));
        b.count(0, -1.5);
        (b.windows, b.low) = (10.0, 4.0);
        a.add(&b);
        a.add(&b);
        a.fade(0.5);
        assert_eq!(a, b);
        assert_eq!((a.low_share(), a.columns(), a.moved(0)), (Some(0.4), 1, 1.0));
    }
}
