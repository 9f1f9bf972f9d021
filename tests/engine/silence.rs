//! Keys that fall silent, against a plain account of every key's rows; and partitions that nothing comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::config::plan::{NoDataPlan, Plan};
use eddy::engine::{Counts, Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::types::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LATENESS_S: i64 = 8;

/// A silence: key, last row, when it was due, and the row that ended it.
type Silence = (String, i64, i64, Option<i64>);

fn plan(shards: usize, no_data: NoDataPlan) -> Plan {
    let mut plan = plant::plan(shards);
    plan.streams[0].no_data = no_data;
    plan
}

fn row(key: usize, time_ns: i64) -> Row {
    Row { key: format!("key-{key}"), time_ns, values: [time_ns as f32, 1.0, 2.0, 3.0] }
}

/// Each key sends in its own rhythm with some jitter, or at random, and falls silent now and then.
fn sent(keys: usize, seconds: i64, seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Vec::new();
    for key in 0..keys {
        let every_ms = [300, 1_000, 2_500, 7_000, 20_000][rng.random_range(0..5)];
        let regular = rng.random_range(0..4) > 0;
        let mut time = rng.random_range(0..20_000);
        while time < seconds * 1_000 {
            rows.push(row(key, START_NS + time * 1_000_000));
            time += if regular {
                every_ms + rng.random_range(0..=every_ms / 4)
            } else {
                rng.random_range(1..=every_ms * 6)
            };
            if rng.random_range(0..60) == 0 {
                time += rng.random_range(0..seconds * 300);
            }
        }
    }
    rows.sort_by_key(|row| row.time_ns);
    rows
}

/// Delays rows so that they arrive out of order, but never behind their watermark.
fn disordered(rows: &[Row], seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut keyed: Vec<(i64, Row)> = rows
        .iter()
        .map(|row| (row.time_ns + rng.random_range(0..LATENESS_S * SECOND_NS), row.clone()))
        .collect();
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, row)| row).collect()
}

struct Run {
    engines: Vec<Engine>,
    out: Outputs,
    position: u64,
}

impl Run {
    fn new(plan: &Plan) -> Self {
        let engines = (0..plan.shards).map(|_| plant::engine(plan)).collect();
        Run { engines, out: Outputs::default(), position: 0 }
    }

    fn step(&mut self, rows: &[Row], batch: usize) {
        let shards = self.engines.len();
        for chunk in rows.chunks(batch) {
            let mut slots: Vec<Slot> = (0..shards).map(|_| Slot::default()).collect();
            for row in chunk {
                let record = row.record(self.position);
                slots[PartitionId::of(record.key_hash).shard(shards)].push(record);
                self.position += 1;
            }
            for (engine, slot) in self.engines.iter_mut().zip(&slots) {
                engine.step(slot, &Env::SIMULATED, &mut self.out);
            }
        }
    }

    fn idle(&mut self, at_ns: i64, after_s: i64) {
        let idle = Idle { at: Arrival(at_ns), after_ns: after_s * SECOND_NS };
        for engine in &mut self.engines {
            engine.idle(StreamId(0), Position(self.position), idle, &Env::SIMULATED, &mut self.out);
        }
    }

    fn end(&mut self) {
        for engine in &mut self.engines {
            engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut self.out);
        }
    }

    fn counts(&mut self) -> BTreeMap<u8, Counts> {
        let mut counts = BTreeMap::new();
        for engine in &mut self.engines {
            engine.changed(|_, partition, c, _| {
                counts.insert(partition.0, *c);
            });
        }
        counts
    }

    /// What was told, in order of partition.
    fn told(&self) -> Vec<Decision> {
        let mut told: Vec<Decision> = self.out.raised.iter().map(|raised| raised.decision.clone()).collect();
        told.sort_by_key(|decision| PartitionId::of(key_hash(decision.key.as_bytes())).0);
        told
    }
}

