//! A small deterministic deployment for tests: four correlated columns a key, some of them going wrong.
#![allow(dead_code)] // each test binary uses a part

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eddy::config::plan::*;
use eddy::engine::train::Trainer;
use eddy::engine::{Engine, Env};
use eddy::model::Model;
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{
    Arrival, EventTime, Message, PARTITIONS, PartitionId, Position, RecordRef, StreamId, key_hash,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const COLUMNS: [&str; 4] = ["flow", "pressure", "temperature", "vibration"];
pub const START_NS: i64 = 1_767_225_600_000_000_000;
pub const SECOND_NS: i64 = 1_000_000_000;

/// A body of these rows, one a line.
pub fn ndjson(rows: &[Row]) -> Vec<u8> {
    rows.iter().flat_map(|row| [&row.message().payload[..], b"\n"].concat()).collect()
}

/// `EDDY_SEED` if set, else `0..n`, or as many as `EDDY_SEEDS` says.
pub fn seeds(n: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|v: String| v.parse().ok());
    match number("EDDY_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("EDDY_SEEDS").unwrap_or(n)).collect(),
    }
}

pub fn plan(shards: usize) -> Plan {
    let column = |name: &&str| ColumnPlan {
        name: name.to_string(),
        path: FieldPath::Json(vec![name.to_string()]),
        unit: None,
        aggregate: Default::default(),
        deviation: None,
    };
    Plan {
        deployment: "test".into(),
        sources: vec![SourcePlan {
            name: "plant".into(),
            kind: SourceKind::Replay(ReplayPlan { path: "unused".into(), speed: None, time_column: None }),
        }],
        streams: vec![StreamPlan {
            name: "pumps".into(),
            from: vec!["plant".into()],
            topics: None,
            key: FieldPath::Json(vec!["pump".into()]),
            time: TimePlan::Field { path: FieldPath::Json(vec!["ts".into()]), unit: TimeUnit::Millis },
            layout: Layout::Wide { points: None },
            outcome: None,
            columns: COLUMNS.iter().map(column).collect(),
            window: WindowPlan {
                shape: Shape::Grid,
                size: Duration::from_secs(16),
                every: Duration::from_secs(2),
                grid: Duration::from_secs(1),
                disorder: Duration::from_secs(8),
                lateness: Duration::from_secs(8),
            },
            model: ModelPlan::Load { path: "unused".into(), refit: None, memory_bytes: 0 },
            alarm: AlarmPlan::PValue(1e-4),
            standing: Some(Duration::from_secs(86_400)),
            format: eddy::config::plan::FormatPlan::Json,
            max_future: None,
            no_data: NoDataPlan::Learn,
            idle_after: None,
            onsets: None,
        }],
        sinks: Vec::new(),
        dashboard: DashboardPlan { enabled: false, listen: ([127, 0, 0, 1], 0).into(), tls: None, url: None },
        durable: DurablePlan { path: "unused".into(), segment_bytes: 8 << 10, ..DurablePlan::default() },
        shards,
        backend: eddy::config::plan::Choice::Cpu,
        device_memory_bytes: 0,
        telemetry: None,
        warnings: Vec::new(),
    }
}

/// After a minute a range means something: runs here are minutes.
pub const ONSETS: OnsetPlan = OnsetPlan { cells: 60, span: Duration::from_secs(60) };

/// [`plan`], with onsets.
pub fn plan_with_onsets(shards: usize) -> Plan {
    let mut plan = plan(shards);
    plan.streams[0].onsets = Some(ONSETS);
    plan
}

/// One row of one key.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: String,
    pub time_ns: i64,
    pub values: [f32; 4],
}

impl Row {
    pub fn record(&self, position: u64) -> RecordRef<'_> {
        let content_hash = self.values.iter().fold(0, |h: u64, v| h.rotate_left(11) ^ u64::from(v.to_bits()));
        RecordRef {
            stream: StreamId(0),
            key: self.key.as_bytes(),
            key_hash: key_hash(self.key.as_bytes()),
            partition: PartitionId::of(key_hash(self.key.as_bytes())),
            time: EventTime(self.time_ns),
            arrival: Arrival(self.time_ns),
            position: Position(position),
            row: 0,
            values: &self.values,
            outcome: None,
            content_hash,
        }
    }

    pub fn message(&self) -> Message {
        let fields: Vec<String> = COLUMNS
            .iter()
            .zip(self.values)
            .filter(|(_, v)| !v.is_nan())
            .map(|(name, v)| format!("\"{name}\":{v}"))
            .collect();
        let payload =
            format!("{{\"pump\":\"{}\",\"ts\":{},{}}}", self.key, self.time_ns / 1_000_000, fields.join(","));
        Message {
            source: "plant".into(),
            topic: "t".into(),
            payload: payload.into(),
            arrival: Arrival(self.time_ns),
            idempotency_key: None,
            origin: None,
        }
    }
}

