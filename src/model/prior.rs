//! Scale of a key: its own mean and sd shrunk towards those of its cohort, so that a new key is
//! scored sensibly from its first window and on its own terms once it has spoken enough.

use std::collections::BTreeMap;

/// Most keys whose own scale a model file carries; the best observed are kept.
pub const KEYS_MAX: usize = 100_000;

/// Observations the cohort's variance counts for beside a key's own.
const VARIANCE_STRENGTH: f64 = 30.0;

/// Moments of one key in training, one entry a column, raw units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyScale {
    pub mean: Vec<f64>,
    pub sd: Vec<f64>,
    /// Observed values behind them.
    pub count: Vec<u64>,
    /// What scores its windows: see [`super::Model::cohort_of`].
    pub cohort: u32,
}

/// What the cohort knows of a key it has not seen, one entry a column, raw units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScalerPrior {
    /// Mean of the keys' means.
    pub mean: Vec<f64>,
    /// Sd of a value around its own key's mean.
    pub sd: Vec<f64>,
    /// Variance of the keys' true means around `mean`.
    pub between_var: Vec<f64>,
    /// By column: a flag, which is not standardised.
    pub flags: Vec<bool>,
    pub keys: BTreeMap<Vec<u8>, KeyScale>,
}

impl ScalerPrior {
    /// The cohort of `keys`, each with `columns` entries. `between_var` is the variance of the keys'
    /// means less what their sampling error explains (the ANOVA estimate), not below 0; a single key
    /// says nothing of it, so it is then taken as wide as `sd²`. A column nobody observed has mean 0,
    /// sd 1.
    pub fn from_keys(columns: usize, keys: BTreeMap<Vec<u8>, KeyScale>) -> Self {
        let mut prior = ScalerPrior::default();
        for column in 0..columns {
            let (mean, sd, between_var) = cohort(keys.values().filter(|k| k.count[column] > 0), column);
            prior.mean.push(mean);
            prior.sd.push(sd);
            prior.between_var.push(between_var);
            prior.flags.push(false);
        }
        prior.keys = best_observed(keys);
        prior
    }

    /// Whether a key with values of its own is standardised by both alike. (Refits keep the keys of the first file.)
    pub fn scales_like(&self, other: &ScalerPrior) -> bool {
        let ScalerPrior { mean, sd, between_var, flags, keys: _ } = self;
        *mean == other.mean && *sd == other.sd && *between_var == other.between_var && *flags == other.flags
    }

    /// Weight of a key's own variance over `n` values beside its cohort's, in [0, 1); see [`ScalerPrior::posterior`].
    pub fn own_share(n: f64) -> f64 {
        n / (VARIANCE_STRENGTH + n)
    }

    /// `(mean, sd)` by which to standardise `column` of a key with `n` own values of that mean and
    /// variance (`n` = 0: those are not looked at).
    ///
    /// Normal-normal and scaled-inverse-chi-square shrinkage with plug-in variances (Gelman et al.,
    /// "Bayesian Data Analysis", 2013, sections 2.6 and 5.4), with `s² = sd²` of the cohort, `t² = between_var`,
    /// `k = VARIANCE_STRENGTH`:
    /// `v = (k s² + n var) / (k + n)`, `b = t² / (t² + v / n)`,
    /// mean `= m + b (own - m)`, sd² `= v + (1 - b) t²`: the last term is what is not yet known of the
    /// key's mean, so a new key is judged on the cohort's whole width.
    pub fn posterior(&self, column: usize, n: u64, mean: f64, var: f64) -> (f64, f64) {
        let (cohort_mean, between) = (self.mean[column], self.between_var[column]);
        let cohort_var = self.sd[column] * self.sd[column];
        if n == 0 {
            return (cohort_mean, (cohort_var + between).sqrt());
        }
        let (within, sampling) = self.within(column, n, var);
        let own = if between + sampling > 0.0 { between / (between + sampling) } else { 1.0 };
        (cohort_mean + own * (mean - cohort_mean), (within + (1.0 - own) * between).sqrt())
    }

    /// The same of a key that is known to be no longer one of its cohort: the mean is its own, and what is not yet
    /// known of it is its sampling error.
    pub fn apart(&self, column: usize, n: u64, mean: f64, var: f64) -> (f64, f64) {
        if n == 0 {
            return self.posterior(column, n, mean, var);
        }
        let (within, sampling) = self.within(column, n, var);
        (mean, (within + sampling).sqrt())
    }

