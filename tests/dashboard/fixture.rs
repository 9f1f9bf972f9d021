//! A made-up plant: every number fixed, so that pages of it can be compared.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use eddy::access::{Access, Key};
use eddy::config::plan::*;
use eddy::dashboard::{AlertQuery, AlertRow, AlertsView, DeliveryRow, DeliveryState, History, Parts};
use eddy::latency::{Clock, Latency, ReceiptBuilder, Stage};
use eddy::status::{Status, Waiting};
use eddy::types::*;
use eddy::watch::Watch;
use tokio_util::sync::CancellationToken;

pub const S: i64 = 1_000_000_000;

/// What the plant is going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Two machines fail, one receiver does too.
    Trouble,
    Calm,
    Warming,
    Empty,
    Recovering,
    /// As `Trouble`, with names that try to break out of the page.
    Hostile,
    /// Five hundred machines fail at once.
    Crowd,
}

/// Alerts that are open in [`Scene::Crowd`].
pub const CROWD: usize = 500;

pub const HOSTILE: &str = r#"<script>alert(1)</script>"'&--><img src=x onerror=alert(2)>{{7*7}}"#;

const COLUMNS: [(&str, &str, f64, f64); 4] = [
    ("flow", "L/s", 12.0, 0.4),
    ("pressure", "bar", 3.2, 0.12),
    ("temperature", "degC", 63.5, 1.2),
    ("vibration", "mm/s", 2.7, 0.35),
];

pub fn plan() -> Plan {
    let path = |text: &str| FieldPath::Json(text.split('.').map(str::to_owned).collect());
    let column = |&(name, unit, ..): &(&str, &str, f64, f64)| ColumnPlan {
        name: name.to_owned(),
        path: path(&format!("data.{name}")),
        unit: Some(unit.to_owned()),
        aggregate: Default::default(),
        deviation: None,
    };
    let broker = BrokerPlan {
        host: "broker.plant.local".to_owned(),
        port: 1883,
        tls: None,
        client_id: "eddy".to_owned(),
        username: None,
        password: None,
    };
    let mqtt = MqttPlan {
        broker,
        protocol: Protocol::V3,
        topics: vec!["plant/+/pump/+/telemetry".to_owned()],
        qos: 1,
        retained: false,
        keep_alive: Duration::from_secs(30),
    };
    let http = HttpPlan {
        listen: ([127, 0, 0, 1], 8081).into(),
        token: Some("secret token, never shown".to_owned()),
        max_body_bytes: 1 << 20,
    };
    let webhook = |url: &str| {
        SinkKind::Webhook(WebhookPlan {
            url: url.to_owned(),
            format: BodyFormat::Standard,
            secret: vec![SigningKey::Symmetric(vec![7; 32])],
            timeout: Duration::from_secs(15),
        })
    };
    Plan {
        deployment: "plant-3".to_owned(),
        sources: vec![
            SourcePlan { name: "gateway".to_owned(), kind: SourceKind::Http(http) },
            SourcePlan { name: "plant".to_owned(), kind: SourceKind::Mqtt(mqtt) },
        ],
        streams: vec![StreamPlan {
            name: "pumps".to_owned(),
            from: vec!["gateway".to_owned(), "plant".to_owned()],
            topics: None,
            key: path("pump"),
            time: TimePlan::Field { path: path("ts"), unit: TimeUnit::Millis },
            layout: Layout::Wide { points: None },
            outcome: None,
            columns: COLUMNS.iter().map(column).collect(),
            window: WindowPlan {
                shape: Shape::Grid,
                size: Duration::from_secs(64),
                every: Duration::from_secs(1),
                grid: Duration::from_secs(1),
                disorder: Duration::from_secs(10),
                lateness: Duration::from_secs(10),
            },
            model: ModelPlan::Fit { warmup: Duration::from_secs(600) },
            alarm: AlarmPlan::PValue(1e-4),
            standing: Some(Duration::from_secs(86_400)),
            format: eddy::config::plan::FormatPlan::Json,
            max_future: None,
            no_data: NoDataPlan::Learn,
            idle_after: None,
            onsets: None,
        }],
        sinks: vec![
            SinkPlan {
                name: "on_call".to_owned(),
                kind: webhook("https://alerts.example.com/hooks/eddy"),
                deployment: "test".into(),
                group: None,
            },
            SinkPlan {
                name: "sms".to_owned(),
                kind: webhook("https://sms.example.com/send"),
                deployment: "test".into(),
                group: None,
            },
        ],
        dashboard: DashboardPlan {
            enabled: true,
            listen: ([127, 0, 0, 1], 8080).into(),
            tls: None,
            url: None,
        },
        durable: DurablePlan {
            path: "/var/lib/eddy".into(),
            segment_bytes: 1 << 26,
            ..DurablePlan::default()
        },
        shards: 2,
        backend: Choice::Cpu,
        device_memory_bytes: 0,
        telemetry: None,
        warnings: Vec::new(),
    }
}

