//! References: the energies of training windows under each density, and the states they make.
//!
//! Energies are the fit's own ("in sample"): as good for ranking as those of windows the fit had not
//! seen, and cheaper. States become p-values, which must hold for windows never seen; so their
//! references come from cross-fitting: each part of the rows is scored by a fit on the others.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};

use super::super::FitError;
use super::super::knots::knots;
use super::band::half_width;
use super::codes::Starts;
use super::fit::{Settings, levels_like};
use super::rows::references;
use super::score::{BLOCK, level_energies};
use super::still::Still;
use super::tail::Tail;
use super::{Deep, Pyramid, Scores, Work};

impl Pyramid {
    /// Sets every tail; `windows` are those the levels were fitted on.
    pub(super) fn calibrate(
        &mut self,
        windows: ArrayView2<'_, f32>,
        settings: &Settings,
        starts: Starts<'_>,
    ) -> Result<(), FitError> {
        let rows = windows.select(Axis(0), &references(windows.nrows(), settings.ramp));
        self.calibrate_levels(flat(&rows), settings);
        let seen = match settings.folds {
            0 | 1 => self.seen(flat(&rows)),
            folds => self.cross_seen(windows, folds, settings, starts)?,
        };
        let joint = if settings.joint && self.prepared_joint.is_some() {
            self.fit_joint(&seen.joint)
        } else {
            vec![0.0; seen.states.len()]
        };
        self.bands = seen.off.into_iter().map(half_width).collect();
        let tail = Tail::fit(seen.states.clone(), settings.knots);
        let mut states: Vec<f32> = seen.states.iter().map(|state| tail.surprise(*state) as f32).collect();
        let mut columns: Vec<f32> =
            seen.still.iter().zip(&joint).map(|(still, joint)| still.max(*joint)).collect();
        for (deep, surprises) in self.deep.iter_mut().zip([&mut states, &mut columns]) {
            *deep = Deep::fit(surprises, self.columns.cells);
            surprises.iter_mut().for_each(|surprise| *surprise = deep.straight(*surprise));
        }
        self.references = knots(states.clone(), settings.knots);
        self.training_surprises = states;
        self.column_references = knots(columns, settings.knots);
        self.state_tail = Some(tail);
        Ok(())
    }

    /// Sets the levels' tails from the energies these windows have, as they will be scored: to the bit.
    fn calibrate_levels(&mut self, windows: &[f32], settings: &Settings) {
        let mut work = Work::new();
        let mut energies: Vec<[Vec<f32>; 2]> = vec![Default::default(); self.levels.len()];
        let mut rough: Vec<Vec<f32>> = vec![Vec::new(); self.columns.scored.len()];
        work.adopt(self);
        let arch = work.arch;
        for windows in windows.chunks(BLOCK * self.dimension()) {
            let (energies, rough) = (&mut energies, &mut rough);
            arch.dispatch(Block { pyramid: self, windows, work: &mut work, energies, rough });
        }
        for (level, energies) in self.levels.iter_mut().zip(energies) {
            let densities = 1 + usize::from(level.codes.is_some());
            level.tails =
                energies.into_iter().take(densities).map(|e| Tail::fit(e, settings.knots)).collect();
        }
        if settings.still && self.columns.cells > 1 {
            self.still = rough.into_iter().map(Still::fit).collect();
        }
    }

    fn seen(&self, windows: &[f32]) -> Seen {
        let (mut scores, mut work) = (Scores::default(), Work::new());
        self.score(windows, &mut scores, &mut work);
        let columns = self.columns.scored.len();
        let mut joint = vec![Vec::new(); columns];
        let arch = work.arch;
        for windows in windows.chunks(BLOCK * self.dimension()) {
            arch.dispatch(JointBlock { pyramid: self, windows, work: &mut work });
            let rows = windows.len() / self.dimension();
            for (of, energies) in joint.iter_mut().zip(work.joint.chunks_exact(rows)) {
                of.extend_from_slice(energies);
            }
        }
        let mut off = vec![Vec::new(); columns];
        self.off(windows, &mut off);
        Seen { states: scores.state, still: scores.still, joint, off }
    }

