//! What is around the process: a wall clock that is set, a broker that is lost and sends again, an outbox
//! that cannot be written, a receiver that refuses, kills and power cuts; all from one seed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use eddy::alert::outbox::{Attempt, Next};
use eddy::config::plan::Plan;
use eddy::durable::Log;
use eddy::durable::faulty::FaultyDisk;
use eddy::latency::Latency;
use eddy::sink::schedule::{SCHEDULE, wait_before_next};
use eddy::types::{Arrival, Decision, Message, Position};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::plant::{SECOND_NS, START_NS};
use crate::process::{Outbox, Outcome, Process, TICK};
use crate::real_outbox::{RealOutbox, SINK};

const HOUR_NS: i64 = 3600 * SECOND_NS;
/// Steps of the clock a run: with more, a refusing receiver would use the schedule up.
const STEPS_MAX: u32 = 4;
/// Messages under way at once: redelivered ones are still known as such.
const GROUP_MAX: usize = 20;

#[derive(Clone, Copy)]
pub struct Faults {
    pub clock: bool,
    pub broker: bool,
    pub outbox: bool,
    pub receiver: bool,
    /// `kill -9` and power cuts.
    pub kills: bool,
}

impl Faults {
    pub const NONE: Faults =
        Faults { clock: false, broker: false, outbox: false, receiver: false, kills: false };
}

