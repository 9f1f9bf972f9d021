//! The topic of pumps that the tests on a real Kafka send, and what the engine makes of it in Kafka's partitions.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use eddy::engine::{Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{PartitionId, RecordRef};

use super::expect::{self, Outcome};
use super::kafka::{KafkaProducer, Sent};
use crate::plant::{self, Row};

pub const KEYS: usize = 40;
pub const PARTITIONS: i32 = 8;
pub const TOPIC: &str = "plant.pumps";
pub const GROUP: &str = "eddy-test-plant";
/// Sent and not yet taken in, at most: so that a kill meets a stream.
pub const AHEAD: usize = 6_000;

pub fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// Not what a hash would give.
pub fn partition_of(key: &str) -> i32 {
    key.trim_start_matches("pump-").parse::<i32>().expect("a number") % PARTITIONS
}

/// Pumps of which some go wrong, and the rows that close every window.
pub fn rows(events: usize) -> Vec<Row> {
    let seconds = (events / KEYS) as i64 - 1;
    let mut rows = plant::rows(KEYS, seconds, 31, 0..0);
    for key in 0..10 {
        let start = 40 + (seconds - 120) / 10 * key as i64;
        expect::break_pump(&mut rows, key, start..start + 60);
    }
    let closers = expect::closers(&rows, KEYS);
    [rows, closers].concat()
}

/// The pure engine over them, in Kafka's partitions.
pub fn expected(rows: &[Row]) -> Outcome {
    let mut engine = plant::engine(&expect::plan());
    let (mut out, mut slot) = (Outputs::default(), Slot::default());
    for (position, row) in (0..).zip(rows) {
        let partition = PartitionId::of_kafka(partition_of(&row.key));
        slot.push(RecordRef { partition, ..row.record(position) });
    }
    engine.step(&slot, &Env::SIMULATED, &mut out);
    let outcome = expect::outcome(engine, out);
    assert!(outcome.decisions.len() >= 20, "{} alerts are too few to be hit", outcome.decisions.len());
    outcome
}

/// No further than `limit`, which may move on meanwhile.
pub fn send(producer: &KafkaProducer, rows: &[Row], limit: &AtomicUsize) {
    for (at, row) in rows.iter().enumerate() {
        while at >= limit.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let payload = row.message().payload;
        let key = Some(row.key.as_bytes());
        producer.send(&Sent { key, ..Sent::new(TOPIC, partition_of(&row.key), &payload) });
    }
    producer.flush();
}