/// Everything a dashboard is built from, seeded for `scene` as of `now_ns`.
pub fn parts(scene: Scene, now_ns: i64) -> Parts {
    let mut plan = plan();
    if scene == Scene::Hostile {
        plan.deployment = HOSTILE.to_owned();
        plan.streams[0].columns[3].name = HOSTILE.to_owned();
        plan.streams[0].columns[3].unit = Some(HOSTILE.to_owned());
        plan.sinks[1].name = HOSTILE.to_owned();
        plan.sources[1].name = HOSTILE.to_owned();
    }
    let status = Status::new(&plan, now_ns - 7_200 * S);
    let latency = Latency::new();
    let watch = Arc::new(Watch::new(plan.streams.len()));
    let history = Arc::new(History::new(watch.clone()));
    if scene != Scene::Empty {
        fill_status(&status, scene, now_ns);
        fill_latency(&latency);
    }
    status.recovering.store(scene == Scene::Recovering, Relaxed);
    status.ready.store(scene != Scene::Recovering, Relaxed);
    for source in &status.sources {
        source.connected.store(true, Relaxed);
    }
    if !matches!(scene, Scene::Empty | Scene::Recovering | Scene::Warming) {
        for pump in 1..=24 {
            let faulty = matches!(scene, Scene::Trouble | Scene::Hostile) && pump == 17;
            let name = key(scene, pump);
            watch.offer(StreamId(0), key_hash(name.as_bytes()), name.as_bytes());
            history
                .add((0..900).map(|i| point(&key(scene, pump), now_ns - (900 - i) * S, i, faulty)).collect());
        }
    }
    if scene == Scene::Crowd {
        (25..=CROWD)
            .map(|i| key(scene, i))
            .for_each(|key| watch.offer(StreamId(0), key_hash(key.as_bytes()), key.as_bytes()));
    }
    let rows = match scene {
        Scene::Crowd => crowd(&plan, now_ns),
        Scene::Trouble | Scene::Hostile => trouble(scene, &plan, now_ns),
        Scene::Calm => ended(&plan, "pump-04", now_ns - 840 * S).into(),
        _ => Vec::new(),
    };
    Parts {
        plan: Arc::new(plan),
        status: Arc::new(status),
        latency,
        history,
        watch,
        alerts: if scene == Scene::Crowd { stirred(stored(rows)) } else { stored(rows) },
        // Of a folder that is not there: nobody is asked for a token.
        access: Arc::new(Access::of(&eddy::access::folder(Path::new("/var/lib/eddy")), Key::fixed(1))),
        ask: tokio::sync::mpsc::channel(1).0,
        orders: tokio::sync::mpsc::channel(1).0,
        clock: Clock::start(),
        zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(1)),
        shutdown: CancellationToken::new(),
    }
}

pub fn key(scene: Scene, pump: usize) -> String {
    if scene == Scene::Hostile && pump == 17 {
        format!("{HOSTILE}/{pump}")
    } else {
        format!("pump-{pump:02}")
    }
}

