//! Whole runs of the message log on the simulated disk, from a seed, with the power cut at every write.
//! `EDDY_SEED=n cargo test --release --test durable` runs the one seed that failed.

use std::path::Path;

use eddy::durable::faulty::FaultyDisk;
use eddy::durable::{Log, LogError};
use eddy::types::{Arrival, Message};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIR: &str = "/data";
const SEGMENT_BYTES: u64 = 4096;
const SEEDS: u64 = 60;

fn for_each_seed(test: &str, run: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let given = std::env::var("EDDY_SEED").ok().map(|seed| seed.parse().expect("EDDY_SEED is a number"));
    let seeds = given.map_or((0..SEEDS).collect(), |seed| vec![seed]);
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("rerun: EDDY_SEED={seed} cargo test --release --test durable {test}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Commits of a run, a pure function of its seed; every payload is unlike all others.
fn batches(seed: u64) -> Vec<Vec<Message>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut n = 0u64;
    let mut message = |rng: &mut ChaCha8Rng| {
        n += 1;
        let mut payload = n.to_le_bytes().to_vec();
        payload.resize(8 + if rng.random_bool(0.05) { 2000 } else { rng.random_range(0..200) }, n as u8);
        Message {
            source: if rng.random_bool(0.5) { "a".into() } else { "b".into() },
            topic: "t/".repeat(rng.random_range(0..5)).into(),
            payload: payload.into(),
            arrival: Arrival(rng.random()),
            idempotency_key: rng.random_bool(0.3).then(|| format!("{n}").into()),
            origin: None,
        }
    };
    let commits = rng.random_range(6..12);
    (0..commits).map(|_| (0..rng.random_range(1..25)).map(|_| message(&mut rng)).collect()).collect()
}

fn open(disk: &FaultyDisk) -> Result<Log, LogError> {
    Log::open(Box::new(disk.clone()), Path::new(DIR), SEGMENT_BYTES)
}

fn commit(log: &mut Log, batch: &[Message]) -> Result<(), LogError> {
    for message in batch {
        log.append(message)?;
    }
    log.commit().map(|_| ())
}

fn read(log: &Log) -> Vec<Message> {
    let from = eddy::types::Position(0);
    let mut messages = Vec::new();
    for (n, read) in log.read_from(from).enumerate() {
        let (position, message) = read.expect("the log is whole");
        assert_eq!(position.0, n as u64, "positions have no gaps");
        messages.push(message);
    }
    assert_eq!(log.next_position().0, messages.len() as u64);
    messages
}

/// Runs until the power goes. Returns what was acknowledged, and the commit under way.
fn run_until_power_cut<'a>(disk: &FaultyDisk, batches: &'a [Vec<Message>]) -> (Vec<Message>, &'a [Message]) {
    let mut acknowledged = Vec::new();
    let Ok(mut log) = open(disk) else { return (acknowledged, &[]) };
    for batch in batches {
        if commit(&mut log, batch).is_err() {
            return (acknowledged, batch);
        }
        acknowledged.extend_from_slice(batch);
    }
    (acknowledged, &[])
}

fn writes_of_a_run(batches: &[Vec<Message>]) -> u64 {
    let disk = FaultyDisk::new();
    let (acknowledged, _) = run_until_power_cut(&disk, batches);
    assert_eq!(acknowledged.len(), batches.iter().map(Vec::len).sum::<usize>());
    disk.writes()
}

/// All that was acknowledged, in order, byte-equal, once; of the commit under way, a prefix.
fn check(found: &[Message], acknowledged: &[Message], under_way: &[Message], case: &str) {
    let safe = acknowledged.len();
    assert!(found.len() >= safe, "{case}: {} of {safe} acknowledged messages are lost", safe - found.len());
    assert!(found[..safe] == *acknowledged, "{case}: acknowledged messages changed");
    assert!(under_way.starts_with(&found[safe..]), "{case}: messages nobody sent, or again");
}

#[test]
fn no_acknowledged_message_is_lost_at_a_power_cut_at_any_write() {
    for_each_seed("no_acknowledged_message_is_lost_at_a_power_cut_at_any_write", |seed| {
        let batches = batches(seed);
        for cut in 1..=writes_of_a_run(&batches) {
            for crash in 0..8 {
                let case = format!("seed {seed}, power cut at write {cut}, crash {crash}");
                let disk = FaultyDisk::new();
                disk.cut_power_at_write(cut);
                let (acknowledged, under_way) = run_until_power_cut(&disk, &batches);
                disk.crash(seed ^ crash << 32);
                disk.restart();
                let mut log = open(&disk).unwrap_or_else(|e| panic!("{case}: {e}"));
                let mut found = read(&log);
                check(&found, &acknowledged, under_way, &case);
                commit(&mut log, &batches[0]).unwrap();
                found.extend_from_slice(&batches[0]);
                disk.crash(crash);
                disk.restart();
                assert!(read(&open(&disk).unwrap()) == found, "{case}: it did not go on");
            }
        }
    });
}

