//! A whole deployment without a clock or a real disk: sender, log station, decode, engine; the power
//! goes at every write of a run. Rerun one seed with `EDDY_SEED=n cargo test --release --test simulation`.

mod plant;

use std::path::Path;
use std::sync::Arc;

use eddy::config::plan::Plan;
use eddy::decode::Decoder;
use eddy::durable::faulty::FaultyDisk;
use eddy::durable::{ControlLog, Log};
use eddy::engine::{Counts, Engine, Env, Outputs};
use eddy::latency::{Clock, Latency};
use eddy::pipeline::logging::{LogStation, Logged, Recorders};
use eddy::ring::Slot;
use eddy::stage::{NotSafe, Submission};
use eddy::status::Status;
use eddy::types::{Decision, Message, PartitionId, Position, StreamId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, oneshot};

/// Everything that is lost when the power goes.
struct Process {
    station: LogStation,
    logged: mpsc::Receiver<Logged>,
    decoder: Decoder,
    engine: Engine,
    out: Outputs,
    decisions: Vec<Decision>,
    verdicts: Vec<(StreamId, PartitionId, Counts)>,
}

impl Process {
    /// Starts on what the disk holds, as the binary does: open, read all of it back, go on.
    fn start(plan: &Plan, disk: &FaultyDisk, latency: &Latency) -> Option<Process> {
        let dir = Path::new("/data");
        let log = Log::open(Box::new(disk.clone()), dir, 8 << 10).ok()?;
        let (control, _) = ControlLog::open(Box::new(disk.clone()), dir).ok()?;
        let (next, logged) = mpsc::channel(64);
        let (_, intake) = mpsc::channel(1);
        let recovered: Vec<(Position, Message)> =
            log.read_from(Position(0)).collect::<Result<_, _>>().ok()?;
        let clock = Clock::start();
        let status = Arc::new(Status::new(plan, 0));
        let recorders = Recorders::new(latency);
        let mut process = Process {
            station: LogStation {
                log,
                control,
                intake,
                next,
                status,
                ballast: None,
                clock,
                recorders,
                dead: mpsc::channel(1).0,
            },
            logged,
            decoder: Decoder::new(plan),
            engine: plant::engine(plan),
            out: Outputs::default(),
            decisions: Vec::new(),
            verdicts: Vec::new(),
        };
        for (position, message) in recovered {
            process.score(position, &message);
        }
        Some(process)
    }

    fn score(&mut self, position: Position, message: &Message) {
        let mut slot = Slot::default();
        let mut dead = Vec::new();
        self.decoder.decode(position, message, &mut |record| slot.push(record), &mut dead);
        assert!(dead.is_empty(), "{dead:?}");
        self.out.clear();
        self.engine.step(&slot, &Env::SIMULATED, &mut self.out);
        self.decisions.extend(self.out.raised.drain(..).map(|r| r.decision));
    }

    /// Submits messages and waits for the answer, as a source does.
    fn submit(&mut self, messages: &[Message]) -> Result<(), NotSafe> {
        let (logged, mut answer) = oneshot::channel();
        let alive = self.station.turn(Submission { messages: messages.to_vec(), end_of_input: None, logged });
        assert!(alive);
        let answer = answer.try_recv().expect("the log station answers every submission");
        while let Ok(Logged::Messages { first, messages, .. }) = self.logged.try_recv() {
            for (i, message) in messages.iter().enumerate() {
                self.score(Position(first.0 + i as u64), message);
            }
        }
        answer
    }

    fn finish(mut self) -> Outcome {
        self.out.clear();
        self.engine.end_of_input(StreamId(0), &Env::SIMULATED, &mut self.out);
        self.decisions.extend(self.out.raised.drain(..).map(|r| r.decision));
        self.engine.changed(|stream, partition, counts, _| self.verdicts.push((stream, partition, *counts)));
        let mut digests: Vec<(u8, u64, u64)> =
            self.verdicts.iter().map(|(_, p, c)| (p.0, c.windows, c.digest)).collect();
        digests.sort_unstable();
        self.decisions.sort_by(|a, b| (&a.id, a.revision).cmp(&(&b.id, b.revision)));
        self.decisions.dedup();
        Outcome { decisions: self.decisions, digests }
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    decisions: Vec<Decision>,
    /// (partition, windows, digest over every verdict)
    digests: Vec<(u8, u64, u64)>,
}

/// Sends all messages in groups chosen by the seed, again and again until acknowledged; restarts
/// whenever the power went. Returns what was decided, the acknowledged messages and the writes done.
fn run(plan: &Plan, messages: &[Message], seed: u64, cut: Option<u64>) -> (Outcome, u64) {
    let disk = FaultyDisk::new();
    let latency = Latency::new();
    if let Some(cut) = cut {
        disk.cut_power_at_write(cut);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut acked = 0;
    let mut process = Process::start(plan, &disk, &latency);
    while acked < messages.len() {
        let group = rng.random_range(1..40).min(messages.len() - acked);
        let answer = process.as_mut().map(|p| p.submit(&messages[acked..acked + group]));
        match answer {
            Some(Ok(())) => acked += group,
            _ => {
                disk.crash(rng.random());
                disk.restart();
                process = Process::start(plan, &disk, &latency);
                assert_acknowledged_are_there(&disk, &messages[..acked], seed, cut);
            }
        }
    }
    // One more cut at the end: what was acknowledged last must be there too.
    disk.crash(rng.random());
    disk.restart();
    assert_acknowledged_are_there(&disk, &messages[..acked], seed, cut);
    let writes = disk.writes();
    let process = Process::start(plan, &disk, &latency).expect("a restarted disk works");
    (process.finish(), writes)
}

fn assert_acknowledged_are_there(disk: &FaultyDisk, acked: &[Message], seed: u64, cut: Option<u64>) {
    let log =
        Log::open(Box::new(disk.clone()), Path::new("/data"), 8 << 10).expect("the log opens after a cut");
    let found: Vec<Message> = log.read_from(Position(0)).map(|r| r.expect("readable").1).collect();
    let mut found = found.iter();
    for (i, message) in acked.iter().enumerate() {
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

#[test]
fn failing_syncs_and_a_full_disk_are_answered_and_outlived() {
    let (plan, messages) = plant::small(7);
    let undisturbed = run(&plan, &messages, 0, None).0;
    for seed in plant::seeds(20) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = FaultyDisk::new();
        let latency = Latency::new();
        let mut process = Process::start(&plan, &disk, &latency).expect("an empty disk works");
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
        let replayed = Process::start(&plan, &disk, &latency).expect("opens").finish();
        assert_eq!(live, replayed, "a replay decides otherwise; EDDY_SEED={seed}");
        assert_eq!(live, undisturbed, "EDDY_SEED={seed}");
    }
}
