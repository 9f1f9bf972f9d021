//! The process of a simulated deployment: log station, decode, engine, snapshots, without clock or real disk.

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
use eddy::types::{Decision, Message, PARTITIONS, PartitionId, Position, StreamId};
use tokio::sync::{mpsc, oneshot};

use crate::plant::{self, SECOND_NS};

/// A round of snapshots, in a time that goes on by [`TICK`] with each submission.
const EVERY: Duration = Duration::from_secs(PARTITIONS as u64 + 1);
pub const TICK: i64 = 20 * SECOND_NS;

/// What makes decisions durable; it outlives every process.
pub trait Store {
    /// Takes all of them, or none while it cannot: then they stay where they are.
    fn store(&mut self, decisions: &mut Vec<Decision>) -> bool;
    fn stored(&self) -> Vec<Decision>;
}

/// One that never fails.
impl Store for Vec<Decision> {
    fn store(&mut self, decisions: &mut Vec<Decision>) -> bool {
        self.append(decisions);
        true
    }

    fn stored(&self) -> Vec<Decision> {
        self.clone()
    }
}

pub type Outbox = Rc<RefCell<dyn Store>>;

pub fn outbox() -> Outbox {
    Rc::new(RefCell::new(Vec::new()))
}

/// Everything that is lost when the power goes, but for the outbox.
pub struct Process {
    pub station: LogStation,
    logged: mpsc::Receiver<Logged>,
    decoder: Decoder,
    engine: Engine,
    out: Outputs,
    decisions: Vec<Decision>,
    verdicts: Vec<(StreamId, PartitionId, Counts)>,
    keeper: Keeper,
    rounds: Rounds,
    ledger: Ledger,
    /// Wall clock.
    pub now: i64,
    outbox: Outbox,
    /// Where the log was read from at the start.
    pub from: Position,
}

impl Process {
    /// Starts on what the disk holds, as the binary does: open, restore, read the rest back, go on.
    pub fn start(plan: &Plan, disk: &FaultyDisk, latency: &Latency, outbox: &Outbox) -> Option<Process> {
        Self::start_at(0, plan, disk, latency, outbox)
    }

    /// As [`Process::start`], at a time of the wall clock.
    pub fn start_at(
        now: i64,
        plan: &Plan,
        disk: &FaultyDisk,
        latency: &Latency,
        outbox: &Outbox,
    ) -> Option<Process> {
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
            rounds: Rounds::new(EVERY, now, &restored.partitions),
            ledger: restored.ledger,
            now,
            outbox: outbox.clone(),
            from: restored.start,
        };
        let mut written = written.into_iter().peekable();
        for (position, message) in recovered {
            while let Some(entry) = written.next_if(|entry| entry.precedes <= position) {
                process.control(entry);
            }
            process.score(position, &message);
        }
        written.for_each(|entry| process.control(entry));
        Some(process)
    }

    /// Saves what is due, as decode, shard and keeper do: decisions are in the outbox before a state that
    /// holds them is on the disk.
    fn save(&mut self, next: Position) {
        self.now += TICK;
        while let Some((due, turn)) = self.rounds.due(self.now, next) {
            let mut file = vec![0; Snapshots::HEADER_BYTES];
            match due {
                Due::Partition(index) => {
                    assert!(self.engine.save(StreamId(0), PartitionId(index as u8), &mut file));
                }
                Due::Ledger { .. } => {
                    assert_eq!(self.ledger.position, next);
                    let standings = self.rounds.standings();
                    self.ledger.encode([("pumps", &standings[..])].into_iter(), &mut file);
                }
            }
            if !self.store() {
                return;
            }
            if self.keeper.keep(due, next, &mut file).is_ok() {
                turn.done();
            }
        }
    }

    /// False while the outbox takes nothing.
    pub fn store(&mut self) -> bool {
        self.decisions.is_empty() || self.outbox.borrow_mut().store(&mut self.decisions)
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

    fn control(&mut self, entry: ControlEntry) {
        let idle = match entry.event {
            ControlEvent::Idle { idle, .. } => idle,
            ControlEvent::Keys { keys, .. } => return self.engine.set_keys(StreamId(0), keys),
            _ => panic!("{entry:?}"),
        };
        (0..PARTITIONS).for_each(|partition| self.rounds.touch(partition));
        self.out.clear();
        self.engine.idle(StreamId(0), entry.precedes, idle, &Env::SIMULATED, &mut self.out);
        self.decisions.extend(self.out.raised.drain(..).map(|r| r.decision));
    }

    /// Submits messages and waits for the answer, as a source does.
    pub fn submit(&mut self, messages: &[Message]) -> Result<(), NotSafe> {
        self.hand_in(messages, None)
    }

    /// Hands in what is no message: that the stream is idle, as its source's clock says, or how many keys it has.
    pub fn note(&mut self, notice: Notice) -> Result<(), NotSafe> {
        self.hand_in(&[], Some(notice))
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
                    self.control(ControlEntry { precedes: self.station.log.next_position(), event });
                }
                Logged::Beat(_) | Logged::Gather { .. } | Logged::Tally { .. } => panic!("nobody sends one"),
            }
            self.save(self.station.log.next_position());
        }
        answer
    }

    pub fn finish(mut self) -> Outcome {
        self.out.clear();
        self.engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut self.out);
        self.decisions.extend(self.out.raised.drain(..).map(|r| r.decision));
        self.engine.changed(|stream, partition, counts, _| self.verdicts.push((stream, partition, *counts)));
        let mut digests: Vec<(u8, u64, u64, u64)> =
            self.verdicts.iter().map(|(_, p, c)| (p.0, c.events, c.windows, c.digest)).collect();
        digests.sort_unstable();
        assert_eq!(self.ledger.counted["plant"], self.ledger.position.0, "each message is counted once");
        assert!(self.store(), "nothing is wrong with the outbox at the end");
        let mut decisions = self.outbox.borrow().stored();
        decisions.sort_by(|a, b| (&a.id, a.revision).cmp(&(&b.id, b.revision)));
        decisions.dedup();
        Outcome { decisions, digests }
    }
}

/// The stream is as old as the log: what it needs of it and does not find was lost.
fn known_from_0() -> ControlEntry {
    let event = ControlEvent::Config { stream: "pumps".into(), fingerprint: String::new() };
    ControlEntry { precedes: Position(0), event }
}

#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub decisions: Vec<Decision>,
    /// (partition, events without duplicates, windows, digest over every verdict)
    pub digests: Vec<(u8, u64, u64, u64)>,
}
