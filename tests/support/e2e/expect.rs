//! What a run over given rows must come to, worked out without the code that is under test where that
//! is possible (window counts), and without processes, sockets or a log otherwise (decisions).

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use eddy::config::plan::Plan;
use eddy::engine::{Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{Decision, PartitionId, StreamId, key_hash};
use serde_json::Value;

use super::eddy::{Eddy, Partition};
use super::receiver::{Received, Receiver};
use crate::plant::{self, Row, SECOND_NS, START_NS};

/// The window of [`super::eddy::config`], s.
pub const SIZE_S: i64 = 16;
pub const EVERY_S: i64 = 2;
pub const LATENESS_S: i64 = 32;

/// Turns a key's vibration against its load for some seconds; it stays in its usual range.
pub fn break_pump(rows: &mut [Row], key: usize, seconds: Range<i64>) {
    let (name, seconds) =
        (format!("pump-{key}"), START_NS + seconds.start * SECOND_NS..START_NS + seconds.end * SECOND_NS);
    for row in rows.iter_mut().filter(|row| row.key == name && seconds.contains(&row.time_ns)) {
        row.values[3] = 5.0 - row.values[3];
    }
}

/// One more row a key, so much later that every window of `rows` becomes final and every duplicate known.
pub fn closers(rows: &[Row], keys: usize) -> Vec<Row> {
    let late = |row: &Row| Row { time_ns: row.time_ns + 200 * SECOND_NS, ..row.clone() };
    rows[rows.len() - keys..].iter().map(late).collect()
}

pub fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    since.as_nanos() as i64
}

/// `seconds` of a key up to now, one row a second.
pub fn up_to_now(key: &str, seconds: i64) -> Vec<Row> {
    let row = |back: i64| Row {
        key: key.to_owned(),
        time_ns: now_ns() - back * SECOND_NS,
        values: [20.0, 5.0, 60.0 + 0.01 * back as f32, 2.5],
    };
    (0..seconds).rev().map(row).collect()
}

fn partition_of(key: &str) -> u8 {
    PartitionId::of(key_hash(key.as_bytes())).0
}

/// Partition to (events, windows), counted one window end at a time. Rows are in whole grid cells of 1 s.
pub fn count(rows: &[Row]) -> BTreeMap<u8, (u64, u64)> {
    let mut newest = BTreeMap::new();
    let mut cells: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut counts: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let partition = partition_of(&row.key);
        let newest = newest.entry(partition).or_insert(i64::MIN);
        *newest = row.time_ns.max(*newest);
        cells.entry(&row.key).or_default().push(row.time_ns.div_euclid(SECOND_NS));
        counts.entry(partition).or_default().0 += 1;
    }
    for (key, cells) in cells {
        let partition = partition_of(key);
        let watermark = newest[&partition] / SECOND_NS - LATENESS_S;
        let first = cells.iter().min().expect("a key has rows");
        let ends = (first + 1..=watermark).filter(|end| end.rem_euclid(EVERY_S) == 0);
        let held = ends.filter(|end| cells.iter().any(|cell| (end - SIZE_S..*end).contains(cell)));
        counts.entry(partition).or_default().1 += held.count() as u64;
    }
    counts
}

/// What must be equal however a run went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Partition to (events, windows, digest over all verdicts).
    pub partitions: BTreeMap<u8, (u64, u64, String)>,
    /// `webhook-id` to decision.
    pub decisions: BTreeMap<String, Value>,
}

pub fn plan() -> Plan {
    let mut plan = plant::plan(1);
    plan.streams[0].window.lateness = Duration::from_secs(LATENESS_S as u64);
    plan.streams[0].window.disorder = plan.streams[0].window.lateness;
    plan
}

/// The pure engine over the rows in order.
pub fn by_the_engine(rows: &[Row]) -> Outcome {
    by(plant::engine(&plan()), 0, rows)
}

/// This engine over the rows in order, a message each, the first at position `first`.
pub fn by(mut engine: Engine, first: u64, rows: &[Row]) -> Outcome {
    let (mut out, mut slot) = (Outputs::default(), Slot::default());
    rows.iter().enumerate().for_each(|(i, row)| slot.push(row.record(first + i as u64)));
    engine.step(&slot, &Env::SIMULATED, &mut out);
    outcome(engine, out)
}

/// What an engine has come to.
pub fn outcome(mut engine: Engine, out: Outputs) -> Outcome {
    let mut outcome = Outcome::default();
    engine.changed(|_: StreamId, partition, c, _| {
        outcome.partitions.insert(partition.0, (c.events, c.windows, format!("{:016x}", c.digest)));
    });
    for raised in out.raised {
        outcome.decisions.insert(raised.decision.message_id(), as_json(&raised.decision));
    }
    outcome
}

/// A decision as it is read from an answer.
pub fn as_json(decision: &Decision) -> Value {
    super::json(&serde_json::to_vec(decision).expect("a decision is JSON"))
}

fn message_id(decision: &Value) -> String {
    format!("{}_{}", decision["id"].as_str().expect("an id"), decision["revision"])
}

pub fn of_partitions(partitions: &[Partition]) -> BTreeMap<u8, (u64, u64, String)> {
    partitions.iter().map(|p| (p.partition, (p.events_total, p.windows_total, p.digest.clone()))).collect()
}

/// What a process shows now.
pub fn by_the_api(eddy: &Eddy) -> Outcome {
    let decisions = eddy.alerts().into_iter().map(|row| row["alert"]["decision"].clone());
    Outcome {
        partitions: of_partitions(&eddy.partitions()),
        decisions: decisions.map(|decision| (message_id(&decision), decision)).collect(),
    }
}

/// The decision in a webhook's body, and its receipt.
pub fn read_webhook(request: &Received) -> (Value, Value) {
    let mut body = super::json(&request.body);
    let receipt = body["data"].as_object_mut().expect("an object").remove("receipt");
    (body["data"].take(), receipt.expect("a receipt"))
}

/// `webhook-id` to decision of what was received; a repetition must be the same to the byte.
pub fn received(receiver: &Receiver) -> BTreeMap<String, Value> {
    let mut bodies = BTreeMap::new();
    let mut decisions = BTreeMap::new();
    for request in receiver.received() {
        let known = bodies.entry(request.id().to_owned()).or_insert_with(|| request.body.clone());
        assert_eq!(*known, request.body, "one id, two bodies");
        let (decision, _) = read_webhook(&request);
        assert_eq!(message_id(&decision), request.id(), "the id is the decision's own");
        decisions.insert(request.id().to_owned(), decision);
    }
    decisions
}

/// Waits until process and receiver have come to the outcome, then holds both to it.
pub fn settles(eddy: &mut Eddy, receiver: &Receiver, expected: &Outcome) {
    let events: u64 = expected.partitions.values().map(|p| p.0).sum();
    super::poll(|| {
        let here = eddy.events() == events
            && eddy.alerts().len() >= expected.decisions.len()
            && received(receiver).len() >= expected.decisions.len();
        here.then_some(())
    });
    let found = by_the_api(eddy);
    assert_eq!(found.partitions, expected.partitions, "partitions; eddy said:\n{}", eddy.said());
    assert_eq!(found.decisions, expected.decisions, "alerts; eddy said:\n{}", eddy.said());
    assert_eq!(received(receiver), expected.decisions, "webhooks; eddy said:\n{}", eddy.said());
    let late: u64 = eddy.partitions().iter().map(|p| p.late_total).sum();
    assert_eq!(late, 0, "no row came too late");
}
