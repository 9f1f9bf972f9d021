//! The release binary under load: started on a fresh data folder, watched from outside.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::deployment;
use crate::http::Connection;
use crate::mosquitto::free_port;

const START_MAX: Duration = Duration::from_secs(300);
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// The page takes its snapshot once a second.
const SNAPSHOT: Duration = Duration::from_millis(2_100);
/// Linux reports CPU time in these.
const TICKS_PER_S: f64 = 100.0;

/// A config and the port of its page.
pub struct Deployed {
    config: PathBuf,
    page: u16,
}

pub struct Appliance {
    process: Child,
    page: u16,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub events: u64,
    pub late: u64,
    pub windows: u64,
}

impl Appliance {
    /// Writes the config, on a data folder without anything in it; `source`: the lines of `[source.line]`.
    pub fn prepare(folder: &Path, source: &str, model: &Path) -> Deployed {
        let data = folder.join("data");
        if data.exists() {
            std::fs::remove_dir_all(&data).expect("the data of the last run goes");
        }
        let page = free_port();
        let model = format!("{{ type = \"load\", path = \"{}\" }}", model.display());
        let config = folder.join("run.toml");
        std::fs::write(&config, deployment::config(folder, source, &model, page))
            .expect("the folder can be written");
        Deployed { config, page }
    }

    /// Starts the binary and waits until it is ready: until it has read back what is in its log.
    pub fn start(deployed: &Deployed) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_eddy"))
            .arg("run")
            .arg(&deployed.config)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("eddy starts");
        let appliance = Appliance { process, page: deployed.page };
        let start = Instant::now();
        while !matches!(appliance.get("/readyz"), Some((200, _))) {
            assert!(start.elapsed() < START_MAX, "eddy is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        appliance
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        Connection::open(self.page).ok()?.get(path).ok()
    }

    fn json(&self, path: &str) -> Value {
        let (_, text) = self.get(path).expect("eddy's page answers");
        serde_json::from_str(&text).expect("the API gives JSON")
    }

    pub fn totals(&self) -> Totals {
        let partitions = self.json("/api/v1/partitions");
        let partitions = partitions["partitions"].as_array().expect("a list").iter();
        let mut totals = Totals::default();
        for partition in partitions {
            let count = |name: &str| partition[name].as_u64().expect("a count");
            totals.events += count("events_total");
            totals.late += count("late_total");
            totals.windows += count("windows_total");
        }
        totals
    }

    /// Waits until `events` are in their windows.
    pub fn drained(&self, events: u64) -> Totals {
        let start = Instant::now();
        loop {
            let totals = self.totals();
            if totals.events + totals.late >= events {
                return totals;
            }
            assert!(start.elapsed() < DRAIN_MAX, "{totals:?} of {events} events after two minutes");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `/api/v1/latency` with everything so far in it: stage to its figures.
    pub fn stages(&self) -> Value {
        std::thread::sleep(SNAPSHOT);
        self.json("/api/v1/latency")["stages"].take()
    }

    /// User and system time so far.
    pub fn cpu_s(&self) -> f64 {
        cpu_s(&self.process.id().to_string())
    }

    /// Resident memory, bytes.
    pub fn rss_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("eddy runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux gives it");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number of kB");
        kib * 1024
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        // Nothing of this run is looked at again.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// CPU time of a process (`self` for this one), s.
pub fn cpu_s(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    let after_name = stat.rsplit_once(") ").expect("the name is in brackets").1;
    let field = |n: usize| after_name.split(' ').nth(n).and_then(|n| n.parse::<f64>().ok()).expect("ticks");
    (field(11) + field(12)) / TICKS_PER_S
}
