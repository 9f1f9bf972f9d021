//! A whole deployment without a clock or a real disk: sender, log station, decode, engine, snapshots; the
//! power goes at every write of a run. Rerun one seed with `EDDY_SEED=n cargo test --release --test simulation`.

mod plant;
#[path = "simulation/process.rs"]
mod process;
#[path = "simulation/real_outbox.rs"]
mod real_outbox;
#[path = "simulation/world.rs"]
mod world;

use std::path::Path;

use eddy::config::plan::{AlarmPlan, Plan};
use eddy::durable::faulty::FaultyDisk;
use eddy::durable::{Log, Snapshots};
use eddy::latency::Latency;
use eddy::stage::{NotSafe, Notice};
use eddy::types::{Arrival, Idle, Message, Position};
use process::{Outcome, Process};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use world::{Faults, World};

/// Seeds whose every write is a power cut once; of later ones a few writes each, or ten thousand seeds
/// would take hours.
const WHOLE_SEEDS: usize = 20;
const CUTS_A_SEED: u64 = 5;

/// Sends all messages in groups chosen by the seed, again and again until acknowledged; restarts
/// whenever the power went. Returns what was decided and the writes done.
fn run(plan: &Plan, messages: &[Message], seed: u64, cut: Option<u64>) -> (Outcome, u64) {
    run_with(plan, messages, &[], seed, cut)
}

/// As [`run`]; each of `notices` is handed in before the message of its number.
fn run_with(
    plan: &Plan,
    messages: &[Message],
    notices: &[(usize, Notice)],
    seed: u64,
    cut: Option<u64>,
) -> (Outcome, u64) {
    let outbox = process::outbox();
    let disk = FaultyDisk::new();
    let latency = Latency::new();
    if let Some(cut) = cut {
        disk.cut_power_at_write(cut);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut acked, mut noted) = (0, 0);
    let mut process = Process::start(plan, &disk, &latency, &outbox);
    while acked < messages.len() {
        let next = notices.get(noted);
        let notice = next.filter(|(before, _)| *before == acked).map(|(_, notice)| notice.clone());
        let until = next.map_or(messages.len(), |(before, _)| *before);
        let group = rng.random_range(1..40).min(until - acked);
        let is_notice = notice.is_some();
        let answer = process.as_mut().map(|p| match notice {
            Some(notice) => p.note(notice),
            None => p.submit(&messages[acked..acked + group]),
        });
        match answer {
            Some(Ok(())) if is_notice => noted += 1,
            Some(Ok(())) => acked += group,
            _ => {
                disk.crash(rng.random());
                disk.restart();
                process = Process::start(plan, &disk, &latency, &outbox);
                assert_acknowledged_are_there(&disk, &messages[..acked], seed, cut);
            }
        }
    }
    // One more cut at the end: what was acknowledged last must be there too.
    disk.crash(rng.random());
    disk.restart();
    assert_acknowledged_are_there(&disk, &messages[..acked], seed, cut);
    let writes = disk.writes();
    let process = Process::start(plan, &disk, &latency, &outbox).expect("a restarted disk works");
    let (from, first) = (process.from, process.station.log.first_position());
    if cut.is_none() {
        assert!(first.0 > 0, "no part of the log was ever needless");
        assert!(from.0 + 200 > messages.len() as u64, "all but the last {from:?} should be in snapshots");
    }
    (process.finish(), writes)
}

fn assert_acknowledged_are_there(disk: &FaultyDisk, acked: &[Message], seed: u64, cut: Option<u64>) {
    let log =
        Log::open(Box::new(disk.clone()), Path::new("/data"), 8 << 10).expect("the log opens after a cut");
    let first = log.first_position();
    let found: Vec<Message> = log.read_from(first).map(|r| r.expect("readable").1).collect();
    // What was cut away is held by snapshots; that decisions come out equal shows it.
    let cut_away = match found.first() {
        Some(oldest) if first > Position(0) => acked.iter().position(|m| m == oldest).unwrap_or(acked.len()),
        _ => 0,
    };
    let mut found = found.iter();
    for (i, message) in acked.iter().enumerate().skip(cut_away) {
        assert!(
            found.any(|f| f == message),
            "acknowledged message {i} of {} is lost; EDDY_SEED={seed}, cut at write {cut:?}",
            acked.len()
        );
    }
}

/// Of windows, and of onsets from their beginning to their end.
fn assert_decides(undisturbed: &Outcome) {
    let told = |of: &str| undisturbed.decisions.iter().filter(|decision| decision.event_type() == of).count();
    let kinds = ["anomaly.raised", "onset.raised", "onset.resolved"].map(told);
    assert!(kinds.iter().all(|count| *count > 0), "the run must have something to decide: {kinds:?}");
}

