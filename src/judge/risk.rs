//! How often transactions at a second key (a terminal, a merchant) turned out to be fraud, by the outcomes that arrived.
//!
//! `R = (k + 0.004) / (n + 0.5)`, where `k` counts frauds and `n` transactions, both with a half-life of ten days by event
//! time. Outcomes come days late, and only frauds need be told: of the transactions counted, those of late have no outcome
//! yet. With outcomes of age `a`, as measured, and transactions at a steady rate, a share `2^(-a / half-life)` of `n` is
//! old enough, and that part counts: the mean of it over outcomes, which a single very old one moves little.
//!
//! Counts are kept as weights `2^((t - era) / half-life)`, so that they need no time of their own; each half-life a new
//! era begins, and all of them are halved.

mod known;

use std::collections::BTreeMap;

pub use known::{Risks, Tally};

use crate::state::{NotUnderstood, StateReader, StateWriter};

pub const HALF_LIFE_NS: i64 = 10 * 86_400_000_000_000;

const PRIOR_BAD: f64 = 0.004;
const PRIOR_ALL: f64 = 0.5;
/// A risk is never certainty.
const RISK_MAX: f64 = 0.999;
/// From this probability on, by known outcomes alone, a transaction is fraud rather than not.
pub const LIKELY: f64 = 0.5;
/// Second keys that a partition counts transactions of, and frauds. Where there are more, those with fewest go.
const SOUND_MAX: usize = 16_384;
const CHARGED_MAX: usize = 4096;
/// A count below this is none.
const COUNT_MIN: f32 = 1e-3;

/// Share of frauds among `all` transactions, of which `bad` turned out to be fraud.
pub fn risk(bad: f64, all: f64) -> f64 {
    ((bad + PRIOR_BAD) / (all.max(bad) + PRIOR_ALL)).min(RISK_MAX)
}

/// `-ln(1 - risk)`: see [`super::spending`].
pub fn nats(risk: f64) -> f64 {
    -(-risk).ln_1p()
}

/// Which half-life of event time it is.
pub fn era(time_ns: i64) -> i64 {
    time_ns.div_euclid(HALF_LIFE_NS)
}

/// What one event at `time_ns` counts in an era.
pub fn weight(time_ns: i64, era: i64) -> f64 {
    ((time_ns - era.saturating_mul(HALF_LIFE_NS)) as f64 / HALF_LIFE_NS as f64).exp2()
}

/// How old outcomes are when they arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ages {
    /// Sum of `2^(-age / half-life)`.
    told: f64,
    count: f64,
}

impl Ages {
    pub fn observe(&mut self, age_ns: i64) {
        self.told += (-(age_ns.max(0) as f64) / HALF_LIFE_NS as f64).exp2();
        self.count += 1.0;
    }

    pub fn add(&mut self, other: Ages) {
        self.told += other.told;
        self.count += other.count;
    }

    /// The share of transactions counted that are old enough for an outcome.
    pub fn told_share(&self) -> f64 {
        if self.count > 0.0 { self.told / self.count } else { 1.0 }
    }

    /// Makes everything count half as much, `eras` times.
    pub fn fade(&mut self, eras: i64) {
        let factor = (-eras as f64).exp2();
        (self.told, self.count) = (self.told * factor, self.count * factor);
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Ages { told, count } = *self;
        to.number(told);
        to.number(count);
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Ages { told: from.number()?, count: from.number()? })
    }
}

/// Counts of one partition, by second key. Ordered maps, so that nothing depends on a hash's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecondKeys {
    /// Transactions, where none was a fraud.
    sound: BTreeMap<u32, f32>,
    /// Frauds and transactions.
    charged: BTreeMap<u32, [f32; 2]>,
}

impl SecondKeys {
    /// Heap of as many as are kept, bytes: nodes of a B-tree are two thirds full.
    pub const BYTES_MAX: usize = (SOUND_MAX * 8 + CHARGED_MAX * 12) * 3 / 2;

    pub fn transaction(&mut self, second: u32, weight: f64) {
        match self.charged.get_mut(&second) {
            Some([_, all]) => *all += weight as f32,
            None => *self.sound.entry(second).or_default() += weight as f32,
        }
    }

    pub fn fraud(&mut self, second: u32, weight: f64) {
        let all = self.sound.remove(&second).unwrap_or_default();
        self.charged.entry(second).or_insert([0.0, all])[0] += weight as f32;
    }

    /// Makes everything count half as much, `eras` times.
    pub fn fade(&mut self, eras: i64) {
        let factor = (-eras as f64).exp2() as f32;
        self.sound.values_mut().for_each(|all| *all *= factor);
        self.charged.values_mut().for_each(|[bad, all]| (*bad, *all) = (*bad * factor, *all * factor));
        let SecondKeys { sound, charged } = self;
        charged.retain(|second, [bad, all]| {
            let stays = *bad >= COUNT_MIN;
            if !stays {
                sound.insert(*second, *all);
            }
            stays
        });
        sound.retain(|_, all| *all >= COUNT_MIN);
    }

    /// Lets go of the least seen where there are too many: an eighth more than must, so that it is seldom done.
    pub fn bound(&mut self) {
        drop_least(&mut self.sound, SOUND_MAX, |all| *all);
        drop_least(&mut self.charged, CHARGED_MAX, |[bad, _]| *bad);
    }

    pub fn charged(&self) -> impl Iterator<Item = u32> {
        self.charged.keys().copied()
    }

    /// Frauds and transactions.
    pub fn count(&self, second: u32) -> [f32; 2] {
        let sound = || [0.0, self.sound.get(&second).copied().unwrap_or_default()];
        self.charged.get(&second).copied().unwrap_or_else(sound)
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let SecondKeys { sound, charged } = self;
        to.len(sound.len());
        for (second, all) in sound {
            to.number(*second);
            to.number(*all);
        }
        to.len(charged.len());
        for (second, [bad, all]) in charged {
            to.number(*second);
            to.number(*bad);
            to.number(*all);
        }
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut seconds = SecondKeys::default();
        for _ in 0..from.len(8)? {
            seconds.sound.insert(from.number()?, from.number()?);
        }
        for _ in 0..from.len(12)? {
            seconds.charged.insert(from.number()?, [from.number()?, from.number()?]);
        }
        Ok(seconds)
    }
}

fn drop_least<T>(map: &mut BTreeMap<u32, T>, max: usize, count: impl Fn(&T) -> f32) {
    if map.len() <= max {
        return;
    }
    let mut order: Vec<(f32, u32)> = map.iter().map(|(second, of)| (count(of), *second)).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for (_, second) in &order[..map.len() - max * 7 / 8] {
        map.remove(second);
    }
}

#[cfg(test)]
mod tests;
