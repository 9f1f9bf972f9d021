//! The alert budget: a threshold that lets a partition open about as many alerts as it was promised to.
//!
//! A window is anomalous if it is more surprising than `h` nats (p < exp(-h)). If windows were independent
//! and p-values true, `h0 = ln(windows a day / alerts a day)` would do. They are not: overlapping windows share
//! their readings, several must agree to open an alert, one that stands opens no other, and what was normal
//! changes. So every opening raises `h` by a step and every epoch lowers it by what the steps of as many
//! openings as the epoch is worth come to on average: where it neither rises nor falls, openings equal the budget.
//!
//! An opening that comes after a part u < 1/e of the time that the budget gives it raises by ln(1/u) steps: so far
//! off is the rate, if it falls e-fold with each nat. After a change of what is normal one opening a nat would be
//! too many.
//!
//! Onsets are openings as well, and both rules have the one raise.
//!
//! What ended epochs showed acts from the next one on. A day without windows counts as a day, and a longer pause
//! no longer: it says nothing of how many alerts there would have been.

mod state;

use crate::types::EPOCH_NS;

const EPOCHS_A_DAY: f64 = 86_400e9 / EPOCH_NS as f64;
const HOUR_NS: i64 = 3_600_000_000_000;
const HOURS: usize = 24;

/// `h` goes no lower than this part of `h0`.
const FLOOR: f64 = 0.5;
/// What is seen once in twenty windows is no anomaly, however large the budget.
const P_MAX: f64 = 0.05;
/// `h` goes no higher than so far above `h0`, nats: a storm of true alerts is forgotten in the end, and what is
/// beyond all doubt is always told.
const RAISE_MAX: f64 = 30.0;
/// A shorter part of the time between two alerts than this says no more.
const PART_MIN: f64 = 1e-3;
/// Mean of max(1, ln(1/u)) where u, the part of the time that the budget gives, is exponential with mean 1 (and
/// at least [`PART_MIN`]): what an opening raises by, steps, while openings come as promised.
const STEPS_MEAN: f64 = 1.336;
/// p from which on a window is clearly normal, where half the nats of the threshold would ask for more: with
/// low thresholds an alert would hardly ever end.
const P_CALM: f64 = 0.01;
/// Records a day of a key whose ranges are a day old, where nothing changes: the `t`-th cell is one with chance `1/t` a
/// side.
const RECORDS_A_DAY: f64 = 2.0;
/// Epochs that what is expected before anything was measured counts for.
const EXPECTED_EPOCHS: f64 = 10.0;
/// Until the number of a stream's keys is known, each partition takes itself for one of so many alike, so
/// that together they stay below the budget however many there are.
const PARTITIONS_ASSUMED: u64 = crate::types::PARTITIONS as u64;

/// On which p-values a window is anomalous, and clearly normal; constant inside an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    /// Anomalous below.
    pub threshold: f64,
    /// Clearly normal from here on.
    pub calm: f64,
}

impl Alarm {
    /// Clearly normal: less than half as surprising, in nats, as what is anomalous.
    pub fn fixed(threshold: f64) -> Self {
        Alarm { threshold, calm: threshold.sqrt() }
    }

    /// The budget would have more than rarity may give: no larger one would have a higher threshold.
    pub fn has_room(&self) -> bool {
        self.threshold >= P_MAX
    }

    /// While little was seen: twice as surprising, in nats, as it has to be later. What the first minutes did not show is
    /// odd to a model of them.
    pub fn early(self) -> Self {
        Alarm { threshold: self.threshold * self.threshold, ..self }
    }

    fn budgeted(threshold: f64) -> Self {
        Alarm { threshold, calm: threshold.sqrt().min(P_CALM).max(threshold) }
    }
}

/// What a partition is promised to keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Alerts a day of the whole stream.
    pub per_day: f64,
    /// Keys of the partition, and of the stream (0: not known).
    pub keys_here: u64,
    pub keys: u64,
}

impl Terms {
    fn keys_here(&self) -> f64 {
        self.keys_here.max(1) as f64
    }

    fn keys(&self) -> f64 {
        let here = self.keys_here.max(1);
        let all = if self.keys == 0 { here * PARTITIONS_ASSUMED } else { self.keys.max(here) };
        all as f64
    }

    /// The partition's share of the budget, alerts an epoch.
    fn per_epoch(&self) -> f64 {
        self.per_day * self.keys_here() / self.keys() / EPOCHS_A_DAY
    }
}

/// Whether the number of a stream's keys is to be written down anew: shares are off by an eighth at most, and a
/// million keys take 120 entries.
pub fn keys_due(noted: u64, keys: u64) -> bool {
    keys > noted && keys - noted >= noted / 8
}