#[test]
fn power_cut_at_every_write_loses_nothing_acknowledged_and_changes_no_decision() {
    let (plan, messages) = plant::small(7);
    let undisturbed = run(&plan, &messages, 0, None).0;
    assert_decides(&undisturbed);
    for (n, seed) in plant::seeds(2).into_iter().enumerate() {
        let (calm, writes) = run(&plan, &messages, seed, None);
        assert_eq!(calm, undisturbed, "grouping changed decisions; EDDY_SEED={seed}");
        assert!(writes > 50, "{writes} writes are too few to prove anything");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let cuts: Vec<u64> = match n {
            0..WHOLE_SEEDS => (1..=writes).collect(),
            _ => (0..CUTS_A_SEED).map(|_| rng.random_range(1..=writes)).collect(),
        };
        for cut in cuts {
            let (outcome, _) = run(&plan, &messages, seed, Some(cut));
            assert_eq!(outcome, undisturbed, "EDDY_SEED={seed}, power cut at write {cut} of {writes}");
        }
    }
}

/// One pump is silent for a while, and nothing else comes to its partition: the entries that say so, and what
/// follows from them, outlive a cut at every write, their own among them. What it had stored is too late then:
/// a replay without the entry would take it.
#[test]
fn power_cut_around_entries_on_idleness_changes_no_decision() {
    let (plan, all) = plant::small(7);
    let second = |message: &Message| (message.arrival.0 - plant::START_NS) / plant::SECOND_NS;
    let silent = |message: &&Message| {
        let last = message.payload.windows(6).any(|text| text == b"pump-2");
        last && (60..150).contains(&second(message))
    };
    let mut messages: Vec<Message> = all.iter().filter(|message| !silent(message)).cloned().collect();
    let stored =
        all.iter().filter(|message| silent(message) && (100..110).contains(&second(message))).cloned();
    let arrival = Arrival(plant::START_NS + 122 * plant::SECOND_NS);
    let there = messages.iter().position(|message| message.arrival >= arrival).expect("within the run");
    messages.splice(there..there, stored.map(|message| Message { arrival, ..message }));
    let idle = |at: i64| {
        let before = messages.iter().position(|message| second(message) >= at).expect("within the run");
        let at = Arrival(plant::START_NS + at * plant::SECOND_NS);
        let idle = Idle { at, after_ns: 20 * plant::SECOND_NS };
        (before, Notice::Idle { stream: "pumps".into(), idle })
    };
    let idles = [idle(85), idle(120), idle(145)];
    let told = |outcome: &Outcome| outcome.decisions.iter().filter(|d| d.silence().is_some()).count();
    let (undisturbed, _) = run_with(&plan, &messages, &idles, 0, None);
    assert_eq!(told(&undisturbed), 2, "raised and resolved");
    let (without, _) = run_with(&plan, &messages, &[], 0, None);
    assert_ne!(without.digests, undisturbed.digests, "the entries make no difference");
    for seed in plant::seeds(1) {
        let (_, writes) = run_with(&plan, &messages, &idles, seed, None);
        for cut in 1..=writes {
            let (outcome, _) = run_with(&plan, &messages, &idles, seed, Some(cut));
            assert_eq!(outcome, undisturbed, "EDDY_SEED={seed}, power cut at write {cut} of {writes}");
        }
    }
}

/// Under an alert budget: the entries that say how many keys there are outlive a cut at every write, and every
/// threshold is as it was.
#[test]
fn power_cut_around_entries_on_the_keys_changes_no_threshold() {
    let (mut plan, messages) = plant::small(7);
    plan.streams[0].alarm = AlarmPlan::Budget { per_day: 100.0 };
    let keys = |before, keys| (before, Notice::Keys { stream: "pumps".into(), keys });
    let notices = [keys(40, 3), keys(260, 90), keys(450, 100)];
    let (undisturbed, _) = run_with(&plan, &messages, &notices, 0, None);
    assert_decides(&undisturbed);
    let (without, _) = run_with(&plan, &messages, &[], 0, None);
    assert_ne!(without.decisions, undisturbed.decisions, "the entries make no difference");
    for seed in plant::seeds(1) {
        let (_, writes) = run_with(&plan, &messages, &notices, seed, None);
        for cut in 1..=writes {
            let (outcome, _) = run_with(&plan, &messages, &notices, seed, Some(cut));
            assert_eq!(outcome, undisturbed, "EDDY_SEED={seed}, power cut at write {cut} of {writes}");
        }
    }
}