/// Puts the revisions together, each checked against what it must be.
fn silences(told: &[Decision]) -> Vec<Silence> {
    let mut found: BTreeMap<&str, Silence> = BTreeMap::new();
    for decision in told {
        let Some(about) = decision.silence() else { continue };
        let now: Silence =
            (decision.key.clone(), about.last_seen.0, about.due.0, about.resumed.map(|time| time.0));
        assert_eq!((decision.onset, decision.rule.as_str()), (about.last_seen, "no_data"));
        match found.get_mut(decision.id.as_str()) {
            None => {
                assert_eq!((decision.revision, decision.state, now.3), (1, AlertState::Raised, None));
                found.insert(&decision.id, now);
            }
            Some(raised) => {
                assert_eq!((decision.revision, decision.state), (2, AlertState::Resolved));
                assert!(raised.3.is_none() && now.3.is_some(), "ended twice: {decision:?}");
                assert_eq!((&raised.0, raised.1, raised.2), (&now.0, now.1, now.2));
                *raised = now;
            }
        }
    }
    let mut found: Vec<Silence> = found.into_values().collect();
    found.sort();
    found
}

/// By the rules as the README tells them, key by key over all of its rows, with no watermark in sight.
/// `end`: up to where cells are final, by partition.
fn by_hand(rows: &[Row], no_data: NoDataPlan, end: impl Fn(&str) -> i64) -> Vec<Silence> {
    let mut keys: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    rows.iter().for_each(|row| keys.entry(&row.key).or_default().push(row.time_ns));
    let mut silences = Vec::new();
    for (key, mut times) in keys {
        times.sort_unstable();
        let cells: Vec<&[i64]> =
            times.chunk_by(|a, b| a.div_euclid(SECOND_NS) == b.div_euclid(SECOND_NS)).collect();
        let mut rhythm = ByHand::default();
        for (i, cell) in cells.iter().enumerate() {
            let last = cell[cell.len() - 1];
            let wait = match no_data {
                NoDataPlan::Off => None,
                NoDataPlan::After(wait) => Some(wait.as_nanos() as i64),
                NoDataPlan::Learn => rhythm.wait(),
            };
            let next = cells.get(i + 1).map(|cell| cell[0]);
            if let Some(due) = wait.map(|wait| last + wait) {
                // The first end of a cell at which it was due.
                let noticed = (due + SECOND_NS - 1).div_euclid(SECOND_NS) * SECOND_NS;
                let until = next.map_or(end(key), |next| next.div_euclid(SECOND_NS) * SECOND_NS);
                if noticed <= until {
                    silences.push((key.to_owned(), last, due, next));
                }
            }
            if let Some(next) = next {
                rhythm.gap(next - last);
            }
        }
    }
    silences.sort();
    silences
}

/// The rhythm of a key.
#[derive(Default)]
struct ByHand {
    mean: f32,
    deviation: f32,
    gaps: u32,
    calm: u32,
    pauses: Vec<f32>,
}

impl ByHand {
    fn base(&self) -> Option<f64> {
        let (mean, deviation) = (f64::from(self.mean), f64::from(self.deviation));
        (self.gaps >= 10 && deviation <= mean).then(|| (5.0 * (mean + 3.0 * deviation)).max(30e9))
    }

    fn wait(&self) -> Option<i64> {
        let longest = self.pauses.iter().fold(0.0f32, |a, b| a.max(*b));
        let habit = if self.pauses.len() >= 3 { 2.0 * f64::from(longest) } else { 0.0 };
        self.base().map(|base| base.max(habit) as i64)
    }

    fn gap(&mut self, ns: i64) {
        let gap = ns as f32;
        if self.base().is_some_and(|base| f64::from(gap) > base) {
            self.pauses.push(gap);
            self.calm = 0;
            return;
        }
        self.calm += 1;
        if self.calm >= 1_000 {
            self.pauses.clear();
        }
        self.gaps += 1;
        let weight = 1.0 / self.gaps.min(16) as f32;
        if self.gaps > 1 {
            self.deviation += weight * ((gap - self.mean).abs() - self.deviation);
        }
        self.mean += weight * (gap - self.mean);
    }
}

