//! Why a window is odd: what each column was expected to be, and its share of the surprise.

use super::band::NORMAL_SD;
use super::blame::Blame;
use super::gaps::{about, nearest};
use super::joint::oddest_of;
use super::levels::vector;
use super::marginal::{Moments, Pattern};
use super::prepared::PreparedLevel;
use super::told::Told;
use super::{Pyramid, Work};

/// One scored column of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Explained {
    /// What its last cell was expected to be given its own past and all other columns; z units.
    pub expected: f32,
    /// sd of that expectation.
    pub sd: f32,
    /// Of the band about it that holds 95 % of normal values (see [`super::band`]); z units.
    pub half_width: f32,
    /// Its part of the surprise: at least 0, together 1.
    pub share: f32,
}

impl Pyramid {
    /// Explains a window of [`Pyramid::dimension`] values, by column; `None` for flags, which are context. A flag that
    /// is neither on nor off is all there is to say.
    ///
    /// Shares are of the fewest columns without which the rest is ordinary (see [`super::blame`]), under each density,
    /// weighted by the density's surprise, and of the surprise of a column that is too quiet. Expectations are those of
    /// the finest level that has several cells, given what is observed of columns that are not to blame: what is off
    /// must not say what to expect.
    pub fn explain(&self, window: &[f32], work: &mut Work) -> Vec<Option<Explained>> {
        self.explain_told(window, None, work)
    }

    /// The same by what a device told of the window, if it did.
    pub fn explain_told(
        &self,
        window: &[f32],
        told: Option<Told<'_>>,
        work: &mut Work,
    ) -> Vec<Option<Explained>> {
        self.explained(window, told, work).0
    }

    /// The same, and the scored columns to blame.
    pub(super) fn explained(
        &self,
        window: &[f32],
        told: Option<Told<'_>>,
        work: &mut Work,
    ) -> (Vec<Option<Explained>>, Vec<usize>) {
        work.adopt(self);
        self.gather(&window[..self.dimension()], work);
        let (shares, to_blame) = self.shares(told, work);
        let expected = match told {
            Some(told) => told.expected(self),
            None => self.expected(self.expecting(), &work.z, &to_blame),
        };
        let mut found = vec![None; self.columns.columns];
        for (at, (column, (expected, sd))) in self.columns.scored.iter().zip(expected).enumerate() {
            let (expected, sd, share) = (expected as f32, sd as f32, shares[at] as f32);
            let half_width = sd * self.bands.get(at).copied().unwrap_or(NORMAL_SD);
            found[*column] = Some(Explained { expected, sd, half_width, share });
        }
        self.blame_strange_flags(window, &mut found);
        (found, to_blame)
    }

    fn blame_strange_flags(&self, window: &[f32], found: &mut [Option<Explained>]) {
        let strange: Vec<usize> =
            self.columns.flags().filter(|column| self.columns.is_strange(window, *column)).collect();
        if strange.is_empty() {
            return;
        }
        found.iter_mut().flatten().for_each(|of| of.share = 0.0);
        let last = &window[self.dimension() - self.columns.columns..];
        for column in &strange {
            let (expected, share) = (last[*column].clamp(0.0, 1.0), 1.0 / strange.len() as f32);
            found[*column] = Some(Explained { expected, sd: 0.0, half_width: 0.0, share });
        }
    }

    /// The level that expectations are of: the finest that has several cells.
    pub(super) fn expecting(&self) -> &PreparedLevel {
        let finest = self.prepared.iter().find(|l| l.shape.pool == 1 && l.shape.blocks > 1);
        finest.unwrap_or(&self.prepared[0])
    }

    /// By scored column, summing to 1; and the columns to blame under the most surprised level.
    fn shares(&self, told: Option<Told<'_>>, work: &mut Work) -> (Vec<f64>, Vec<usize>) {
        let columns = self.columns.scored.len();
        let (mut shares, mut to_blame) = (vec![0.0; columns], Vec::new());
        let energies = self.energies(work);
        let most_surprised = self.most_surprised(&energies);
        for (at, (level, of)) in self.prepared.iter().zip(&energies).enumerate() {
            if self.level_surprise(at, of).is_nan() {
                continue;
            }
            let mut parts = match told {
                Some(told) => told.attributions(self, at),
                None => attributions(level, columns, &level_vector(level, columns, &work.z)),
            };
            for ((parts, tail), energy) in parts.iter().zip(&self.levels[at].tails).zip(of.energy) {
                let weight = tail.surprise(tail.whole(energy, of.observed) as f32);
                shares.iter_mut().zip(&parts.1).for_each(|(share, part)| *share += weight * part);
            }
            if most_surprised == Some(at) {
                to_blame = std::mem::take(&mut parts[0].0);
            }
        }
        if !self.still.is_empty() {
            self.roughness(1, work);
            for ((share, still), r) in shares.iter_mut().zip(&self.still).zip(&work.rough) {
                *share += f64::from(oddest_of(still.surprise(*r), columns));
            }
        }
        if !self.joint.is_empty() {
            self.joint_energies(1, work);
            for (column, share) in shares.iter_mut().enumerate() {
                *share += f64::from(self.joint_surprise(column, work.joint[column]));
            }
        }
        (normalised(shares), to_blame)
    }

