//! Time and allocations to decode an event, beside sonic-rs deserialising the same bytes into typed
//! structs, alternating in one run on one thread. Prints medians of 9 rounds. Arguments pick cases by
//! a part of their name.
//!
//! The typed side stops at parsed fields. Eddy's also routes by topic, finds and hashes the key,
//! scales the time, checks every value and hashes the content.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eddy::config::plan::{
    AlarmPlan, ColumnPlan, DashboardPlan, DurablePlan, FieldPath, Layout, ModelPlan, Plan, ReplayPlan, Shape,
    SourceKind, SourcePlan, StreamPlan, TimePlan, TimeUnit, WindowPlan,
};
use eddy::decode::Decoder;
use eddy::types::{Arrival, Message, Position};
use serde::Deserialize;

const ROUNDS: usize = 9;
/// Passes over the messages in one round.
const REPEATS: u32 = 20;
const MESSAGES: usize = 2048;
const START_MS: i64 = 1_740_830_400_000;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, memory: Memory) {
        unsafe { System.dealloc(pointer, memory) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, memory, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Deserialize)]
struct Flat<'a> {
    #[serde(borrow)]
    device: &'a str,
    ts: i64,
    temp: f32,
    pressure: f32,
    vibration: f32,
}

#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow)]
    device: Device<'a>,
    ts: i64,
    temp: f32,
    data: Data,
}

#[derive(Deserialize)]
struct Device<'a> {
    id: &'a str,
}

#[derive(Deserialize)]
struct Data {
    pressure: f32,
    vib: Vib,
}

#[derive(Deserialize)]
struct Vib {
    rms: f32,
}

#[derive(Deserialize)]
struct Points<'a> {
    #[serde(borrow)]
    device: &'a str,
    points: Vec<Reading>,
}

#[derive(Deserialize)]
struct Reading {
    ts: i64,
    temp: f32,
    pressure: f32,
    vibration: f32,
}

/// Checksum and number of events, so that both sides can be compared and nothing is optimised away.
type Sum = (f64, u64);

struct Case {
    name: &'static str,
    stream: StreamPlan,
    payloads: Vec<String>,
    typed: fn(&[u8]) -> Sum,
}

fn main() {
    println!(
        "{:<26}{:>7}{:>14}{:>14}{:>8}{:>14}",
        "payload", "bytes", "sonic ns/event", "eddy ns/event", "ratio", "allocs/event"
    );
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for case in [flat(), nested(), wide(), points()] {
        if wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part.as_str())) {
            case.run();
        }
    }
}

impl Case {
    fn run(&self) {
        let messages: Vec<Message> = self.payloads.iter().map(|payload| message(payload)).collect();
        let mut decoder = Decoder::new(&plan(self.stream.clone()));
        let mut dead = Vec::new();
        let mut eddy = || {
            let mut sum = (0.0, 0);
            for message in &messages {
                let mut emit = |record: eddy::types::RecordRef<'_>| {
                    let values: f64 = record.values.iter().map(|value| f64::from(*value)).sum();
                    sum.0 += values + record.key.len() as f64 + (record.time.0 / 1_000_000 - START_MS) as f64;
                    sum.1 += 1;
                };
                decoder.decode(Position(0), black_box(message), &mut emit, &mut dead);
            }
            sum
        };
        let typed = || {
            self.payloads.iter().fold((0.0, 0), |sum, payload| {
                let one = (self.typed)(black_box(payload.as_bytes()));
                (sum.0 + one.0, sum.1 + one.1)
            })
        };
        let (ours, theirs) = (eddy(), typed());
        assert_eq!(ours.1, theirs.1, "{}: equal events", self.name);
        assert!((ours.0 - theirs.0).abs() < 1e-6 * theirs.0.abs(), "{}: equal values", self.name);
        let mut ns = [Vec::new(), Vec::new()];
        let mut allocations = 0;
        for _ in 0..ROUNDS {
            ns[0].push(time_ns(typed, ours.1));
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let eddy_ns = time_ns(&mut eddy, ours.1);
            allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
            ns[1].push(eddy_ns);
        }
        let [theirs_ns, ours_ns] = ns.map(median);
        let bytes = self.payloads.iter().map(String::len).sum::<usize>() / self.payloads.len();
        let per_event = allocations as f64 / (ours.1 * u64::from(REPEATS)) as f64;
        println!(
            "{:<26}{bytes:>7}{theirs_ns:>14.1}{ours_ns:>14.1}{:>8.2}{per_event:>14.4}",
            self.name,
            theirs_ns / ours_ns
        );
    }
}