fn fill_status(status: &Status, scene: Scene, now_ns: i64) {
    let warm = !matches!(scene, Scene::Warming | Scene::Recovering);
    for p in 0..24 {
        let partition = status.partition(StreamId(0), p);
        partition.events_total.store(342_117 + 13 * p as u64, Relaxed);
        partition.duplicates_total.store(7, Relaxed);
        partition.late_total.store(u64::from(p == 3) * 12, Relaxed);
        partition.windows_total.store(if warm { 338_402 } else { 0 }, Relaxed);
        partition.windows_unscored_total.store(600, Relaxed);
        partition.windows_unsure_total.store(2, Relaxed);
        partition.windows_anomalous_total.store(u64::from(p == 17) * 41, Relaxed);
        partition.keys.store(1, Relaxed);
        let early = scene == Scene::Warming;
        partition.keys_warm.store(u64::from(warm || early), Relaxed);
        partition.keys_alive.store(1, Relaxed);
        partition.keys_alive_warm.store(u64::from(warm || early), Relaxed);
        partition.model_windows.store(u64::from(early) * (256 + p as u64), Relaxed);
        partition.fits_total.store(u64::from(early) * 4, Relaxed);
        partition.warm_milli.store(if warm { 1_000 } else { 688 }, Relaxed);
        partition.watermark.store(now_ns - 11 * S - 400_000_000, Relaxed);
        partition.digest.store(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(p as u64 + 1), Relaxed);
    }
    let trouble = matches!(scene, Scene::Trouble | Scene::Hostile);
    status.partition(StreamId(0), 17).alerts_open.store(u64::from(trouble) * 2, Relaxed);
    status.log_messages_total.store(8_214_310, Relaxed);
    status.log_bytes_total.store(1_204_551_009, Relaxed);
    status.log_commits_total.store(70_311, Relaxed);
    status.recovered_messages_total.store(41_233, Relaxed);
    status.rows_total.store(8_214_298, Relaxed);
    status.dead_letters[Reason::Late as usize].store(12, Relaxed);
    status.dead_letters[Reason::Malformed as usize].store(3, Relaxed);
    for source in &status.sources {
        source.messages_total.store(4_107_155, Relaxed);
        source.acked_total.store(4_107_155, Relaxed);
        source.last_arrival.store(now_ns - 40_000_000, Relaxed);
    }
    for sink in &status.sinks {
        sink.delivered_total.store(212, Relaxed);
        sink.last_success.store(now_ns - 79 * S, Relaxed);
    }
    if trouble {
        let sms = &status.sinks[1];
        sms.attempts_failed_total.store(6, Relaxed);
        sms.queued.store(2, Relaxed);
        *sms.last_error.lock().unwrap() = Some("no answer within 15 s".to_owned());
        sms.set_waiting(Some(Waiting {
            oldest_stored_at_ns: now_ns - 70 * S,
            attempts: 3,
            trying: false,
            next_attempt_at_ns: Some(now_ns + 1_700 * S),
        }));
    }
}

fn fill_latency(latency: &Latency) {
    let micros = [31, 520, 118, 22, 74, 103, 24, 610, 38_000, 870];
    for (stage, us) in Stage::ALL.into_iter().filter(|stage| !stage.is_of_device()).zip(micros) {
        let mut recorder = latency.recorder(stage);
        (1..=100).for_each(|i| recorder.record(us * 1_000 * (50 + i) / 100, 8_000));
        recorder.record(us * 9_000, 40);
    }
}

/// Point `i` of a run of 900; a faulty pump's vibration and temperature climb from 700 on.
pub fn point(key: &str, time: i64, i: i64, faulty: bool) -> Point {
    let phase = key_hash(key.as_bytes()) as f64;
    let noise = |c: usize| {
        let x = ((i * 37 + c as i64 * 1_013) as f64 + phase % 97.0).sin() * 43_758.545;
        x - x.floor() - 0.5
    };
    let climb = if faulty { (i - 700).max(0) as f64 / 40.0 } else { 0.0 };
    let expected = |c: usize| {
        let (_, _, mean, band) = COLUMNS[c];
        mean + 0.6 * band * (i as f64 / 90.0 + c as f64).sin()
    };
    let value = |c: usize| {
        let (name, _, _, band) = COLUMNS[c];
        let extra = if name == "vibration" {
            climb
        } else if name == "temperature" {
            0.6 * climb
        } else {
            0.0
        };
        let gap = name == "flow" && (400..430).contains(&i);
        if gap { f64::NAN } else { expected(c) + band * (1.1 * noise(c) + extra) }
    };
    let each = |f: &dyn Fn(usize) -> f64| (0..COLUMNS.len()).map(|c| f(c) as f32).collect::<Vec<f32>>();
    Point {
        stream: StreamId(0),
        key: key.as_bytes().into(),
        time: EventTime(time),
        values: each(&value),
        expected: each(&expected),
        low: each(&|c| expected(c) - COLUMNS[c].3),
        high: each(&|c| expected(c) + COLUMNS[c].3),
        share: vec![1.0 / COLUMNS.len() as f32; COLUMNS.len()],
        p_value: (0.5 * (-2.4 * climb).exp() * (1.0 + 0.9 * noise(9))).max(1e-9),
        threshold: 1e-4,
        anomalous: climb > 4.0,
        held_back: None,
        confident: true,
    }
}

