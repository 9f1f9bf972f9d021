//! The release binary killed with SIGKILL while it takes snapshots: it starts from them, reads back only
//! what came after, and decides, counts and tells what an undisturbed run does, though the beginning of
//! the log is gone by then.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect::{self, by_the_engine};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row};

const KEYS: usize = 24;
const ROWS_A_REQUEST: usize = 64;

fn post(http: SocketAddr, request: usize, rows: &[Row]) {
    let body = plant::ndjson(rows);
    let key = format!("request-{request}");
    let headers = [("Content-Type", "application/x-ndjson"), ("Idempotency-Key", key.as_str())];
    let answer = http::request(http, "POST", "/v1/events/pumps", &headers, &body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// First positions of the log's files.
fn segments(data: &Path) -> Vec<u64> {
    let names = std::fs::read_dir(data.join("log")).expect("a log").map(|entry| entry.unwrap().file_name());
    let mut firsts: Vec<u64> =
        names.filter_map(|name| name.to_str()?.strip_suffix(".log")?.parse().ok()).collect();
    firsts.sort_unstable();
    firsts
}

fn snapshots(data: &Path, of: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(data.join("snapshots")).expect("snapshots");
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(of) && name.ends_with(".snapshot")
    });
    files.sort();
    files
}

/// Flips a byte in the newest snapshot of one partition and of the ledger.
fn damage(deployment: &Deployment) {
    let first = snapshots(&deployment.data(), "pumps-").remove(0);
    let of = first.file_name().unwrap().to_string_lossy()[..8].to_owned();
    for of in [of.as_str(), "ledger"] {
        let newest = snapshots(&deployment.data(), of).pop().expect("a snapshot");
        let mut bytes = std::fs::read(&newest).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&newest, bytes).unwrap();
    }
    let verified = deployment.state("verify");
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(said.contains("2 of them not good"), "{said}");
}

/// Rounds of saves since it was started.
fn rounds(eddy: &Eddy) -> u64 {
    // And the ledger.
    eddy.metric("eddy_snapshots_total") / (eddy.partitions().len() as u64 + 1)
}

/// A restart after a kill, held to what snapshots promise.
fn again(deployment: &Deployment, eddy: Eddy, posted: u64, kill: usize) -> Eddy {
    eddy.kill();
    if kill == 1 {
        damage(deployment);
    } else {
        let verified = deployment.state("verify");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        let listed = String::from_utf8_lossy(&deployment.state("list").stdout).into_owned();
        assert!(listed.contains("ledger") && listed.contains("pumps-"), "{listed}");
    }
    let eddy = deployment.start();
    let read_back = eddy.metric("eddy_recovered_messages_total");
    println!("kill {}: {posted} messages in the log, {read_back} read back", kill + 1);
    assert!(read_back < posted, "all {posted} messages were read back");
    eddy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_goes_on_from_its_snapshots() {
    let mut rows = plant::rows(KEYS, 2000, 29, 0..0);
    for key in 0..20 {
        expect::break_pump(&mut rows, key, 60 + 90 * key as i64..140 + 90 * key as i64);
    }
    let closers = expect::closers(&rows, KEYS);
    let expected = by_the_engine(&[rows.clone(), closers.clone()].concat());
    assert!(expected.decisions.len() >= 30, "{} alerts are too few", expected.decisions.len());

    let receiver = Receiver::start([]).await;
    let port = free_port();
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{address}\"");
    let text = config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url)
        + "snapshot_every = \"1s\"\nretain = \"0s\"\n";
    let deployment = Deployment::new(&text);
    let mut eddy = deployment.start();
    let requests: Vec<&[Row]> = rows.chunks(ROWS_A_REQUEST).collect();
    let mut kills = [150, 300, 450].into_iter().enumerate().peekable();
    for (i, rows) in requests.iter().enumerate() {
        // However slow this machine is, there is something to go on from.
        if let Some((kill, _)) = kills.next_if(|(_, at)| i >= *at && rounds(&eddy) > 0) {
            eddy = again(&deployment, eddy, i as u64, kill);
            // Answered long before the snapshot, and by another process: it must not be logged again.
            post(address, 0, requests[0]);
        }
        post(address, i, rows);
        // As snapshots follow messages, rounds of them need some time.
        std::thread::sleep(Duration::from_millis(12));
    }
    assert!(kills.next().is_none(), "too few requests");
    post(address, requests.len(), &closers);
    expect::settles(&mut eddy, &receiver, &expected);
    let duplicates: u64 = eddy.partitions().iter().map(|p| p.duplicates_total).sum();
    assert_eq!(duplicates, 0, "a repeated Idempotency-Key is not logged again");
    // Removal follows the snapshots, and those follow messages: more of them, however quick this machine is.
    let mut more = requests.len();
    eddy.until("the beginning of the log is removed", |_| {
        more += 1;
        post(address, more, &closers);
        (segments(&deployment.data())[0] > 0).then_some(())
    });
}
