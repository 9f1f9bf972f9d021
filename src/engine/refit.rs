//! A refit: a challenger is fitted on the earlier of the windows kept, and held against the champion on the newest.
//!
//! Windows are as they were scored: standardised by their keys' own scales of the time. The challenger takes over
//! the champion's prior whole, so that both read the same numbers, and a change of models changes no key's scale.
//! What a key has shown since is in its partition's state and goes on being used; the prior's part is keys never
//! seen, and those the champion's file knows.
//!
//! Every window was let in by verdicts of the champion (see [`super::reservoir`]), which favours it: what it
//! finds anomalous it is not asked about. A challenger that wins does so in spite of that.
//!
//! Of a model with cohorts those are refitted that have windows enough, the others stay; every window is held against
//! the densities of its own cohort.

mod parts;

use crate::engine::reservoir::{Drawn, Windows};
use crate::model::{FitError, MIN_ROWS, Model};
use parts::{fit, likelihoods, odd, parts};

/// Windows a refit uses, a density, chosen by lot where there are more.
const WINDOWS_MAX: usize = 4096;
/// Fewest that both are held against.
const HELD_BACK_MIN: usize = 32;
/// Stretches of time that the newest windows are cut into: the gain must not be that of one of them.
const STRETCHES: usize = 8;

/// Least mean gain in log density, nats a number. A challenger of the champion's kind is on fewer windows, and was
/// seen to lose by 0.003 to 0.01.
const GAIN_MIN: f64 = 0.005;
/// And in standard errors of it, by the stretches.
const GAIN_ERRORS_MIN: f64 = 3.0;
/// Loss in standard errors that says nothing yet.
const LOSS_ERRORS_MAX: f64 = 2.0;

/// A window with a p-value below this is called odd here.
const ODD_P: f64 = 0.01;
/// Share of odd windows that is no reproach: what is promised is one in a hundred.
const ODD_MAX: f64 = 0.02;
/// A champion that calls more of the windows odd has lost touch with the stream.
const ODD_LOST: f64 = 0.05;

/// How one model does on the windows held back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Showing {
    /// Mean log density, nats a number.
    pub log_likelihood: f64,
    /// Share with a p-value below 0.01, by the model's own references: neither has adapted to the stream then.
    pub odd: f64,
}

/// What the comparison came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contest {
    pub windows: usize,
    pub held_back: usize,
    pub champion: Showing,
    pub challenger: Showing,
    /// Standard error of the difference in log density.
    pub error: f64,
}

impl Contest {
    /// How much likelier the windows are under the challenger, nats a number.
    pub fn gain(&self) -> f64 {
        self.challenger.log_likelihood - self.champion.log_likelihood
    }

    /// The challenger is better if it is likelier and no worse calibrated, or if the champion has lost touch, the
    /// challenger has not, and is no less likely. Calibration has a say of its own because a density that is a little
    /// too narrow costs little likelihood and many false alerts: with 0.008 nats a number to gain, a champion was seen
    /// to call 39 % of the windows odd, and the challenger 0.4 %.
    ///
    /// # Errors
    /// Why the challenger is not the better model.
    pub fn decide(&self) -> Result<(), String> {
        let (gain, error) = (self.gain(), self.error);
        let (old, new) = (self.champion.odd, self.challenger.odd);
        let likelier = gain >= GAIN_MIN && gain >= GAIN_ERRORS_MIN * error;
        // Comparisons with what is no number are false, so that nothing is won by it.
        if likelier && new <= old.max(ODD_MAX)
            || gain >= -LOSS_ERRORS_MAX * error && old >= ODD_LOST && new <= ODD_MAX
        {
            return Ok(());
        }
        Err(format!(
            "likelier by {gain:.4} +- {error:.4} nats a number ({GAIN_MIN} and {GAIN_ERRORS_MIN} errors are needed), \
             and p < {ODD_P} in {:.1} % of calm windows (the champion in {:.1} %)",
            new * 100.0,
            old * 100.0
        ))
    }
}

/// Why there was no contest.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RefitError {
    #[error(
        "only {earlier} windows of calm keys to fit on and {newest} newer ones to hold it against, {MIN_ROWS} and \
         {HELD_BACK_MIN} are needed: wait, or raise `refit`"
    )]
    TooFewWindows { earlier: usize, newest: usize },
    #[error(transparent)]
    Fit(#[from] FitError),
}

