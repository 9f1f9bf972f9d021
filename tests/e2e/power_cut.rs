//! The release binary on a real file system whose power is cut: of its data only what it had fsynced
//! is left, byte for byte. Every acknowledged message must be among it.
//!
//! A library preloaded into the process (tests/support/synced.c) writes down what each fsync and
//! fdatasync covered. tests/simulation.rs cuts the power at every single write, on the disk's twin; this
//! test holds that the real disk syncs where the twin does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::e2e::eddy::{Deployment, config};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row};

const KEYS: usize = 8;
const ROWS_A_REQUEST: usize = 40;
const REQUESTS_A_ROUND: usize = 6;
/// Power cuts. A segment is 1 MB at least, so that the later rounds also cross into a new one.
const ROUNDS: usize = 4;
/// Makes the payloads long enough to fill segments.
const PADDING: usize = 2000;

/// The preloaded library, built in `folder`.
fn shim(folder: &Path) -> PathBuf {
    let library = folder.join("synced.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/synced.c");
    let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-o"];
    let built = Command::new("cc").args(flags).arg(&library).arg(source).status();
    assert!(built.expect("a C compiler: run scripts/setup").success());
    library
}

/// What the journal says is durable: files with their lengths, and names in folders.
#[derive(Default)]
struct Synced {
    lengths: BTreeMap<PathBuf, u64>,
    names: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

impl Synced {
    fn read(journal: &Path) -> Self {
        let mut synced = Synced::default();
        let text = std::fs::read_to_string(journal).expect("something was synced");
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').expect("a kind and its text");
            match kind {
                "F" => {
                    let (length, path) = rest.split_once(' ').expect("a length and a path");
                    synced.lengths.insert(path.into(), length.parse().expect("a length"));
                }
                "R" => {
                    let (from, to) = rest.split_once('\t').expect("two paths");
                    // Nothing of it was durable before, if nothing is now.
                    let length = synced.lengths.remove(Path::new(from)).unwrap_or(0);
                    synced.lengths.insert(to.into(), length);
                }
                "D" => _ = synced.names.insert(rest.into(), BTreeSet::new()),
                _ => {
                    let path = PathBuf::from(rest);
                    let folder = path.parent().expect("a folder").to_owned();
                    synced.names.get_mut(&folder).expect("its folder comes first").insert(path);
                }
            }
        }
        synced
    }

    /// Leaves of `folder` what was durable before this process and what it has synced.
    fn cut_the_power(&self, folder: &Path, before: &BTreeMap<PathBuf, u64>) {
        for (path, _) in files(folder) {
            let named = self.names.get(path.parent().expect("a folder")).is_some_and(|n| n.contains(&path));
            if !named && !before.contains_key(&path) {
                std::fs::remove_file(&path).expect("it was there");
                continue;
            }
            let length = self.lengths.get(&path).or(before.get(&path)).copied().unwrap_or(0);
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it opens");
            let left = file.metadata().expect("its length").len().min(length);
            file.set_len(left).expect("it is cut");
        }
    }
}

/// Every file below `folder` and its length.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("its kind");
        if metadata.is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), metadata.len());
        }
    }
    found
}

fn body(rows: &[Row]) -> Vec<u8> {
    let padding = "x".repeat(PADDING);
    let line = |row: &Row| {
        let payload = String::from_utf8(row.message().payload.to_vec()).expect("JSON");
        format!("{},\"padding\":\"{padding}\"}}\n", payload.trim_end_matches('}'))
    };
    rows.iter().map(line).collect::<String>().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_messages_outlast_a_power_cut_of_the_real_disk() {
    let receiver = Receiver::start([]).await;
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    let deployment = Deployment::new(&config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url));
    let folder = deployment.folder.path().canonicalize().expect("a real path");
    let library = shim(&folder);
    let rows = plant::rows(KEYS, (ROWS_A_REQUEST * REQUESTS_A_ROUND * ROUNDS / KEYS) as i64, 5, 0..0);
    let bodies: Vec<_> = rows.chunks(ROWS_A_REQUEST).map(body).collect();
    let mut durable = BTreeMap::new();
    for (round, bodies) in bodies.chunks(REQUESTS_A_ROUND).enumerate() {
        let journal = folder.join(format!("synced-{round}"));
        let eddy = deployment.start_with(&[("LD_PRELOAD", &library), ("SYNCED", &journal)]);
        for body in bodies {
            let headers = [("Content-Type", "application/x-ndjson")];
            let answer = http::request(http, "POST", "/v1/events/pumps", &headers, body).expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        eddy.kill();
        let data = folder.join("data");
        Synced::read(&journal).cut_the_power(&data, &durable);
        durable = files(&data);
        let logged = deployment.logged();
        let acknowledged = (round + 1) * REQUESTS_A_ROUND;
        assert!(
            logged.len() >= acknowledged,
            "round {round}: {acknowledged} requests were acknowledged, {} outlast the power cut",
            logged.len()
        );
    }
    let segments = files(&folder.join("data/log")).len();
    assert!(segments > 1, "the log never went on into a second segment");
}
