//! How likely windows are under a pyramid, in numbers that those of another pyramid may be held against.

use super::score::level_energies;
use super::{Pyramid, Shape, Work};

/// Windows scored together.
const BLOCK: usize = super::score::BLOCK;

impl Pyramid {
    /// Log density of each of these windows (as for [`Pyramid::score`]), nats a number: of each level of `shapes`
    /// by the number of its observed coordinates, and the mean of the levels. NaN where nothing was observed.
    ///
    /// With codes it is the likelier of both densities' bound, as in the scores. Two pyramids compare on the same
    /// windows, in the same units, over the levels that both have.
    pub fn log_likelihoods(&self, windows: &[f32], shapes: &[Shape]) -> Vec<f64> {
        let mut work = Work::new();
        let mut sums = Vec::with_capacity(windows.len() / self.dimension());
        work.adopt(self);
        let arch = work.arch;
        for windows in windows.chunks(BLOCK * self.dimension()) {
            arch.dispatch(Block { pyramid: self, windows, shapes, work: &mut work, sums: &mut sums });
        }
        sums.into_iter().map(|(sum, levels): (f64, u32)| sum / f64::from(levels)).collect()
    }
}

/// A block of windows, to be compiled for each vector width as scoring is.
struct Block<'a> {
    pyramid: &'a Pyramid,
    windows: &'a [f32],
    shapes: &'a [Shape],
    work: &'a mut Work,
    /// Sum over the levels, and how many had a say.
    sums: &'a mut Vec<(f64, u32)>,
}

impl pulp::WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Block { pyramid, windows, shapes, work, sums } = self;
        let rows = pyramid.gather(windows, work);
        let first = sums.len();
        sums.resize(first + rows, (0.0, 0));
        for (at, level) in pyramid.levels.iter().enumerate().filter(|(_, l)| shapes.contains(&l.shape)) {
            level_energies(&pyramid.prepared, at, rows, work);
            let dimension = level.basis.dimension() as f64;
            for (sum, of) in sums[first..].iter_mut().zip(&work.energies).filter(|(_, of)| of.observed > 0.0)
            {
                sum.0 += of.log_likelihood / (of.observed * dimension);
                sum.1 += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scores;
    use super::super::synthetic::{normal_windows, series};
    use super::*;

    #[test]
    fn it_is_the_scores_own_where_there_is_one_level() {
        let windows = normal_windows(&series(600, 4, 1), 4, 4);
        let pyramid = Pyramid::fit(windows.view(), 4, 4, &[false; 4]).unwrap();
        let finest = pyramid.levels[0].shape;
        let mut gappy = windows.as_slice().unwrap()[..16 * 40].to_vec();
        gappy.iter_mut().step_by(7).for_each(|z| *z = f32::NAN);
        let mut scores = Scores::default();
        pyramid.score(&gappy, &mut scores, &mut Work::new());
        let found = pyramid.log_likelihoods(&gappy, &[finest]);
        for (row, found) in found.iter().enumerate() {
            let last = &gappy[row * 16 + 12..][..4];
            let seen = last.iter().filter(|z| !z.is_nan()).count() as f64;
            assert!((found - scores.log_likelihood[row] / seen).abs() < 1e-9, "row {row}");
        }
    }

    #[test]
    fn windows_of_its_own_kind_are_likelier() {
        let windows = |seed, noise: f32| normal_windows(&series(2500, 4, seed), 20, 4).mapv(|z| z * noise);
        let fit = |noise| Pyramid::fit(windows(1, noise).view(), 20, 4, &[false; 4]).unwrap();
        let (one, other) = (fit(1.0), fit(1.6));
        let shapes: Vec<Shape> = one.levels.iter().map(|level| level.shape).collect();
        let mean = |pyramid: &Pyramid, noise| {
            let of = pyramid.log_likelihoods(windows(2, noise).as_slice().unwrap(), &shapes);
            of.iter().sum::<f64>() / of.len() as f64
        };
        assert!(mean(&one, 1.0) > mean(&other, 1.0) + 0.05);
        assert!(mean(&other, 1.6) > mean(&one, 1.6) + 0.05);
    }
}
