//! A fault that grows within ten minutes is told like one that comes at once: what leads up to it does not become normal on
//! the way. What is odd now and then is no such fault, and its key goes on learning.

use std::collections::BTreeSet;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::config::plan::AlarmPlan;
use eddy::engine::{Env, Outputs};
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{PARTITIONS, PartitionId, Position, StreamId};

const TEMPERATURE: usize = 2;
/// When the fault has its full size, s.
const FULL_S: i64 = 3000;
const GROWS_S: i64 = 480;
/// After which second of eight minutes there is a spike: its alert is open when the minute ends.
const SPIKE_S: i64 = 50;

/// One pump whose temperature has risen by this much at `FULL_S`, over so many seconds, and comes back a minute later.
fn rows(rise: f32, over_s: i64) -> Vec<Row> {
    let mut rows = plant::rows(1, FULL_S + 1200, 7, 0..0);
    for row in &mut rows {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        let share = 1.0 - (FULL_S - second).clamp(0, over_s) as f32 / over_s as f32;
        row.values[TEMPERATURE] += if second < FULL_S + 60 { rise * share } else { 0.0 };
    }
    rows
}

/// Of the fault at `FULL_S`. Nothing is rare enough to be told.
fn rarest(rows: &[Row], cut: Option<usize>) -> (f64, BTreeSet<u64>) {
    rarest_from(rows, cut, 1e-12, FULL_S)
}

/// The smallest p-value of a window that ends in the minute of a fault's full size, and the digest of all verdicts.
fn rarest_from(rows: &[Row], cut: Option<usize>, told: f64, full_s: i64) -> (f64, BTreeSet<u64>) {
    let mut plan = plant::plan(1);
    plan.streams[0].alarm = AlarmPlan::PValue(told);
    let mut engine = plant::engine(&plan);
    let mut out = Outputs { judged: Some(Vec::new()), ..Outputs::default() };
    let mut slot = Slot::default();
    for (i, row) in rows.iter().enumerate() {
        if cut == Some(i) {
            let mut fresh = plant::engine(&plan);
            let models = |checksum: &str| (plant::model().checksum() == checksum).then(plant::model);
            for id in (0..PARTITIONS as u8).map(PartitionId) {
                let mut state = Vec::new();
                if engine.save(StreamId(0), id, &mut state) {
                    let (at, state) = (Position(i as u64), StateReader::new(&state));
                    let restored = fresh.restore(StreamId(0), id, at, state, &models, &Env::SIMULATED);
                    restored.expect("it is its own state");
                }
            }
            engine = fresh;
        }
        slot.push(row.record(i as u64));
        engine.step(&slot, &Env::SIMULATED, &mut out);
        slot.clear();
    }
    engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut out);
    let full = full_s..=full_s + 60;
    let judged = out.judged.unwrap_or_default();
    let of_fault = judged.iter().filter(|of| full.contains(&((of.end.0 - START_NS) / SECOND_NS)));
    let rarest = of_fault.map(|of| of.verdict.p_value).fold(1.0, f64::min);
    let mut digests = BTreeSet::new();
    engine.changed(|_, _, counts, _| {
        digests.insert(counts.digest);
    });
    (rarest, digests)
}

#[test]
fn what_leads_up_to_a_fault_does_not_hide_it() {
    for rise in [2.0, 4.0] {
        let (sudden, creeping) = (rarest(&rows(rise, 1), None).0, rarest(&rows(rise, GROWS_S), None).0);
        println!("{rise}: at once {sudden:.1e}, over {GROWS_S} s {creeping:.1e}");
        assert!(sudden < 1e-5, "{sudden}");
        assert!(creeping < 5.0 * sudden, "over {GROWS_S} s {creeping:e}, at once {sudden:e}");
    }
}

/// Faults are told here, each half an hour after the one before, and the last one comes at once: what led up to the others
/// has had the time to become normal, had it not been dropped.
#[test]
fn what_led_up_to_a_fault_that_was_told_is_not_normal_later() {
    let last = |over_s: i64| {
        let mut rows = plant::rows(1, 16 * 1800 + 1900, 7, 0..0);
        for row in &mut rows {
            let second = (row.time_ns - START_NS) / SECOND_NS;
            let (fault, after) = (second / 1800, second % 1800 - 1200);
            let over_s = if fault == 16 { 1 } else { over_s };
            let share = 1.0 + (after as f32 / over_s as f32).min(0.0);
            row.values[TEMPERATURE] += if after < 60 { 4.0 * share.max(0.0) } else { 0.0 };
        }
        rarest_from(&rows, None, 1e-4, 16 * 1800 + 1200).0
    };
    let (sudden, creeping) = (last(1), last(GROWS_S));
    println!("after sudden ones {sudden:.1e}, after ones that grew {creeping:.1e}");
    assert!(sudden < 1e-5, "{sudden}");
    assert!(creeping < 100.0 * sudden, "after faults that grew {creeping:e}, after sudden ones {sudden:e}");
}

/// What waits to be taken for normal is in the snapshot.
#[test]
fn a_restart_while_surprises_wait_changes_no_verdict() {
    let rows = rows(15.0, GROWS_S);
    let cut = Some(rows.len() - 1400);
    assert_eq!(rarest(&rows, None), rarest(&rows, cut));
}

/// Sensors that have aged from 2,000 s on, so that columns agree less than they did, and a spike of one second every eight
/// minutes, which is told each time. Levels and spreads are as before: references alone can learn it.
fn spiky(seconds: i64) -> Vec<Row> {
    let mut rows = plant::rows(1, seconds, 9, 0..0);
    plant::aged(&mut rows, 2000, 0.2, 9);
    for row in &mut rows {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        row.values[TEMPERATURE] += if second > 2000 && second % 480 == SPIKE_S { 60.0 } else { 0.0 };
    }
    rows
}

#[test]
fn a_key_that_is_odd_now_and_then_learns_what_it_does_in_between() {
    let seconds = 24_000;
    let plan = plant::plan(1);
    let mut engine = plant::engine(&plan);
    let mut out = Outputs { judged: Some(Vec::new()), ..Outputs::default() };
    let mut slot = Slot::default();
    for (i, row) in spiky(seconds).iter().enumerate() {
        slot.push(row.record(i as u64));
        engine.step(&slot, &Env::SIMULATED, &mut out);
        slot.clear();
    }
    let judged = out.judged.unwrap_or_default();
    let share = |from: i64, to: i64| {
        let end = |of: &eddy::engine::Judged| (of.end.0 - START_NS) / SECOND_NS;
        let calm = judged.iter().filter(|of| {
            (from..to).contains(&end(of)) && (20..470).contains(&((end(of) - SPIKE_S).rem_euclid(480)))
        });
        let p: Vec<f64> = calm.map(|of| of.verdict.p_value).collect();
        p.iter().filter(|p| **p < 0.01).count() as f64 / p.len() as f64
    };
    let (first, last) = (share(2_500, 4_500), share(20_000, seconds));
    println!("p < 0.01: {first:.3} at first, {last:.3} at last");
    assert!(first > 0.4 && last < 0.15, "{last} of the windows without a spike, {first} at first");
}
