//! What the engine says of single columns: bands hold what they promise, and the column at fault is named first.

use std::sync::Arc;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::engine::train::Trainer;
use eddy::engine::{Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{AlertState, Point, Position, StreamId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KEYS: usize = 24;
const COLUMNS: usize = 4;

/// Points of every window of these rows, and the alerts that were raised: key, and the column named.
fn judged(mut engine: Engine, rows: &[Row]) -> (Vec<Point>, Vec<(String, usize)>) {
    let env = Env { follows: &|_, _| true, ..Env::SIMULATED };
    let (mut slot, mut out) = (Slot::default(), Outputs::default());
    rows.iter().enumerate().for_each(|(i, row)| slot.push(row.record(i as u64)));
    engine.step(&slot, &env, &mut out);
    engine.end_of_input(StreamId(0), Position(u64::MAX), &env, &mut out);
    let raised = out.raised.iter().map(|raised| &raised.decision).filter(|d| d.state == AlertState::Raised);
    let named = |d: &eddy::types::Decision| {
        let shares: Vec<f64> = d.columns().iter().map(|column| column.share).collect();
        (d.key.clone(), largest(&shares))
    };
    (out.points, raised.map(named).collect())
}

fn largest<T: PartialOrd>(shares: &[T]) -> usize {
    (0..shares.len()).reduce(|a, b| if shares[b] > shares[a] { b } else { a }).expect("columns")
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// t-distributed with three degrees of freedom: tails that a normal distribution does not have.
fn heavy(rng: &mut ChaCha8Rng) -> f64 {
    let chi: f64 = (0..3).map(|_| normal(rng).powi(2)).sum();
    normal(rng) / (chi / 3.0).sqrt()
}

/// Four columns that know nothing of each other: an AR(1), a season of 40 s with noise, one of heavy tails, and one that
/// rests at 1 but for a burst now and then.
fn unlike(seconds: i64, seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut ar = [0.0; KEYS];
    let mut rows = Vec::new();
    for second in 0..seconds {
        for (key, ar) in ar.iter_mut().enumerate() {
            *ar = 0.8 * *ar + 0.6 * normal(&mut rng);
            let season = ((second + 5 * key as i64) as f64 * std::f64::consts::TAU / 40.0).sin();
            let burst = if rng.random::<f64>() < 0.03 { 3.0 + normal(&mut rng) } else { 0.0 };
            let values = [
                50.0 + 4.0 * *ar,
                10.0 + 3.0 * season + 0.5 * normal(&mut rng),
                heavy(&mut rng),
                1.0 + burst + 0.01 * normal(&mut rng),
            ];
            let time_ns = START_NS + second * SECOND_NS + key as i64 * 7_000_000;
            rows.push(Row { key: format!("pump-{key}"), time_ns, values: values.map(|v| v as f32) });
        }
    }
    rows
}

fn trained(rows: &[Row]) -> Engine {
    let mut trainer = Trainer::new(&plant::plan(1).streams[0]);
    rows.iter().enumerate().for_each(|(i, row)| trainer.push(&row.record(i as u64)));
    let mut engine = Engine::new(&plant::plan(1));
    engine.activate(StreamId(0), Arc::new(trainer.finish().expect("enough rows"))).expect("of this plan");
    engine
}

/// Share of the values inside their band, by column.
fn within(points: &[Point]) -> [f64; COLUMNS] {
    let sure: Vec<&Point> = points.iter().filter(|point| point.confident).collect();
    assert!(sure.len() > 5000, "{}", sure.len());
    std::array::from_fn(|c| {
        let within = sure.iter().filter(|p| (p.low[c]..=p.high[c]).contains(&p.values[c])).count();
        within as f64 / sure.len() as f64
    })
}

#[test]
fn bands_hold_95_percent_of_normal_values() {
    let unlike = within(&judged(trained(&unlike(1200, 1)), &self::unlike(900, 2)).0);
    let alike = within(&judged(plant::engine(&plant::plan(1)), &plant::rows(KEYS, 900, 7, 0..0)).0);
    eprintln!("columns that are unlike: {unlike:?}; that go together: {alike:?}");
    for share in unlike.into_iter().chain(alike) {
        assert!((share - 0.95).abs() < 0.02, "{unlike:?} {alike:?}");
    }
}

const FAULT_S: std::ops::Range<i64> = 200..260;
/// A window, so that the last ones before the end see nothing else.
const WINDOW_S: i64 = 16;

/// In how many of the odd windows inside a fault its column is named first, and of how many; the same of alerts.
fn named(fault: impl Fn(&mut Row, &Row, usize)) -> [(usize, usize); 2] {
    let (mut of_windows, mut of_alerts) = ((0, 0), (0, 0));
    for seed in 0..3 {
        let mut rows = plant::rows(KEYS, 300, 40 + seed, 0..0);
        let inside = |row: &Row| FAULT_S.contains(&((row.time_ns - START_NS) / SECOND_NS));
        let first = rows.iter().position(inside).expect("a first row");
        let held = rows[first..first + KEYS].to_vec();
        for row in rows.iter_mut().filter(|row| inside(row)) {
            let key = key_of(row.key.as_bytes());
            fault(row, &held[key], key % COLUMNS);
        }
        let (points, alerts) = judged(plant::engine(&plant::plan(1)), &rows);
        let full = (START_NS + (FAULT_S.start + WINDOW_S) * SECOND_NS)..=(START_NS + FAULT_S.end * SECOND_NS);
        for point in points.iter().filter(|p| full.contains(&p.time.0) && p.anomalous && p.confident) {
            of_windows.0 += usize::from(largest(&point.share) == key_of(&point.key) % COLUMNS);
            of_windows.1 += 1;
        }
        for (key, column) in alerts {
            of_alerts.0 += usize::from(column == key_of(key.as_bytes()) % COLUMNS);
            of_alerts.1 += 1;
        }
    }
    [of_windows, of_alerts]
}

fn key_of(key: &[u8]) -> usize {
    std::str::from_utf8(key).expect("text")["pump-".len()..].parse().expect("a number")
}

/// Of two thirds of the keys at least an alert is told, and whoever is named is named rightly.
fn check(what: &str, fault: impl Fn(&mut Row, &Row, usize)) {
    let [windows, alerts] = named(fault);
    eprintln!("{what}: {} of {} windows, {} of {} alerts", windows.0, windows.1, alerts.0, alerts.1);
    assert!(windows.1 > 500 && alerts.1 >= 2 * KEYS, "{what}: {windows:?} {alerts:?}");
    for (right, of) in [windows, alerts] {
        assert!(100 * right >= 95 * of, "{what}: {right} of {of}");
    }
}

const MEAN: [f32; COLUMNS] = [20.0, 5.0, 60.0, 2.5];
const SD: [f32; COLUMNS] = [4.0, 1.0, 5.0, 0.5];

#[test]
fn a_column_that_jumps_is_named_first() {
    check("jump", |row, _, column| row.values[column] += 6.0 * SD[column]);
}

#[test]
fn a_column_that_freezes_is_named_first() {
    check("frozen", |row, held, column| row.values[column] = held.values[column]);
}

#[test]
fn a_column_that_goes_against_the_others_is_named_first() {
    check("broken relation", |row, _, column| row.values[column] = 2.0 * MEAN[column] - row.values[column]);
}

#[test]
fn an_alert_shows_the_cell_that_was_off_and_not_the_last() {
    let mut rows = plant::rows(KEYS, 300, 40, 0..0);
    let at_ns = START_NS + 200 * SECOND_NS;
    let hit = |row: &Row| (at_ns..at_ns + SECOND_NS).contains(&row.time_ns) && row.key == "pump-3";
    let row = rows.iter_mut().find(|row| hit(row)).expect("a row");
    // Beyond what is told apart when windows are scored: an alert shows the reading as it came.
    row.values[1] += 40.0 * SD[1];
    let value = f64::from(row.values[1]);
    let (mut slot, mut out) = (Slot::default(), Outputs::default());
    rows.iter().enumerate().for_each(|(i, row)| slot.push(row.record(i as u64)));
    plant::engine(&plant::plan(1)).step(&slot, &Env::SIMULATED, &mut out);
    let raised = out.raised.iter().map(|raised| &raised.decision).find(|decision| decision.key == "pump-3");
    let decision = raised.expect("an alert");
    let (_, end) = decision.span().expect("a window");
    let named = &decision.columns()[1];
    assert!(named.share > 0.5 && end.0 > at_ns + SECOND_NS, "{decision:#?}");
    assert_eq!((named.cell_end.map(|end| end.0), named.value), (Some(at_ns + SECOND_NS), Some(value)));
    assert!(named.expected_low < named.expected && named.expected < named.expected_high, "{named:?}");
    assert!((named.expected - f64::from(MEAN[1])).abs() < 6.0 * f64::from(SD[1]), "{named:?}");
    assert!(named.expected_high < value, "{named:?}");
    let other = &decision.columns()[0];
    assert_eq!(other.cell_end, Some(end), "what has no part in it is told of as it is now");
}
