//! How odd an amount is for whoever spends it, in nats of a cause.
//!
//! A transaction may be fraud for several reasons, each of which alone would do (noisy-or, Pearl 1988): the amount, what
//! is known of the place it is spent at ([`super::risk`]), what was known of the holder. With `q` the probability that a
//! cause is at work, none is with probability `prod(1 - q)`, so the surprise `-ln prod(1 - q)` is a sum over causes, and
//! each one's share of it is exact. Nothing in here is fitted.

use crate::state::{NotUnderstood, StateReader, StateWriter};

/// Transactions that a holder's level and spread are taken over, about.
const MEMORY: f64 = 60.0;
/// Transactions that what everyone spends counts as.
const EVERYONE: f64 = 3.0;
/// How much of everyone's variance one holder's own amounts have, before they show.
const OWN_VARIANCE: f64 = 0.3;
/// Amounts so far above the holder's level are not learnt.
const LEARNT_Z: f64 = 3.0;
/// Added to a spread, in sd of everyone's: who always pays the same may pay a little more.
const SLACK: f64 = 0.02;

/// Transactions that everyone's level is taken over, at most.
const EVERYONE_MEMORY: f64 = 50_000.0;
/// So many are taken as they come; from then on amounts are clipped at so many sd.
const UNCLIPPED: f64 = 10.0;
const CLIP_SD: f64 = 6.0;

/// Nats that an amount must come to before it is as likely fraud as not.
const EVEN_NATS: f64 = 7.0;
/// Amounts beyond these explain a fraud by themselves: neither the second key nor anything else is charged for it.
const EXPLAINED_OWN_Z: f64 = 3.0;
const EXPLAINED_ALL_Z: f64 = 4.0;

/// Surprises of made-up normal transactions that p-values are read off until there are true ones.
const REFERENCES: usize = 64;

/// A level and a spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    pub mean: f64,
    pub sd: f64,
}

/// How far an amount is above what the holder, and everyone, spends; in sd. 0 while nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heights {
    pub own: f64,
    pub all: f64,
}

/// What all holders spend.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Everyone {
    count: f64,
    mean: f64,
    variance: f64,
}

/// What one holder spends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spending {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Level {
    fn height(&self, amount: f64) -> f64 {
        (amount - self.mean) / self.sd
    }

    /// With a spread that can be divided by.
    fn of(mean: f64, sd: f64) -> Self {
        Level { mean, sd: sd.max(1e-3 * mean.abs()).max(f64::MIN_POSITIVE) }
    }
}

impl Everyone {
    /// What is given back says nothing of what is spent.
    pub fn learn(&mut self, amount: f64) {
        if amount < 0.0 {
            return;
        }
        self.count += 1.0;
        let mut off = amount - self.mean;
        if self.count > UNCLIPPED {
            let most = CLIP_SD * self.variance.sqrt();
            off = off.clamp(-most, most);
        }
        let gain = 1.0 / self.count.min(EVERYONE_MEMORY);
        self.mean += gain * off;
        // The first amount counts as its own spread: a second one is no surprise whatever it is.
        self.variance += gain * (off * off - self.variance);
    }

    fn level(&self) -> Level {
        Level::of(self.mean, (1.0 + SLACK) * self.variance.sqrt())
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Everyone { count, mean, variance } = *self;
        [count, mean, variance].into_iter().for_each(|number| to.number(number));
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Everyone { count: from.number()?, mean: from.number()?, variance: from.number()? })
    }
}

impl Spending {
    /// The holder's own level: posterior mean of level and variance, with everyone's as the prior.
    pub fn level(&self, all: &Everyone) -> Level {
        let weight = self.count + EVERYONE;
        let mean = (self.mean * self.count + all.mean * EVERYONE) / weight;
        let variance = (self.variance * self.count + OWN_VARIANCE * all.variance * EVERYONE) / weight;
        Level::of(mean, variance.sqrt() + SLACK * all.variance.sqrt())
    }

    pub fn heights(&self, amount: f64, all: &Everyone) -> Heights {
        if all.count == 0.0 {
            return Heights::default();
        }
        Heights { own: self.level(all).height(amount), all: all.level().height(amount) }
    }

    /// Amounts that are far above what the holder spends are not learnt.
    pub fn learn(&mut self, amount: f64, all: &Everyone) {
        if amount < 0.0 || self.heights(amount, all).own >= LEARNT_Z {
            return;
        }
        self.count += 1.0;
        if self.count == 1.0 {
            (self.mean, self.variance) = (amount, OWN_VARIANCE * all.variance);
            return;
        }
        let (gain, off) = (1.0 / self.count.min(MEMORY), amount - self.mean);
        self.mean += gain * off;
        self.variance += gain * (off * off - self.variance);
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Spending { count, mean, variance } = *self;
        [count, mean, variance].into_iter().for_each(|number| to.number(number));
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Spending { count: from.number()?, mean: from.number()?, variance: from.number()? })
    }
}