/// Holds a challenger against `champion`; gives it, fitted on all windows, if it is better. `span_ns` is how far
/// back windows count, `size_ns` the length of one.
///
/// # Errors
/// If there are too few windows, or they do not determine a model.
pub fn refit(
    champion: &Model,
    windows: Windows,
    span_ns: i64,
    size_ns: i64,
) -> Result<(Contest, Option<Model>), RefitError> {
    let densities = champion.pyramids().count();
    let windows = chosen(windows, span_ns, densities);
    let (earlier, newest) = split(&windows, size_ns);
    let too_few = RefitError::TooFewWindows { earlier, newest: windows.len() - newest };
    if earlier < MIN_ROWS || windows.len() - newest < HELD_BACK_MIN {
        return Err(too_few);
    }
    let held_back = parts(&windows, newest..windows.len(), densities);
    let Some(challenger) = fit(champion, &parts(&windows, 0..earlier, densities))? else {
        return Err(too_few);
    };
    let (by_champion, by_challenger) = likelihoods(&held_back, champion, &challenger);
    let gains: Vec<f64> = by_challenger.iter().zip(&by_champion).map(|(new, old)| new - old).collect();
    let contest = Contest {
        windows: windows.len(),
        held_back: windows.len() - newest,
        champion: Showing { log_likelihood: mean(&by_champion), odd: odd(champion, &held_back) },
        challenger: Showing { log_likelihood: mean(&by_challenger), odd: odd(&challenger, &held_back) },
        error: error(&gains),
    };
    let better = contest.decide().is_ok();
    let all = 0..windows.len();
    Ok((contest, if better { fit(champion, &parts(&windows, all, densities))? } else { None }))
}

/// The windows that count, in order of time; of equal times, of the lot.
fn chosen(mut windows: Windows, span_ns: i64, densities: usize) -> Windows {
    let newest = windows.drawn.iter().map(|drawn| drawn.end_ns).max().unwrap_or_default();
    // Of another model where the champion has only just taken over.
    let known = |drawn: Drawn| (drawn.cohort as usize) < densities;
    windows.retain(|drawn| known(drawn) && drawn.end_ns >= newest.saturating_sub(span_ns));
    let most = WINDOWS_MAX * densities;
    if windows.len() > most {
        // The low bits have decided already, by partition.
        let mut lots: Vec<u64> = windows.drawn.iter().map(|drawn| drawn.lot.swap_bytes()).collect();
        let (_, last, _) = lots.select_nth_unstable(most - 1);
        let last = *last;
        windows.retain(|drawn| drawn.lot.swap_bytes() <= last);
    }
    let width = windows.z.len() / windows.len().max(1);
    let mut order: Vec<(Drawn, usize)> = windows.drawn.iter().copied().zip(0..).collect();
    order.sort_unstable_by_key(|(drawn, _)| (drawn.end_ns, drawn.lot));
    let mut sorted = Windows::default();
    for (drawn, at) in order {
        sorted.drawn.push(drawn);
        sorted.z.extend_from_slice(&windows.z[at * width..][..width]);
    }
    sorted
}

/// Where the earlier three quarters end and the newest begin. What lies between shares cells with both.
fn split(windows: &Windows, size_ns: i64) -> (usize, usize) {
    let earlier = windows.len() * 3 / 4;
    let Some(last) = windows.drawn[..earlier].last() else { return (0, 0) };
    let begins_after = |drawn: &Drawn| drawn.end_ns.saturating_sub(size_ns) < last.end_ns;
    let between = windows.drawn[earlier..].iter().take_while(|drawn| begins_after(drawn)).count();
    (earlier, earlier + between)
}

/// Without windows in which nothing was observed.
fn mean(of: &[f64]) -> f64 {
    let seen = || of.iter().filter(|x| !x.is_nan());
    seen().sum::<f64>() / seen().count() as f64
}

/// Standard error of the mean, from the means of stretches: windows that overlap are not so many as they seem.
fn error(gains: &[f64]) -> f64 {
    let stretch = |i: usize| &gains[gains.len() * i / STRETCHES..gains.len() * (i + 1) / STRETCHES];
    let means: Vec<f64> = (0..STRETCHES).map(|i| mean(stretch(i))).filter(|mean| !mean.is_nan()).collect();
    let (n, all) = (means.len() as f64, mean(&means));
    let variance = means.iter().map(|mean| (mean - all).powi(2)).sum::<f64>() / (n - 1.0);
    (variance / n).sqrt()
}

#[cfg(test)]
mod tests;
