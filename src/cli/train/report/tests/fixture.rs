//! Facts by hand, and a small plant with a fault nobody told of.

use std::time::Duration;

use ndarray::ArrayView2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::columns::{ColumnFacts, Role};
use super::super::facts::LevelFacts;
use super::super::surprise::{Bar, Surprise, Threshold};
use super::super::windows::{Expected, Trace, WindowFacts};
use super::super::{Data, Facts, Key, Run, Windows};
use crate::engine::train::Seen;
use crate::model::pyramid::{Candidate, Pyramid};

pub const HOSTILE: &str = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&\u{1b}[2J";
const S: i64 = 1_000_000_000;
const START_NS: i64 = 1_767_744_000 * S;

/// When the first bad value came.
pub const PLANTED_NS: i64 = START_NS + 700 * 2 * S;
/// Windows with too few values.
pub const GAPPY: usize = 5;

const CELLS: usize = 32;
const COLUMNS: usize = 3;
/// Cells of each pump, and those between two windows. The fault is in more of these than the share that a fit leaves out.
const CELLS_EACH: usize = 3_000;
const HOP: usize = 3;

pub fn data() -> Data {
    Data {
        cohorts: Vec::new(),
        files: vec!["january.csv.gz".into(), "february.csv".into()],
        rows: 10_800,
        refused: 3,
        seen: Seen { keys: 2, events: 10_700, late: 40, duplicates: 7, windows: 2_600 },
        model: "models/pumps.safetensors".into(),
        checksum: "0123456789abcdef".to_owned(),
        made_on: "2026-01-07".to_owned(),
        seed: None,
        took: Duration::from_millis(412),
    }
}

fn level(
    cells: usize,
    pool: usize,
    dimension: usize,
    held_back: &[(usize, f64)],
    codes: usize,
) -> LevelFacts {
    let candidate = |(codes, l): &(usize, f64)| Candidate { codes: *codes, held_back_log_likelihood: *l };
    let candidates = held_back.iter().map(candidate).collect();
    LevelFacts {
        cells,
        pool,
        looks_back_ns: 2 * S * cells as i64,
        dimension,
        candidates,
        codes,
        tuned: Vec::new(),
    }
}

fn trace(column: &str, values: &[f64], low: f64, high: f64, share: f64) -> Trace {
    let expected = Some(Expected { low, high, share });
    Trace { column: column.to_owned(), unit: Some("mm/s".to_owned()), values: values.to_vec(), expected }
}

fn threshold(p: f64, surprise: f64, beyond: usize) -> Threshold {
    Threshold { p, surprise, beyond, configured: p == 0.001 }
}

fn window(key: &str, end_ns: i64, p_value: f64, values: [f64; 4]) -> WindowFacts {
    let calm = [1.5, f64::NAN, 1.25, 1.375];
    let traces = vec![trace("vibration", &values, 2.1, 3.4, 0.71), trace("flow", &calm, 1.0, 2.0, 0.29)];
    WindowFacts { key: key.to_owned(), end_ns, surprise: -p_value.ln(), p_value, traces, more: 0 }
}

pub fn facts() -> Facts {
    let column = |name: &str, mean, role| ColumnFacts {
        name: name.to_owned(),
        unit: Some("mm/s".to_owned()),
        mean,
        sd: 0.375,
        key_sd: 0.3125,
        missing: 0.0025,
        role,
        still_below: (role == Role::Scored).then_some(0.0625),
    };
    let bars = [(0.0, 0.75), (2.5, 0.2), (5.0, 0.049), (7.5, 0.001)];
    Facts {
        stream: "pumps".to_owned(),
        data: data(),
        window_ns: 64 * S,
        grid_ns: 2 * S,
        cells: CELLS,
        windows_given: 1_300,
        windows_fitted: 1_290,
        levels: vec![
            level(1, 1, 4, &[(1, -1.25), (8, -1.125), (32, -1.1875)], 8),
            level(16, 1, 64, &[(1, 0.5)], 1),
        ],
        left_out: Vec::new(),
        surprise: Surprise {
            references: 1_024,
            median: 0.6875,
            largest: 7.75,
            bars: bars.map(|(from, share)| Bar { from, to: from + 2.5, share }).into(),
            thresholds: vec![threshold(0.01, 4.5, 12), threshold(0.001, 6.75, 2), threshold(0.0001, 9.25, 0)],
        },
        columns: vec![column("vibration", 2.25, Role::Scored), column("valve", 0.5, Role::Flag)],
        typical: vec![window("pump-01", START_NS, 0.75, [2.5, 2.625, 2.75, 2.5])],
        oddest: vec![
            window("pump-02", START_NS + 64 * S, 0.000_025, [2.5, 2.75, 5.5, 7.875]),
            window("pump-01", START_NS + 640 * S, 0.001, [2.5, 2.5, 2.5, f64::NAN]),
        ],
        remarks: Vec::new(),
    }
}

const CONFIG: &str = r#"
[source.file]
type = "replay"
path = "data.csv"
[stream.pumps]
from = "file"
key = "pump"
time = { path = "ts", unit = "s" }
columns.vibration = { path = "vibration", unit = "mm/s" }
columns.pump_on = { path = "on" }
columns.temperature = { path = "temperature", unit = "degC" }
window = { type = "hopping", size = "64s", every = "2s", grid = "2s" }
[sink.out]
type = "stdout"
"#;

/// z units: two readings that follow one slow cause, and between them, by name, a flag.
fn series(rng: &mut ChaCha8Rng, cells: usize) -> Vec<[f32; COLUMNS]> {
    let mut normal = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
    let mut cause = 0.0;
    let mut cell = |at: usize| {
        cause = 0.9 * cause + 0.4 * normal();
        [cause + 0.4 * normal(), f32::from((at / 40).is_multiple_of(2)), 0.5 - 0.8 * cause + 0.6 * normal()]
    };
    (0..cells).map(&mut cell).collect()
}

/// Looks at a run over two pumps; the second vibrates for two minutes as it never does.
pub fn fitted<T>(look: impl FnOnce(&Run<'_>) -> T) -> T {
    let plan = crate::config::parse(CONFIG, "", &Default::default()).expect("a good config");
    // The columns of a plan are in order of name.
    let names: Vec<&str> = plan.streams[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["pump_on", "temperature", "vibration"]);
    let mut stream = plan.streams[0].clone();
    stream.columns.rotate_right(1);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (mut z, mut origins) = (Vec::new(), Vec::new());
    for key in 0..2 {
        let mut cells = series(&mut rng, CELLS_EACH);
        if key == 1 {
            (700..760).for_each(|at| cells[at][0] += 9.0);
        }
        for (first, window) in cells.windows(CELLS).enumerate().step_by(HOP) {
            origins.push((key, START_NS + 2 * S * (first + CELLS) as i64));
            z.extend(window.iter().flatten());
        }
    }
    for row in 0..GAPPY {
        z[row * 100 * CELLS * COLUMNS..][..CELLS * COLUMNS / 2].fill(f32::NAN);
    }
    let view = ArrayView2::from_shape((origins.len(), CELLS * COLUMNS), &z).expect("whole windows");
    let pyramid = Pyramid::fit(view, CELLS, COLUMNS, &[false, true, false]).expect("a fit");
    let key = |name: &str, mean: f32| Key {
        name: name.to_owned(),
        mean: vec![mean, 0.0, 40.0],
        sd: vec![0.5, 1.0, 2.0],
    };
    let keys = [key("pump-1", 3.0), key("pump-2", 4.0)];
    let windows = Windows { z: &z, origins: &origins, keys: &keys };
    look(&Run { stream: &stream, data: data(), pyramid: &pyramid, windows })
}

/// Mean, sd and share of missing cells of a column, the plain way.
pub fn naive(run: &Run<'_>, column: usize) -> (f64, f64, f64) {
    let mut values = Vec::new();
    let width = CELLS * COLUMNS;
    for (row, (key, _)) in run.windows.origins.iter().enumerate() {
        for cell in 0..CELLS {
            let z = f64::from(run.windows.z[row * width + cell * COLUMNS + column]);
            let key = &run.windows.keys[*key];
            values.push(f64::from(key.mean[column]) + z * f64::from(key.sd[column]));
        }
    }
    let all = values.len() as f64;
    values.retain(|value| value.is_finite());
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    (mean, sd, 1.0 - n / all)
}