/// Where the last cell of a key's partition ends: ends of input make it final.
fn last_cell_end(rows: &[Row], key: &str) -> i64 {
    let partition = |key: &str| PartitionId::of(key_hash(key.as_bytes()));
    let own = rows.iter().filter(|row| partition(&row.key) == partition(key));
    own.map(|row| row.time_ns.div_euclid(SECOND_NS) + 1).max().unwrap_or(0) * SECOND_NS
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn silences_are_those_of_a_plain_account(
        seed in any::<u64>(),
        batch in 1..500usize,
        shards in 1..4usize,
        wait in prop::option::of(3..90u64),
    ) {
        let no_data = wait.map_or(NoDataPlan::Learn, |s| NoDataPlan::After(Duration::from_secs(s)));
        let rows = sent(90, 900, seed);
        let mut run = Run::new(&plan(shards, no_data));
        run.step(&disordered(&rows, seed), batch);
        run.end();
        let expected = by_hand(&rows, no_data, |key| last_cell_end(&rows, key));
        prop_assert!(expected.len() > 20, "too few silences to prove anything: {}", expected.len());
        prop_assert!(expected.iter().any(|silence| silence.3.is_some()));
        prop_assert_eq!(silences(&run.told()), expected.clone());
        let open = expected.iter().filter(|silence| silence.3.is_none()).count() as u64;
        prop_assert_eq!(run.counts().values().map(|c| c.keys_silent).sum::<u64>(), open);
        let mut other = Run::new(&plan(1, no_data));
        other.step(&rows, 1);
        other.end();
        prop_assert_eq!(other.told(), run.told(), "in order, in one shard, row by row");
    }
}

#[test]
fn switched_off_nothing_is_told() {
    let mut run = Run::new(&plan(1, NoDataPlan::Off));
    run.step(&sent(90, 900, 1), 100);
    run.end();
    assert_eq!(silences(&run.told()), []);
}

/// A key that sends each second for `seconds` from `from`.
fn steady(key: usize, from: i64, seconds: i64) -> Vec<Row> {
    (from..from + seconds).map(|s| row(key, START_NS + s * SECOND_NS)).collect()
}

fn at(second: i64) -> i64 {
    START_NS + second * SECOND_NS
}

#[test]
fn a_late_row_ends_a_silence_that_was_none_and_the_rest_of_it_is_one() {
    let mut plan = plan(1, NoDataPlan::Learn);
    plan.streams[0].window.disorder = Duration::from_secs(2);
    plan.streams[0].window.lateness = Duration::from_secs(60);
    let other = (1..).find(|other| same_partition(0, *other)).expect("one of 64");
    let mut run = Run::new(&plan);
    run.step(&steady(0, 0, 20), 7);
    run.step(&steady(other, 0, 60), 7);
    assert_eq!(silences(&run.told()), [("key-0".to_owned(), at(19), at(49), None)]);
    run.step(&[row(0, at(25))], 1);
    run.step(&steady(other, 60, 4), 1);
    let first = ("key-0".to_owned(), at(19), at(49), Some(at(25)));
    assert_eq!(silences(&run.told()), [first.clone(), ("key-0".to_owned(), at(25), at(55), None)]);
    // Older than what was seen: no news.
    run.step(&[row(0, at(22))], 1);
    run.step(&steady(other, 64, 4), 1);
    assert_eq!(run.told().len(), 3);
    assert_eq!(run.counts().values().map(|c| (c.keys_silent, c.alerts_open)).collect::<Vec<_>>(), [(1, 1)]);
}

fn same_partition(a: usize, b: usize) -> bool {
    let partition = |key: usize| PartitionId::of(key_hash(format!("key-{key}").as_bytes()));
    partition(a) == partition(b)
}

