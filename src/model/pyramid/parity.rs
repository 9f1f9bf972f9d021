//! Held to the numpy prototype: series run by it (`fixtures/make.py`), scored here, compared row by row.

use ndarray::Array2;

use super::{Pyramid, Scores, Settings, Work};

/// Cells of the windows: as far as the prototype ever looks back.
const CELLS: usize = 64;

struct Fixture {
    columns: usize,
    prefix: usize,
    /// pool, blocks, codes
    levels: Vec<[usize; 3]>,
    starts: Vec<((usize, usize), Vec<usize>)>,
    z: Vec<f32>,
    state: Vec<f32>,
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        *head
    }

    fn number(&mut self) -> usize {
        u32::from_le_bytes(self.take()) as usize
    }
}

fn read(bytes: &[u8]) -> Fixture {
    let mut from = Bytes(bytes);
    let [rows, columns, prefix, levels] = std::array::from_fn(|_| from.number());
    let levels = (0..levels).map(|_| std::array::from_fn(|_| from.number())).collect();
    let starts = (0..from.number())
        .map(|_| {
            let key = (from.number(), from.number());
            (key, (0..key.1).map(|_| usize::from(u16::from_le_bytes(from.take()))).collect())
        })
        .collect();
    let z = (0..rows * columns).map(|_| f32::from(i16::from_le_bytes(from.take())) / 1024.0).collect();
    let state = (0..rows).map(|_| f32::from_le_bytes(from.take())).collect();
    Fixture { columns, prefix, levels, starts, z, state }
}

/// The window that ends in each row, padded with the first row as the prototype pads.
fn windows(fixture: &Fixture) -> Array2<f32> {
    let d = fixture.columns;
    Array2::from_shape_fn((fixture.state.len(), CELLS * d), |(row, at)| {
        let cell = (row + 1 + at / d).saturating_sub(CELLS);
        fixture.z[cell * d + at % d]
    })
}

/// Relative differences of the states, in order of size.
fn compare(bytes: &[u8]) -> Vec<f64> {
    let fixture = read(bytes);
    let windows = windows(&fixture);
    let starts = |rows: usize, codes: usize| {
        fixture.starts.iter().find(|(key, _)| *key == (rows, codes)).unwrap().1.clone()
    };
    let settings = Settings {
        ramp: true,
        knots: usize::MAX,
        still: false,
        joint: false,
        folds: 0,
        trim: 0.0,
        codes: true,
        large: false,
        tune: None,
    };
    let prefix = windows.slice(ndarray::s![..fixture.prefix, ..]);
    let shape = (CELLS, fixture.columns, &vec![false; fixture.columns][..]);
    let pyramid = Pyramid::fit_from(prefix, shape, &settings, &starts).unwrap();
    let found: Vec<[usize; 3]> = pyramid
        .levels
        .iter()
        .map(|l| {
            let chosen =
                l.candidates.iter().copied().reduce(|a, b| {
                    if b.held_back_log_likelihood > a.held_back_log_likelihood { b } else { a }
                });
            [l.shape.pool, l.shape.blocks, chosen.unwrap().codes]
        })
        .collect();
    assert_eq!(found, fixture.levels);
    let mut scores = Scores::default();
    pyramid.score(windows.as_slice().unwrap(), &mut scores, &mut Work::new());
    // Pooled blocks of the first rows are means of fewer rows in the prototype, of padding here.
    let first = if fixture.columns > 4 { 16 } else { 0 };
    let pairs = scores.state.iter().zip(&fixture.state).skip(first);
    let mut off: Vec<f64> =
        pairs.map(|(a, b)| f64::from((a - b).abs()) / f64::from(b.abs()).max(1e-3)).collect();
    off.sort_by(f64::total_cmp);
    off
}

/// All but a few rows to 1e-4. The few: where two energies (or two codes) are as close as f32 rounds, a
/// count of references (or the nearest code) is one off.
fn check(bytes: &[u8], name: &str) {
    let off = compare(bytes);
    let within = |limit: f64| off.partition_point(|d| *d <= limit) as f64 / off.len() as f64;
    eprintln!(
        "{name}: median {:e}, 1e-4: {}, largest {:e}",
        off[off.len() / 2],
        within(1e-4),
        off[off.len() - 1]
    );
    assert!(within(1e-4) > 0.999);
    assert!(within(0.02) == 1.0);
}

#[test]
fn one_column_matches_the_prototype() {
    check(include_bytes!("testdata/nab.bin"), "nab");
}

#[test]
fn eight_columns_match_the_prototype() {
    check(include_bytes!("testdata/skab.bin"), "skab");
}

#[test]
fn many_columns_match_the_prototype() {
    check(include_bytes!("testdata/asd.bin"), "asd");
}
