use super::*;

const SECOND: i64 = 1_000_000_000;

/// A key that sent at these times, s, each in a cell of its own.
fn key(patience: Patience, times_s: &[f64]) -> Silence {
    let mut silence = Silence::new(patience);
    silence.add_key();
    for (cell, time) in times_s.iter().enumerate() {
        silence.row(0, cell as i64, (time * 1e9) as i64);
    }
    silence
}

fn every(gap_s: f64, rows: usize) -> Vec<f64> {
    (0..rows).map(|i| i as f64 * gap_s).collect()
}

#[test]
fn a_rhythm_is_known_after_ten_gaps_and_a_row_due_five_gaps_later() {
    assert_eq!(key(Patience::Learnt, &every(20.0, 10)).next(), i64::MAX, "nine gaps");
    let mut silence = key(Patience::Learnt, &every(20.0, 11));
    assert_eq!(silence.next(), 300 * SECOND);
    assert_eq!(silence.begun(300 * SECOND - 1), []);
    let silent = Silent { key: 0, last_seen: 200 * SECOND, every_ns: 20 * SECOND, due: 300 * SECOND };
    assert_eq!(silence.begun(300 * SECOND), [silent]);
    assert_eq!((silence.begun(i64::MAX), silence.next()), (vec![], i64::MAX), "told once");
    assert_eq!(key(Patience::Learnt, &every(0.5, 11)).next(), 35 * SECOND, "not before 30 s");
}

#[test]
fn with_a_fixed_patience_the_first_row_begins_the_wait() {
    assert_eq!(key(Patience::Fixed(7 * SECOND), &[3.0]).next(), 10 * SECOND);
    assert_eq!(key(Patience::Fixed(7 * SECOND), &[]).next(), i64::MAX, "a key that never sent");
    assert_eq!(key(Patience::Endless, &every(1.0, 50)).next(), i64::MAX);
}

/// Feeds rows at these times, ns, and counts how often the key is called silent before the next one.
fn silences(silence: &mut Silence, from: usize, times: impl Iterator<Item = i64>) -> usize {
    let mut count = 0;
    for (i, time) in times.enumerate() {
        count += silence.begun(time).len();
        silence.row(0, (from + i) as i64, time);
        silence.ended();
    }
    count
}

#[test]
fn bursts_are_a_habit_after_three_and_their_end_is_still_noticed() {
    for (rows, most) in [(3, 0), (10, 0), (20, 3), (500, 3)] {
        let mut silence = key(Patience::Learnt, &[]);
        let times = (0..50 * rows).map(|i| (i / rows * 3_000 + i % rows) * SECOND);
        assert!(silences(&mut silence, 0, times) <= most, "bursts of {rows}");
        let long = 49 * 3_000 * SECOND + 6_000 * SECOND + rows * SECOND;
        assert_eq!(silence.begun(long).len(), usize::from(rows >= 20), "bursts of {rows}");
    }
}

#[test]
fn three_outages_are_forgiven_after_a_thousand_calm_gaps() {
    let mut silence = key(Patience::Learnt, &every(1.0, 20));
    let outages = (1..=3).flat_map(|n| (0..20).map(move |i| (n * 1_000 + i) * SECOND));
    assert_eq!(silences(&mut silence, 20, outages), 3);
    assert!(silence.begun((3_019 + 60) * SECOND).is_empty(), "a habit by now");
    silences(&mut silence, 100, (3_020..4_030).map(|s| s * SECOND));
    assert_eq!(silence.begun((4_029 + 30) * SECOND).len(), 1);
}

#[test]
fn chance_is_given_time() {
    // Exponential gaps of 1 s on average, at the quantiles of a shuffled grid: none may be called silent early.
    let mut time = 0.0;
    let random: Vec<f64> = (0..2_000)
        .map(|i: i32| {
            time += 60.0 * -(1.0 - (f64::from(i) * 0.618_033_988_749_895).fract()).ln();
            time
        })
        .collect();
    let mut silence = key(Patience::Learnt, &random[..20]);
    for (i, time) in random.iter().enumerate().skip(20) {
        let now = (time * 1e9) as i64;
        assert_eq!(silence.begun(now), [], "row {i}");
        silence.row(0, i as i64, now);
    }
}

#[test]
fn who_returns_is_told_of_once_with_the_row_and_the_silence_is_not_learnt() {
    let mut silence = key(Patience::Learnt, &every(20.0, 20));
    let begun = silence.begun(i64::MAX / 2);
    assert_eq!((begun.len(), silence.count()), (1, 1));
    for (cell, time) in [(100, 5_000), (100, 5_001), (101, 5_020)] {
        silence.row(0, cell, time * SECOND);
    }
    assert_eq!(silence.next(), i64::MIN, "there is something to tell");
    assert_eq!(silence.ended(), [(begun[0], 5_000 * SECOND)]);
    assert_eq!((silence.ended(), silence.count()), (vec![], 0));
    assert_eq!(silence.begun(5_119 * SECOND), []);
    let again = silence.begun(5_130 * SECOND);
    assert!((19 * SECOND..21 * SECOND).contains(&again[0].every_ns), "{again:?}");
}

#[test]
fn a_late_row_ends_a_silence_only_if_it_is_newer_than_what_was_seen() {
    let mut silence = key(Patience::Learnt, &every(20.0, 11));
    let begun = silence.begun(400 * SECOND);
    silence.late_row(0, 190 * SECOND);
    assert_eq!(silence.ended(), []);
    silence.late_row(0, 310 * SECOND);
    silence.late_row(0, 305 * SECOND);
    assert_eq!(silence.ended(), [(begun[0], 310 * SECOND)]);
    assert_eq!(silence.next(), 410 * SECOND, "due after the late row");
}
