//! Large fits: longer levels beside the usual ones, where they are worth the work.

use super::super::FitError;
use super::codes::OWN_AXES_MAX;
use super::fit::{CODE_CELLS, Candidate, Settings, best};
use super::levels::{DIMENSION_MAX, Shape};

/// Codes of a usual fit, and codes times dimension of a large one: the widest level by most codes.
const CODES_MAX: usize = 128;
const CODE_CELLS_LARGE: usize = 256 * DIMENSION_MAX;

impl Settings {
    /// How many codes are tried at most, and how many times dimension.
    pub(super) fn codes_max(&self) -> (usize, usize) {
        if self.large { (usize::MAX, CODE_CELLS_LARGE) } else { (CODES_MAX, CODE_CELLS) }
    }

    /// Coordinates up to which the codes of a level have axes of their own.
    pub(super) fn own_axes_max(&self) -> usize {
        if self.large { DIMENSION_MAX } else { OWN_AXES_MAX }
    }
}

/// A level's shape, and the codebook sizes that were tried under it.
pub(super) type Tried = (Shape, Vec<Candidate>);

/// Adds to the usual levels those that are longer and likelier. A likelihood is of a number of held-back windows, given more of
/// its past and its neighbours the longer the level is; a longer one that is not likelier for that has learnt chance.
pub(super) fn add_longer(
    found: &mut Vec<Tried>,
    (cells, columns, rows): (usize, usize, usize),
    tried: impl Fn(Shape) -> Result<Tried, FitError>,
) -> Result<(), FitError> {
    let shapes: Vec<Shape> = found.iter().map(|(shape, _)| *shape).collect();
    let likelihood = |of: &[Candidate]| best(of).held_back_log_likelihood;
    for (shape, usual) in longer(&shapes, cells, columns, rows) {
        let longer = tried(shape)?;
        let likelier =
            |(of, candidates): &Tried| *of == usual && likelihood(&longer.1) > likelihood(candidates);
        if found.iter().any(likelier) {
            found.push(longer);
        }
    }
    Ok(())
}

/// Of large fits, from as many windows: levels as wide as they may be, of those that look back furthest by cells and by means
/// of as many; each with the one it is longer than.
fn longer(of: &[Shape], cells: usize, columns: usize, rows: usize) -> Vec<(Shape, Shape)> {
    let furthest =
        |shape: &&Shape| !of.iter().any(|other| other.pool == shape.pool && other.blocks > shape.blocks);
    let longer = |shape: &Shape| {
        let blocks = (cells / shape.pool).min(DIMENSION_MAX / columns);
        (Shape { blocks, ..*shape }, *shape)
    };
    let wanted =
        |(longer, of): &(Shape, Shape)| longer.blocks > of.blocks && rows >= longer.rows_needed(columns);
    of.iter().filter(furthest).map(longer).filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Pyramid;
    use super::super::levels::shapes;
    use super::super::synthetic::normal_windows;
    use super::*;

    #[test]
    fn large_fits_try_levels_as_wide_as_they_may_be() {
        let longer = |cells: usize, columns: usize, rows: usize| -> Vec<(usize, usize)> {
            let usual = shapes(cells, columns, rows, false);
            longer(&usual, cells, columns, rows).into_iter().map(|(s, _)| (s.pool, s.blocks)).collect()
        };
        assert_eq!(longer(128, 16, 2000), [(1, 40), (4, 32)]);
        assert_eq!(longer(64, 8, 2000), [(1, 64), (4, 16)]);
        assert_eq!(longer(64, 8, 1000), [(4, 16)], "two windows a dimension");
        assert_eq!(longer(64, 4, 2000), []);
        assert_eq!(longer(128, 4, 2000), [(1, 128)]);
        assert_eq!(longer(10, 8, 2000), []);
    }

    #[test]
    fn a_longer_level_stays_where_held_back_windows_are_likelier_by_it() {
        const CELLS: usize = 30;
        const COLUMNS: usize = 6;
        let large = Settings { large: true, ..Settings::default() };
        let shapes = |z: &[f32], settings: &Settings| -> Vec<(usize, usize)> {
            let windows = normal_windows(z, CELLS, COLUMNS);
            let pyramid =
                Pyramid::fit_with(windows.view(), CELLS, COLUMNS, &[false; COLUMNS], settings).unwrap();
            pyramid.levels.iter().map(|level| (level.shape.pool, level.shape.blocks)).collect()
        };
        let hash = |at: usize| xxhash_rust::xxh3::xxh3_64(&(at as u64).to_le_bytes());
        let noise: Vec<f32> = (0..2500 * COLUMNS).map(|at| (hash(at) >> 40) as f32 / 4.8e6 - 1.75).collect();
        let usual = [(1, 1), (1, 3), (1, 10), (4, 4)];
        assert_eq!(shapes(&noise, &large), usual, "what is long ago says nothing");
        // Noise that comes again after 25 cells: a level of ten sees nothing of it.
        let mut again = noise;
        (25 * COLUMNS..again.len()).for_each(|at| again[at] = 0.2 * again[at] + again[at - 25 * COLUMNS]);
        again.iter_mut().for_each(|z| *z *= 0.3);
        assert_eq!(shapes(&again, &Settings::default()), usual);
        assert_eq!(shapes(&again, &large), [&usual[..], &[(1, 30), (4, 7)]].concat());
    }

    /// What README.md says a larger model takes is that of the levels and codes a fit comes to at most.
    #[test]
    fn the_readme_s_larger_model_is_one_that_a_fit_makes() {
        let (cells, columns) = (128, 16);
        let mut of = shapes(cells, columns, 6000, false);
        of.extend(longer(&of, cells, columns, 6000).into_iter().map(|(longer, _)| longer));
        // With axes of their own, and the law between columns on the second level.
        let products = |d: usize| 2 * d * d + 256 * d;
        let flop = 2 * (of.iter().map(|shape| products(shape.dimension(columns))).sum::<usize>() + 48 * 48);
        let thousands = format!("{},{:03},{:03}", flop / 1_000_000, flop / 1000 % 1000, flop % 1000);
        let readme = include_str!("../../../README.md");
        let row = format!("| 16 columns of 128 cells, large | {thousands} |");
        assert!(readme.contains(&row), "{row}");
    }
}
