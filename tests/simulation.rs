//! A whole deployment without a clock or a real disk: sender, log station, decode, engine, snapshots; the
//! power goes at every write of a run. Rerun one seed with `EDDY_SEED=n cargo test --release --test simulation`.

mod plant;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use eddy::config::plan::Plan;
use eddy::decode::Decoder;
use eddy::durable::faulty::FaultyDisk;
use eddy::durable::{ControlEntry, ControlEvent, ControlLog, Log, Snapshots};
use eddy::engine::{Counts, Engine, Env, Outputs};
use eddy::latency::{Clock, Latency};
use eddy::pipeline::keeping::Keeper;
use eddy::pipeline::ledger::Ledger;
use eddy::pipeline::logging::{LogStation, Logged, Recorders, Retention};
use eddy::pipeline::restore::Found;
use eddy::pipeline::rounds::{Due, Rounds};
use eddy::ring::Slot;
use eddy::stage::{NotSafe, Notice, Submission};
use eddy::status::Status;
use eddy::types::{Arrival, Decision, Idle, Message, PARTITIONS, PartitionId, Position, StreamId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, oneshot};

/// A round of snapshots, in a time that goes on by [`TICK`] with each submission.
const EVERY: Duration = Duration::from_nanos(PARTITIONS as u64 + 1);
const TICK: i64 = 20;

/// What the outbox has made durable; it outlives every process.
type Outbox = Rc<RefCell<Vec<Decision>>>;

/// Everything that is lost when the power goes, but for the outbox.
struct Process {
    station: LogStation,
    logged: mpsc::Receiver<Logged>,
    decoder: Decoder,
    engine: Engine,
    out: Outputs,
    decisions: Vec<Decision>,
    verdicts: Vec<(StreamId, PartitionId, Counts)>,
    keeper: Keeper,
    rounds: Rounds,
    ledger: Ledger,
    now: i64,
    outbox: Outbox,
    /// Where the log was read from at the start.
    from: Position,
}

impl Process {
    /// Starts on what the disk holds, as the binary does: open, restore, read the rest back, go on.
    fn start(plan: &Plan, disk: &FaultyDisk, latency: &Latency, outbox: &Outbox) -> Option<Process> {
        let dir = Path::new("/data");
        let log = Log::open(Box::new(disk.clone()), dir, 8 << 10).ok()?;
        let (control, written) = ControlLog::open(Box::new(disk.clone()), dir).ok()?;
        let mut snapshots = Snapshots::open(Box::new(disk.clone()), dir).ok()?;
        let mut engine = plant::engine(plan);
        let (models, entries) = ([(plant::model().checksum().to_owned(), plant::model())], [known_from_0()]);
        let found = Found { plan, log: &log, entries: &entries, models: &models, snapshots: &mut snapshots };
        let restored = match found.restore(std::slice::from_mut(&mut engine), &Env::SIMULATED) {
            Ok(restored) => restored,
            Err(error) => {
                assert!(disk.is_off(), "a start is refused though the disk works: {error}");
                return None;
            }
        };
        let (next, logged) = mpsc::channel(64);
        let (_, intake) = mpsc::channel(1);
        let recovered: Vec<(Position, Message)> =
            log.read_from(restored.start).collect::<Result<_, _>>().ok()?;
        let clock = Clock::start();
        let status = Arc::new(Status::new(plan, 0));
        let recorders = Recorders::new(latency);
        let floor = Arc::new(AtomicU64::new(0));
        let retention = Retention { floor: floor.clone(), retain_ns: 0, bytes_max: u64::MAX };
        let station = LogStation {
            log,
            control,
            intake,
            next,
            status,
            ballast: None,
            clock,
            recorders,
            dead: mpsc::channel(1).0,
            retention,
        };
        let mut process = Process {
            station,
            logged,
            decoder: Decoder::new(plan),
            engine,
            out: Outputs::default(),
            decisions: Vec::new(),
            verdicts: Vec::new(),
            keeper: Keeper::new(snapshots, Arc::new(plan.clone()), floor),
            rounds: Rounds::new(EVERY, 0, &restored.partitions),
            ledger: restored.ledger,
            now: 0,
            outbox: outbox.clone(),
            from: restored.start,
        };
        let mut written = written.into_iter().peekable();
        for (position, message) in recovered {
            while let Some(entry) = written.next_if(|entry| entry.precedes <= position) {
                process.idle(entry);
            }
            process.score(position, &message);
        }
        written.for_each(|entry| process.idle(entry));
        Some(process)
    }

