//! The two densities of a level, in f64: what the fit compares, and what the fast scorer is held to.

use ndarray::ArrayView2;

use super::basis::{Basis, NU, ln_peak, spread};
use super::codes::{Codes, nearest};

/// Minus log density of each row of `f` (n × d, no gaps) without its constants, a dimension: of the
/// mixture's nearest code, or of the single density without codes.
pub(super) fn energies(basis: &Basis, codes: Option<&Codes>, f: ArrayView2<'_, f64>, nu: f64) -> Vec<f64> {
    let centred = &f - &basis.mu;
    let mut axes = centred.dot(&basis.v);
    let mut l = &basis.l;
    let mut ln_share = vec![0.0; f.nrows()];
    if let Some(codes) = codes {
        let label = nearest((&axes / &basis.l.mapv(|l| l.powf(0.25))).view(), &codes.centres);
        if let Some(u) = &codes.u {
            axes = centred.dot(u);
        }
        for (row, label) in label.iter().enumerate() {
            let mut axes = axes.row_mut(row);
            axes -= &codes.means.row(*label);
            ln_share[row] = codes.ln_share[*label];
        }
        l = &codes.l;
    }
    let scale = l * spread(nu);
    let energy = |(axes, ln_share): (ndarray::ArrayView1<'_, f64>, &f64)| {
        let sum: f64 = axes.iter().zip(&scale).map(|(p, scale)| (p * p / scale).ln_1p()).sum();
        (0.5 * (nu + 1.0) * sum - ln_share) / l.len() as f64
    };
    axes.rows().into_iter().zip(&ln_share).map(energy).collect()
}

/// Log-likelihood of each row of `f`, nats a dimension; with codes a lower bound of the mixture's.
pub(super) fn log_likelihoods(basis: &Basis, codes: Option<&Codes>, f: ArrayView2<'_, f64>) -> Vec<f64> {
    let l = codes.map_or(&basis.l, |codes| &codes.l);
    let constant = ln_peak(NU) - 0.5 * l.mapv(f64::ln).sum() / l.len() as f64;
    energies(basis, codes, f, NU).into_iter().map(|energy| constant - energy).collect()
}

