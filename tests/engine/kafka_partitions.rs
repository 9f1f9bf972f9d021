//! Kafka's partitions as the engine's: each with its own time, and keys of its own.

use std::collections::BTreeSet;

use crate::plant::{self, Row};
use eddy::engine::{Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{PartitionId, RecordRef};

/// Steps an engine through the rows, in these partitions.
fn run(rows: impl IntoIterator<Item = (i32, Row)>) -> Outputs {
    let mut engine = plant::engine(&plant::plan(1));
    let (mut out, mut slot) = (Outputs::default(), Slot::default());
    for (position, (partition, row)) in (0..).zip(rows) {
        let partition = PartitionId::of_kafka(partition);
        slot.push(RecordRef { partition, ..row.record(position) });
    }
    engine.step(&slot, &Env::SIMULATED, &mut out);
    out
}

fn ids(out: &Outputs) -> BTreeSet<String> {
    out.raised.iter().map(|raised| raised.decision.message_id()).collect()
}

fn broken() -> Vec<Row> {
    plant::rows(2, 400, 3, 100..170)
}

#[test]
fn a_backlog_read_one_partition_after_the_other_makes_nothing_late() {
    let keys = |key: &'static str| broken().into_iter().filter(move |row| row.key == key);
    let whole = || keys("pump-0").map(|row| (0, row)).chain(keys("pump-1").map(|row| (1, row)));
    let out = run(whole());
    assert!(out.late.is_empty(), "{} rows are late", out.late.len());
    assert!(!out.raised.is_empty());
    let together = run(whole().map(|(_, row)| (0, row)));
    assert!(!together.late.is_empty(), "in one partition they are");
}

#[test]
fn a_key_in_two_partitions_is_two_keys_whose_alerts_differ() {
    let of = |partition: i32| run(broken().into_iter().map(|row| (partition, row)));
    let (one, other) = (ids(&of(3)), ids(&of(4)));
    assert!(!one.is_empty());
    assert_eq!(one.len(), other.len(), "they see the same");
    assert!(one.is_disjoint(&other), "the one's alerts pass for the other's");
    assert_eq!(ids(&of(3 + 64)), one, "64 partitions have their own place");
}