fn time_ns(mut work: impl FnMut() -> Sum, events: u64) -> f64 {
    let start = Instant::now();
    for _ in 0..REPEATS {
        black_box(work());
    }
    start.elapsed().as_nanos() as f64 / (f64::from(REPEATS) * events as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> T {
    sonic_rs::from_slice(json).expect("the bench's own payloads are valid")
}

fn sum_of(device: &str, ts: i64, values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value)).sum::<f64>() + device.len() as f64 + (ts - START_MS) as f64
}

fn reading(n: usize) -> (f64, f64, f64, i64) {
    let n = n as f64;
    (20.0 + (n * 0.37).sin() * 4.0, 3.2 + (n * 0.11).cos(), 1.0 + (n * 0.73).sin().abs(), START_MS + n as i64)
}

fn flat() -> Case {
    let payload = |n| {
        let (temp, pressure, vibration, ts) = reading(n);
        format!(
            r#"{{"device":"pump-{:04}","ts":{ts},"temp":{temp:.3},"pressure":{pressure:.4},"vibration":{vibration:.5},"status":"running"}}"#,
            n % 1000
        )
    };
    let typed = |json: &[u8]| {
        let row: Flat = parse(json);
        (sum_of(row.device, row.ts, &[row.temp, row.pressure, row.vibration]), 1)
    };
    let stream = stream("device", "ts", None, &["temp", "pressure", "vibration"]);
    Case { name: "flat object", stream, payloads: (0..MESSAGES).map(payload).collect(), typed }
}

fn nested() -> Case {
    let payload = |n| {
        let (temp, pressure, vibration, ts) = reading(n);
        format!(
            r#"{{"device":{{"id":"pump-{:04}","site":"a"}},"ts":{ts},"temp":{temp:.3},"data":{{"pressure":{pressure:.4},"vib":{{"peak":1.5,"rms":{vibration:.5}}},"ok":true}},"tags":["x","y"]}}"#,
            n % 1000
        )
    };
    let typed = |json: &[u8]| {
        let row: Nested = parse(json);
        (sum_of(row.device.id, row.ts, &[row.temp, row.data.pressure, row.data.vib.rms]), 1)
    };
    let stream = stream("device.id", "ts", None, &["temp", "data.pressure", "data.vib.rms"]);
    Case { name: "nested object", stream, payloads: (0..MESSAGES).map(payload).collect(), typed }
}