    /// Expectation and sd of the last cell of each scored column.
    fn expected(&self, level: &PreparedLevel, z: &[f32], to_blame: &[usize]) -> Vec<(f64, f64)> {
        let columns = self.columns.scored.len();
        let w = level_vector(level, columns, z);
        let mut residual = Vec::new();
        let last = level.dimension - columns;
        let of = |at: usize| {
            about(level, &w, None, &mut residual);
            let hidden =
                (0..residual.len()).filter(|other| *other == at || to_blame.contains(&(other % columns)));
            hidden.for_each(|at| residual[at] = f64::NAN);
            let (moments, mut pattern) = (&level.single.moments, Pattern::default());
            moments.complete(&mut residual, &mut pattern);
            (level.mu[at] + residual[at], moments.variance(&mut pattern, at).sqrt())
        };
        (last..level.dimension).map(of).collect()
    }
}

pub(super) fn level_vector(level: &PreparedLevel, columns: usize, z: &[f32]) -> Vec<f32> {
    let mut w = vec![0.0; level.dimension];
    vector(level.shape, columns, z, &mut w);
    w
}

/// By density: the columns to blame, and every column's share.
fn attributions(level: &PreparedLevel, columns: usize, w: &[f32]) -> Vec<(Vec<usize>, Vec<f64>)> {
    let (mut residual, mut axes) = (Vec::new(), Vec::new());
    let mut parts = Vec::new();
    let mut under = |moments: &Moments, residual: &mut Vec<f64>| {
        moments.complete(residual, &mut Pattern::default());
        let blame = Blame::new(moments, columns, residual);
        let chosen = blame.chosen();
        let shares = blame.shares(&chosen);
        parts.push((chosen, shares));
    };
    about(level, w, None, &mut residual);
    under(&level.single.moments, &mut residual);
    if let Some(codes) = &level.codes {
        level.single.moments.project(&residual, &mut axes);
        let code = nearest(codes, &axes);
        about(level, w, Some((codes, code)), &mut residual);
        under(&codes.density.moments, &mut residual);
    }
    parts
}

/// Brought to a sum of 1; equal parts where there is nothing to share.
fn normalised(mut parts: Vec<f64>) -> Vec<f64> {
    let (sum, n) = (parts.iter().sum::<f64>(), parts.len() as f64);
    parts.iter_mut().for_each(|part| *part = if sum > 0.0 { *part / sum } else { 1.0 / n });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pyramid::synthetic::{normal_windows, series};

    const CELLS: usize = 64;
    const COLUMNS: usize = 6;

    fn fitted() -> Pyramid {
        let windows = normal_windows(&series(4000, COLUMNS, 1), CELLS, COLUMNS);
        Pyramid::fit(windows.view(), CELLS, COLUMNS, &[false; COLUMNS]).unwrap()
    }

    /// Share of injected windows whose column is named first.
    fn named_first(pyramid: &Pyramid, inject: impl Fn(&mut [f32], usize, usize)) -> f64 {
        let windows = normal_windows(&series(4000, COLUMNS, 2), CELLS, COLUMNS);
        let (mut work, mut right, mut n) = (Work::new(), 0, 0);
        for (case, window) in windows.rows().into_iter().step_by(13).enumerate() {
            let mut window = window.to_vec();
            let column = case % COLUMNS;
            inject(&mut window, column, case);
            let explained = pyramid.explain(&window, &mut work);
            let share = |c: usize| explained[c].unwrap().share;
            right += usize::from((0..COLUMNS).all(|c| c == column || share(c) < share(column)));
            n += 1;
        }
        right as f64 / f64::from(n)
    }

    #[test]
    fn a_jump_of_six_sd_is_named_first() {
        let pyramid = fitted();
        for length in [1, 4, 16] {
            let share = named_first(&pyramid, |window, column, case| {
                let jump = if case % 2 == 0 { 6.0 } else { -6.0 };
                for cell in CELLS - length..CELLS {
                    window[cell * COLUMNS + column] += jump;
                }
            });
            eprintln!("jump of {length} cells: {share}");
            assert!(share >= 0.95, "{length}: {share}");
        }
    }

    #[test]
    fn a_frozen_column_is_named_first() {
        let pyramid = fitted();
        for length in [17, 32, 64] {
            let share = named_first(&pyramid, |window, column, _| {
                let held = window[(CELLS - length) * COLUMNS + column];
                for cell in CELLS - length..CELLS {
                    window[cell * COLUMNS + column] = held;
                }
            });
            eprintln!("frozen for {length} cells: {share}");
            assert!(share >= 0.95, "{length}: {share}");
        }
    }

    #[test]
    fn expectations_are_unbiased_with_their_sd_and_shares_sum_to_one() {
        let pyramid = fitted();
        let windows = normal_windows(&series(4000, COLUMNS, 3), CELLS, COLUMNS);
        let (mut work, mut bias, mut square, mut n) = (Work::new(), 0.0, 0.0, 0.0);
        for window in windows.rows().into_iter().step_by(7) {
            let window = window.to_vec();
            let explained: Vec<Explained> =
                pyramid.explain(&window, &mut work).into_iter().flatten().collect();
            assert!((explained.iter().map(|e| e.share).sum::<f32>() - 1.0).abs() < 1e-5);
            for (column, of) in explained.iter().enumerate() {
                let off = (window[(CELLS - 1) * COLUMNS + column] - of.expected) / of.sd;
                (bias, square, n) = (bias + f64::from(off), square + f64::from(off * off), n + 1.0);
            }
        }
        assert!((bias / n).abs() < 0.1, "{}", bias / n);
        assert!((square / n - 1.0).abs() < 0.1, "{}", square / n);
    }
}
