//! What a key's windows look like, in a few numbers between -1 and 1: how each column goes with its own past, and
//! with the other columns. Keys are grouped by it to begin with.

/// Cells that a column is held against its own past over.
const LAGS: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Pairs of columns looked at, evenly spaced where there are more.
const PAIRS_MAX: usize = 256;

/// Of windows (`cells * columns`, z units, NaN = missing), looking at the columns `scored`. Both kinds of numbers
/// weigh alike, however many they are.
pub(super) fn features<'a>(
    windows: impl Iterator<Item = &'a [f32]> + Clone,
    columns: usize,
    scored: &[usize],
) -> Vec<f64> {
    let cells = windows.clone().next().map_or(0, |window| window.len() / columns);
    let lags = LAGS.into_iter().filter(|lag| *lag < cells);
    let mut past: Vec<f64> = Vec::new();
    for lag in lags {
        past.extend(scored.iter().map(|c| correlation(windows.clone(), columns, (*c, lag), (*c, 0))));
    }
    let pairs: Vec<(usize, usize)> =
        scored.iter().enumerate().flat_map(|(at, a)| scored[at + 1..].iter().map(|b| (*a, *b))).collect();
    let step = pairs.len().div_ceil(PAIRS_MAX).max(1);
    let pairs = pairs.into_iter().step_by(step);
    let mut others: Vec<f64> =
        pairs.map(|(a, b)| correlation(windows.clone(), columns, (a, 0), (b, 0))).collect();
    for part in [&mut past, &mut others] {
        let weight = (part.len().max(1) as f64).sqrt().recip();
        part.iter_mut().for_each(|x| *x *= weight);
    }
    past.extend(others);
    past
}

/// Of one column with another, each so many cells back; 0 where either is constant.
fn correlation<'a>(
    windows: impl Iterator<Item = &'a [f32]>,
    columns: usize,
    (a, back_a): (usize, usize),
    (b, back_b): (usize, usize),
) -> f64 {
    let (mut n, mut sums, mut squares, mut product) = (0.0, [0.0; 2], [0.0; 2], 0.0);
    for window in windows {
        let cells = window.len() / columns;
        for cell in back_a.max(back_b)..cells {
            let x = f64::from(window[(cell - back_a) * columns + a]);
            let y = f64::from(window[(cell - back_b) * columns + b]);
            if x.is_finite() && y.is_finite() {
                n += 1.0;
                sums = [sums[0] + x, sums[1] + y];
                squares = [squares[0] + x * x, squares[1] + y * y];
                product += x * y;
            }
        }
    }
    let spread = |i: usize| squares[i] - sums[i] * sums[i] / n;
    let both = (spread(0) * spread(1)).sqrt();
    if both > 1e-9 { (product - sums[0] * sums[1] / n) / both } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rhythm_and_a_partner_show() {
        let wave = |period: f32, at: usize| (at as f32 * std::f32::consts::TAU / period).sin();
        let window = |period: f32| -> Vec<f32> {
            (0..64).flat_map(|at| [wave(period, at), -wave(period, at), 0.0]).collect()
        };
        let of = |period: f32| features(std::iter::once(&window(period)[..]), 3, &[0, 1, 2]);
        let (slow, fast) = (of(64.0), of(4.0));
        assert_eq!(slow.len(), 6 * 3 + 3);
        let weight = (18f64).sqrt().recip();
        assert!(slow[0] > 0.9 * weight && fast[0].abs() < 0.1 * weight, "one cell back");
        assert!(fast[3] < -0.9 * weight, "two cells back");
        let pair = slow[18] * (3f64).sqrt();
        assert!(pair < -0.99, "the second column is the first upside down: {pair}");
        assert_eq!(slow[2], 0.0, "what never moves goes with nothing");
    }
}
