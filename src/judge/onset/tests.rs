use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::state::{StateReader, StateWriter};

const MINUTE_NS: i64 = 60 * 1_000_000_000;

/// What sets in with a row.
fn step(
    rule: &Rule,
    columns: &mut [Records],
    quiet: &mut Quiet,
    cells: &[f32],
    phase: Phase,
) -> Option<Onset> {
    match super::step(rule, columns, quiet, cells, phase)? {
        Found::SetsIn(onset) => Some(onset),
        Found::GoesOn(_) => None,
    }
}

/// One key of a few columns, a row a minute unless told otherwise.
struct Key {
    rule: Rule,
    columns: Vec<Records>,
    quiet: Quiet,
    every_ns: i64,
    row: i64,
}

impl Key {
    fn new(columns: usize, warmup: u32) -> Self {
        Key {
            rule: Rule::new(warmup),
            columns: vec![Records::default(); columns],
            quiet: Quiet::default(),
            every_ns: MINUTE_NS,
            row: 0,
        }
    }

    fn phase(&self) -> Phase {
        Phase::of(EventTime(self.row * self.every_ns))
    }

    fn step(&mut self, cells: &[f32]) -> Option<Onset> {
        let phase = self.phase();
        self.row += 1;
        step(&self.rule, &mut self.columns, &mut self.quiet, cells, phase)
    }

    /// Rows of one column with an onset.
    fn onsets(&mut self, values: impl IntoIterator<Item = f32>) -> Vec<(usize, f64)> {
        values.into_iter().enumerate().filter_map(|(at, v)| Some((at, self.step(&[v])?.score))).collect()
    }
}

/// In (0, 1).
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

fn noise(seed: u64) -> impl Iterator<Item = f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    std::iter::repeat_with(move || uniform(&mut rng) as f32)
}

/// Low at night and high from 8 to 16 o'clock, a row every five minutes.
fn working_day(row: i64) -> f64 {
    if (96..192).contains(&(row % 288)) { 80.0 } else { 20.0 }
}

#[test]
fn a_key_takes_no_more_room_than_promised() {
    assert_eq!((size_of::<Records>(), size_of::<Quiet>()), (80, 16));
}

/// Scores and onsets as `testdata/make.py` gives them, which is where the NAB figures come from.
#[test]
fn agrees_with_the_reference_on_a_series_of_nab() {
    let rule = Rule::new(243);
    let (mut told, mut alone, mut quiet) = ([Records::default()], Records::default(), Quiet::default());
    let (mut records, mut onsets) = (0, Vec::new());
    for (row, line) in include_str!("testdata/nab_exchange.csv").lines().skip(1).enumerate() {
        let field: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
        let phase = Phase::of(EventTime(field[0] as i64 * 1_000_000_000));
        let score = alone.observe(field[1] as f32, phase, &rule).score();
        assert!((score - field[2]).abs() <= 1e-9 * field[2], "row {row}: {score}, not {}", field[2]);
        let onset = step(&rule, &mut told, &mut quiet, &[field[1] as f32], phase);
        assert_eq!(onset.is_some(), field[3] == 1.0, "row {row}");
        records += usize::from(score > 0.0);
        onsets.extend(onset.map(|onset| (row, onset.score == score)));
    }
    assert_eq!((records, onsets), (13, vec![(355, true), (605, true)]));
}

