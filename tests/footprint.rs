//! What `eddy plan` says of memory, held against what the allocator gave.
//!
//! `EDDY_KEYS=1000000` adds a run of a million keys, which `make prove` does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use eddy::config::plan::*;
use eddy::engine::footprint::{Demand, Footprint, device_bytes, heard_bytes};
use eddy::engine::train::Trainer;
use eddy::engine::{Engine, Env, Outputs};
use eddy::judge::tolerance::{Departure, Detector, Episodes, InForce};
use eddy::model::{Cohort, Model, Showing};
use eddy::ring::Slot;
use eddy::types::{Arrival, EventTime, PartitionId, Position, RecordRef, StreamId, key_hash};

mod plant;

struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);
/// One measurement at a time: the counter is the whole process's.
static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    /// Of this thread alone: what another test leaves behind, such as the library's room for products, goes as its thread ends.
    static HERE: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    LIVE.fetch_add(bytes, Relaxed);
    let _ = HERE.try_with(|here| here.set(here.get() + bytes));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A stream's windows; times in s. Every key speaks once in `interval`.
struct Load {
    shape: Shape,
    columns: usize,
    size: u64,
    every: u64,
    grid: u64,
    disorder: u64,
    lateness: u64,
    interval: u64,
    key_bytes: usize,
}

const GRIDS: [Load; 6] = [
    Load {
        shape: Shape::Grid,
        columns: 1,
        size: 64,
        every: 4,
        grid: 1,
        disorder: 2,
        lateness: 2,
        interval: 1,
        key_bytes: 12,
    },
    Load {
        shape: Shape::Grid,
        columns: 8,
        size: 128,
        every: 16,
        grid: 2,
        disorder: 8,
        lateness: 8,
        interval: 2,
        key_bytes: 16,
    },
    Load {
        shape: Shape::Grid,
        columns: 3,
        size: 600,
        every: 600,
        grid: 60,
        disorder: 120,
        lateness: 120,
        interval: 30,
        key_bytes: 40,
    },
    Load {
        shape: Shape::Grid,
        columns: 2,
        size: 40,
        every: 10,
        grid: 5,
        disorder: 60,
        lateness: 60,
        interval: 5,
        key_bytes: 24,
    },
    Load {
        shape: Shape::Grid,
        columns: 25,
        size: 160,
        every: 40,
        grid: 10,
        disorder: 0,
        lateness: 0,
        interval: 10,
        key_bytes: 10,
    },
    Load {
        shape: Shape::Grid,
        columns: 2,
        size: 64,
        every: 2,
        grid: 2,
        disorder: 4,
        lateness: 32,
        interval: 2,
        key_bytes: 20,
    },
];

/// A window of 120 s that each event ends, sessions of at most 90 s, the last 12 events.
const EVENTS: [Load; 3] = [
    Load {
        shape: Shape::Sliding,
        columns: 4,
        size: 120,
        every: 0,
        grid: 120,
        disorder: 20,
        lateness: 20,
        interval: 10,
        key_bytes: 16,
    },
    Load {
        shape: Shape::Session { gap: Duration::from_secs(9) },
        columns: 2,
        size: 90,
        every: 0,
        grid: 90,
        disorder: 4,
        lateness: 4,
        interval: 2,
        key_bytes: 12,
    },
    Load {
        shape: Shape::Count { events: 12, every: 3 },
        columns: 3,
        size: 0,
        every: 0,
        grid: 0,
        disorder: 10,
        lateness: 10,
        interval: 5,
        key_bytes: 24,
    },
];

impl Load {
    fn on_grid(&self) -> bool {
        self.shape == Shape::Grid
    }
}

