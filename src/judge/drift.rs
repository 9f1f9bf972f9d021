//! Drift: how a partition counts what moves away from the model's training. Nothing adaptive acts on it.
//!
//! A fault is one key's; what many keys do together is a change of what is normal, or of the weather. So a key's minute
//! counts whatever is open of it: were only calm keys counted, a step that all of them take would be in none.

mod state;

use crate::types::EPOCH_NS;
use crate::types::drift::{Drift, LOW_P};

const EPOCHS_A_DAY: f64 = 86_400e9 / EPOCH_NS as f64;

/// A partition's account of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    seen: Drift,
    /// By column: how far it had moved when the present model took over from one of the same scales, sd. That model
    /// was fitted on what is there now.
    base: Vec<f64>,
    /// Of the running epoch.
    windows: u64,
    low: u64,
    /// An epoch has ended since it was last told.
    news: bool,
}

impl Watched {
    pub fn new(columns: usize) -> Self {
        Watched { seen: Drift::new(columns), base: vec![0.0; columns], windows: 0, low: 0, news: false }
    }

    /// A confident window of a key of which nothing was odd lately.
    pub fn judged(&mut self, p_value: f64) {
        self.windows += 1;
        self.low += u64::from(p_value < LOW_P);
    }

    /// `epochs` have passed since the last call, the ended one with them. Its shifts are counted after this.
    pub fn end_epoch(&mut self, epochs: i64) {
        self.seen.fade(0.5f64.powf(epochs.max(1) as f64 / EPOCHS_A_DAY));
        self.seen.windows += std::mem::take(&mut self.windows) as f64;
        self.seen.low += std::mem::take(&mut self.low) as f64;
        self.news = true;
    }

    /// A key's mean of the ended epoch was `shift` sd above what its column was trained on.
    pub fn shown(&mut self, column: usize, shift: f64) {
        self.seen.count(column, shift - self.base[column]);
    }

    /// Another model takes over, `refitted` to what the keys do now or trained elsewhere, with scales of its own.
    pub fn begin(&mut self, refitted: bool) {
        for (column, base) in self.base.iter_mut().enumerate() {
            *base = if refitted { *base + self.seen.shift_sd(column).unwrap_or(0.0) } else { 0.0 };
        }
        self.seen = Drift::new(self.base.len());
        (self.windows, self.low) = (0, 0);
    }

    pub fn seen(&self) -> &Drift {
        &self.seen
    }

    /// The same, if an epoch has ended since this was last asked.
    pub fn news(&mut self) -> Option<&Drift> {
        std::mem::take(&mut self.news).then_some(&self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_a_day_ago_counts_half() {
        let mut watched = Watched::new(1);
        (0..10).for_each(|i| watched.judged(if i < 3 { 0.05 } else { 0.5 }));
        watched.end_epoch(1);
        watched.shown(0, 2.0);
        assert_eq!((watched.seen().windows, watched.seen().low), (10.0, 3.0));
        watched.end_epoch(EPOCHS_A_DAY as i64);
        assert_eq!((watched.seen().windows, watched.seen().low), (5.0, 1.5));
        assert_eq!(watched.seen().shifts.iter().sum::<f64>(), 0.5);
    }

    #[test]
    fn a_refit_is_measured_from_where_it_took_over_and_another_model_from_its_own_training() {
        let mut watched = Watched::new(1);
        (0..100).for_each(|_| watched.shown(0, 2.1));
        watched.begin(true);
        assert_eq!(watched.seen().shift_sd(0), None);
        (0..100).for_each(|_| watched.shown(0, 2.1));
        let shift = watched.seen().shift_sd(0).unwrap();
        assert!(shift.abs() <= 0.25, "{shift}");
        watched.begin(false);
        (0..100).for_each(|_| watched.shown(0, 2.1));
        assert!(watched.seen().shift_sd(0).unwrap() > 2.0);
    }
}