/// What comes later changes no score, and neither does a restart in between.
#[test]
fn a_score_knows_only_what_came_before() {
    let values: Vec<f32> = noise(1).take(4000).collect();
    let mut whole = Key::new(1, 100);
    let all: Vec<Option<Onset>> = values.iter().map(|v| whole.step(&[v + v * v])).collect();
    assert!(all.iter().flatten().count() > 1);
    for cut in [1, 19, 100, 1441, 3999] {
        let mut key = Key::new(1, 100);
        let before: Vec<Option<Onset>> = values[..cut].iter().map(|v| key.step(&[v + v * v])).collect();
        assert_eq!(before, all[..cut]);
        let mut bytes = Vec::new();
        key.columns[0].encode(&mut StateWriter(&mut bytes));
        key.quiet.encode(&mut StateWriter(&mut bytes));
        assert_eq!(bytes.len(), Records::BYTES + Quiet::BYTES);
        let mut from = StateReader::new(&bytes);
        let restored = (Records::decode(&mut from).unwrap(), Quiet::decode(&mut from).unwrap());
        assert_eq!(restored, (key.columns[0], key.quiet));
        assert_eq!(from.end(), Ok(()));
        (key.columns[0], key.quiet) = restored;
        let after: Vec<Option<Onset>> = values[cut..].iter().map(|v| key.step(&[v + v * v])).collect();
        assert_eq!(after, all[cut..]);
    }
}

#[test]
fn bytes_of_something_else_are_refused() {
    let mut bytes = Vec::new();
    Records::default().encode(&mut StateWriter(&mut bytes));
    assert!(Records::decode(&mut StateReader::new(&bytes[1..])).is_err());
    *bytes.last_mut().unwrap() = PHASES as u8;
    assert!(Records::decode(&mut StateReader::new(&bytes)).is_err());
}

/// The new level lasts 4000 rows and is told once, at its first row.
#[test]
fn a_step_is_one_onset() {
    for (seed, height) in [(2, 5.0), (3, -5.0), (4, 1.0), (5, -1.0)] {
        let mut key = Key::new(1, 500);
        let level = |row: usize| if row < 2000 { 0.0 } else { height };
        let told = key.onsets(noise(seed).take(6000).enumerate().map(|(row, v)| v + level(row)));
        let near: Vec<usize> = told.iter().map(|(row, _)| *row).filter(|row| *row >= 1900).collect();
        assert_eq!(near.len(), 1, "{height}: {told:?}");
        assert!((2000..2010).contains(&near[0]), "{height}: {told:?}");
    }
}

/// The quiet time of a warm-up of 500 rows is 200 rows.
#[test]
fn what_comes_again_is_told_when_stronger_or_later() {
    for (row, height, told) in [(1050, 3.0, 1), (1200, 3.0, 1), (1201, 3.0, 2), (1050, 30.0, 2)] {
        let mut key = Key::new(1, 500);
        let spikes = noise(6).take(1300).enumerate().map(|(at, v)| match at {
            1000 => v + 2.0,
            _ if at == row => v + height,
            _ => v,
        });
        let found = key.onsets(spikes);
        assert_eq!(found.iter().filter(|(row, _)| *row >= 1000).count(), told, "{row}: {found:?}");
    }
}

/// Of exponential noise a record goes beyond the last one by an exponential of mean 1, and the range after
/// `t` values is about `H_t = 1 + 1/2 + ... + 1/t` wide. So the values alone are to give
/// `sum over t of exp(-0.05 sqrt(warmup/t) H_t) / t` onsets. The mean, of which the same holds at half the
/// weight, adds less than as many again, and the hours half as many.
#[test]
fn noise_gives_as_many_onsets_as_records_promise() {
    const WARMUP: u32 = 200;
    const ROWS: u32 = 20_000;
    const KEYS: u64 = 100;
    let (mut harmonic, mut promised) = (0.0, 0.0);
    for t in 1..ROWS {
        if t >= WARMUP {
            promised += (-0.05 * (f64::from(WARMUP) / f64::from(t)).sqrt() * harmonic).exp() / f64::from(t);
        }
        harmonic += 1.0 / f64::from(t);
    }
    for (every_ns, most) in [(0, 2.0), (MINUTE_NS, 2.5)] {
        let mut told = 0;
        for seed in 0..KEYS {
            let mut key = Key::new(1, WARMUP);
            key.every_ns = every_ns;
            told += key.onsets(noise(seed).take(ROWS as usize).map(|v| -v.ln())).len();
        }
        let mean = told as f64 / KEYS as f64;
        assert!((promised..most * promised).contains(&mean), "{mean} onsets a key, {promised} promised");
    }
}

