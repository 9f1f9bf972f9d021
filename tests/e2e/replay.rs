//! One recording replayed by the release binary at the speed it was recorded, a hundred times as fast and as
//! fast as it goes, on one, two and four shards, and over kills: what receivers are told is equal to the byte.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use crate::e2e::eddy::{Deployment, config};
use crate::e2e::expect;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row, START_NS};
use eddy::engine::{Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{Position, StreamId};

const KEYS: usize = 16;
const SECONDS: i64 = 600;
/// The recorder's clock ran so much slower: ten minutes of event time, ten epochs, are replayed in ten seconds.
const SLOWER: i64 = 60;

fn rows() -> Vec<Row> {
    let mut rows = plant::rows(KEYS, SECONDS, 31, 0..0);
    for key in 0..12 {
        let start = 30 + 44 * key as i64;
        expect::break_pump(&mut rows, key, start..start + 50);
    }
    rows
}

fn recording(rows: &[Row]) -> String {
    let mut text = format!("recorded,ts,pump,{}\n", plant::COLUMNS.join(","));
    for row in rows {
        let recorded_ms = (row.time_ns - START_NS) / SLOWER / 1_000_000;
        let values = row.values.map(|value| value.to_string()).join(",");
        let (s, ms, ts) = (100 + recorded_ms / 1000, recorded_ms % 1000, row.time_ns / 1_000_000);
        writeln!(text, "{s}.{ms:03},{ts},{},{values}", row.key).expect("text grows");
    }
    text
}

/// `webhook-id` to decision, of an engine in this process that is handed all rows at once.
fn by_the_engine(rows: &[Row]) -> BTreeMap<String, serde_json::Value> {
    let mut engine = plant::engine(&expect::plan());
    let (mut out, mut slot) = (Outputs::default(), Slot::default());
    rows.iter().enumerate().for_each(|(i, row)| slot.push(row.record(i as u64)));
    engine.step(&slot, &Env::SIMULATED, &mut out);
    engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut out);
    let decisions = out.raised.iter().map(|raised| &raised.decision);
    decisions.map(|decision| (decision.message_id(), expect::as_json(decision))).collect()
}

/// How a recording is replayed.
struct Replay {
    speed: &'static str,
    /// Of the process that reads the file to its end.
    shards: usize,
    /// Killed so long after each of the first starts, which have one shard.
    kills: &'static [Duration],
}

/// What was told: `webhook-id` to the body up to its receipt, which holds clocks.
fn told(receiver: &Receiver) -> BTreeMap<String, Vec<u8>> {
    let mut told = BTreeMap::new();
    for request in receiver.received() {
        let clocks = b",\"receipt\":";
        let end = request.body.windows(clocks.len()).position(|part| part == clocks).expect("a receipt");
        let decision = request.body[..end].to_vec();
        let known = told.entry(request.id().to_owned()).or_insert_with(|| decision.clone());
        assert_eq!(*known, decision, "one id, two decisions");
    }
    told
}

fn replay(recording: &str, how: &Replay, receiver: &Receiver) -> f64 {
    let source = format!(
        "[source.file]\ntype = \"replay\"\npath = \"pumps.csv\"\ntime_column = \"recorded\"\nspeed = {}",
        how.speed
    );
    let whole =
        config(&source, "[\"file\"]", "max_future = \"none\"", &receiver.url) + "snapshot_every = \"1s\"\n";
    let on = |shards: usize| whole.replace("shards = 2", &format!("shards = {shards}"));
    let deployment = Deployment::new(&on(1));
    std::fs::write(deployment.path("pumps.csv"), recording).expect("the recording is written");
    for after in how.kills {
        let mut command = deployment.command("run");
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(*after);
        assert!(process.try_wait().expect("it can be waited for").is_none(), "it ended before it was killed");
        process.kill().expect("it is alive");
        process.wait().expect("it ends");
    }
    deployment.configure(&on(how.shards));
    let start = std::time::Instant::now();
    let output = deployment.output("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        deployment.logged().len(),
        KEYS * SECONDS as usize,
        "each row is logged once; it said:\n{said}"
    );
    start.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speed_shards_and_kills_change_no_byte_of_a_decision() {
    const NONE: &[Duration] = &[];
    const TWICE: &[Duration] = &[Duration::from_millis(2_300), Duration::from_millis(3_100)];
    let rows = rows();
    let expected = by_the_engine(&rows);
    assert!(expected.len() >= 20, "{} decisions are too few", expected.len());
    let recording: Arc<str> = recording(&rows).into();
    let mut all = Vec::new();
    for shards in [1, 2, 4] {
        all.extend(["\"max\"", "100", "1"].map(|speed| Replay { speed, shards, kills: NONE }));
        all.push(Replay { speed: "1", shards, kills: TWICE });
    }
    let mut running = Vec::new();
    for how in all {
        let (receiver, recording) = (Receiver::start([]).await, recording.clone());
        running.push(std::thread::spawn(move || {
            let seconds = replay(&recording, &how, &receiver);
            (how, receiver, seconds)
        }));
    }
    let mut first: Option<BTreeMap<String, Vec<u8>>> = None;
    for one in running {
        let (how, receiver, seconds) = one.join().expect("a replay that was held");
        let name = format!("speed {}, {} shards, {} kills", how.speed, how.shards, how.kills.len());
        println!("{name}: {seconds:.1} s");
        assert!(
            how.speed != "1" || !how.kills.is_empty() || seconds > 9.0,
            "{name}: {seconds} s is not its pace"
        );
        assert_eq!(expect::received(&receiver), expected, "{name}");
        let told = told(&receiver);
        assert!(*first.get_or_insert_with(|| told.clone()) == told, "{name}: other bytes");
    }
}
