//! A window drawn from the density: what the model takes for normal, to be looked at.

use super::Pyramid;
use super::basis::NU;

impl Pyramid {
    /// By column the last cells of a window, oldest first, in z units; `None` for flags, and for all where no level looks at
    /// cells one by one. `normal` draws from the standard normal distribution.
    ///
    /// Drawn is from the first density of the longest such level, a product of t densities along its axes (see
    /// [`super::basis`]): along each a t of [`NU`] degrees of freedom, brought to the axis's variance.
    pub fn draw(&self, mut normal: impl FnMut() -> f64) -> Vec<Option<Vec<f32>>> {
        let mut drawn = vec![None; self.columns.columns];
        let singly = self.prepared.iter().filter(|level| level.shape.pool == 1);
        let Some(level) = singly.max_by_key(|level| level.shape.blocks) else { return drawn };
        let off = level.single.moments.point(|| {
            let value = normal();
            let squares: f64 = (0..NU as usize).map(|_| normal().powi(2)).sum();
            value / (squares / NU).sqrt() * ((NU - 2.0) / NU).sqrt()
        });
        let z: Vec<f32> = level.mu.iter().zip(&off).map(|(mu, off)| (mu + off) as f32).collect();
        let columns = self.columns.scored.len();
        for (at, column) in self.columns.scored.iter().enumerate() {
            drawn[*column] = Some(z[at..].iter().step_by(columns).copied().collect());
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::synthetic::{normal_windows, series};
    use super::*;

    const CELLS: usize = 16;
    const COLUMNS: usize = 3;

    fn gaussian(rng: &mut ChaCha8Rng) -> f64 {
        let (u, v): (f64, f64) = (rng.random(), rng.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Mean, variance of a column, and its covariance with the next, over windows' last cells.
    fn moments(windows: &[Vec<[f64; 2]>]) -> [f64; 3] {
        let all: Vec<[f64; 2]> = windows.iter().flatten().copied().collect();
        let mean = |of: &dyn Fn(&[f64; 2]) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        let (a, b) = (mean(&|x| x[0]), mean(&|x| x[1]));
        [a, mean(&|x| (x[0] - a).powi(2)), mean(&|x| (x[0] - a) * (x[1] - b))]
    }

    #[test]
    fn what_is_drawn_has_the_moments_of_what_was_learnt() {
        let windows = normal_windows(&series(4000, COLUMNS, 1), CELLS, COLUMNS);
        let pyramid = Pyramid::fit(windows.view(), CELLS, COLUMNS, &[false; COLUMNS]).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<Vec<Vec<f32>>> = (0..3000)
            .map(|_| pyramid.draw(|| gaussian(&mut rng)).into_iter().map(|column| column.unwrap()).collect())
            .collect();
        let pair = |a: f32, b: f32| [f64::from(a), f64::from(b)];
        let of_drawn: Vec<Vec<[f64; 2]>> = drawn
            .iter()
            .map(|window| window[0].iter().zip(&window[1]).map(|(a, b)| pair(*a, *b)).collect())
            .collect();
        let learnt: Vec<Vec<[f64; 2]>> = windows
            .rows()
            .into_iter()
            .map(|row| row.to_vec().chunks_exact(COLUMNS).map(|cell| pair(cell[0], cell[1])).collect())
            .collect();
        let (drawn_moments, learnt) = (moments(&of_drawn), moments(&learnt));
        eprintln!("drawn {drawn_moments:?}, learnt {learnt:?}");
        for (drawn, learnt) in drawn_moments.into_iter().zip(learnt) {
            assert!((drawn - learnt).abs() < 0.1, "{drawn} {learnt}");
        }
        assert!(learnt[2].abs() > 0.2, "columns that go together");
    }
}