    /// What each part of the rows shows under the same levels fitted on the others.
    fn cross_seen(
        &self,
        windows: ArrayView2<'_, f32>,
        folds: usize,
        settings: &Settings,
        starts: Starts<'_>,
    ) -> Result<Seen, FitError> {
        let n = windows.nrows();
        let columns = || vec![Vec::new(); self.columns.scored.len()];
        let mut seen = Seen { joint: columns(), off: columns(), ..Seen::default() };
        for fold in 0..folds {
            let (from, to) = (n * fold / folds, n * (fold + 1) / folds);
            let others = concatenate![Axis(0), windows.slice(s![..from, ..]), windows.slice(s![to.., ..])];
            let levels = levels_like(&self.levels, others.view(), &self.columns, settings, starts)?;
            let mut pyramid = Pyramid::assemble(self.columns.clone(), levels, Vec::new(), None);
            let rows = others.select(Axis(0), &references(others.nrows(), false));
            pyramid.calibrate_levels(flat(&rows), settings);
            let part = windows.slice(s![from..to, ..]);
            let part = part.select(Axis(0), &references(part.nrows(), settings.ramp && fold == 0));
            let of_part = pyramid.seen(flat(&part));
            seen.states.extend(of_part.states);
            seen.still.extend(of_part.still);
            seen.joint.iter_mut().zip(of_part.joint).for_each(|(all, part)| all.extend(part));
            seen.off.iter_mut().zip(of_part.off).for_each(|(all, part)| all.extend(part));
        }
        Ok(seen)
    }
}

/// What training windows show.
#[derive(Default)]
struct Seen {
    states: Vec<f32>,
    /// Surprise of each window's quietest column.
    still: Vec<f32>,
    /// By scored column: energies given all others.
    joint: Vec<Vec<f32>>,
    /// By scored column: distances from what was expected, sds.
    off: Vec<Vec<f32>>,
}

/// As [`Block`], for the columns' energies given all others.
struct JointBlock<'a> {
    pyramid: &'a Pyramid,
    windows: &'a [f32],
    work: &'a mut Work,
}

impl pulp::WithSimd for JointBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let rows = self.pyramid.gather(self.windows, self.work);
        self.pyramid.joint_energies(rows, self.work);
    }
}

/// A block of training windows, to be compiled for each vector width as scoring is.
struct Block<'a> {
    pyramid: &'a Pyramid,
    windows: &'a [f32],
    work: &'a mut Work,
    /// By level, by density.
    energies: &'a mut [[Vec<f32>; 2]],
    /// By scored column.
    rough: &'a mut [Vec<f32>],
}

impl pulp::WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Block { pyramid, windows, work, energies, rough } = self;
        let rows = pyramid.gather(windows, work);
        pyramid.roughness(rows, work);
        for (to, of) in rough.iter_mut().zip(work.rough.chunks_exact(rows)) {
            to.extend_from_slice(of);
        }
        for (at, energies) in energies.iter_mut().enumerate() {
            level_energies(&pyramid.prepared, at, rows, work);
            for of in work.energies.iter().filter(|of| of.observed > 0.0) {
                energies.iter_mut().zip(of.energy).for_each(|(to, energy)| to.push(energy as f32));
            }
        }
    }
}

/// Rows end to end; of a selection, which is laid out like that.
fn flat(rows: &Array2<f32>) -> &[f32] {
    rows.as_slice().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{normal_windows, series};
    use super::*;

    /// Share of fresh windows with p < 0.01.
    fn odd(folds: usize) -> f64 {
        let windows = |rows, seed| normal_windows(&series(rows, 8, seed), 20, 8);
        let settings = Settings { folds, ..Settings::default() };
        let pyramid = Pyramid::fit_with(windows(1200, 1).view(), 20, 8, &[false; 8], &settings).unwrap();
        let mut scores = Scores::default();
        pyramid.score(windows(8000, 2).as_slice().unwrap(), &mut scores, &mut Work::new());
        scores.surprise.iter().filter(|s| (-**s).exp() < 0.01).count() as f64 / scores.surprise.len() as f64
    }

    #[test]
    fn cross_fitted_states_hold_for_windows_never_seen() {
        let (cross, own) = (odd(4), odd(0));
        eprintln!("p < 0.01: cross-fitted {cross}, in sample {own}");
        assert!(cross <= 0.02, "{cross}");
        assert!(own > 1.5 * cross, "{own} {cross}");
    }
}