fn stream(shape: &Load, model: ModelPlan) -> Plan {
    let mut plan = plant::plan(1);
    let stream = &mut plan.streams[0];
    let column = |i| ColumnPlan {
        name: format!("c{i:02}"),
        path: FieldPath::Json(vec![format!("c{i:02}")]),
        unit: None,
        deviation: None,
        aggregate: match shape.shape {
            Shape::Grid => Aggregate::Mean,
            _ => [Aggregate::Count, Aggregate::Ratio, Aggregate::SinceLast, Aggregate::Rarity][i % 4],
        },
    };
    stream.columns = (0..shape.columns).map(column).collect();
    stream.window = WindowPlan {
        shape: shape.shape,
        size: Duration::from_secs(shape.size),
        every: Duration::from_secs(shape.every),
        grid: Duration::from_secs(shape.grid),
        disorder: Duration::from_secs(shape.disorder),
        lateness: Duration::from_secs(shape.lateness),
    };
    stream.model = model;
    // Nothing is told, and nothing kept of what was.
    stream.alarm = AlarmPlan::PValue(1e-12);
    let onsets = OnsetPlan { cells: 500, span: Duration::from_secs(86_400) };
    stream.onsets = shape.on_grid().then_some(onsets);
    plan
}

/// Rows of all keys at one moment, as numbers that are never the same twice.
struct Rows {
    keys: u64,
    columns: usize,
    key_bytes: usize,
    /// From the first key's row to the last one's.
    spread_ms: u64,
    seed: u64,
}

impl Rows {
    fn each(&mut self, time_ms: u64, only: std::ops::Range<u64>, mut to: impl FnMut(&RecordRef<'_>)) {
        let mut values = vec![0.0; self.columns];
        for key in only {
            let name = format!("{key:0width$}", width = self.key_bytes);
            for value in &mut values {
                self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *value = (self.seed >> 40) as f32 / 1e4;
            }
            to(&RecordRef {
                stream: StreamId(0),
                key: name.as_bytes(),
                key_hash: key_hash(name.as_bytes()),
                partition: PartitionId::of(key_hash(name.as_bytes())),
                time: EventTime(
                    plant::START_NS + (time_ms + key * self.spread_ms / self.keys) as i64 * 1_000_000,
                ),
                arrival: Arrival(0),
                position: Position(time_ms * self.keys + key),
                row: 0,
                values: &values,
                outcome: None,
                content_hash: self.seed,
            });
        }
    }
}

fn model(shape: &Load, plan: &Plan) -> Arc<Model> {
    let mut trainer = Trainer::new(&plan.streams[0]);
    let mut rows =
        Rows { keys: 4, columns: shape.columns, key_bytes: shape.key_bytes, spread_ms: 0, seed: 3 };
    for step in
        0..(shape.size * 4 + shape.every * 80) / shape.interval + if shape.on_grid() { 0 } else { 4_000 }
    {
        rows.each(step * shape.interval * 1000, 0..4, |row| trainer.push(row));
    }
    Arc::new(trainer.finish().expect("enough windows"))
}

/// Live heap after enough rows of every key that all of it has been asked for once.
fn measured(shape: &Load, plan: &Plan, keys: u64, model: Option<Arc<Model>>) -> i64 {
    let until = match shape.on_grid() {
        true => 3 * shape.lateness + 2 * shape.every + 6 * shape.grid,
        // Longer than a window, and than a session may be.
        false => 3 * shape.lateness + 2 * shape.size + 20 * shape.interval,
    };
    measured_after(until, shape, plan, keys, model)
}

/// Live heap after so many seconds.
fn measured_after(until: u64, shape: &Load, plan: &Plan, keys: u64, model: Option<Arc<Model>>) -> i64 {
    let before = LIVE.load(Relaxed);
    let mut engine = Engine::new(plan);
    if let Some(model) = model {
        engine.activate(StreamId(0), model).expect("its own model");
    }
    // Rows that wait are counted as if they came evenly; a grid holds them by the cell.
    let spread_ms = if shape.on_grid() { 0 } else { shape.interval * 1000 };
    let mut rows = Rows { keys, columns: shape.columns, key_bytes: shape.key_bytes, spread_ms, seed: 9 };
    let mut out = Outputs::default();
    for step in 0..=until.div_ceil(shape.interval) {
        let mut from = 0;
        while from < keys {
            let mut slot = Slot::default();
            let to = (from + 4096).min(keys);
            rows.each(step * shape.interval * 1000, from..to, |row| slot.push(*row));
            engine.step(&slot, &Env::SIMULATED, &mut out);
            out = Outputs::default();
            from = to;
        }
    }
    LIVE.load(Relaxed) - before
}

fn held_to_15_percent(name: &str, shape: &Load, keys: u64, said: f64, measured: i64) -> bool {
    let off = (said / measured as f64 - 1.0) * 100.0;
    println!(
        "{name}: {:?}, {} column(s), {keys} keys: said {:.0} B a key, allocated {:.0}: {off:+.1} %",
        shape.shape,
        shape.columns,
        said / keys as f64,
        measured as f64 / keys as f64
    );
    off.abs() <= 15.0
}

fn counts() -> Vec<u64> {
    let more = std::env::var("EDDY_KEYS").ok().and_then(|keys| keys.parse().ok());
    [10_000, 100_000].into_iter().chain(more).collect()
}

#[test]
fn memory_is_what_was_said_for_configs_of_many_shapes() {
    let _alone = ALONE.lock();
    let mut good = true;
    for keys in counts() {
        for shape in GRIDS.iter().chain(&EVENTS) {
            let plan = stream(shape, ModelPlan::Load { path: "unused".into(), refit: None, memory_bytes: 0 });
            let rows_per_s = keys as f64 / shape.interval as f64;
            let demand = Demand { keys, rows_per_s, key_bytes: shape.key_bytes };
            let said = Footprint::of(&plan.streams[0], 1, &demand).steady_bytes();
            let model = model(shape, &plan);
            good &=
                held_to_15_percent("judging", shape, keys, said, measured(shape, &plan, keys, Some(model)));
        }
    }
    assert!(good, "more than 15 % off, see above");
}

/// What `eddy plan` says of a stream of such windows, and its config.
fn planned(window: &str, demand: [&str; 4]) -> (tempfile::TempDir, std::path::PathBuf, std::process::Output) {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let text = format!(
        "[source.a]\ntype = \"http\"\nlisten = \"127.0.0.1:1\"\n[stream.s]\nfrom = \"a\"\nkey = \"id\"\n\
         time = {{ path = \"t\", unit = \"ms\" }}\ncolumns.x = \"x\"\nwindow = {{ {window} }}\n"
    );
    let config = folder.path().join("eddy.toml");
    std::fs::write(&config, text).expect("the config is written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_eddy"));
    let output = command.arg("plan").arg(&config).args(demand).output().expect("it runs");
    (folder, config, output)
}