#[test]
fn recovery_may_be_cut_short_at_any_write_too() {
    for_each_seed("recovery_may_be_cut_short_at_any_write_too", |seed| {
        let batches = batches(seed);
        for cut in 1..=writes_of_a_run(&batches) {
            for second_cut in 1..6 {
                let case = format!("seed {seed}, power cut at write {cut}, then at {second_cut}");
                let disk = FaultyDisk::new();
                disk.cut_power_at_write(cut);
                let (acknowledged, under_way) = run_until_power_cut(&disk, &batches);
                disk.crash(seed + cut);
                disk.restart();
                disk.cut_power_at_write(second_cut);
                let recovered = open(&disk).map(|log| read(&log)).ok();
                disk.crash(seed + second_cut);
                disk.restart();
                let found = read(&open(&disk).unwrap_or_else(|e| panic!("{case}: {e}")));
                check(&found, &acknowledged, under_way, &case);
                if let Some(recovered) = recovered {
                    assert!(found == recovered, "{case}: what recovery had read is not what stayed");
                }
            }
        }
    });
}

/// The process is killed at any write and started again, and the power goes only then: decisions may
/// have been made, and told, on what the new process had read.
#[test]
fn what_a_restarted_process_read_survives_a_power_cut() {
    for_each_seed("what_a_restarted_process_read_survives_a_power_cut", |seed| {
        let batches = batches(seed);
        for kill in 1..=writes_of_a_run(&batches) {
            let case = format!("seed {seed}, killed at write {kill}");
            let disk = FaultyDisk::new();
            disk.cut_power_at_write(kill);
            let (acknowledged, under_way) = run_until_power_cut(&disk, &batches);
            disk.restart();
            let found = read(&open(&disk).unwrap_or_else(|e| panic!("{case}: {e}")));
            check(&found, &acknowledged, under_way, &case);
            disk.crash(seed + kill);
            disk.restart();
            let stayed = read(&open(&disk).unwrap_or_else(|e| panic!("{case}: {e}")));
            assert!(stayed == found, "{case}: {} of {} messages stayed", stayed.len(), found.len());
        }
    });
}

/// Writes fail, once or several in a row; each refused commit is sent again, as a source does.
#[test]
fn a_commit_that_failed_and_was_sent_again_is_there_once() {
    for_each_seed("a_commit_that_failed_and_was_sent_again_is_there_once", |seed| {
        let batches = batches(seed);
        let all = batches.concat();
        for failing in 1..=writes_of_a_run(&batches) {
            let count = 1 + (seed + failing) % 4;
            let case = format!("seed {seed}, {count} failures from write {failing}");
            let disk = FaultyDisk::new();
            disk.fail_writes(failing, count);
            let mut log = (0..=count).find_map(|_| open(&disk).ok()).expect("the disk works again");
            for batch in &batches {
                let mut refusals = 0;
                while let Err(error) = commit(&mut log, batch) {
                    assert!(error.is_retryable(), "{case}: {error}");
                    refusals += 1;
                    assert!(refusals <= count, "{case}: still refusing");
                }
            }
            assert!(read(&log) == all, "{case}: in the running log");
            assert!(read(&open(&disk).unwrap()) == all, "{case}: after a restart");
            disk.crash(seed);
            disk.restart();
            assert!(read(&open(&disk).unwrap()) == all, "{case}: after a power cut");
        }
    });
}

/// Failures first and the power cut after them. What was refused since the last acknowledged commit may
/// be found again, if the power went before its rollback was done; then it is one commit, or a prefix.
#[test]
fn failures_before_a_power_cut_lose_nothing_acknowledged() {
    for_each_seed("failures_before_a_power_cut_lose_nothing_acknowledged", |seed| {
        let batches = batches(seed);
        let writes = writes_of_a_run(&batches);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for round in 0..400 {
            let disk = FaultyDisk::new();
            let failing = rng.random_range(1..=writes);
            disk.fail_writes(failing, rng.random_range(1..6));
            disk.cut_power_at_write(failing + rng.random_range(1..12));
            let case = format!("seed {seed}, round {round}, failures from write {failing}");
            let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
            if let Some(mut log) = (0..8).find_map(|_| open(&disk).ok()) {
                for batch in &batches {
                    match commit(&mut log, batch) {
                        Ok(()) => {
                            acknowledged.extend_from_slice(batch);
                            refused.clear();
                        }
                        Err(_) => refused.push(batch.as_slice()),
                    }
                }
            }
            disk.crash(rng.random());
            disk.restart();
            let found = read(&open(&disk).unwrap_or_else(|e| panic!("{case}: {e}")));
            let under_way = refused.into_iter().find(|batch| found.last().is_some_and(|m| batch.contains(m)));
            check(&found, &acknowledged, under_way.unwrap_or_default(), &case);
        }
    });
}