/// Mean log-likelihood of the rows of `f`, nats a dimension; with codes a lower bound of the mixture's.
pub(super) fn log_likelihood(basis: &Basis, codes: Option<&Codes>, f: ArrayView2<'_, f64>) -> f64 {
    let energies = energies(basis, codes, f, NU);
    let mean = energies.iter().sum::<f64>() / energies.len().max(1) as f64;
    let l = codes.map_or(&basis.l, |codes| &codes.l);
    ln_peak(NU) - mean - 0.5 * l.mapv(f64::ln).sum() / l.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::basis::ln_peak;
    use super::super::codes::fixed_starts;
    use super::super::synthetic::{normal_windows, series};
    use super::super::{Pyramid, Scores, Settings, Work};
    use super::*;
    use ndarray::{Array1, Array2, array};

    fn pyramid(columns: usize) -> Pyramid {
        let windows = normal_windows(&series(300, columns, 1), 1, columns);
        let settings = Settings { still: false, ..Settings::default() };
        let pyramid =
            Pyramid::fit_with(windows.view(), 1, columns, &vec![false; columns], &settings).unwrap();
        assert!(pyramid.levels.len() == 1 && pyramid.levels[0].codes.is_none());
        pyramid
    }

    /// Sum of the fast scorer's densities over a grid of windows, times the grid's volume.
    fn integral(pyramid: &Pyramid, grid: &[f32], volume: f64) -> f64 {
        let mut scores = Scores::default();
        pyramid.score(grid, &mut scores, &mut Work::new());
        scores.log_likelihood.iter().map(|l| l.exp()).sum::<f64>() * volume
    }

    #[test]
    fn densities_integrate_to_one() {
        let step = 0.01;
        let line: Vec<f32> = (-1990..=1990).map(|i| i as f32 * step).collect();
        let found = integral(&pyramid(1), &line, f64::from(step));
        assert!((found - 1.0).abs() < 1e-4, "{found}");
        let step = 0.05;
        let plane: Vec<f32> = (-300..=300)
            .flat_map(|i| (-300..=300).flat_map(move |j| [i as f32 * step, j as f32 * step]))
            .collect();
        let found = integral(&pyramid(2), &plane, f64::from(step * step));
        assert!((found - 1.0).abs() < 1e-4, "{found}");
    }

    #[test]
    fn a_lower_bound_of_a_mixture_integrates_to_less_but_not_much() {
        let far = |row: usize| if row.is_multiple_of(2) { -2.0 } else { 2.0 };
        let noise = |row: usize| (row as f64 * 0.618).fract() - 0.5;
        let f = Array2::from_shape_fn((400, 1), |(row, _)| far(row) + noise(row));
        let basis = Basis::fit(f.view(), None).unwrap();
        let codes = Codes::fit(f.view(), &basis, (2, 64), &fixed_starts).unwrap();
        let step = 0.001;
        let line = Array2::from_shape_fn((20_001, 1), |(i, _)| (i as f64 - 10_000.0) * step);
        let ln_constant = ln_peak(NU) - 0.5 * codes.l[0].ln();
        let sum: f64 =
            energies(&basis, Some(&codes), line.view(), NU).iter().map(|e| (ln_constant - e).exp()).sum();
        assert!(sum * step < 1.0 && sum * step > 0.995, "{}", sum * step);
    }

    fn bent() -> (Basis, Array2<f64>) {
        let turn = 0.6f64;
        let v = array![[turn.cos(), -turn.sin()], [turn.sin(), turn.cos()]];
        let basis = Basis { mu: array![0.3, -1.0], v, l: array![0.5, 4.0] };
        (basis, array![[0.0, 0.0], [2.0, -3.0], [-5.0, 8.0]])
    }

    #[test]
    fn one_code_is_the_product_of_t_densities() {
        let (basis, rows) = bent();
        let single = energies(&basis, None, rows.view(), NU);
        let code = Codes {
            centres: Array2::zeros((1, 2)),
            means: Array2::zeros((1, 2)),
            ln_share: Array1::zeros(1),
            u: None,
            l: basis.l.clone(),
        };
        assert_eq!(single, energies(&basis, Some(&code), rows.view(), NU));
        // Gamma(4.5) / (Gamma(4) sqrt(8 pi)) (1 + x^2 / 8)^-4.5: the t density of 8 degrees of freedom.
        let gamma_ratio = 11.631_728_396_567_448 / 6.0;
        let t = |x: f64| gamma_ratio / (8.0 * std::f64::consts::PI).sqrt() * (1.0 + x * x / 8.0).powf(-4.5);
        for (row, energy) in rows.rows().into_iter().zip(single) {
            let p = (&row - &basis.mu).dot(&basis.v);
            let scale = basis.l.mapv(|l| (l * 0.75).sqrt());
            let density: f64 = (0..2).map(|axis| (t(p[axis] / scale[axis]) / scale[axis]).ln()).sum();
            let found = 2.0 * (ln_peak(NU) - energy) - 0.5 * basis.l.mapv(f64::ln).sum();
            assert!((found - density).abs() < 1e-12);
        }
    }

    #[test]
    fn many_degrees_of_freedom_make_it_gaussian() {
        let (basis, rows) = bent();
        let nu = 1e7;
        for (row, energy) in rows.rows().into_iter().zip(energies(&basis, None, rows.view(), nu)) {
            let p = (&row - &basis.mu).dot(&basis.v);
            let square: f64 = p.iter().zip(&basis.l).map(|(p, l)| p * p / l).sum();
            let gaussian =
                -0.5 * (square + 2.0 * (2.0 * std::f64::consts::PI).ln() + basis.l.mapv(f64::ln).sum());
            let found = 2.0 * (ln_peak(nu) - energy) - 0.5 * basis.l.mapv(f64::ln).sum();
            assert!((found - gaussian).abs() < 1e-4, "{found} {gaussian}");
        }
    }
}