    /// Saves what is due, as decode, shard and keeper do: decisions are in the outbox before a state that
    /// holds them is on the disk.
    fn save(&mut self, next: Position) {
        self.now += TICK;
        while let Some((due, turn)) = self.rounds.due(self.now, next) {
            let mut file = vec![0; Snapshots::HEADER_BYTES];
            let index = match due {
                Due::Partition(index) => {
                    assert!(self.engine.save(StreamId(0), PartitionId(index as u8), &mut file));
                    Some(index)
                }
                Due::Ledger => {
                    assert_eq!(self.ledger.position, next);
                    let standings = self.rounds.standings();
                    self.ledger.encode([("pumps", &standings[..])].into_iter(), &mut file);
                    None
                }
            };
            self.outbox.borrow_mut().append(&mut self.decisions);
            if self.keeper.keep(index, next, &mut file).is_ok() {
                turn.done();
            }
        }
    }

    fn score(&mut self, position: Position, message: &Message) {
        let mut slot = Slot::default();
        let mut dead = Vec::new();
        self.ledger.observe(position, message);
        let mut emit = |record: eddy::types::RecordRef<'_>| {
            self.rounds.row(PartitionId::of(record.key_hash).0 as usize, position);
            slot.push(record);
        };
        self.decoder.decode(position, message, &mut emit, &mut dead);
        assert!(dead.is_empty(), "{dead:?}");
        self.out.clear();
        self.engine.step(&slot, &Env::SIMULATED, &mut self.out);
        self.decisions.extend(self.out.raised.drain(..).map(|r| r.decision));
    }

    fn idle(&mut self, entry: ControlEntry) {
        let ControlEvent::Idle { idle, .. } = entry.event else { panic!("{entry:?}") };
        (0..PARTITIONS).for_each(|partition| self.rounds.touch(partition));
        self.out.clear();
        self.engine.idle(StreamId(0), entry.precedes, idle, &Env::SIMULATED, &mut self.out);
        self.decisions.extend(self.out.raised.drain(..).map(|r| r.decision));
    }

    /// Submits messages and waits for the answer, as a source does.
    fn submit(&mut self, messages: &[Message]) -> Result<(), NotSafe> {
        self.hand_in(messages, None)
    }

    fn hand_in(&mut self, messages: &[Message], notice: Option<Notice>) -> Result<(), NotSafe> {
        let (logged, mut answer) = oneshot::channel();
        let alive = self.station.turn(Submission { messages: messages.to_vec(), notice, logged });
        assert!(alive);
        let answer = answer.try_recv().expect("the log station answers every submission");
        while let Ok(logged) = self.logged.try_recv() {
            match logged {
                Logged::Messages { first, messages, .. } => {
                    for (i, message) in messages.iter().enumerate() {
                        self.score(Position(first.0 + i as u64), message);
                    }
                }
                Logged::Control(event) => {
                    self.idle(ControlEntry { precedes: self.station.log.next_position(), event });
                }
                Logged::Beat(_) => panic!("nobody sends one"),
            }
            self.save(self.station.log.next_position());
        }
        answer
    }

    fn finish(mut self) -> Outcome {
        self.out.clear();
        self.engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut self.out);
        self.decisions.extend(self.out.raised.drain(..).map(|r| r.decision));
        self.engine.changed(|stream, partition, counts, _| self.verdicts.push((stream, partition, *counts)));
        let mut digests: Vec<(u8, u64, u64)> =
            self.verdicts.iter().map(|(_, p, c)| (p.0, c.windows, c.digest)).collect();
        digests.sort_unstable();
        assert_eq!(self.ledger.counted["plant"], self.ledger.position.0, "each message is counted once");
        self.decisions.extend(self.outbox.borrow().iter().cloned());
        self.decisions.sort_by(|a, b| (&a.id, a.revision).cmp(&(&b.id, b.revision)));
        self.decisions.dedup();
        Outcome { decisions: self.decisions, digests }
    }
}