impl Heights {
    /// `softplus(A(own) + A(all) - 7)`, nats, with `A(z) = 2.5 ln(1 + max(z, 0)^2 / 4)`: how much less likely than the
    /// level a t distribution of 4 degrees of freedom has an amount so high.
    pub fn nats(&self) -> f64 {
        softplus(tail(self.own) + tail(self.all) - EVEN_NATS)
    }

    /// Nats of a holder who was defrauded before, with this risk, and spends more than usual.
    pub fn holder_nats(&self, risk: f64) -> f64 {
        -(-risk * (self.own / LEARNT_Z).clamp(0.0, 1.0)).ln_1p()
    }

    /// A fraud of this amount says nothing of where it happened.
    pub fn explain(&self) -> bool {
        self.own > EXPLAINED_OWN_Z || self.all > EXPLAINED_ALL_Z
    }
}

fn tail(z: f64) -> f64 {
    2.5 * (z.max(0.0).powi(2) / 4.0).ln_1p()
}

/// `ln(1 + e^x)`, which is `-ln(1 - q)` where `q` has log odds `x`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Surprises of transactions whose amounts follow the t distribution that [`Heights::nats`] is of, at places without a
/// history that come to `other_nats`.
pub fn references(other_nats: f64) -> Vec<f32> {
    let at = |i: usize| {
        let height = t4_quantile((i as f64 + 0.5) / REFERENCES as f64);
        (Heights { own: height, all: height }.nats() + other_nats) as f32
    };
    (0..REFERENCES).map(at).collect()
}

/// Of Student's t with 4 degrees of freedom (Shaw 2006, "Sampling Student's T distribution", section 2).
fn t4_quantile(p: f64) -> f64 {
    let alpha = (4.0 * p * (1.0 - p)).sqrt();
    let q = (alpha.acos() / 3.0).cos() / alpha;
    (p - 0.5).signum() * 2.0 * (q - 1.0).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(amounts: impl Iterator<Item = f64> + Clone) -> (Spending, Everyone) {
        let mut all = Everyone::default();
        [20.0, 40.0, 60.0, 80.0, 100.0].iter().cycle().take(500).for_each(|&amount| all.learn(amount));
        let mut own = Spending::default();
        amounts.for_each(|amount| own.learn(amount, &all));
        (own, all)
    }

    #[test]
    fn an_amount_is_held_against_the_holder_s_own_once_there_are_some() {
        let (new, all) = after(std::iter::empty());
        let (modest, _) = after([9.0, 10.0, 11.0].into_iter().cycle().take(60));
        let nats = |own: &Spending, amount| own.heights(amount, &all).nats();
        assert!((new.level(&all).mean - 60.0).abs() < 1.0, "what everyone spends");
        assert!(nats(&new, 100.0) < 0.1);
        assert!(nats(&modest, 100.0) > 3.0, "the same amount of someone who never spends it");
        assert!(nats(&modest, 10.0) < 0.002 && nats(&modest, 0.0) < 0.002, "little is never odd");
        assert_eq!(Spending::default().heights(5.0, &Everyone::default()), Heights::default());
    }

    #[test]
    fn what_is_surprising_is_not_learnt() {
        let (mut own, all) = after([9.0, 10.0, 11.0].into_iter().cycle().take(60));
        let before = own;
        own.learn(500.0, &all);
        assert_eq!(own, before);
        own.learn(12.0, &all);
        assert_ne!(own, before);
    }

    #[test]
    fn causes_add_up_as_a_noisy_or() {
        let heights = Heights { own: 3.0, all: 2.0 };
        let q = 1.0 / (1.0 + (EVEN_NATS - tail(3.0) - tail(2.0)).exp());
        assert!((heights.nats() + (1.0 - q).ln()).abs() < 1e-12, "-ln(1 - q)");
        assert!((heights.holder_nats(0.4) + 0.6f64.ln()).abs() < 1e-12);
        assert_eq!(Heights::default().holder_nats(0.9), 0.0, "who spends as always is not suspect");
        // The density of t4 at z over that at 0.
        assert!((tail(1.7) + 2.5 * (1.0 / (1.0 + 1.7f64.powi(2) / 4.0)).ln()).abs() < 1e-12);
    }

    #[test]
    fn references_are_of_the_t_distribution() {
        // From tables: one-sided 90, 95 and 99 %.
        for (p, t) in [(0.9, 1.5332), (0.95, 2.1318), (0.99, 3.7469), (0.5, 0.0), (0.05, -2.1318)] {
            assert!((t4_quantile(p) - t).abs() < 1e-3, "{p}: {}", t4_quantile(p));
        }
        let references = references(0.01);
        assert!(references.is_sorted() && references[0] < 0.02 && references[63] > 1.0);
    }
}