fn normal(rng: &mut impl Rng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

/// Rows of `keys` pumps over `seconds`, in order of time. In the seconds of `broken` the first pump's
/// vibration goes against its load, though it stays in its usual range.
pub fn rows(keys: usize, seconds: i64, seed: u64, broken: Range<i64>) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut loads = vec![0.0f32; keys];
    let mut rows = Vec::new();
    for second in 0..seconds {
        for (key, load) in loads.iter_mut().enumerate() {
            *load = 0.95 * *load + 0.31 * normal(&mut rng);
            let broken = key == 0 && broken.contains(&second);
            let felt = if broken { -*load } else { *load };
            let mut noise = || 0.15 * normal(&mut rng);
            let values = [
                20.0 + 4.0 * (*load + noise()),
                5.0 - (*load + noise()),
                60.0 + 5.0 * (*load + noise()),
                2.5 + 0.5 * (felt + noise()),
            ];
            let time_ns = START_NS + second * SECOND_NS + key as i64 * 7_000_000;
            rows.push(Row { key: format!("pump-{key}"), time_ns, values });
        }
    }
    rows
}

/// The same pumps once their sensors have aged: noise of this sd more, in sd of the load, from a second on.
pub fn aged(rows: &mut [Row], from_s: i64, noise: f32, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for row in rows.iter_mut().filter(|row| row.time_ns >= START_NS + from_s * SECOND_NS) {
        for (value, unit) in row.values.iter_mut().zip([4.0, 1.0, 5.0, 0.5]) {
            *value += unit * noise * normal(&mut rng);
        }
    }
}

/// Each row as three of its second, a little apart: cells then hold means of several rows.
pub fn dense(rows: &[Row]) -> Vec<Row> {
    let mut dense = Vec::with_capacity(rows.len() * 3);
    for row in rows {
        for part in 0..3 {
            let mut one = row.clone();
            one.time_ns += part * 250_000_000;
            one.values.iter_mut().for_each(|v| *v += (part - 1) as f32 * 0.013);
            dense.push(one);
        }
    }
    dense.sort_by_key(|row| row.time_ns);
    dense
}

/// A model of these pumps, trained once a test binary.
pub fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let train = || {
        let mut trainer = Trainer::new(&plan(1).streams[0]);
        for (i, row) in rows(24, 1500, 99, 0..0).iter().enumerate() {
            trainer.push(&row.record(i as u64));
        }
        Arc::new(trainer.finish().expect("the training rows suffice"))
    };
    MODEL.get_or_init(train).clone()
}

pub fn engine(plan: &Plan) -> Engine {
    let mut engine = Engine::new(plan);
    engine.activate(StreamId(0), model()).expect("trained for this plan");
    engine
}

/// Messages of a run of three pumps in which one breaks.
pub fn small(seed: u64) -> (Plan, Vec<Message>) {
    let rows = rows(3, 240, seed, 100..160);
    (plan_with_onsets(1), rows.iter().map(Row::message).collect())
}

/// Rows, the first of them at this position, for the engine that each belongs to.
pub fn slots(rows: &[Row], first: usize, shards: usize) -> Vec<Slot> {
    let mut slots: Vec<Slot> = (0..shards).map(|_| Slot::default()).collect();
    for (i, row) in rows.iter().enumerate() {
        let record = row.record((first + i) as u64);
        slots[PartitionId::of(record.key_hash).shard(shards)].push(record);
    }
    slots
}

/// Fresh engines with all that these know, by way of its bytes; they go on at `position`.
pub fn handed_over(engines: &[Engine], mut fresh: Vec<Engine>, position: u64) -> Vec<Engine> {
    let models = |checksum: &str| (model().checksum() == checksum).then(model);
    for id in (0..PARTITIONS as u8).map(PartitionId) {
        let (mut state, shard) = (Vec::new(), id.shard(engines.len()));
        if engines[shard].save(StreamId(0), id, &mut state) {
            let (at, state) = (Position(position), StateReader::new(&state));
            let restored = fresh[shard].restore(StreamId(0), id, at, state, &models, &Env::SIMULATED);
            assert_eq!(restored, Ok(()), "it is its own state");
        }
    }
    fresh
}
