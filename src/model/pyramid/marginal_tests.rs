use super::*;
use ndarray::array;

fn moments() -> (Moments, Array2<f64>) {
    let covariance =
        array![[2.0, 0.7, 0.3, 0.1], [0.7, 1.5, -0.4, 0.2], [0.3, -0.4, 1.0, 0.5], [0.1, 0.2, 0.5, 3.0]];
    let (l, v) = crate::model::pyramid::basis::spectrum(&covariance).unwrap();
    let shrunk = (&v * &l).dot(&v.t());
    (Moments::new(&v, &l), shrunk)
}

#[test]
fn a_gap_is_filled_by_its_regression_on_the_rest() {
    let (moments, s) = moments();
    let mut pattern = Pattern::default();
    let mut residual = vec![1.0, f64::NAN, -0.5, 2.0];
    moments.complete(&mut residual, &mut pattern);
    // S_OO^-1 r_O by Cramer's rule on the 3 x 3 that is left.
    let o = [0, 2, 3];
    let det = |m: [[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let oo: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| s[[o[i], o[j]]]));
    let r = [1.0, -0.5, 2.0];
    let solve = |b: [f64; 3], k: usize| {
        det(std::array::from_fn(|i| std::array::from_fn(|j| if j == k { b[i] } else { oo[i][j] }))) / det(oo)
    };
    let expected: f64 = (0..3).map(|k| s[[1, o[k]]] * solve(r, k)).sum();
    assert!((residual[1] - expected).abs() < 1e-12);
    let cross = o.map(|k| s[[1, k]]);
    let variance = s[[1, 1]] - (0..3).map(|k| cross[k] * solve(cross, k)).sum::<f64>();
    assert!((moments.variance(&mut pattern, 1) - variance).abs() < 1e-12);
    assert!((pattern.ln_det - det(oo).ln()).abs() < 1e-12);
    let mut sum = Array2::zeros((4, 4));
    moments.add_uncertainty(&pattern, &mut sum);
    assert!((sum[[1, 1]] - variance).abs() < 1e-12 && (sum.sum() - variance).abs() < 1e-12);
}

#[test]
fn shares_of_the_axes_sum_to_the_observed_coordinates() {
    let (moments, _) = moments();
    for missing in [&[0][..], &[1, 3], &[0, 1, 2]] {
        let mut residual = vec![0.5; 4];
        missing.iter().for_each(|at| residual[*at] = f64::NAN);
        let mut pattern = Pattern::default();
        moments.complete(&mut residual, &mut pattern);
        assert!((pattern.share.iter().sum::<f64>() - (4 - missing.len()) as f64).abs() < 1e-12);
    }
}

#[test]
fn a_pattern_is_learnt_anew_when_it_changes() {
    let (moments, _) = moments();
    let mut pattern = Pattern::default();
    for missing in [1, 2, 2, 0] {
        let mut residual = vec![1.0, -2.0, 0.5, 1.0];
        residual[missing] = f64::NAN;
        let mut again = residual.clone();
        moments.complete(&mut residual, &mut pattern);
        moments.complete(&mut again, &mut Pattern::default());
        assert_eq!(residual, again);
    }
}
