use super::*;

fn contest(gain: f64, error: f64, odd: [f64; 2]) -> Contest {
    Contest {
        windows: 4000,
        held_back: 1000,
        champion: Showing { log_likelihood: -1.0, odd: odd[0] },
        challenger: Showing { log_likelihood: -1.0 + gain, odd: odd[1] },
        error,
    }
}

#[test]
fn a_challenger_must_be_better_by_a_margin_that_is_no_chance_and_be_calibrated() {
    let wins = |gain, error, odd| contest(gain, error, odd).decide().is_ok();
    assert!(wins(0.05, 0.01, [0.01, 0.01]), "likelier");
    assert!(!wins(0.004, 0.0001, [0.01, 0.01]), "by too little");
    assert!(!wins(0.05, 0.02, [0.01, 0.01]), "by chance");
    assert!(!wins(0.05, 0.01, [0.01, 0.03]), "but more is odd to it");
    assert!(wins(0.05, 0.01, [0.08, 0.03]), "and less is odd to it");
    assert!(wins(0.001, 0.001, [0.4, 0.004]), "the champion has lost touch");
    assert!(!wins(0.001, 0.001, [0.4, 0.2]), "as has the challenger");
    assert!(!wins(-0.01, 0.001, [0.4, 0.004]), "but the challenger is less likely");
    assert!(!wins(f64::NAN, 0.01, [0.4, 0.0]) && !wins(0.05, f64::NAN, [0.4, 0.0]));
    let why = contest(0.001, 0.002, [0.01, 0.03]).decide().expect_err("no gain");
    assert!(why.contains("0.0010 +- 0.0020") && why.contains("3.0 %"), "{why}");
}

#[test]
fn windows_are_cut_by_time_and_share_no_cell() {
    let drawn = |end_ns| Drawn { end_ns, lot: end_ns as u64 * 77, cohort: 0 };
    let ends = [70, 10, 30, 20, 40, 50, 60, 80, 65, -500];
    let windows = Windows {
        drawn: ends.map(drawn).to_vec(),
        z: ends.iter().flat_map(|end| [*end as f32, 0.0]).collect(),
    };
    let windows = chosen(windows, 100, 1);
    let ends: Vec<i64> = windows.drawn.iter().map(|drawn| drawn.end_ns).collect();
    assert_eq!(ends, [10, 20, 30, 40, 50, 60, 65, 70, 80], "the one of long ago does not count");
    assert!(windows.z.chunks_exact(2).zip(&ends).all(|(z, end)| z[0] == *end as f32));
    assert_eq!(split(&windows, 10), (6, 7), "60, then those that begin there or later");
    assert_eq!(split(&windows, 25), (6, 9));
}