    /// Sd of `column` around the own mean of a key with `n` values of that variance; 0 of none, which tell nothing.
    pub fn spread(&self, column: usize, n: u64, var: f64) -> f64 {
        if n == 0 { 0.0 } else { self.within(column, n, var).0.sqrt() }
    }

    /// Variance around the key's own mean, and of that mean, from `n` > 0 values.
    fn within(&self, column: usize, n: u64, var: f64) -> (f64, f64) {
        let (cohort_var, n) = (self.sd[column] * self.sd[column], n as f64);
        let within = (VARIANCE_STRENGTH * cohort_var + n * var) / (VARIANCE_STRENGTH + n);
        (within, within / n)
    }
}

fn cohort<'a>(keys: impl Iterator<Item = &'a KeyScale>, column: usize) -> (f64, f64, f64) {
    let (mut n, mut mean, mut scatter, mut within, mut sampling) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for key in keys {
        let var = key.sd[column] * key.sd[column];
        n += 1.0;
        let step = key.mean[column] - mean;
        mean += step / n;
        scatter += step * (key.mean[column] - mean);
        within += var;
        sampling += var / key.count[column] as f64;
    }
    if n == 0.0 {
        return (0.0, 1.0, 1.0);
    }
    let within = within / n;
    let between = if n > 1.0 { (scatter / (n - 1.0) - sampling / n).max(0.0) } else { within };
    (mean, within.sqrt(), between)
}

fn best_observed(keys: BTreeMap<Vec<u8>, KeyScale>) -> BTreeMap<Vec<u8>, KeyScale> {
    if keys.len() <= KEYS_MAX {
        return keys;
    }
    let mut ranked: Vec<_> = keys.into_iter().collect();
    // Stable: among equally observed keys the first in key order stay.
    ranked.sort_by_key(|(_, scale)| std::cmp::Reverse(scale.count.iter().sum::<u64>()));
    ranked.truncate(KEYS_MAX);
    ranked.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(mean: f64, sd: f64, count: u64) -> KeyScale {
        KeyScale { mean: vec![mean], sd: vec![sd], count: vec![count], cohort: 0 }
    }

    #[test]
    fn cohort_separates_within_from_between() {
        let keys = [(b"a".to_vec(), key(8.0, 1.0, 100)), (b"b".to_vec(), key(12.0, 1.0, 100))];
        let prior = ScalerPrior::from_keys(1, keys.into());
        assert_eq!((prior.mean[0], prior.sd[0]), (10.0, 1.0));
        assert!((prior.between_var[0] - (8.0 - 0.01)).abs() < 1e-12);
    }

    #[test]
    fn posterior_goes_from_the_cohort_to_the_key() {
        let prior =
            ScalerPrior { mean: vec![10.0], sd: vec![1.0], between_var: vec![4.0], ..ScalerPrior::default() };
        assert_eq!(prior.posterior(0, 0, f64::NAN, f64::NAN), (10.0, 5f64.sqrt()));
        let (mean, sd) = prior.posterior(0, 1_000_000, 20.0, 9.0);
        assert!((mean - 20.0).abs() < 1e-3 && (sd - 3.0).abs() < 1e-3);
        let distances: Vec<f64> = [1, 10, 100].map(|n| 20.0 - prior.posterior(0, n, 20.0, 1.0).0).into();
        assert!(distances.is_sorted_by(|a, b| a > b), "own data must pull the mean over: {distances:?}");
        let (mean, _) = prior.posterior(0, 1, 20.0, 1.0);
        assert!((mean - 18.0).abs() < 1e-12, "t²/(t² + v/n) = 4/5 of the way");
        assert_eq!(prior.spread(0, 0, f64::NAN), 0.0, "no values tell no spread, not that between keys");
        assert!((prior.spread(0, 1_000_000, 9.0) - 3.0).abs() < 1e-3);
    }

    #[test]
    fn the_best_observed_keys_are_kept() {
        let keys: BTreeMap<Vec<u8>, KeyScale> = (0..=KEYS_MAX as u32)
            .map(|i| (i.to_be_bytes().to_vec(), key(0.0, 1.0, if i == 7 { 1 } else { 2 })))
            .collect();
        let prior = ScalerPrior::from_keys(1, keys);
        assert_eq!(prior.keys.len(), KEYS_MAX);
        assert!(!prior.keys.contains_key(7u32.to_be_bytes().as_slice()));
    }
}
