//! The release binary under load, over real sockets: events/s, socket to verdict, CPU, memory.
//!
//! Over HTTP at 1,000 and at 100,000 keys: how much it takes when every answer calls the next request
//! (closed loop), then latency at half of that with requests sent by the clock (open loop, timed from
//! when they were due). A lone event on an idle box. Over MQTT through a real Mosquitto at 1,000 keys,
//! where the broker is the ceiling. `--json FILE` writes the figures, `--seconds N` is the length of
//! each run.
//!
//! Each run starts on warm state and empty histograms: 66 s of event time are sent first, then the
//! process is killed and started again, so that it reads them back from its log.

mod appliance;
mod deployment;
mod fleet;
mod http;
#[path = "../../tests/support/mosquitto.rs"]
#[allow(dead_code)] // the tests use all of it
mod mosquitto;
mod mqtt;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use appliance::{Appliance, cpu_s};
use http::{Load, Pace, Sent, drive};
use mosquitto::{Mosquitto, free_port};

const ROWS_A_REQUEST: u64 = 250;
const MQTT_KEYS: u64 = 1_000;
/// Every window is full and every key warm after this, s of event time.
const WARM_S: u64 = 66;

/// One run of a fresh process.
#[derive(Debug, Serialize)]
struct Run {
    name: String,
    keys: u64,
    events: u64,
    windows: u64,
    seconds: f64,
    events_per_s: f64,
    cpu_s_per_million_events: f64,
    client_cpu_s_per_million_events: f64,
    rss_bytes: u64,
    load_average_before: f64,
    /// Of the state the run started on, from the log, starting the process included.
    recovery_events_per_s: f64,
    /// Answer to a request: from its due time when open, from sending when closed.
    response_ns: Option<Quantiles>,
    /// The appliance's own histograms, a stage.
    stages: Value,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    runs: Vec<Run>,
    /// Growth of resident memory from 1,000 to 100,000 keys in the open loops, a key.
    rss_bytes_per_key: f64,
}

struct Bench {
    folder: TempDir,
    model: PathBuf,
    run_for: Duration,
}

impl Bench {
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn http(&self, name: &str, load: Load) -> Run {
        let port = free_port();
        let source = format!("type = \"http\"\nlisten = \"127.0.0.1:{port}\"");
        let drive = |_: &Appliance, load: Load| {
            let Sent { rows, took, response } = drive(port, load);
            (rows, took, Some(response))
        };
        self.run(name, &source, load, |_| warm(port, load), drive)
    }

    fn mqtt(&self, qos: u8) -> Run {
        // Its log of every packet would be what is measured.
        let broker = Mosquitto::start_with("log_type none\nlog_type information");
        let source = format!(
            "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\ntopics = [\"{}\"]\nqos = {qos}",
            broker.port,
            mqtt::TOPIC
        );
        let load = self.load(MQTT_KEYS);
        let warm = |appliance: &Appliance| {
            let few = Load { run_for: Duration::from_secs(4), ..load };
            mqtt::publish(broker.port, qos, few, appliance)
        };
        let publish = |appliance: &Appliance, load: Load| {
            let start = Instant::now();
            let rows = mqtt::publish(broker.port, qos, load, appliance);
            appliance.drained(load.first_row + rows);
            (rows, start.elapsed(), None)
        };
        self.run(&format!("mqtt QoS {qos}, one event a message"), &source, load, warm, publish)
    }

    fn run(
        &self,
        name: &str,
        source: &str,
        load: Load,
        warm: impl FnOnce(&Appliance) -> u64,
        drive: impl FnOnce(&Appliance, Load) -> (u64, Duration, Option<hdrhistogram::Histogram<u64>>),
    ) -> Run {
        let load_average_before = load_average();
        let deployed = Appliance::prepare(self.folder(), source, &self.model);
        let appliance = Appliance::start(&deployed);
        let first_row = warm(&appliance);
        let before = appliance.drained(first_row);
        drop(appliance);
        let restart = Instant::now();
        let appliance = Appliance::start(&deployed);
        assert_eq!(appliance.drained(first_row).windows, before.windows, "the log brings everything back");
        let recovery_s = restart.elapsed().as_secs_f64();
        let (cpu_before, client_before) = (appliance.cpu_s(), cpu_s("self"));
        let (events, took, response) = drive(&appliance, Load { first_row, ..load });
        let client = cpu_s("self") - client_before;
        let totals = appliance.drained(first_row + events);
        let cpu = appliance.cpu_s() - cpu_before;
        assert_eq!((totals.late, totals.events), (0, first_row + events), "every event is taken once");
        let millions = events as f64 / 1e6;
        let run = Run {
            name: name.to_owned(),
            keys: load.keys,
            events,
            windows: totals.windows - before.windows,
            seconds: took.as_secs_f64(),
            events_per_s: events as f64 / took.as_secs_f64(),
            cpu_s_per_million_events: cpu / millions,
            client_cpu_s_per_million_events: client / millions,
            rss_bytes: appliance.rss_bytes(),
            load_average_before,
            recovery_events_per_s: first_row as f64 / recovery_s,
            response_ns: response.map(|r| Quantiles {
                p50: r.value_at_quantile(0.5),
                p90: r.value_at_quantile(0.9),
                p99: r.value_at_quantile(0.99),
                max: r.max(),
            }),
            stages: appliance.stages(),
        };
        print(&run);
        run
    }