/// Sixteen columns of one key have sixteen times the records of one, but not the onsets of sixteen keys.
#[test]
fn columns_share_the_chances_of_a_key() {
    const COLUMNS: usize = 16;
    let told = |columns: &[u64]| -> usize {
        let mut noises: Vec<_> = columns.iter().map(|seed| noise(*seed)).collect();
        let mut key = Key::new(columns.len(), 200);
        let rows = (0..20_000).map(|_| {
            let cells: Vec<f32> = noises.iter_mut().map(|noise| -noise.next().unwrap().ln()).collect();
            key.step(&cells)
        });
        rows.flatten().count()
    };
    let seeds: [u64; COLUMNS] = std::array::from_fn(|column| column as u64);
    let (together, apart) = (told(&seeds), seeds.iter().map(|seed| told(&[*seed])).sum::<usize>());
    assert!(2 * together < apart, "{together} of one key, {apart} of {COLUMNS}");
}

#[test]
fn the_column_is_named() {
    let (mut a, mut b) = (noise(7), noise(8));
    let mut key = Key::new(2, 500);
    let quiet: Vec<Onset> =
        (0..1000).filter_map(|_| key.step(&[a.next().unwrap(), b.next().unwrap()])).collect();
    let onset = key.step(&[0.5, -9.0]).unwrap();
    assert_eq!(onset.column, 1, "{quiet:?}");
}

#[test]
fn a_missing_cell_changes_nothing() {
    let mut key = Key::new(2, 100);
    for v in noise(9).take(1000).chain([9.0]) {
        key.step(&[v, f32::NAN]);
    }
    assert_eq!(key.quiet.since, 0, "an onset");
    assert_eq!(key.columns[1], Records::default());
    let before = (key.columns.clone(), key.quiet);
    for nothing in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(key.step(&[nothing, nothing]), None);
    }
    assert_eq!((key.columns.clone(), key.quiet), before);
    let mut gaps = Key::new(1, 100);
    let mut dense = Key::new(1, 100);
    (gaps.every_ns, dense.every_ns) = (0, 0);
    for v in noise(10).take(3000) {
        gaps.step(&[f32::NAN]);
        assert_eq!(gaps.step(&[v]), dense.step(&[v]));
    }
}

/// A day that stays as low as the night: no value is a record, but it is one for the hours. They are known
/// from the seventh day on, which is day 6.
#[test]
fn what_should_have_come_is_missed() {
    for (without, told) in [(-1, 0), (5, 0), (6, 1), (10, 1)] {
        let mut key = Key::new(1, 600);
        key.every_ns = 5 * MINUTE_NS;
        let value = |row: i64| if row / 288 == without { 20.0 } else { working_day(row) };
        let found = key.onsets((0..14 * 288).zip(noise(11)).map(|(row, v)| value(row) as f32 + v));
        assert_eq!(found.len(), told, "day {without}: {found:?}");
        let hours = found.iter().map(|(row, _)| (*row as i64 - without * 288) / 12);
        assert!(hours.clone().all(|hour| (8..16).contains(&hour)), "day {without}: {found:?}");
    }
}

#[test]
fn a_small_ripple_on_a_large_value_is_still_seen() {
    let mut key = Key::new(1, 100);
    let told = key.onsets(noise(12).take(2000).map(|v| 101_325.0 + v).chain([101_330.0]));
    assert_eq!(told.last().map(|(row, _)| *row), Some(2000), "{told:?}");
    // A value that never moved may change in its last bits.
    let mut still = Key::new(1, 100);
    let last = still.onsets(std::iter::repeat_n(101_325.0, 500).chain([101_325.01; 50]));
    assert_eq!(last.len(), 1);
    assert!(last[0].1 < 1.0, "{last:?}");
}

#[test]
fn a_day_has_six_phases_also_before_1970() {
    let phase = |hours: i64| Phase::of(EventTime(hours * 60 * MINUTE_NS));
    assert_eq!([0, 3, 4, 23, 24, -1].map(|h| phase(h).0), [0, 0, 1, 5, 0, 5]);
}
