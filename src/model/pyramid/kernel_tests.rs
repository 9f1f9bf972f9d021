use super::*;

#[test]
fn logarithm_is_exact_to_rounding() {
    for step in 0..20_000 {
        let x = (1.0 + step as f32 * 1e-4) * 3f32.powi(step % 70);
        let exact = f64::from(x).ln();
        assert!((f64::from(ln(x)) - exact).abs() <= 2.5e-7 * exact.max(0.5), "{x}");
    }
    assert_eq!(ln(1.0), 0.0);
}

#[test]
fn product_is_the_same_whatever_the_batch() {
    let weight = |i: usize, o: usize| ((i * 37 + o * 11) as f64 * 0.618).fract() - 0.5;
    let packed = Packed::new(21, 35, weight, |o| o as f64 * 0.1, 7.0);
    let x: Vec<f32> = (0..17 * 30).map(|i| ((i as f32) * 0.414).fract() * 4.0 - 2.0).collect();
    let mut all = vec![[0.0; LANES]; 17 * packed.panels()];
    product(&packed, &x, 30, 17, &mut all);
    for row in 0..17 {
        let mut one = vec![[0.0; LANES]; packed.panels()];
        product(&packed, &x[row * 30..], 30, 1, &mut one);
        assert_eq!(one, all[row * packed.panels()..][..packed.panels()]);
        for output in 0..35 {
            let naive: f64 = (0..21).map(|i| f64::from(x[row * 30 + i]) * weight(i, output)).sum();
            let found = f64::from(one[output / LANES][output % LANES]);
            assert!((found - naive - output as f64 * 0.1).abs() < 1e-5);
        }
        assert_eq!(one[2][3..], [7.0; 13]);
    }
}

#[test]
fn sums_of_logarithms_match_the_definition() {
    for panels in [1, 4, 5, 40] {
        let lanes = |k: f32, far: f32| -> Vec<Lanes> {
            (0..panels).map(|p| std::array::from_fn(|l| ((p * LANES + l) as f32 * k).fract() * far)).collect()
        };
        let (p, shift, scale) = (lanes(0.618, 500.0), lanes(0.414, 3.0), lanes(0.3, 1000.0));
        let terms = p.iter().flatten().zip(shift.iter().flatten()).zip(scale.iter().flatten());
        let naive: f64 =
            terms.map(|((p, s), scale)| (f64::from(p - s).powi(2) * f64::from(*scale)).ln_1p()).sum();
        assert!((f64::from(ln_sum(&p, &shift, &scale)) - naive).abs() < 1e-6 * naive);
    }
}

#[test]
fn the_first_of_equals_is_the_smallest() {
    let mut values = vec![[5.0; LANES]; 3];
    (values[2][1], values[1][7], values[1][9]) = (1.0, 1.0, 1.0);
    assert_eq!(smallest(&values), LANES + 7);
    values[0][15] = 1.0;
    assert_eq!(smallest(&values), 15);
}

#[test]
fn squares_are_summed_by_column() {
    for columns in [1, 2, 3, 4, 7, 8, 9, 16, 19, 38] {
        for cells in [1, 2, 5, 16, 33] {
            let x: Vec<f32> =
                (0..cells * columns).map(|i| ((i as f32) * 0.618).fract() * 6.0 - 3.0).collect();
            let mut sums = vec![9.0; columns];
            squares(&x, &mut sums);
            for (column, sum) in sums.iter().enumerate() {
                let naive: f64 = x[column..].iter().step_by(columns).map(|x| f64::from(*x).powi(2)).sum();
                assert!((f64::from(*sum) - naive).abs() < 1e-5 * naive, "{columns} {cells} {column}");
            }
        }
    }
}