/// The stream is as old as the log: what it needs of it and does not find was lost.
fn known_from_0() -> ControlEntry {
    let event = ControlEvent::Config { stream: "pumps".into(), fingerprint: String::new() };
    ControlEntry { precedes: Position(0), event }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    decisions: Vec<Decision>,
    /// (partition, windows, digest over every verdict)
    digests: Vec<(u8, u64, u64)>,
}

/// Sends all messages in groups chosen by the seed, again and again until acknowledged; restarts
/// whenever the power went. Returns what was decided and the writes done.
fn run(plan: &Plan, messages: &[Message], seed: u64, cut: Option<u64>) -> (Outcome, u64) {
    run_with(plan, messages, &[], seed, cut)
}

/// As [`run`]; each of `idles` is handed in before the message of its number.
fn run_with(
    plan: &Plan,
    messages: &[Message],
    idles: &[(usize, Idle)],
    seed: u64,
    cut: Option<u64>,
) -> (Outcome, u64) {
    let outbox = Outbox::default();
    let disk = FaultyDisk::new();
    let latency = Latency::new();
    if let Some(cut) = cut {
        disk.cut_power_at_write(cut);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut acked, mut noted) = (0, 0);
    let mut process = Process::start(plan, &disk, &latency, &outbox);
    while acked < messages.len() {
        let next = idles.get(noted);
        let notice = next.filter(|(before, _)| *before == acked).map(|(_, idle)| *idle);
        let until = next.map_or(messages.len(), |(before, _)| *before);
        let group = rng.random_range(1..40).min(until - acked);
        let answer = process.as_mut().map(|p| match notice {
            Some(idle) => p.hand_in(&[], Some(Notice::Idle { stream: "pumps".into(), idle })),
            None => p.submit(&messages[acked..acked + group]),
        });
        match answer {
            Some(Ok(())) if notice.is_some() => noted += 1,
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

#[test]
fn power_cut_at_every_write_loses_nothing_acknowledged_and_changes_no_decision() {
    let (plan, messages) = plant::small(7);
    let undisturbed = run(&plan, &messages, 0, None).0;
    assert!(undisturbed.decisions.len() >= 2, "the run must have something to decide");
    for seed in plant::seeds(2) {
        let (calm, writes) = run(&plan, &messages, seed, None);
        assert_eq!(calm, undisturbed, "grouping changed decisions; EDDY_SEED={seed}");
        assert!(writes > 50, "{writes} writes are too few to prove anything");
        for cut in 1..=writes {
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
        (
            before,
            Idle { at: Arrival(plant::START_NS + at * plant::SECOND_NS), after_ns: 20 * plant::SECOND_NS },
        )
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

#[test]
fn failing_syncs_and_a_full_disk_are_answered_and_outlived() {
    let (plan, messages) = plant::small(7);
    let undisturbed = run(&plan, &messages, 0, None).0;
    for seed in plant::seeds(20) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = FaultyDisk::new();
        let latency = Latency::new();
        let outbox = Outbox::default();
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
        assert!(refused > 0, "EDDY_SEED={seed}: nothing failed");
        let live = process.finish();
        let replayed = Process::start(&plan, &disk, &latency, &outbox).expect("opens").finish();
        assert_eq!(live, replayed, "a replay decides otherwise; EDDY_SEED={seed}");
        assert_eq!(live, undisturbed, "EDDY_SEED={seed}");
    }
}

/// Half-way the newest snapshot of every partition and of the ledger is damaged: the log was cut no further
/// than the ones before them allow.
#[test]
fn the_newest_snapshot_of_everything_may_be_damaged() {
    let (plan, messages) = plant::small(7);
    let undisturbed = run(&plan, &messages, 0, None).0;
    for seed in plant::seeds(20) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (disk, latency, outbox) = (FaultyDisk::new(), Latency::new(), Outbox::default());
        let mut process = Process::start(&plan, &disk, &latency, &outbox).expect("an empty disk works");
        let end = rng.random_range(messages.len() / 2..messages.len());
        for group in messages[..end].chunks(rng.random_range(5..40)) {
            process.submit(group).expect("the disk works");
        }
        assert!(process.station.log.first_position().0 > 0, "EDDY_SEED={seed}: nothing was cut");
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
}
