//! What a key's levels and spreads learn while something about it is odd, and what they do not forget.

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::engine::{Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{Point, Position, StreamId};

const FLOW: usize = 0;
const TEMPERATURE: usize = 2;
/// About six sd of a pump's temperature.
const FAULT: f32 = 30.0;
/// One and a half of its flow.
const DRIFT: f32 = 6.0;

/// What was seen of a column at a window's end, and the band it was expected in.
struct Seen {
    second: i64,
    value: f32,
    expected: f32,
    width: f32,
}

fn second(row: &Row) -> i64 {
    (row.time_ns - START_NS) / SECOND_NS
}

fn seen(rows: &[Row], column: usize) -> Vec<Seen> {
    let env = Env { follows: &|_, _| true, ..Env::SIMULATED };
    let mut engine = plant::engine(&plant::plan(1));
    let (mut out, mut slot) = (Outputs::default(), Slot::default());
    for (i, row) in rows.iter().enumerate() {
        slot.push(row.record(i as u64));
        engine.step(&slot, &env, &mut out);
        slot.clear();
    }
    engine.end_of_input(StreamId(0), Position(u64::MAX), &env, &mut out);
    let of = |point: &Point| Seen {
        second: (point.time.0 - START_NS) / SECOND_NS,
        value: point.values[column],
        expected: point.expected[column],
        width: point.high[column] - point.low[column],
    };
    out.points.iter().map(of).collect()
}

fn mean(seen: &[Seen], from: i64, to: i64, of: fn(&Seen) -> f32) -> f32 {
    let some: Vec<f32> = seen.iter().filter(|one| (from..to).contains(&one.second)).map(of).collect();
    assert!(some.len() > 50, "{} windows from {from} to {to}", some.len());
    some.iter().sum::<f32>() / some.len() as f32
}

/// The temperature is far off for more than an hour, in which the flow takes a level of its own, too.
#[test]
fn a_column_goes_on_learning_while_another_one_is_odd() {
    let mut rows = plant::rows(1, 5600, 6, 0..0);
    for row in &mut rows {
        row.values[TEMPERATURE] += if (600..5000).contains(&second(row)) { FAULT } else { 0.0 };
        row.values[FLOW] += if second(row) >= 600 { DRIFT } else { 0.0 };
    }
    let off = |one: &Seen| one.value - one.expected;
    let flow = mean(&seen(&rows, FLOW), 5300, 5600, off);
    let temperature = mean(&seen(&rows, TEMPERATURE), 4700, 5000, off);
    println!("flow off by {flow}, temperature by {temperature}");
    assert!(flow < DRIFT / 2.0, "the flow's new level is no news any more, but it is off by {flow}");
    assert!(
        temperature > 2.0 * FAULT / 3.0,
        "what is wrong is not learnt, but it is off by {temperature} only"
    );
}

/// One second of each minute is far off, for more than an hour: the others of its minute do not make up for it.
#[test]
fn a_spike_a_minute_does_not_teach_its_own_width() {
    let mut rows = plant::rows(1, 5600, 6, 0..0);
    for row in rows.iter_mut().filter(|row| second(row) >= 600 && second(row) % 60 == 30) {
        row.values[TEMPERATURE] += 60.0;
    }
    let seen = seen(&rows, TEMPERATURE);
    let width = |from, to| mean(&seen, from, to, |one| one.width);
    let (before, after) = (width(100, 600), width(5100, 5600));
    println!("width of the band {before} before, {after} after");
    assert!(after < 1.05 * before, "{after} after an hour of spikes, {before} before");
}

#[test]
fn a_quiet_time_does_not_narrow_what_was_trained() {
    let mut rows = plant::rows(1, 6000, 6, 0..0);
    for row in rows.iter_mut().filter(|row| second(row) >= 600) {
        row.values[TEMPERATURE] = 60.0 + 0.5 * (row.values[TEMPERATURE] - 60.0);
    }
    let seen = seen(&rows, TEMPERATURE);
    let width = |from, to| mean(&seen, from, to, |one| one.width);
    let (before, after) = (width(100, 600), width(5500, 6000));
    println!("width of the band {before} before, {after} after");
    assert!(after > 0.98 * before, "{after} after a quiet time, {before} before");
}
