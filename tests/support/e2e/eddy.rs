//! The release binary in a folder of its own: started, asked, killed, started again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use eddy::durable::{DirLock, Log, RealDisk};
use eddy::types::{Message, Position};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{http, poll};
use crate::plant;

const SEGMENT_BYTES: u64 = 1_000_000;

/// A config around one stream of the plant's pumps. `sources` are tables of TOML, `from` their names as
/// a TOML array, `stream` more lines of the stream. Segments are small, so that a run has several.
pub fn config(sources: &str, from: &str, stream: &str, webhook: &str) -> String {
    let columns: String =
        plant::COLUMNS.iter().map(|c| format!("columns.{c} = {{ path = \"{c}\" }}\n")).collect();
    format!(
        r#"deployment = "test"
shards = 2
{sources}
[stream.pumps]
from = {from}
key = "pump"
time = {{ path = "ts", unit = "ms" }}
{columns}
window = {{ type = "hopping", size = "16s", every = "2s", grid = "1s", lateness = "32s" }}
model = {{ type = "load", path = "model.safetensors" }}
p_value = 1e-4
{stream}
[sink.on_call]
type = "webhook"
url = "{webhook}"
secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
[dashboard]
listen = "127.0.0.1:0"
[durable]
path = "data"
segment = "1MB"
"#
    )
}

pub fn mqtt_source(port: u16) -> String {
    format!(
        "[source.plant]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\ntopics = [\"plant/#\"]\nqos = 1"
    )
}

/// A folder with config, model and data, which outlives the processes that run in it.
pub struct Deployment {
    pub folder: TempDir,
}

impl Deployment {
    pub fn new(config: &str) -> Self {
        let deployment = Deployment { folder: TempDir::new().expect("a temporary folder") };
        deployment.configure(config);
        plant::model().save(&deployment.path("model.safetensors")).expect("the model is written");
        deployment
    }

    pub fn configure(&self, config: &str) {
        std::fs::write(self.path("eddy.toml"), config).expect("the config is written");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// `eddy SUBCOMMAND eddy.toml`, in the folder.
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
        self.place(&mut command);
        command.args([subcommand, "eddy.toml"]);
        command
    }

    /// What `eddy state SUBCOMMAND` said.
    pub fn state(&self, subcommand: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
        self.place(&mut command);
        command.args(["state", subcommand, "eddy.toml"]).output().expect("it runs")
    }

    /// What a command that ends by itself said.
    pub fn output(&self, subcommand: &str) -> Output {
        let mut command = self.command(subcommand);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let ended = poll(|| process.try_wait().expect("it can be waited for"));
        let _ = process.kill();
        let output = process.wait_with_output().expect("its output");
        assert!(ended.is_some(), "`eddy {subcommand}` goes on:\n{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn place(&self, command: &mut Command) {
        command.current_dir(self.folder.path()).env_remove("RUST_LOG").stdin(Stdio::null());
    }

    /// Runs it and waits until it is ready.
    pub fn start(&self) -> Eddy {
        Eddy::start(self.command("run"))
    }

    /// As [`Deployment::start`], with paths in its environment.
    pub fn start_with(&self, environment: &[(&str, &Path)]) -> Eddy {
        let mut command = self.command("run");
        command.envs(environment.iter().copied());
        Eddy::start(command)
    }

    /// As [`Deployment::start`], with SIGXFSZ ignored: a write over the file size limit then fails
    /// with EFBIG, as one on a full disk fails with ENOSPC, instead of ending the process.
    pub fn start_with_limited_files(&self) -> Eddy {
        let mut command = Command::new("sh");
        self.place(&mut command);
        let binary = env!("CARGO_BIN_EXE_eddy");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" run eddy.toml", binary]);
        Eddy::start(command)
    }

    /// As [`Deployment::start`], with these soft and hard limits of open files.
    pub fn start_with_few_files(&self, soft: u64, hard: u64) -> Eddy {
        let mut command = Command::new("sh");
        self.place(&mut command);
        let limited = format!("ulimit -S -n {soft} && ulimit -H -n {hard} && exec \"$0\" run eddy.toml");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_eddy")]);
        Eddy::start(command)
    }

    /// Every message of the log. No process may be running.
    pub fn logged(&self) -> Vec<Message> {
        let _lock = DirLock::acquire(&self.data()).expect("nobody uses the folder");
        let log = Log::open(Box::new(RealDisk::new()), &self.data(), SEGMENT_BYTES).expect("a sound log");
        log.read_from(Position(0)).map(|read| read.expect("a whole record").1).collect()
    }

    pub fn dead_letters(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.data().join("dead-letters.ndjson")).unwrap_or_default();
        whole_lines(&text).map(|line| super::json(line.as_bytes())).collect()
    }
}