#[test]
fn failing_syncs_and_a_full_disk_are_answered_and_outlived() {
    let (plan, messages) = plant::small(7);
    let undisturbed = run(&plan, &messages, 0, None).0;
    let seeds = plant::seeds(20);
    let mut failed = 0;
    for &seed in &seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = FaultyDisk::new();
        let latency = Latency::new();
        let outbox = process::outbox();
        let mut process = Process::start(&plan, &disk, &latency, &outbox).expect("an empty disk works");
        let (mut acked, mut refused) = (0, 0);
        while acked < messages.len() {
            let group = rng.random_range(1..60).min(messages.len() - acked);
            match rng.random_range(0..10) {
                0 => disk.fail_syncs(1),
                1 => disk.set_free_bytes(Some(rng.random_range(0..2000))),
                2..4 => disk.set_free_bytes(None),
                _ => {}
            }
            match process.submit(&messages[acked..acked + group]) {
                Ok(()) => acked += group,
                Err(NotSafe) => {
                    refused += 1;
                    disk.set_free_bytes(None);
                }
            }
        }
        failed += usize::from(refused > 0);
        let live = process.finish();
        let replayed = Process::start(&plan, &disk, &latency, &outbox).expect("opens").finish();
        assert_eq!(live, replayed, "a replay decides otherwise; EDDY_SEED={seed}");
        assert_eq!(live, undisturbed, "EDDY_SEED={seed}");
    }
    hit_most(failed, &seeds);
}

/// Half-way the newest snapshot of every partition and of the ledger is damaged: the log was cut no further
/// than the ones before them allow.
#[test]
fn the_newest_snapshot_of_everything_may_be_damaged() {
    let (plan, messages) = plant::small(7);
    let undisturbed = run(&plan, &messages, 0, None).0;
    let seeds = plant::seeds(20);
    let mut cut = 0;
    for &seed in &seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (disk, latency, outbox) = (FaultyDisk::new(), Latency::new(), process::outbox());
        let mut process = Process::start(&plan, &disk, &latency, &outbox).expect("an empty disk works");
        let end = rng.random_range(messages.len() / 2..messages.len());
        for group in messages[..end].chunks(rng.random_range(5..40)) {
            process.submit(group).expect("the disk works");
        }
        cut += usize::from(process.station.log.first_position().0 > 0);
        drop(process);
        let snapshots = Snapshots::open(Box::new(disk.clone()), Path::new("/data")).expect("it opens");
        let mut damaged = String::new();
        for name in snapshots.list().expect("it lists") {
            if name.of != damaged {
                let path = Path::new("/data/snapshots").join(name.file());
                disk.flip_bit(&path, Snapshots::HEADER_BYTES as u64 + 2).expect("it is there");
                damaged = name.of;
            }
        }
        let mut process = Process::start(&plan, &disk, &latency, &outbox).expect("the older ones are good");
        for group in messages[end..].chunks(20) {
            process.submit(group).expect("the disk works");
        }
        assert_eq!(process.finish(), undisturbed, "EDDY_SEED={seed}");
    }
    hit_most(cut, &seeds);
}

/// A test that met what it is about in a few seeds only would show little. One seed alone is a rerun.
fn hit_most(hits: usize, seeds: &[u64]) {
    assert!(seeds.len() == 1 || hits * 2 >= seeds.len(), "{hits} of {} seeds", seeds.len());
}

/// Runs the messages through a world with these faults, once a seed, and holds the end to a run without.
fn changes_nothing(faults: Faults, met: impl Fn(&World) -> bool) {
    let (plan, messages) = plant::small(7);
    let undisturbed = run(&plan, &messages, 0, None).0;
    let mut hits = 0;
    let seeds = plant::seeds(20);
    for &seed in &seeds {
        let mut world = World::new(&plan, &messages, faults, seed);
        let outcome = world.run();
        assert_eq!(outcome, undisturbed, "EDDY_SEED={seed}");
        world.told_everything(&outcome);
        hits += usize::from(met(&world));
    }
    hit_most(hits, &seeds);
}

#[test]
fn a_wall_clock_that_steps_by_hours_changes_no_decision() {
    let faults = Faults { clock: true, kills: true, ..Faults::NONE };
    changes_nothing(faults, |world| world.arrivals_went_back);
}

/// Restarts would begin a new interval.
#[test]
fn a_wall_clock_set_back_holds_up_no_snapshot() {
    let (plan, messages) = plant::small(7);
    for seed in plant::seeds(12) {
        let mut world = World::new(&plan, &messages, Faults { clock: true, ..Faults::NONE }, seed);
        world.run();
        let from = world.read_back_from;
        assert!(from.0 + 200 > messages.len() as u64, "EDDY_SEED={seed}: read back from {from:?}");
    }
}

#[test]
fn a_lost_broker_sends_again_and_changes_no_decision() {
    let faults = Faults { broker: true, kills: true, ..Faults::NONE };
    changes_nothing(faults, |world| world.redelivered > 0);
}

#[test]
fn an_outbox_that_refuses_and_a_receiver_that_refuses_lose_no_alert() {
    let faults = Faults { outbox: true, receiver: true, kills: true, ..Faults::NONE };
    changes_nothing(faults, |world| world.stores_refused > 0 && world.attempts_refused > 0);
}

#[test]
fn everything_at_once_changes_no_decision() {
    let faults = Faults { clock: true, broker: true, outbox: true, receiver: true, kills: true };
    changes_nothing(faults, |world| world.redelivered > 0 && world.stores_refused > 0);
}
