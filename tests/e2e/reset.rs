//! `eddy state reset` on the release binary's own data folder: one stream begins anew, under another config, and
//! nothing of what came before is judged or told again.

use std::net::SocketAddr;

use crate::e2e::eddy::{Deployment, Eddy, Partition, config};
use crate::e2e::expect::{self, by_the_engine};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::poll;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row};
use eddy::types::{Position, StreamId};

const KEYS: usize = 12;
const ROWS_A_MESSAGE: usize = 200;

/// Beside the pumps, of the same source; nothing of it is reset.
const VALVES: &str = r#"
[stream.valves]
from = "line"
key = "pump"
time = { path = "ts", unit = "ms" }
window = { type = "tumbling", size = "10s" }
max_future = "none"
columns.flow = { path = "flow" }
"#;

/// `time` is the field of the time.
fn post(http: SocketAddr, stream: &str, time: &str, rows: &[Row]) {
    for rows in rows.chunks(ROWS_A_MESSAGE) {
        let text = String::from_utf8(plant::ndjson(rows)).expect("text");
        let body = text.replace("\"ts\"", &format!("\"{time}\"")).into_bytes();
        let headers = [("Content-Type", "application/x-ndjson")];
        let answer =
            http::request(http, "POST", &format!("/v1/events/{stream}"), &headers, &body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn reset(deployment: &Deployment, more: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_eddy"));
    command.args(["state", "reset", "eddy.toml"]).args(more).current_dir(deployment.folder.path());
    let output = command.output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("text"))
}

fn events(eddy: &Eddy, stream: &str) -> usize {
    eddy.metric(&format!("eddy_stream_events_total{{stream={stream:?}}}")) as usize
}

/// Rows of some minutes; the first pump is broken to their end.
fn rows() -> Vec<Row> {
    let mut rows = plant::rows(KEYS, 400, 3, 0..0);
    expect::break_pump(&mut rows, 0, 200..400);
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_reset_begins_anew_under_another_config() {
    let receiver = Receiver::start([]).await;
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    // No snapshot but one that is asked for: the log is needed from its beginning, by the other stream.
    let text = config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url)
        + "snapshot_every = \"1h\"\n"
        + VALVES;
    let deployment = Deployment::new(&text);
    let before = rows();
    let told = by_the_engine(&before).decisions;
    let firing = told.values().find(|decision| decision["state"] == "raised").expect("an alert");
    let resolved = format!("{}_2", firing["id"].as_str().expect("an id"));
    assert!(!told.contains_key(&resolved), "it is open at the end");
    let mut eddy: Eddy = deployment.start();
    post(http, "pumps", "ts", &before);
    post(http, "valves", "ts", &before[..KEYS * 100]);
    eddy.until("the alert", |eddy| (eddy.alerts().len() == told.len()).then_some(()));
    eddy.kill();

    // Under this config, nothing of before is a row.
    deployment.configure(&text.replacen("path = \"ts\"", "path = \"at\"", 1));
    let refused = deployment.output("run");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("eddy state reset CONFIG --stream pumps"), "{said}");
    let (done, said) = reset(&deployment, &["--stream", "pumsp"]);
    assert!(!done && said.contains("it has pumps"), "{said}");
    let (done, said) = reset(&deployment, &["--stream", "pumps"]);
    assert!(!done && said.contains("nothing was done") && said.contains("1 open alerts"), "{said}");
    let (done, said) = reset(&deployment, &["--stream", "pumps", "--yes"]);
    assert!(done, "{said}");

    let mut eddy = deployment.start();
    let valves = KEYS * 100;
    eddy.until("what the other stream had", |eddy| (events(eddy, "valves") == valves).then_some(()));
    assert_eq!(events(&eddy, "pumps"), 0, "it knows of nothing, though its rows were read again");
    poll(|| expect::received(&receiver).contains_key(&resolved).then_some(()))
        .expect("the open alert is resolved");
    // The very same readings again: alerts about the same windows, and yet other ones.
    let after = [&before[..], &expect::closers(&before, KEYS)].concat();
    let beginning = (before.len().div_ceil(ROWS_A_MESSAGE) + valves.div_ceil(ROWS_A_MESSAGE)) as u64;
    let mut engine = plant::engine(&expect::plan());
    engine.begin_at(StreamId(0), Position(beginning));
    let anew = expect::by(engine, beginning, &after);
    post(http, "pumps", "at", &after);
    eddy.kill();
    let mut eddy = deployment.start();
    eddy.until("all is judged", |eddy| (events(eddy, "pumps") == after.len()).then_some(()));
    let of_pumps = |partition: &Partition| partition.stream == "pumps";
    let pumps: Vec<_> = eddy.partitions().into_iter().filter(of_pumps).collect();
    assert_eq!(expect::of_partitions(&pumps), anew.partitions, "as if nothing had been before");
    let mut expected: Vec<String> = told.keys().chain(anew.decisions.keys()).cloned().collect();
    expected.push(resolved);
    expected.sort_unstable();
    poll(|| (expect::received(&receiver).len() >= expected.len()).then_some(()));
    assert_eq!(expect::received(&receiver).into_keys().collect::<Vec<_>>(), expected, "told once each");
    assert_eq!(
        deployment.dead_letters(),
        [] as [serde_json::Value; 0],
        "what lies before is no bad row either"
    );
    assert!(eddy.stop().0.success());
    let mut eddy = deployment.start();
    eddy.until("all is known", |eddy| (events(eddy, "pumps") == after.len()).then_some(()));
    let read_back = eddy.metric("eddy_recovered_messages_total");
    assert_eq!(read_back, 0, "a clean stop has saved everything");
}
