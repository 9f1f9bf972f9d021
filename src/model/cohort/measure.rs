//! When one way to score keys is better than another.

/// Least mean gain of a step in log density, nats a number; and in standard errors of it.
const GAIN_MIN: f64 = 0.005;
const ERRORS_MIN: f64 = 2.0;
/// Least mean step in separation that is worth more groups.
const SEPARATION_MIN: f64 = 0.02;
/// Mean separation from the keys of their groups at which all keys are better alone.
const APART_MIN: f64 = 0.6;
/// Stretches of a key's held-back windows: a gain must not be that of one of them.
const STRETCHES: usize = 8;

/// How a density does for a key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Showing {
    /// How much likelier the key's held-back windows are than under everyone's density, nats a number.
    pub gain: f64,
    /// Chance that a held-back window of the key gains more than one of another key: what those do is odd here, and is
    /// what the key might do one day. One half if nothing tells them apart. (Not the chance that it is likelier: a key
    /// of much noise finds any calm window likely.)
    pub separation: f64,
}

/// Without what is no number.
pub(super) fn mean(of: &[f64]) -> f64 {
    let seen = || of.iter().filter(|x| !x.is_nan());
    seen().sum::<f64>() / f64::max(seen().count() as f64, 1.0)
}

/// Standard error of the mean; no number for one value.
fn error(of: &[f64]) -> f64 {
    let (n, all) = (of.len() as f64, mean(of));
    (of.iter().map(|x| (x - all).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}

fn is_above(of: &[f64], least: f64) -> bool {
    mean(of) >= least && mean(of) >= ERRORS_MIN * error(of)
}

/// Whether more groups are better: a key each, as it was and as it would be.
pub(super) fn is_better(old: &[Showing], new: &[Showing]) -> bool {
    let steps = |of: fn(&Showing) -> f64| -> Vec<f64> {
        new.iter().zip(old).map(|(new, old)| of(new) - of(old)).collect()
    };
    is_above(&steps(|of| of.gain), GAIN_MIN) || is_above(&steps(|of| of.separation), SEPARATION_MIN)
}

/// Whether all of these keys are better alone, by their separation from others of their groups. Of one key with few
/// windows it says little, of all together more.
pub(super) fn are_apart(separations: &[f64]) -> bool {
    is_above(&separations.iter().map(|of| of - 0.5).collect::<Vec<_>>(), APART_MIN - 0.5)
}

/// Whether a density of its own is better for a key: `steps` in log density of its held-back windows, in order.
pub(super) fn is_better_alone(steps: &[f64]) -> bool {
    let part = |i: usize| &steps[steps.len() * i / STRETCHES..steps.len() * (i + 1) / STRETCHES];
    // Windows that overlap are not so many as they seem.
    let stretches: Vec<f64> = (0..STRETCHES).map(part).filter(|part| !part.is_empty()).map(mean).collect();
    is_above(&stretches, GAIN_MIN)
}

/// Chance that one of `others` is below one of `own`; equals count half.
pub(super) fn separation(own: &[f64], others: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = own.iter().copied().filter(|x| !x.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let above = |other: &f64| {
        let (below, until) = (sorted.partition_point(|x| x < other), sorted.partition_point(|x| x <= other));
        sorted.len() as f64 - 0.5 * (below + until) as f64
    };
    let others: Vec<f64> = others.iter().filter(|x| !x.is_nan()).map(above).collect();
    if sorted.is_empty() || others.is_empty() { 0.5 } else { mean(&others) / sorted.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separation_is_the_chance_of_the_right_order() {
        assert_eq!(separation(&[1.0, 2.0], &[-1.0, 0.0]), 1.0);
        assert_eq!(separation(&[1.0, 2.0], &[1.5, 3.0, f64::NAN]), 0.25);
        assert_eq!(separation(&[1.0], &[1.0]), 0.5);
        assert_eq!(separation(&[], &[1.0]), 0.5);
    }

    #[test]
    fn a_step_must_be_large_and_no_chance() {
        let showing = |gains: [f64; 3]| gains.map(|gain| Showing { gain, separation: 0.5 });
        let none = showing([0.0; 3]);
        assert!(is_better(&none, &showing([0.02, 0.03, 0.04])));
        assert!(!is_better(&none, &showing([0.002, 0.003, 0.004])), "small");
        assert!(!is_better(&none, &showing([0.3, -0.1, -0.1])), "one key");
        assert!(!is_better(&none, &showing([f64::NAN; 3])));
        let apart = [0.6, 0.7, 0.65].map(|separation| Showing { gain: -0.1, separation });
        assert!(is_better(&none, &apart), "less likely, but told apart");
        assert!(is_better_alone(&[0.02; 16]) && !is_better_alone(&[0.002; 16]) && !is_better_alone(&[]));
        assert!(are_apart(&[0.9, 0.6, 0.7]) && !are_apart(&[0.55, 0.6, 0.58]) && !are_apart(&[0.9]));
        assert!(!are_apart(&[0.95, 0.3, 0.6]), "by chance");
        let one_stretch: Vec<f64> = (0..16).map(|at| if at < 2 { 0.2 } else { -0.001 }).collect();
        assert!(!is_better_alone(&one_stretch));
    }
}
