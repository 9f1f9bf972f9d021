//! What every cell of a column was expected to be: how far a window departs from it, and where.

use super::band::NORMAL_SD;
use super::explain::{Explained, level_vector};
use super::gaps::about;
use super::marginal::Pattern;
use super::prepared::PreparedLevel;
use super::told::Told;
use super::{Pyramid, Work};

/// One column of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Its part of the surprise, as [`Explained::share`].
    pub share: f32,
    /// Of the window's last cells, oldest first, what each was expected to be; z units. Empty if nobody asked.
    pub cells: Vec<f32>,
}

/// Where in a window a column departs the most from what was expected of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Departure {
    /// Cells before the window's last.
    pub back: usize,
    /// What was expected there, and half of the band about it that holds 95 % of normal values; z units.
    pub expected: f32,
    pub half_width: f32,
}

impl Pyramid {
    /// Of a window of [`Pyramid::dimension`] values, by column; the cells only of columns that are `wanted`, since each
    /// takes a solution of its own; by what a device told of the window, if it did. They are those of the longest level that looks at cells one by one, given what is
    /// observed of the other columns that are not to blame. Of a flag it is the nearer of off and on.
    pub fn expect(
        &self,
        window: &[f32],
        told: Option<Told<'_>>,
        wanted: impl Fn(usize) -> bool,
        work: &mut Work,
    ) -> Vec<Expected> {
        let (found, to_blame) = self.explained(window, told, work);
        let singly = self.prepared.iter().filter(|level| level.shape.pool == 1);
        let longest = singly.max_by_key(|level| level.shape.blocks);
        let of = |(column, of): (usize, Option<Explained>)| {
            let Some(of) = of else { return Expected::default() };
            let scored = self.columns.scored.iter().position(|scored| *scored == column);
            let cells = match (scored, longest) {
                _ if !wanted(column) => Vec::new(),
                (Some(at), Some(level)) => self.cells(level, &work.z, at, &to_blame),
                _ => vec![of.expected],
            };
            Expected { share: of.share, cells }
        };
        found.into_iter().enumerate().map(of).collect()
    }

    /// The same of the one cell of a column that departs the most, with its band. `None` of columns that are not wanted,
    /// of flags, and where nothing was observed.
    pub fn departures(
        &self,
        window: &[f32],
        told: Option<Told<'_>>,
        wanted: impl Fn(usize) -> bool,
        work: &mut Work,
    ) -> Vec<Option<Departure>> {
        let (_, to_blame) = self.explained(window, told, work);
        let singly = self.prepared.iter().filter(|level| level.shape.pool == 1);
        let mut found = vec![None; self.columns.columns];
        let Some(level) = singly.max_by_key(|level| level.shape.blocks) else { return found };
        for (at, column) in self.columns.scored.iter().enumerate().filter(|(_, column)| wanted(**column)) {
            found[*column] = self.departure(level, &work.z, at, &to_blame);
        }
        found
    }

    fn departure(
        &self,
        level: &PreparedLevel,
        z: &[f32],
        at: usize,
        to_blame: &[usize],
    ) -> Option<Departure> {
        let columns = self.columns.scored.len();
        let w = level_vector(level, columns, z);
        let (expected, mut pattern) = self.completed(level, &w, at, to_blame);
        let off = |place: &usize| (f64::from(w[*place]) - expected[*place]).abs();
        let observed = (at..level.dimension).step_by(columns).filter(|place| !w[*place].is_nan());
        let place = observed.max_by(|a, b| off(a).total_cmp(&off(b)))?;
        let sd = level.single.moments.variance(&mut pattern, place).sqrt() as f32;
        Some(Departure {
            back: level.shape.blocks - 1 - place / columns,
            expected: expected[place] as f32,
            half_width: sd * self.bands.get(at).copied().unwrap_or(NORMAL_SD),
        })
    }

    /// Of the scored column `at`: what each of its cells was expected to be.
    fn cells(&self, level: &PreparedLevel, z: &[f32], at: usize, to_blame: &[usize]) -> Vec<f32> {
        let columns = self.columns.scored.len();
        let (expected, _) = self.completed(level, &level_vector(level, columns, z), at, to_blame);
        expected.iter().skip(at).step_by(columns).map(|expected| *expected as f32).collect()
    }

    /// What is expected of the hidden cells, and the observed others as they are. Hidden are those of the scored column
    /// `at`, as they are where it is to blame, and those of columns that are.
    fn completed(
        &self,
        level: &PreparedLevel,
        w: &[f32],
        at: usize,
        to_blame: &[usize],
    ) -> (Vec<f64>, Pattern) {
        let columns = self.columns.scored.len();
        let (mut residual, mut pattern) = (Vec::new(), Pattern::default());
        about(level, w, None, &mut residual);
        for (place, value) in residual.iter_mut().enumerate() {
            if place % columns == at || to_blame.contains(&(place % columns)) {
                *value = f64::NAN;
            }
        }
        level.single.moments.complete(&mut residual, &mut pattern);
        let expected = level.mu.iter().zip(&residual).map(|(mu, off)| mu + off);
        (expected.collect(), pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pyramid::synthetic::{normal_windows, series};

    const CELLS: usize = 64;
    const COLUMNS: usize = 3;

    #[test]
    fn a_jump_departs_by_its_size_wherever_it_is_in_the_window() {
        let windows = normal_windows(&series(4000, COLUMNS, 1), CELLS, COLUMNS);
        let pyramid = Pyramid::fit(windows.view(), CELLS, COLUMNS, &[false; COLUMNS]).unwrap();
        let mut work = Work::new();
        for (cell, jump) in [(63, 8.0), (40, 8.0), (63, -8.0), (5, -8.0)] {
            let mut window = windows.row(1000).to_vec();
            window[cell * COLUMNS + 1] += jump;
            let expected = pyramid.expect(&window, None, |column| column == 1, &mut work);
            assert!(expected[0].cells.is_empty(), "nobody asked");
            let cells = &expected[1].cells;
            assert_eq!(cells.len(), CELLS);
            let departure = |at: usize| window[at * COLUMNS + 1] - cells[at];
            assert!((departure(cell) - jump).abs() < 2.5, "{cell}: {} for {jump}", departure(cell));
            let found = pyramid.departures(&window, None, |column| column == 1, &mut work);
            assert_eq!((found[0], found[2]), (None, None), "nobody asked");
            let Departure { back, expected: there, half_width } = found[1].unwrap();
            assert_eq!((back, there), (CELLS - 1 - cell, cells[cell]));
            assert!(half_width > 0.1 && half_width < jump.abs(), "{half_width}");
            let share: f32 = expected.iter().map(|of| of.share).sum();
            assert!((share - 1.0).abs() < 1e-5 && expected[1].share > 0.5, "{expected:?}");
        }
    }

    #[test]
    fn a_strange_flag_departs_from_the_nearer_of_off_and_on() {
        let mut z = series(400, 2, 1);
        z.iter_mut().step_by(2).enumerate().for_each(|(row, z)| *z = ((row / 7) % 2) as f32);
        let windows = normal_windows(&z, 6, 2);
        let pyramid = Pyramid::fit(windows.view(), 6, 2, &[true, false]).unwrap();
        let mut window = windows.row(50).to_vec();
        window[10] = 3.5;
        let expected = pyramid.expect(&window, None, |_| true, &mut Work::new());
        assert_eq!((&expected[0].cells[..], expected[0].share), (&[1.0][..], 1.0));
    }
}
