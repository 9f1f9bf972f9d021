//! The engine alone, on one thread and without I/O: decode, window, score, judge. Prints and, with
//! `--json FILE`, writes ns of CPU an event by part, events/s of one core, and allocations an event in
//! the steady state.
//!
//! Time is the thread's CPU time, so that a busy machine disturbs it less.

#[path = "load/deployment.rs"]
mod deployment;
#[path = "load/fleet.rs"]
#[allow(dead_code)] // the load generator uses all of it
mod fleet;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eddy::decode::Decoder;
use eddy::engine::{Engine, Env, Outputs};
use eddy::model::Model;
use eddy::ring::Slot;
use eddy::types::{Arrival, Message, Position, StreamId};
use serde::Serialize;

/// Rows a message, as the load generator sends them.
const ROWS: u64 = 250;
/// Messages decoded into one slot, as the log's group commits make them under load.
const MESSAGES: u64 = 8;
/// Event time before the measured stretch: every ring has gone round, every key is warm.
const WARM_S: u64 = 132;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED_BYTES: AtomicU64 = AtomicU64::new(0);
static FREED_BYTES: AtomicU64 = AtomicU64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        FREED_BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_add(size as u64, Ordering::Relaxed);
        FREED_BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// CPU time of this thread, ns.
fn cpu_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer, and this clock exists on every Linux.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Live heap, bytes as asked for.
fn live_bytes() -> u64 {
    ALLOCATED_BYTES.load(Ordering::Relaxed) - FREED_BYTES.load(Ordering::Relaxed)
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    keys: u64,
    events: u64,
    windows: u64,
    events_per_s: f64,
    decode_ns_per_event: f64,
    window_ns_per_event: f64,
    score_ns_per_event: f64,
    judge_ns_per_event: f64,
    score_ns_per_window: f64,
    decode_allocations_per_event: f64,
    step_allocations_per_event: f64,
    alert_revisions: u64,
    heap_bytes_per_key: f64,
}

struct Bench {
    engine: Engine,
    decoder: Decoder,
    slot: Slot,
    out: Outputs,
    position: u64,
    decode_ns: i64,
    step_ns: i64,
    gather_ns: i64,
    score_ns: i64,
    judge_ns: i64,
    windows: u64,
    decode_allocations: u64,
    step_allocations: u64,
    raised: u64,
}

impl Bench {
    /// Sends `rows` through; the messages are rendered outside of what is measured.
    fn run(&mut self, keys: u64, rows: std::ops::Range<u64>) {
        let mut at = rows.start;
        let mut dead = Vec::new();
        let env = Env { now: &cpu_ns, ..Env::SIMULATED };
        while at < rows.end {
            let messages: Vec<Message> = (0..MESSAGES).map(|i| message(keys, at + i * ROWS)).collect();
            let allocations = ALLOCATIONS.load(Ordering::Relaxed);
            let start = cpu_ns();
            self.slot.clear();
            for message in &messages {
                self.decoder.decode(Position(self.position), message, &mut |r| self.slot.push(r), &mut dead);
                self.position += 1;
            }
            let decoded = cpu_ns();
            let between = ALLOCATIONS.load(Ordering::Relaxed);
            self.engine.step(&self.slot, &env, &mut self.out);
            let stepped = cpu_ns();
            self.decode_allocations += between - allocations;
            self.step_allocations += ALLOCATIONS.load(Ordering::Relaxed) - between;
            self.raised += self.out.raised.len() as u64;
            assert!(dead.is_empty() && self.out.late.is_empty(), "every row is good and in time");
            self.decode_ns += decoded - start;
            self.step_ns += stepped - decoded;
            self.gather_ns += self.out.gather_ns;
            self.score_ns += self.out.score_ns;
            self.judge_ns += self.out.judge_ns;
            self.windows += self.out.windows;
            self.out.clear();
            at += MESSAGES * ROWS;
        }
    }

    fn forget(&mut self) {
        self.decode_ns = 0;
        self.step_ns = 0;
        self.gather_ns = 0;
        self.score_ns = 0;
        self.judge_ns = 0;
        self.windows = 0;
        self.decode_allocations = 0;
        self.step_allocations = 0;
        self.raised = 0;
    }
}

fn message(keys: u64, first: u64) -> Message {
    let mut payload = Vec::new();
    fleet::push_ndjson(&mut payload, keys, first..first + ROWS);
    Message {
        source: "line".into(),
        topic: "pumps".into(),
        payload: payload.into(),
        arrival: Arrival(first as i64),
        idempotency_key: None,
        origin: None,
    }
}

fn measure(plan: &eddy::config::plan::Plan, model: &Arc<Model>, keys: u64, seconds: u64) -> Figures {
    let before = live_bytes();
    let mut engine = Engine::new(plan);
    engine.activate(StreamId(0), model.clone()).expect("trained for this stream");
    let mut bench = Bench {
        engine,
        decoder: Decoder::new(plan),
        slot: Slot::default(),
        out: Outputs::default(),
        position: 0,
        decode_ns: 0,
        step_ns: 0,
        gather_ns: 0,
        score_ns: 0,
        judge_ns: 0,
        windows: 0,
        decode_allocations: 0,
        step_allocations: 0,
        raised: 0,
    };
    bench.run(keys, 0..keys * WARM_S);
    let heap_bytes_per_key = (live_bytes() - before) as f64 / keys as f64;
    bench.forget();
    bench.run(keys, keys * WARM_S..keys * (WARM_S + seconds));
    let events = keys * seconds;
    let each = |ns: i64| ns as f64 / events as f64;
    Figures {
        keys,
        events,
        windows: bench.windows,
        events_per_s: 1e9 / each(bench.decode_ns + bench.step_ns),
        decode_ns_per_event: each(bench.decode_ns),
        window_ns_per_event: each(bench.step_ns - bench.score_ns - bench.judge_ns),
        score_ns_per_event: each(bench.score_ns),
        judge_ns_per_event: each(bench.judge_ns),
        score_ns_per_window: bench.score_ns as f64 / bench.windows as f64,
        decode_allocations_per_event: bench.decode_allocations as f64 / events as f64,
        step_allocations_per_event: bench.step_allocations as f64 / events as f64,
        alert_revisions: bench.raised,
        heap_bytes_per_key,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).map(|at| arguments[at + 1].clone());
    let only: Option<u64> = value("--keys").map(|keys| keys.parse().expect("--keys NUMBER"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = deployment::train(folder.path());
    let text = deployment::config(folder.path(), "type = \"http\"\nlisten = \"127.0.0.1:1\"", "\"fit\"", 2);
    let toml = folder.path().join("engine.toml");
    std::fs::write(&toml, text).expect("the folder can be written");
    let plan = eddy::config::load(&toml, &Default::default()).expect("the bench's own config is good");
    let model = Arc::new(Model::load(&model).expect("just written"));
    let mut all = Vec::new();
    for (keys, seconds) in [(1_000, 2_000), (100_000, 40)] {
        if only.is_none_or(|only| only == keys) {
            let figures = measure(&plan, &model, keys, seconds);
            println!("{figures:#.2?}");
            all.push(figures);
        }
    }
    if let Some(path) = value("--json") {
        let text = serde_json::to_string_pretty(&all).expect("plain numbers");
        std::fs::write(path, text + "\n").expect("the file can be written");
    }
}