/// Those of a file that may be written to meanwhile.
fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// One partition as `/api/v1/partitions` shows it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Partition {
    pub stream: String,
    pub partition: u8,
    pub events_total: u64,
    pub duplicates_total: u64,
    pub late_total: u64,
    pub windows_total: u64,
    pub windows_unscored_total: u64,
    pub digest: String,
}

/// A running process; killed when dropped.
pub struct Eddy {
    process: Child,
    stderr: Arc<Mutex<String>>,
    /// Ends with the process.
    reading: Option<JoinHandle<()>>,
    pub page: SocketAddr,
}

impl Eddy {
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let (pipe, kept) = (process.stderr.take().expect("a pipe"), stderr.clone());
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        let mut eddy = Eddy { process, stderr, reading: Some(reading), page: ([127, 0, 0, 1], 0).into() };
        eddy.page = eddy.until("the address of the page", |eddy| {
            let said = eddy.said();
            let line = said.lines().find_map(|line| line.strip_prefix("page and metrics: http://"))?;
            line.trim_end_matches('/').parse().ok()
        });
        eddy.until("ready", |eddy| (http::get(eddy.page, "/readyz").ok()?.status == 200).then_some(()));
        eddy
    }

    /// Its standard error so far.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for an answer; fails when the process ends, or after [`super::WAIT_MAX`].
    pub fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let answer = poll(|| match ask(self) {
            Some(answer) => Some(Some(answer)),
            None => self.process.try_wait().expect("it can be waited for").map(|_| None),
        });
        match answer {
            Some(Some(answer)) => answer,
            Some(None) => panic!("ended while waiting for {what}; it said:\n{}", self.last_words()),
            None => panic!("never: {what}; it said:\n{}", self.said()),
        }
    }

    pub fn get(&self, path: &str) -> Value {
        match http::get(self.page, path) {
            Ok(response) if response.status == 200 => response.json(),
            other => panic!("{path}: {other:?}; it said:\n{}", self.said()),
        }
    }

    pub fn partitions(&self) -> Vec<Partition> {
        serde_json::from_value(self.get("/api/v1/partitions")["partitions"].take()).expect("partitions")
    }

    pub fn events(&self) -> u64 {
        self.partitions().iter().map(|p| p.events_total).sum()
    }

    /// A sample of `/metrics`, by its name with labels.
    pub fn metric(&self, sample: &str) -> u64 {
        self.seconds(sample) as u64
    }

    /// The same of one that is no whole number.
    pub fn seconds(&self, sample: &str) -> f64 {
        let text = http::get(self.page, "/metrics").expect("it answers").text();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse::<f64>().expect("a number")
    }

    /// Every stored revision, newest first.
    pub fn alerts(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut path = "/api/v1/alerts?limit=500".to_owned();
        loop {
            let page = self.get(&path);
            all.extend(page["rows"].as_array().expect("rows").iter().cloned());
            let Some(before) = page["next_before"].as_i64() else { return all };
            path = format!("/api/v1/alerts?limit=500&before={before}");
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.process.kill().expect("it was alive until now");
        self.process.wait().expect("it ends");
    }

    /// SIGSTOP: it does nothing and answers nothing, and nobody is told.
    pub fn freeze(&self) {
        signal(&self.process, "STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        signal(&self.process, "CONT");
    }

    /// SIGTERM; how it ended and what it had said by then.
    pub fn stop(mut self) -> (ExitStatus, String) {
        signal(&self.process, "TERM");
        let ended = poll(|| self.process.try_wait().expect("it can be waited for"));
        let status = ended.unwrap_or_else(|| panic!("does not end on SIGTERM; it said:\n{}", self.said()));
        (status, self.last_words())
    }

    /// All that a process said which has ended: the pipe may still hold some of it.
    fn last_words(&mut self) -> String {
        let _ = self.reading.take().map(JoinHandle::join);
        self.said()
    }
}

impl Drop for Eddy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("eddy's standard error:\n{}", self.said());
        }
    }
}

fn signal(process: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    assert!(status.is_ok_and(|s| s.success()), "the process was gone before it was signalled");
}