pub struct World<'a> {
    plan: &'a Plan,
    messages: &'a [Message],
    faults: Faults,
    seed: u64,
    rng: ChaCha8Rng,
    wall: i64,
    steps: u32,
    disk: FaultyDisk,
    latency: Latency,
    outbox: Rc<RefCell<RealOutbox>>,
    shut: Rc<Cell<bool>>,
    refusing: bool,
    process: Option<Process>,
    /// By the broker: this many have been acknowledged to it, all before the others.
    acked: usize,
    sent_max: usize,
    /// In order: `webhook-id` and body.
    told: Vec<(String, Vec<u8>)>,
    /// Of them, those whose delivery was not written down.
    forgotten: usize,
    last_arrival: i64,
    pub arrivals_went_back: bool,
    pub redelivered: u64,
    pub stores_refused: u64,
    pub attempts_refused: u64,
    /// Where the last start began in the log.
    pub read_back_from: Position,
}

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan, messages: &'a [Message], faults: Faults, seed: u64) -> Self {
        let shut = Rc::new(Cell::new(false));
        let mut world = World {
            plan,
            messages,
            faults,
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            wall: START_NS,
            steps: 0,
            disk: FaultyDisk::new(),
            latency: Latency::new(),
            outbox: Rc::new(RefCell::new(RealOutbox::new(shut.clone()))),
            shut,
            refusing: false,
            process: None,
            acked: 0,
            sent_max: 0,
            told: Vec::new(),
            forgotten: 0,
            last_arrival: i64::MIN,
            arrivals_went_back: false,
            redelivered: 0,
            stores_refused: 0,
            attempts_refused: 0,
            read_back_from: Position(0),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let outbox: Outbox = self.outbox.clone();
        self.process = Process::start_at(self.wall, self.plan, &self.disk, &self.latency, &outbox);
        let sqlite = &mut self.outbox.borrow_mut().sqlite;
        sqlite.attach(SINK, "target", self.wall).expect("it is written");
    }

    /// Until the broker has an acknowledgement for every message; then what was decided.
    pub fn run(&mut self) -> Outcome {
        while self.acked < self.messages.len() {
            self.trouble();
            self.turn();
            self.deliver(self.wall);
        }
        self.shut.set(false);
        self.refusing = false;
        self.crash();
        self.log_holds_what_was_acknowledged();
        let process = self.process.take().expect("a restarted disk works");
        self.read_back_from = process.from;
        let outcome = process.finish();
        self.stores_refused = self.outbox.borrow().refused;
        self.deliver_the_rest();
        outcome
    }

    /// What goes wrong, or comes right, now.
    fn trouble(&mut self) {
        self.wall += TICK;
        let faults = self.faults;
        let mut happens = |on: bool, chance: f64| on && self.rng.random_bool(chance);
        let (step, outbox) = (happens(faults.clock, 0.1), happens(faults.outbox, 0.2));
        let (receiver, kill) = (happens(faults.receiver, 0.15), happens(faults.kills, 0.05));
        if step && self.steps < STEPS_MAX {
            self.steps += 1;
            self.wall += self.rng.random_range(-12 * HOUR_NS..12 * HOUR_NS);
        }
        if outbox {
            self.shut.set(!self.shut.get());
        }
        if receiver {
            self.refusing = !self.refusing;
        }
        if faults.kills && self.rng.random_bool(0.05) {
            self.disk.cut_power_at_write(self.rng.random_range(1..30));
        }
        if kill {
            // The disk goes on: what was written is there, synced or not.
            self.process = None;
            self.start();
        }
        self.outbox.borrow_mut().now = self.wall;
    }

    /// The broker sends what it has no acknowledgement for, in order; the process logs it and acknowledges.
    fn turn(&mut self) {
        let group = self.rng.random_range(1..=GROUP_MAX).min(self.messages.len() - self.acked);
        let mut messages = self.messages[self.acked..self.acked + group].to_vec();
        self.arrivals_went_back |= self.wall < self.last_arrival;
        self.last_arrival = self.wall;
        messages.iter_mut().for_each(|message| message.arrival = Arrival(self.wall));
        self.redelivered += self.sent_max.saturating_sub(self.acked).min(group) as u64;
        self.sent_max = self.sent_max.max(self.acked + group);
        let Some(process) = &mut self.process else { return self.crash() };
        process.now = self.wall;
        if process.submit(&messages).is_err() {
            return self.crash();
        }
        process.store();
        // A connection that breaks takes acknowledgements with it; the first ones may have got through.
        let lost = self.faults.broker && self.rng.random_bool(0.2);
        self.acked += if lost { self.rng.random_range(0..group) } else { group };
    }

    fn crash(&mut self) {
        self.process = None;
        self.disk.crash(self.rng.random());
        self.disk.restart();
        self.log_holds_what_was_acknowledged();
        self.start();
    }

    /// And each key's messages in their order.
    fn log_holds_what_was_acknowledged(&self) {
        let log = Log::open(Box::new(self.disk.clone()), Path::new("/data"), 8 << 10).expect("the log opens");
        let index: BTreeMap<&[u8], usize> =
            self.messages.iter().enumerate().map(|(i, message)| (&message.payload[..], i)).collect();
        let mut found = Vec::new();
        for read in log.read_from(log.first_position()) {
            let message = read.expect("readable").1;
            let i = index[&message.payload[..]];
            if !found.contains(&i) {
                found.push(i);
            }
        }
        // The broker sends in order, so whatever comes first in the log, the rest follows it.
        assert!(found.is_sorted(), "out of order in the log; EDDY_SEED={}", self.seed);
        let Some(&first) = found.first() else { return };
        for i in first..self.acked {
            assert!(found.contains(&i), "acknowledged message {i} is lost; EDDY_SEED={}", self.seed);
        }
    }

    /// What the delivery worker does, at a time: due alerts are sent, and what came of it is written down.
    fn deliver(&mut self, now: i64) {
        let outbox = &mut self.outbox.borrow_mut().sqlite;
        let mut attempts = Vec::new();
        for due in outbox.due(SINK, now, 8).expect("it is read") {
            let next = if self.refusing {
                self.attempts_refused += 1;
                let wait = wait_before_next(&SCHEDULE, &due.message_id, due.attempts + 1, None);
                let wait = wait.unwrap_or_else(|| panic!("given up; EDDY_SEED={}", self.seed));
                Next::Retry { at_ns: now + wait.as_nanos() as i64 }
            } else {
                self.told.push((due.message_id, due.body.to_vec()));
                Next::Delivered
            };
            let (id, revision, status) = (due.id, due.revision, None);
            attempts.push(Attempt {
                id,
                revision,
                incident: None,
                started_at_ns: now,
                finished_at_ns: now,
                status,
                error: None,
                next,
            });
        }
        // Killed between a 2xx and its record: the same bytes are sent again.
        let forgotten = self.faults.kills && self.rng.random_bool(0.1);
        if forgotten {
            self.forgotten += attempts.iter().filter(|attempt| attempt.next == Next::Delivered).count();
        } else {
            outbox.record_attempts(SINK, "target", &attempts).expect("it is written");
        }
    }

    fn deliver_the_rest(&mut self) {
        for _ in 0..1_000 {
            self.deliver(self.wall);
            let outbox = &mut self.outbox.borrow_mut().sqlite;
            if outbox.counts(SINK).expect("it is read").pending == 0 {
                return;
            }
            self.wall = outbox.next_due_at(SINK, self.wall).expect("it is read").unwrap_or(self.wall);
        }
        panic!("alerts wait for ever; EDDY_SEED={}", self.seed);
    }

    /// The receiver was told every revision, in order, a second time only with the same bytes.
    pub fn told_everything(&self, outcome: &Outcome) {
        let seed = self.seed;
        let mut bodies: BTreeMap<&str, &[u8]> = BTreeMap::new();
        let mut revisions: BTreeMap<&str, u32> = BTreeMap::new();
        for (message, body) in &self.told {
            assert_eq!(*bodies.entry(message).or_insert(body), &body[..], "{message}; EDDY_SEED={seed}");
            let (id, revision) = message.rsplit_once('_').expect("id and revision");
            let newest = revisions.entry(id).or_default();
            let revision: u32 = revision.parse().expect("a number");
            assert!(revision <= *newest + 1, "{message} after {newest}; EDDY_SEED={seed}");
            *newest = revision.max(*newest);
        }
        let mut expected: Vec<String> = outcome.decisions.iter().map(Decision::message_id).collect();
        expected.sort_unstable();
        let again = self.told.len() - bodies.len();
        assert_eq!(again, self.forgotten, "alerts sent again; EDDY_SEED={seed}");
        let told: Vec<&str> = bodies.into_keys().collect();
        assert_eq!(told, expected, "EDDY_SEED={seed}");
    }
}
