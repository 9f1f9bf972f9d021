//! What partitions know of second keys together, and what of it is written down.

use std::collections::BTreeMap;

use super::{Ages, RISK_MAX, risk, weight};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

/// What is told of a second key that nothing is known of, in ten-thousandths.
pub(super) const PRIOR_E4: u16 = 80;
/// Written down anew are risks that changed by so much, in ten-thousandths ...
const CHANGE_MIN_E4: u16 = 50;
/// ... and by this part of what they were.
const CHANGE_PARTS: u16 = 10;
/// Changes an entry holds, the largest first; the rest follows in the next.
pub(super) const CHANGES_MAX: usize = 4096;

/// Counts over partitions, as of now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Frauds and transactions, by second key.
    pub(super) counts: BTreeMap<u32, [f64; 2]>,
    pub(super) ages: Ages,
}

impl Tally {
    pub fn seconds(&self) -> impl Iterator<Item = u32> {
        self.counts.keys().copied()
    }

    /// Counts of an era that ends at `now_ns`.
    pub fn count(&mut self, second: u32, [bad, all]: [f32; 2], era: i64, now_ns: i64) {
        let now = 1.0 / weight(now_ns, era);
        self.add_count(second, [f64::from(bad) * now, f64::from(all) * now]);
    }

    pub fn ages(&mut self, ages: Ages) {
        self.ages.add(ages);
    }

    pub fn add(&mut self, other: &Tally) {
        other.counts.iter().for_each(|(second, counts)| self.add_count(*second, *counts));
        self.ages.add(other.ages);
    }

    fn add_count(&mut self, second: u32, [bad, all]: [f64; 2]) {
        let sum = self.counts.entry(second).or_default();
        *sum = [sum[0] + bad, sum[1] + all];
    }

    /// What is to be written down: risks that differ from those noted.
    pub fn changes(&self, noted: &Risks) -> Vec<(u32, u16)> {
        let told = self.ages.told_share();
        let change = |(&second, &[bad, all]): (&u32, &[f64; 2])| {
            let (old, new) = (noted.e4(second), (risk(bad, all * told) * 1e4).round() as u16);
            let by = old.abs_diff(new);
            let usual = new < PRIOR_E4 + CHANGE_MIN_E4;
            if usual && old != PRIOR_E4 {
                return Some((by, second, PRIOR_E4));
            }
            (!usual && by >= CHANGE_MIN_E4 && by >= old / CHANGE_PARTS).then_some((by, second, new))
        };
        let mut changes: Vec<(u16, u32, u16)> = self.counts.iter().filter_map(change).collect();
        changes.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        changes.truncate(CHANGES_MAX);
        changes.into_iter().map(|(_, second, risk)| (second, risk)).collect()
    }
}

/// Risks of second keys as they were written down, in ten-thousandths: whole numbers read back as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Risks(BTreeMap<u32, u16>);

impl Risks {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn seconds(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }

    pub fn of(&self, second: u32) -> f64 {
        f64::from(self.e4(second)) / 1e4
    }

    /// Of a second key that nothing is known of.
    pub fn unknown() -> f64 {
        f64::from(PRIOR_E4) / 1e4
    }

    fn e4(&self, second: u32) -> u16 {
        self.0.get(&second).copied().unwrap_or(PRIOR_E4)
    }

    /// Takes in an entry; what is back to the usual is forgotten.
    pub fn note(&mut self, changes: &[(u32, u16)]) {
        for &(second, risk) in changes {
            match risk {
                PRIOR_E4 => self.0.remove(&second),
                risk => self.0.insert(second, risk.min((RISK_MAX * 1e4) as u16)),
            };
        }
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        to.len(self.0.len());
        for (second, risk) in &self.0 {
            to.number(*second);
            to.number(*risk);
        }
    }

    /// # Errors
    /// If the bytes end early, or hold what is no risk.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut risks = Risks::default();
        for _ in 0..from.len(6)? {
            risks.0.insert(from.number()?, from.number()?);
        }
        expect(risks.0.values().all(|risk| f64::from(*risk) <= RISK_MAX * 1e4), "a risk above certainty")?;
        Ok(risks)
    }
}
