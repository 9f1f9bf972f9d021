use candle_core::Var;
use ndarray::{Array2, Axis};

use super::super::super::codes::{fixed_starts, nearest};
use super::super::super::density::log_likelihood;
use super::*;

/// Three clouds of unequal spread, in three coordinates.
fn clouds() -> (Array2<f64>, Basis, Codes) {
    let noise = |row: usize, k: f64| (row as f64 * k).fract() - 0.5;
    let f = Array2::from_shape_fn((240, 3), |(row, at)| {
        [-3.0, 0.5, 4.0][row % 3] * [1.0, -0.4, 0.1][at] + noise(row, [0.618, 0.414, 0.732][at])
    });
    let basis = Basis::fit(f.view(), None).unwrap();
    let codes = Codes::fit(f.view(), &basis, (3, 64), &fixed_starts).unwrap();
    assert_eq!(codes.len(), 3);
    (f, basis, codes)
}

/// Rows on the density's axes and the code of each, as arrays and as tensors.
fn on_axes(f: &Array2<f64>, basis: &Basis, codes: Option<&Codes>) -> (Array2<f64>, Vec<usize>) {
    let rows = f.dot(codes.and_then(|codes| codes.u.as_ref()).unwrap_or(&basis.v));
    let search = (f - &basis.mu).dot(&basis.v) / basis.l.mapv(|l| l.powf(0.25));
    let label = codes.map_or(vec![0; f.nrows()], |codes| nearest(search.view(), &codes.centres));
    (rows, label)
}

fn loss(descent: &Descent, (rows, label): &(Array2<f64>, Vec<usize>)) -> Tensor {
    let label: Vec<u32> = label.iter().map(|label| *label as u32).collect();
    let label = Tensor::new(label, &Device::Cpu).unwrap();
    descent.loss(&matrix(rows, DType::F64).unwrap(), &label).unwrap()
}

/// Minus the mean log density of the rows under their codes, nats a dimension, the plain way.
fn plain(of: &Density, (rows, label): &(Array2<f64>, Vec<usize>)) -> f64 {
    let mut sum = 0.0;
    for (row, label) in rows.axis_iter(Axis(0)).zip(label) {
        sum -= of.ln_share[*label];
        for ((x, c), l) in row.iter().zip(of.centres.row(*label)).zip(&of.l) {
            sum += 4.5 * (1.0 + (x - c) * (x - c) / (6.0 * l)).ln() + 0.5 * l.ln() - ln_peak(8.0);
        }
    }
    sum / rows.len() as f64
}

#[test]
fn at_the_closed_form_the_loss_is_minus_the_likelihood_that_is_held_back() {
    let (f, basis, codes) = clouds();
    for codes in [None, Some(&codes)] {
        let descent = Descent::new(&Density::of(&basis, codes), &Device::Cpu).unwrap();
        let loss: f64 = loss(&descent, &on_axes(&f, &basis, codes)).to_scalar().unwrap();
        let expected = -log_likelihood(&basis, codes, f.view());
        assert!((loss - expected).abs() < 1e-12, "{loss} {expected}");
    }
}

/// Away from the closed form, where no part of it vanishes.
#[test]
fn the_gradient_is_that_of_finite_differences() {
    const STEP: f64 = 1e-5;
    let (f, basis, codes) = clouds();
    for codes in [None, Some(&codes)] {
        let rows = on_axes(&f, &basis, codes);
        let descent = Descent::new(&Density::of(&basis, codes), &Device::Cpu).unwrap();
        let vars = descent.vars.data().lock().unwrap().clone();
        let set = |var: &Var, at: usize, by: f64| {
            let mut values: Vec<f64> = var.flatten_all().unwrap().to_vec1().unwrap();
            values[at] += by;
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        };
        for var in vars.values() {
            (0..var.elem_count()).for_each(|at| set(var, at, 0.3 * ((at as f64 + 1.0) * 0.618).fract()));
        }
        let gradients = loss(&descent, &rows).backward().unwrap();
        for (name, var) in &vars {
            let found: Vec<f64> = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            for (at, found) in found.iter().enumerate() {
                let beside = |by: f64| {
                    set(var, at, by);
                    let value = plain(&descent.density().unwrap(), &rows);
                    set(var, at, -by);
                    value
                };
                let expected = (beside(STEP) - beside(-STEP)) / (2.0 * STEP);
                assert!((found - expected).abs() < 1e-8, "{name} {at}: {found} {expected}");
                // The share of a single density is 1 whatever is added to its logarithm.
                assert_eq!(*name == "ln_share" && codes.is_none(), found.abs() < 1e-12, "{name} {at}");
            }
        }
    }
}