    fn load(&self, keys: u64) -> Load {
        Load {
            keys,
            first_row: 0,
            rows_a_request: ROWS_A_REQUEST,
            connections: 4,
            pace: Pace::Closed,
            run_for: self.run_for,
            requests_max: u64::MAX,
        }
    }

    /// Saturation, then half of it by the clock.
    fn pair(&self, keys: u64) -> [Run; 2] {
        let load = self.load(keys);
        let closed = self.http(&format!("http closed loop, {keys} keys"), load);
        let every = Duration::from_secs_f64(2.0 * ROWS_A_REQUEST as f64 / closed.events_per_s);
        let open = Load { pace: Pace::Open(every), connections: 6, ..load };
        let open = self.http(&format!("http open loop at half, {keys} keys"), open);
        [closed, open]
    }

    /// One event each 20 ms of one key, so that each finds an idle box.
    fn lone(&self) -> Run {
        let pace = Pace::Open(Duration::from_millis(20));
        let load = Load { rows_a_request: 1, connections: 1, pace, ..self.load(1) };
        self.http("lone events, 50 a second", load)
    }
}

/// Sends the first [`WARM_S`] of event time as fast as they are taken.
fn warm(port: u16, load: Load) -> u64 {
    let requests_max = (load.keys * WARM_S).div_ceil(load.rows_a_request);
    drive(port, Load { pace: Pace::Closed, run_for: Duration::MAX, requests_max, ..load }).rows
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(f64::NAN)
}

fn print(run: &Run) {
    println!(
        "{}: {:.0} events/s, {:.2} CPU-s per million events (client {:.2}), {:.0} MB, recovery {:.0} events/s, \
         load average before {:.1}",
        run.name,
        run.events_per_s,
        run.cpu_s_per_million_events,
        run.client_cpu_s_per_million_events,
        run.rss_bytes as f64 / 1e6,
        run.recovery_events_per_s,
        run.load_average_before,
    );
    let us = |ns: &Value| ns.as_f64().unwrap_or(0.0) / 1e3;
    for stage in run.stages.as_array().into_iter().flatten() {
        if stage["count"].as_u64().is_some_and(|count| count > 0) {
            let name = stage["stage"].as_str().unwrap_or_default();
            println!(
                "  {name:<10} p50 {:>9.0} us   p99 {:>9.0} us",
                us(&stage["latency_ns_p50"]),
                us(&stage["latency_ns_p99"])
            );
        }
    }
    if let Some(response) = &run.response_ns {
        println!(
            "  {:<10} p50 {:>9.0} us   p99 {:>9.0} us",
            "(answer)",
            response.p50 as f64 / 1e3,
            response.p99 as f64 / 1e3
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).map(|at| arguments[at + 1].clone());
    let seconds = value("--seconds").map_or(20, |n| n.parse().expect("--seconds NUMBER"));
    // Beside the binary: on a disk, where the log would be, and not in memory.
    let beside = Path::new(env!("CARGO_BIN_EXE_eddy")).parent().expect("it is in a folder");
    let folder = TempDir::new_in(beside).expect("a temporary folder");
    let model = deployment::train(folder.path());
    let bench = Bench { folder, model, run_for: Duration::from_secs(seconds) };
    let few = bench.pair(1_000);
    let many = bench.pair(100_000);
    let rss_bytes_per_key = (many[1].rss_bytes as f64 - few[1].rss_bytes as f64) / 99_000.0;
    let mut runs: Vec<Run> = few.into_iter().chain(many).collect();
    runs.extend([bench.lone(), bench.mqtt(0), bench.mqtt(1)]);
    println!("resident memory a key: {rss_bytes_per_key:.0} bytes");
    if let Some(path) = value("--json") {
        let text = serde_json::to_string_pretty(&Report { runs, rss_bytes_per_key }).expect("plain numbers");
        std::fs::write(path, text + "\n").expect("the file can be written");
    }
}
