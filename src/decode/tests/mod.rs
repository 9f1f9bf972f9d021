//! Tests of the decoder as the pipeline sees it: a plan, messages, rows and dead rows.
mod avro;
mod avro_changes;
mod bad_input;
mod csv;
mod dead;
mod forms;
mod kafka;
mod oracle;
mod outcomes;
mod protobuf;
mod protobuf_schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{DeadRow, Decoder};
use crate::config::plan::{
    Aggregate, AlarmPlan, BrokerPlan, ColumnPlan, DashboardPlan, DurablePlan, FieldPath, HttpPlan, Layout,
    ModelPlan, MqttPlan, Plan, Protocol, Shape, SourceKind, SourcePlan, StreamPlan, TimePlan, TimeUnit,
    WindowPlan,
};
use crate::types::{Arrival, Message, Position};

/// 2025-03-01T12:00:00Z.
const NOW_NS: i64 = 1_740_830_400_000_000_000;
const TOPIC: &str = "plant/a/pump/p7/telemetry";

/// An owned copy of a `RecordRef`; values as bits, so that NaN equals NaN.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    stream: u16,
    key: String,
    time: i64,
    row: u32,
    bits: Vec<u32>,
    outcome: Option<bool>,
    content_hash: u64,
}

impl Event {
    fn values(&self) -> Vec<Option<f32>> {
        let values = self.bits.iter().map(|bits| f32::from_bits(*bits));
        values.map(|value| (!value.is_nan()).then_some(value)).collect()
    }
}

fn json_path(path: &str) -> FieldPath {
    match path.strip_prefix("$.") {
        Some(root) => FieldPath::Root(root.split('.').map(str::to_owned).collect()),
        None if path.is_empty() => FieldPath::Json(Vec::new()),
        None => FieldPath::Json(path.split('.').map(str::to_owned).collect()),
    }
}

fn column(name: &str, path: &str) -> ColumnPlan {
    ColumnPlan {
        name: name.to_owned(),
        path: json_path(path),
        unit: None,
        aggregate: Default::default(),
        deviation: None,
    }
}

/// Pumps: key from the topic, time in ms at `ts`, columns `temp` and `vib.rms`.
fn pumps() -> StreamPlan {
    let second = Duration::from_secs(1);
    StreamPlan {
        name: "pumps".to_owned(),
        from: vec!["plant".to_owned()],
        topics: Some("plant/+/pump/+/telemetry".to_owned()),
        key: FieldPath::Topic(4),
        time: TimePlan::Field { path: json_path("ts"), unit: TimeUnit::Millis },
        layout: Layout::Wide { points: None },
        outcome: None,
        columns: vec![column("temperature", "temp"), column("vibration", "vib.rms")],
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
        format: crate::config::plan::FormatPlan::Json,
        max_future: Some(Duration::from_secs(3600)),
        no_data: crate::config::plan::NoDataPlan::Learn,
        idle_after: None,
        onsets: None,
    }
}

/// One metric a message: the metric is the topic's last level, the payload a bare number.
fn metrics() -> StreamPlan {
    StreamPlan {
        topics: None,
        time: TimePlan::Arrival,
        layout: Layout::Long { column: FieldPath::Topic(5), value: json_path(""), points: None },
        columns: vec![column("temperature", "temp"), column("vibration", "vib")],
        ..pumps()
    }
}

fn plan(streams: Vec<StreamPlan>) -> Plan {
    let broker = BrokerPlan {
        host: "localhost".to_owned(),
        port: 1883,
        tls: None,
        client_id: "eddy".to_owned(),
        username: None,
        password: None,
    };
    let mqtt = MqttPlan {
        broker,
        protocol: Protocol::V3,
        topics: vec!["#".to_owned()],
        qos: 1,
        retained: false,
        keep_alive: Duration::from_secs(30),
    };
    let listen = ([127, 0, 0, 1], 0).into();
    let http = HttpPlan { listen, token: None, max_body_bytes: 1 << 20 };
    Plan {
        deployment: "eddy".to_owned(),
        sources: vec![
            SourcePlan { name: "api".to_owned(), kind: SourceKind::Http(http) },
            SourcePlan { name: "plant".to_owned(), kind: SourceKind::Mqtt(mqtt) },
        ],
        streams,
        sinks: Vec::new(),
        dashboard: DashboardPlan { enabled: false, listen, tls: None, url: None },
        durable: DurablePlan {
            path: PathBuf::from("data"),
            segment_bytes: 1 << 20,
            ..DurablePlan::default()
        },
        shards: 1,
        backend: crate::config::plan::Choice::Cpu,
        device_memory_bytes: 0,
        telemetry: None,
        warnings: Vec::new(),
    }
}

fn message(source: &str, topic: &str, payload: impl AsRef<[u8]>) -> Message {
    Message {
        source: Arc::from(source),
        topic: topic.into(),
        payload: bytes::Bytes::copy_from_slice(payload.as_ref()),
        arrival: Arrival(NOW_NS),
        idempotency_key: None,
        origin: None,
    }
}

fn run(decoder: &mut Decoder, message: &Message) -> (Vec<Event>, Vec<DeadRow>) {
    let (mut events, mut dead) = (Vec::new(), Vec::new());
    let mut emit = |record: crate::types::RecordRef<'_>| {
        assert_eq!(record.arrival, message.arrival);
        assert_eq!(record.position, Position(7));
        assert_eq!(record.key_hash, crate::types::key_hash(record.key));
        events.push(Event {
            stream: record.stream.0,
            key: String::from_utf8(record.key.to_vec()).unwrap(),
            time: record.time.0,
            row: record.row,
            bits: record.values.iter().map(|value| value.to_bits()).collect(),
            outcome: record.outcome,
            content_hash: record.content_hash,
        });
    };
    decoder.decode(Position(7), message, &mut emit, &mut dead);
    (events, dead)
}

/// Decodes one payload sent by pump p7.
fn decode(stream: StreamPlan, payload: impl AsRef<[u8]>) -> (Vec<Event>, Vec<DeadRow>) {
    run(&mut Decoder::new(&plan(vec![stream])), &message("plant", TOPIC, payload))
}