/// Forty columns; the typed side is a map, as no one writes that struct.
fn wide() -> Case {
    let names: Vec<String> = (0..40).map(|column| format!("sensor_{column:02}")).collect();
    let payload = |n: usize| {
        let values: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(c, name)| format!(r#""{name}":{:.4}"#, ((n + c) as f64).sin() + 2.0))
            .collect();
        format!(r#"{{"device":"pump","ts":{START_MS},"v":{{{}}}}}"#, values.join(","))
    };
    #[derive(Deserialize)]
    struct Wide<'a> {
        #[serde(borrow)]
        device: &'a str,
        ts: i64,
        v: BTreeMap<&'a str, f32>,
    }
    let typed = |json: &[u8]| {
        let row: Wide = parse(json);
        let values: Vec<f32> = row.v.into_values().collect();
        (sum_of(row.device, row.ts, &values), 1)
    };
    let paths: Vec<String> = names.iter().map(|name| format!("v.{name}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    Case {
        name: "40 columns (peer: map)",
        stream: stream("device", "ts", None, &paths),
        payloads: (0..MESSAGES).map(payload).collect(),
        typed,
    }
}

fn points() -> Case {
    let payload = |n: usize| {
        let rows: Vec<String> = (0..64)
            .map(|i| {
                let (temp, pressure, vibration, ts) = reading(n * 64 + i);
                format!(
                    r#"{{"ts":{ts},"temp":{temp:.3},"pressure":{pressure:.4},"vibration":{vibration:.5}}}"#
                )
            })
            .collect();
        format!(r#"{{"device":"pump-{:04}","points":[{}]}}"#, n % 1000, rows.join(","))
    };
    let typed = |json: &[u8]| {
        let batch: Points = parse(json);
        let sums = batch
            .points
            .iter()
            .map(|row| sum_of(batch.device, row.ts, &[row.temp, row.pressure, row.vibration]));
        (sums.sum(), batch.points.len() as u64)
    };
    let stream = stream("$.device", "ts", Some("points"), &["temp", "pressure", "vibration"]);
    Case { name: "64 points in an array", stream, payloads: (0..64).map(payload).collect(), typed }
}

fn path(text: &str) -> FieldPath {
    let names = |text: &str| text.split('.').map(str::to_owned).collect();
    text.strip_prefix("$.").map_or_else(|| FieldPath::Json(names(text)), |root| FieldPath::Root(names(root)))
}

fn stream(key: &str, time: &str, points: Option<&str>, columns: &[&str]) -> StreamPlan {
    let second = Duration::from_secs(1);
    StreamPlan {
        name: "pumps".to_owned(),
        from: vec!["bench".to_owned()],
        topics: Some("plant/+/telemetry".to_owned()),
        key: path(key),
        time: TimePlan::Field { path: path(time), unit: TimeUnit::Millis },
        layout: Layout::Wide { points: points.map(path) },
        outcome: None,
        columns: columns
            .iter()
            .map(|c| ColumnPlan {
                name: (*c).to_owned(),
                path: path(c),
                unit: None,
                aggregate: Default::default(),
                deviation: None,
            })
            .collect(),
        window: WindowPlan {
            shape: Shape::Grid,
            size: second,
            every: second,
            grid: second,
            disorder: second,
            lateness: second,
        },
        model: ModelPlan::Fit { warmup: second },
        alarm: AlarmPlan::PValue(0.001),
        standing: Some(Duration::from_secs(86_400)),
        format: eddy::config::plan::FormatPlan::Json,
        max_future: None,
        no_data: eddy::config::plan::NoDataPlan::Learn,
        idle_after: None,
        onsets: None,
    }
}

fn plan(stream: StreamPlan) -> Plan {
    let replay = ReplayPlan { path: PathBuf::new(), speed: None, time_column: None };
    Plan {
        deployment: "eddy".to_owned(),
        sources: vec![SourcePlan { name: "bench".to_owned(), kind: SourceKind::Replay(replay) }],
        streams: vec![stream],
        sinks: Vec::new(),
        dashboard: DashboardPlan { enabled: false, listen: ([127, 0, 0, 1], 0).into(), tls: None, url: None },
        durable: DurablePlan { path: PathBuf::new(), segment_bytes: 0, ..DurablePlan::default() },
        shards: 1,
        backend: eddy::config::plan::Choice::Cpu,
        device_memory_bytes: 0,
        telemetry: None,
        warnings: Vec::new(),
    }
}

fn message(payload: &str) -> Message {
    Message {
        source: Arc::from("bench"),
        topic: "plant/pump/telemetry".into(),
        payload: bytes::Bytes::copy_from_slice(payload.as_bytes()),
        arrival: Arrival(START_MS * 1_000_000),
        idempotency_key: None,
        origin: None,
    }
}