/// What a partition knows of its alerts and their rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Windows a key a day: mean over the last day, or over what there is of it. By the key, since keys come.
    windows_a_key: f64,
    /// Epochs that mean is of.
    measured: f64,
    /// `h - h0`, nats.
    raise: f64,
    /// Epochs since the last opening; infinite before the first.
    since: f64,
    /// Of the running epoch.
    windows: u64,
    opened: u32,
    /// Openings by hour of event time, the newest hour's at `hour % 24`.
    hours: [u32; HOURS],
    hour: i64,
}

impl Budget {
    pub fn new(windows_expected: f64) -> Self {
        Budget {
            windows_a_key: windows_expected,
            measured: EXPECTED_EPOCHS,
            raise: 0.0,
            since: f64::INFINITY,
            windows: 0,
            opened: 0,
            hours: [0; HOURS],
            hour: i64::MIN,
        }
    }

    /// A window has its first final verdict. Those on too little data count: the next may be on enough.
    pub fn judged(&mut self) {
        self.windows += 1;
    }

    /// An alert was opened by the window that ends at `end_ns`.
    pub fn opened(&mut self, end_ns: i64) {
        self.opened += 1;
        let hour = end_ns.div_euclid(HOUR_NS);
        if hour > self.hour {
            let passed = hour.saturating_sub(self.hour).min(HOURS as i64);
            (0..passed).for_each(|back| self.hours[place(hour - back)] = 0);
            self.hour = hour;
        }
        if hour > self.hour - HOURS as i64 {
            self.hours[place(hour)] += 1;
        }
    }

    /// Alerts opened in the 24 hours, the running one among them, up to `now_ns`.
    pub fn opened_in_day(&self, now_ns: i64) -> u64 {
        let first = now_ns.div_euclid(HOUR_NS).saturating_sub(HOURS as i64 - 1);
        let back = |back: i64| self.hour.saturating_sub(back);
        let counted = (0..HOURS as i64).filter(|&b| back(b) >= first);
        counted.map(|b| u64::from(self.hours[place(back(b))])).sum()
    }

    /// `epochs` have passed since the last call, the ended one with them.
    pub fn end_epoch(&mut self, epochs: i64, terms: &Terms) {
        let epochs = at_most_a_day(epochs);
        self.measured = (self.measured + epochs).min(EPOCHS_A_DAY);
        let seen = self.windows as f64 / terms.keys_here() / epochs * EPOCHS_A_DAY;
        self.windows_a_key += epochs / self.measured * (seen - self.windows_a_key);
        self.follow(epochs, terms, FLOOR);
    }

    /// As [`Budget::end_epoch`], while windows are not judged yet: that none opens an alert says nothing.
    pub fn end_unjudged(&mut self, epochs: i64, terms: &Terms) {
        self.follow(at_most_a_day(epochs), terms, 1.0);
    }

    fn follow(&mut self, epochs: f64, terms: &Terms, floor: f64) {
        let h0 = self.base(terms);
        let step = (h0 / 10.0).max(1.0);
        self.since += epochs;
        for _ in 0..self.opened {
            let part = (self.since * terms.per_epoch()).max(PART_MIN);
            self.raise += step * (1.0 / part).ln().max(1.0);
            // Of two in one epoch it is not known how far they are apart.
            self.since = 0.5;
        }
        self.raise -= step * STEPS_MEAN * terms.per_epoch() * epochs;
        self.raise = self.raise.clamp((floor - 1.0) * h0, RAISE_MAX);
        (self.windows, self.opened) = (0, 0);
    }

    /// What independent windows with true p-values would need, nats. The partition's share of keys is in both
    /// windows and budget.
    fn base(&self, terms: &Terms) -> f64 {
        (self.windows_a_key * terms.keys() / terms.per_day).ln().max(-P_MAX.ln())
    }

    /// How many nats rarer than any record one must be to be an onset: as `h` for windows, and raised with it, so that
    /// whichever rule opens too much, both ask for more.
    pub fn onset_nats(&self, terms: &Terms) -> f64 {
        ((RECORDS_A_DAY * terms.keys() / terms.per_day).ln() + self.raise).max(0.0)
    }

    pub fn alarm(&self, terms: &Terms) -> Alarm {
        Alarm::budgeted((-(self.base(terms) + self.raise)).exp().min(P_MAX))
    }
}

fn at_most_a_day(epochs: i64) -> f64 {
    (epochs.max(1) as f64).min(EPOCHS_A_DAY)
}

fn place(hour: i64) -> usize {
    hour.rem_euclid(HOURS as i64) as usize
}

#[cfg(test)]
mod tests;