#[test]
fn an_entry_closes_the_windows_of_an_idle_partition_and_lets_its_keys_be_silent() {
    let mut run = Run::new(&plan(2, NoDataPlan::Learn));
    let busy = (1..).find(|other| !same_partition(0, *other)).expect("most of them");
    let behind = steady(busy, 0, 100);
    run.step(&steady(0, 0, 40), 7);
    // Sends what it had stored: arrives now, is of long ago.
    let record = |row: &Row, arrival: i64, position: u64, slot: &mut Slot| {
        let mut record = row.record(position);
        record.arrival = Arrival(arrival);
        slot.push(record);
    };
    let mut slot = Slot::default();
    behind.iter().enumerate().for_each(|(i, row)| record(row, at(95), 40 + i as u64, &mut slot));
    for engine in &mut run.engines {
        engine.step(&slot, &Env::SIMULATED, &mut run.out);
    }
    run.position = 140;
    let before = run.counts();
    let idle_partition = PartitionId::of(key_hash(b"key-0")).0;
    let idle_acts = before[&idle_partition].idle_acts;
    // The window that ends at 32 s waits for the watermark, 8 s behind; and rows come each second, so that two
    // without are nothing yet.
    assert_eq!(idle_acts, at(41), "{before:?}");
    run.idle(idle_acts - 1, 1);
    assert_eq!(run.counts()[&idle_partition].windows, before[&idle_partition].windows, "it says when");
    run.idle(at(100), 60);
    let after = run.counts();
    assert!(after[&idle_partition].windows > before[&idle_partition].windows + 10, "{after:?}");
    assert_eq!(after[&idle_partition].watermark, at(100 - LATENESS_S));
    assert_eq!(silences(&run.told()), [("key-0".to_owned(), at(39), at(69), None)]);
    assert_eq!(
        after.iter().filter(|(_, c)| c.watermark == at(99 - LATENESS_S)).count(),
        1,
        "the busy one stays"
    );
    assert_eq!(after[&idle_partition].idle_acts, i64::MAX, "nothing is left to wait for");
    run.idle(at(100), 60);
    run.idle(at(10_000), 1_000_000);
    assert_eq!(run.counts()[&idle_partition], after[&idle_partition], "twice changes nothing");
    // A row goes on from there.
    run.step(&steady(0, 101, 1), 1);
    run.end();
    assert_eq!(silences(&run.told())[0].3, Some(at(101)));
}

/// Devices that send what they gathered: after the second break of a kind it is known.
#[test]
fn a_usual_break_between_arrivals_is_waited_for_and_one_outage_is_not_usual() {
    let idle_acts = |arrivals: &[i64]| {
        let mut run = Run::new(&plan(1, NoDataPlan::Learn));
        let mut slot = Slot::default();
        for (i, arrival) in arrivals.iter().enumerate() {
            for row in steady(0, arrival - 9, 10) {
                let mut record = row.record(i as u64);
                record.arrival = Arrival(at(*arrival));
                slot.push(record);
            }
        }
        run.engines[0].step(&slot, &Env::SIMULATED, &mut run.out);
        run.position = arrivals.len() as u64;
        let last = *arrivals.last().expect("one");
        let watermark = |run: &mut Run| run.counts().values().map(|c| c.watermark).max();
        let before = watermark(&mut run);
        let moves = |after: &i64| {
            run.idle(at(last + after), 60);
            watermark(&mut run) > before
        };
        (60..3_000).step_by(20).find(moves)
    };
    assert_eq!(idle_acts(&[100]), Some(60));
    assert_eq!(idle_acts(&[100, 400]), Some(60), "once may be an outage");
    assert_eq!(idle_acts(&[100, 400, 700, 995, 1_300]), Some(600));
    let calm: Vec<i64> = [100, 400, 700].into_iter().chain((710..2_500).step_by(10)).collect();
    assert_eq!(idle_acts(&calm), Some(60), "long ago");
}

#[test]
fn nothing_waits_after_an_end_and_no_clock_runs_ahead_of_the_wall() {
    let mut run = Run::new(&plan(1, NoDataPlan::Learn));
    run.step(&steady(0, 0, 40), 7);
    run.end();
    assert!(run.counts().values().all(|c| c.idle_acts == i64::MAX), "{:?}", run.counts());
    run.idle(at(10_000), 60);
    assert_eq!(silences(&run.told()), []);
    // The wall clock was far behind when the rows came and is set right: no time has passed for them.
    let mut run = Run::new(&plan(1, NoDataPlan::Learn));
    let mut slot = Slot::default();
    for (i, row) in steady(0, 0, 40).iter().enumerate() {
        let mut record = row.record(i as u64);
        record.arrival = Arrival(SECOND_NS);
        slot.push(record);
    }
    run.engines[0].step(&slot, &Env::SIMULATED, &mut run.out);
    run.position = 40;
    run.idle(at(45), 2);
    assert_eq!(run.counts().values().map(|c| c.watermark).collect::<Vec<_>>(), [at(45 - LATENESS_S)]);
}