#[test]
fn the_command_says_what_the_structures_take() {
    let _alone = ALONE.lock();
    let window = "type = \"hopping\", size = \"32s\", every = \"4s\", grid = \"1s\", lateness = \"2s\"";
    let (_folder, config, output) = planned(window, ["--keys", "50000", "--rate", "25000"]);
    let (said, waiting) =
        (String::from_utf8(output.stdout).expect("text"), String::from_utf8_lossy(&output.stderr));
    let begun: Vec<&str> =
        waiting.lines().filter_map(|line| line.strip_prefix("stream s: ")?.split(' ').next()).collect();
    assert_eq!(begun, ["fitting", "filling", "measuring"], "who waits is told for what:\n{waiting}");
    let plan = eddy::config::load(&config, &Default::default()).expect("a good config");
    let demand = Demand { keys: 50_000, rows_per_s: 25_000.0, key_bytes: 16 };
    let bytes = Footprint::of(&plan.streams[0], plan.shards, &demand).steady_bytes();
    let line = format!("memory: {:.1} MB ({:.0} bytes a key)", bytes / 1e6, bytes / 5e4);
    assert!(said.contains(&line), "{line} in\n{said}");
    let load = |what: &str| -> f64 {
        let line = said.lines().find(|line| line.contains(what)).expect("a line of the load");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    assert!(load("windows and scores, over") > 0.0 && load("to receive, log and decode") > 0.0, "{said}");
    assert!(said.contains("batch: 782 windows"), "{said}");
    // In pages of 64 KiB, each of 481 keys of 32 cells and their scales: two of each of 64 partitions.
    let of_device = "280.0 MB are for windows of keys; they take 8.4 MB: enough";
    assert_eq!(device_bytes(&plan.streams[0], &demand), 128.0 * 65_536.0);
    assert!(said.contains(of_device), "{of_device} in\n{said}");
}

/// A reading each five seconds, and cells of one: windows nobody would ever judge are no plan.
#[test]
fn the_command_refuses_what_would_never_be_judged() {
    let _alone = ALONE.lock();
    let window = "type = \"tumbling\", size = \"40s\", grid = \"1s\"";
    let (_folder, _, output) = planned(window, ["--keys", "100", "--rate", "20"]);
    let said = String::from_utf8(output.stdout).expect("text");
    let line = "cells: 80.0 % are missing, since a key has a value of a column every 5s and `grid` is 1s: NOT ENOUGH";
    assert!(said.contains(line) && said.contains("write `grid = \"5s\"` in `window`"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Models are fitted by then, and the windows kept for the next ones go on being kept. What is said is what they come to when
/// as many are kept as may be, which the first shape has reached.
#[test]
fn memory_of_growing_models_is_what_was_said() {
    let _alone = ALONE.lock();
    for (at, shape) in GRIDS[..3].iter().enumerate() {
        let keys = 5_000;
        let plan = stream(shape, ModelPlan::Fit { warmup: Duration::from_secs(1 << 30) });
        let demand =
            Demand { keys, rows_per_s: keys as f64 / shape.interval as f64, key_bytes: shape.key_bytes };
        let said = Footprint::of(&plan.streams[0], 1, &demand).steady_bytes();
        let measured = measured_after(2 * shape.size + 300, shape, &plan, keys, None);
        let close = held_to_15_percent("growing", shape, keys, said, measured);
        assert!(close || at > 0 && measured as f64 <= said, "more than was said, or far from it");
    }
}

/// Keys must be warm before a window of theirs is kept, which takes some epochs.
#[test]
fn memory_of_refits_is_what_was_said() {
    let _alone = ALONE.lock();
    let (shape, keys) = (&GRIDS[0], 2000);
    let refit = Some(Duration::from_secs(3600));
    let plan = stream(shape, ModelPlan::Load { path: "unused".into(), refit, memory_bytes: 0 });
    let demand = Demand { keys, rows_per_s: keys as f64 / shape.interval as f64, key_bytes: shape.key_bytes };
    let said = Footprint::of(&plan.streams[0], 1, &demand);
    assert!(said.refits > said.steady_bytes() / 2.0, "the windows kept are most of it: {said:?}");
    let model = model(shape, &plan);
    let measured = measured_after(300, shape, &plan, keys, Some(model));
    assert!(held_to_15_percent("refits", shape, keys, said.steady_bytes(), measured));
}

/// Alerts fall on keys by chance, and somebody calls each expected.
#[test]
fn memory_of_feedback_is_what_was_said() {
    let _alone = ALONE.lock();
    let (keys, mut good) = (5_000u64, true);
    for (alerts, columns) in [(2_000u64, 3), (5_000, 1), (20_000, 4), (40_000, 12)] {
        let before = HERE.get();
        let mut lot = 7u64;
        let mut episodes = BTreeMap::<u32, Episodes>::new();
        for number in 0..alerts {
            lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (of, onset) = (episodes.entry((lot >> 33) as u32 % keys as u32).or_default(), number as i64);
            let departures = (0..columns).map(|column| Departure::of_window(column, 0.0, 1.0));
            of.saw(Detector::Window, onset, 1e-6, departures);
            of.hear(Detector::Window, onset, (number + 1, &format!("{number:032x}")), Some(true), 0);
        }
        let mut in_force = BTreeMap::<u32, InForce>::new();
        for (key, episodes) in &episodes {
            in_force.insert(*key, episodes.in_force());
        }
        let measured = HERE.get() - before;
        let said = heard_bytes(keys, alerts as f64, columns);
        let off = (said / measured as f64 - 1.0) * 100.0;
        println!(
            "{alerts} alerts of {columns} column(s): said {said:.0} B, allocated {measured}: {off:+.1} %"
        );
        good &= off.abs() <= 15.0 && in_force.len() == episodes.len();
    }
    assert!(good, "more than 15 % off, see above");
}

/// What is told within 30 days by the config: its budget, or its p-value of windows that do not overlap.
#[test]
fn alerts_that_are_kept_follow_the_config() {
    let heard = |alarm| {
        let mut plan = stream(&GRIDS[2], ModelPlan::Fit { warmup: Duration::from_secs(600) });
        plan.streams[0].alarm = alarm;
        let demand = Demand { keys: 1_000, rows_per_s: 100.0, key_bytes: 12 };
        let footprint = Footprint::of(&plan.streams[0], 1, &demand);
        let without = Footprint { heard: 0.0, ..footprint };
        assert!(
            (footprint.steady_bytes() - without.steady_bytes() - footprint.heard).abs() < 1.0,
            "it is counted"
        );
        footprint.heard
    };
    assert_eq!(heard(AlarmPlan::Budget { per_day: 10.0 }), heard_bytes(1_000, 300.0, 3));
    // 144 windows of ten minutes a key and day.
    let by_p_value = heard(AlarmPlan::PValue(1e-4));
    assert!((by_p_value / heard_bytes(1_000, 432.0, 3) - 1.0).abs() < 1e-6, "{by_p_value}");
    assert_eq!(
        heard(AlarmPlan::Budget { per_day: 1e9 }),
        heard_bytes(1_000, 32_000.0, 3),
        "so many are kept of a key"
    );
}

/// A partition of some thirty keys has references for each of eight cohorts.
#[test]
fn memory_of_cohorts_is_no_more_than_was_said() {
    let _alone = ALONE.lock();
    let (shape, keys) = (&GRIDS[0], 2000);
    let plan = stream(shape, ModelPlan::Load { path: "unused".into(), refit: None, memory_bytes: 0 });
    let mut all = Model::clone(&model(shape, &plan));
    let known = all.prior.keys.values().next().expect("a key it was trained on").clone();
    let name = |key: u64| format!("{key:0width$}", width = shape.key_bytes).into_bytes();
    let names: Vec<Vec<u8>> = (0..keys).map(name).collect();
    all.prior.keys = names.iter().map(|name| (name.clone(), known.clone())).collect();
    let cohort = Cohort { pyramid: all.pyramid.clone(), prior: all.prior.clone() };
    let cohorts = vec![(cohort, 0, Showing::default()); 8];
    let model = all.with_cohorts(cohorts, names.iter().map(|name| &name[..]).zip((1..=8).cycle()));
    let demand = Demand { keys, rows_per_s: keys as f64 / shape.interval as f64, key_bytes: shape.key_bytes };
    let one = Footprint::of(&plan.streams[0], 1, &demand);
    let said = one.with_densities(8, 0.0, &demand);
    assert!(said.steady_bytes() > 3.0 * one.steady_bytes(), "most of it is references: {said:?}");
    let measured = measured(shape, &plan, keys, Some(Arc::new(model))) as f64;
    // References may be as many as 1,024, and are some 500 here; those that an epoch adds come besides.
    assert!(measured <= said.steady_bytes(), "{measured} of {said:?}");
    assert!(measured > 1.5 * one.steady_bytes(), "{measured}, without cohorts {one:?}");
}

/// Names come and go: what is left of a key that is quiet for longer than a window is little.
#[test]
fn a_key_that_is_quiet_gives_its_window_to_another() {
    let _alone = ALONE.lock();
    let (shape, keys) = (&GRIDS[1], 10_000u64);
    let plan = stream(shape, ModelPlan::Load { path: "unused".into(), refit: None, memory_bytes: 0 });
    let before = LIVE.load(Relaxed);
    let mut engine = Engine::new(&plan);
    engine.activate(StreamId(0), model(shape, &plan)).expect("its own model");
    let (columns, key_bytes) = (shape.columns, shape.key_bytes);
    let mut rows = Rows { keys: 3 * keys, columns, key_bytes, spread_ms: 0, seed: 9 };
    let mut held = Vec::new();
    for wave in 0..3 {
        for step in 0..75 {
            let (mut slot, mut out) = (Slot::default(), Outputs::default());
            let time_ms = (wave * 400 + step * shape.interval) * 1000;
            rows.each(time_ms, wave * keys..(wave + 1) * keys, |row| slot.push(*row));
            engine.step(&slot, &Env::SIMULATED, &mut out);
        }
        held.push(LIVE.load(Relaxed) - before);
    }
    println!("bytes held after each wave of {keys} new keys: {held:?}");
    assert!(held[1] - held[0] < held[0] * 2 / 5 && held[2] - held[1] < held[0] * 2 / 5, "{held:?}");
}