fn decision(plan: &Plan, key: &str, id: u64, onset: i64, oddest: usize) -> Decision {
    let shares = [0.04, 0.03, 0.22, 0.71];
    let evidence = |(c, column): (usize, &ColumnPlan)| {
        let (_, _, mean, band) = COLUMNS[c];
        let share = shares[(c + 3 - oddest + 4) % 4];
        ColumnEvidence {
            column: column.name.clone(),
            unit: column.unit.clone(),
            cell_end: None,
            value: Some(mean + band * 16.0 * share * share + 0.3 * band),
            expected: mean,
            expected_low: mean - band,
            expected_high: mean + band,
            share,
        }
    };
    Decision {
        id: format!("{id:016x}"),
        revision: 1,
        state: AlertState::Raised,
        stream: plan.streams[0].name.clone(),
        key: key.to_owned(),
        rule: "likelihood".to_owned(),
        onset: EventTime(onset),
        about: About::Window(WindowEvidence {
            window_start: EventTime(onset),
            window_end: EventTime(onset + 64 * S),
            epoch: EventTime(onset).epoch(),
            model: "c0ffee12".to_owned(),
            log_likelihood: -412.7,
            p_value: 3.1e-5,
            threshold: 1e-4,
            p_value_min: 2.5e-5,
            transactions_anomalous: None,
            coverage: 0.98,
            confidence: Some(0.82),
            resolution: None,
            columns: plan.streams[0].columns.iter().enumerate().map(evidence).collect(),
        }),
    }
}

fn receipt(recovered: bool) -> Receipt {
    let builder = ReceiptBuilder::from(0).until("wait_watermark", 1_002_104_000);
    let builder = if recovered { builder.until("recovery", 9 * S) } else { builder };
    let mut at = if recovered { 9 * S } else { 1_002_104_000 };
    [
        ("receive", 31_000),
        ("log", 1_520_000),
        ("queue_decode", 66_000),
        ("decode", 12_000),
        ("queue_shard", 48_000),
    ]
    .into_iter()
    .chain([("window", 74_000), ("score", 103_000), ("judge", 24_000), ("outbox", 610_000)])
    .fold(builder, |builder, (stage, ns)| {
        at += ns;
        builder.until(stage, at)
    })
    .recovered(recovered)
    .finish()
}

fn delivered(receiver: &str, ms: i64) -> DeliveryRow {
    DeliveryRow {
        receiver: receiver.to_owned(),
        state: DeliveryState::Delivered,
        attempts: 1,
        last_status: Some(200),
        last_error: None,
        stored_to_2xx_ns: Some(ms * 1_000_000),
        next_attempt_at_ns: None,
        waits_for: None,
        silenced_by: None,
        incident: None,
    }
}

fn row(
    seq: i64,
    stored_at_ns: i64,
    decision: Decision,
    recovered: bool,
    deliveries: Vec<DeliveryRow>,
) -> AlertRow {
    AlertRow { seq, stored_at_ns, alert: Alert { decision, receipt: receipt(recovered) }, deliveries }
}

fn crowd(plan: &Plan, now_ns: i64) -> Vec<AlertRow> {
    let row = |i: usize| {
        let onset = now_ns - 90 * S + i as i64 * S / 10;
        let decision = decision(plan, &key(Scene::Crowd, i), 0x1000 + i as u64, onset, i % 4);
        row(i as i64, onset + 65 * S, decision, false, vec![delivered("on_call", 38), delivered("sms", 512)])
    };
    (1..=CROWD).map(row).collect()
}

/// Each time the open ones are read, another has been tried once more: the list is never the same twice.
fn stirred(still: AlertsView) -> AlertsView {
    let (still_failed, still) = (still.failed, still.page);
    let reads = std::sync::atomic::AtomicUsize::new(0);
    let page = move |query: AlertQuery| {
        let stir = query == AlertQuery::Open;
        let mut rows = still(query)?;
        if stir {
            let read = reads.fetch_add(1, Relaxed);
            rows[read % 10].deliveries[1].attempts += 1 + read as u32;
        }
        Ok(rows)
    };
    AlertsView { page: Box::new(page), failed: still_failed }
}

fn trouble(scene: Scene, plan: &Plan, now_ns: i64) -> Vec<AlertRow> {
    let failing = DeliveryRow {
        receiver: plan.sinks[1].name.clone(),
        state: DeliveryState::Pending,
        attempts: 3,
        last_status: None,
        last_error: Some("no answer within 15 s".to_owned()),
        stored_to_2xx_ns: None,
        next_attempt_at_ns: Some(now_ns + 1_700 * S),
        waits_for: None,
        silenced_by: None,
        incident: None,
    };
    let first = decision(plan, &key(scene, 17), 0xa1, now_ns - 80 * S, 3);
    let second = decision(plan, "pump-09", 0xb2, now_ns - 31 * S, 1);
    let [raised, resolved] = ended(plan, "pump-04", now_ns - 4_000 * S);
    vec![
        raised,
        resolved,
        row(8, now_ns - 70 * S, first, false, vec![delivered("on_call", 38), failing.clone()]),
        row(9, now_ns - 21 * S, second, true, vec![delivered("on_call", 41), failing]),
    ]
}

/// An alert that was raised and resolved 300 s later.
fn ended(plan: &Plan, key: &str, onset: i64) -> [AlertRow; 2] {
    let raised = decision(plan, key, 0xc3, onset, 2);
    let mut resolved = raised.clone();
    (resolved.state, resolved.revision) = (AlertState::Resolved, 2);
    if let About::Window(window) = &mut resolved.about {
        window.window_end = EventTime(onset + 364 * S);
    }
    let told = |ms| vec![delivered("on_call", ms), delivered(&plan.sinks[1].name, 15 * ms)];
    [row(1, onset + 12 * S, raised, false, told(61)), row(2, onset + 365 * S, resolved, false, told(44))]
}

/// An outbox in memory, with the outbox's own orders.
pub fn stored(rows: Vec<AlertRow>) -> AlertsView {
    let page = move |query: AlertQuery| {
        let mut found: VecDeque<AlertRow> = VecDeque::new();
        match query {
            AlertQuery::Open => {
                let later = |r: &AlertRow, other: &AlertRow| {
                    let (d, o) = (&r.alert.decision, &other.alert.decision);
                    d.id == o.id && o.revision > d.revision
                };
                let open = |r: &&AlertRow| {
                    r.alert.decision.state == AlertState::Raised && !rows.iter().any(|other| later(r, other))
                };
                found.extend(rows.iter().filter(open).cloned());
                found.make_contiguous().sort_by_key(|r| r.alert.decision.onset);
            }
            AlertQuery::One { id } => {
                found.extend(rows.iter().filter(|r| r.alert.decision.id == id).cloned())
            }
            AlertQuery::Page { before, limit, stream, key } => {
                let fits = |r: &&AlertRow| {
                    let d = &r.alert.decision;
                    before.is_none_or(|seq| r.seq < seq)
                        && stream.as_ref().is_none_or(|s| *s == d.stream)
                        && key.as_ref().is_none_or(|k| *k == d.key)
                };
                rows.iter().filter(fits).for_each(|r| found.push_front(r.clone()));
                found.truncate(limit);
            }
        }
        Ok(found.into())
    };
    AlertsView { page: Box::new(page), failed: Box::new(|_| Ok(Vec::new())) }
}
