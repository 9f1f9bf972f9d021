//! A data folder of the format before, taken over by the release binary: it starts from its snapshots and goes on
//! as if there had been no upgrade.

#[path = "support/e2e/mod.rs"]
mod e2e;
mod plant;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use e2e::eddy::{Deployment, config};
use e2e::expect::{self, Outcome};
use e2e::http;
use e2e::mosquitto::free_port;
use e2e::receiver::Receiver;
use eddy::engine::Engine;
use eddy::model::Model;
use eddy::types::StreamId;
use plant::{Row, SECOND_NS, START_NS};

/// The rows of `tests/upgrade/README.md`; those of the folder come first.
fn rows() -> (Vec<Row>, Vec<Row>) {
    let mut rows = plant::rows(3, 400, 61, 0..0);
    expect::break_pump(&mut rows, 0, 60..130);
    expect::break_pump(&mut rows, 1, 170..260);
    let closers = expect::closers(&rows, 3);
    rows.extend(closers);
    let before = rows.iter().position(|row| row.time_ns >= START_NS + 200 * SECOND_NS).expect("a row");
    let after = rows.split_off(before);
    (rows, after)
}

/// By the model of the folder: the one that tests train may change.
fn decided(rows: &[Row], model: &Path) -> Outcome {
    let mut engine = Engine::new(&expect::plan());
    let model = Arc::new(Model::load(model).expect("a model"));
    engine.activate(StreamId(0), model).expect("it fits");
    expect::by(engine, 0, rows)
}

fn unpacked(deployment: &Deployment) {
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upgrade/format-3.tar.gz");
    let status = Command::new("tar").args(["-xzf", archive, "-C"]).arg(deployment.folder.path()).status();
    assert!(status.expect("tar").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_the_format_before_goes_on_where_it_was() {
    let receiver = Receiver::start([]).await;
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    let text = config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url);
    let deployment = Deployment::new(&text);
    unpacked(&deployment);
    let (before, after) = rows();
    let expected = decided(&[before.clone(), after.clone()].concat(), &deployment.path("model.safetensors"));
    assert!(expected.decisions.len() >= 4, "raised and resolved on both sides of the upgrade");
    let mut eddy = deployment.start();
    let read_back = eddy.metric("eddy_recovered_messages_total");
    assert!(read_back < 100, "{read_back} of 200 messages: it did not start from the snapshots");
    eddy.until("what was there", |eddy| (eddy.events() as usize == before.len()).then_some(()));
    let body = plant::ndjson(&after);
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = http::request(http, "POST", "/v1/events/pumps", &headers, &body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    expect::settles(&mut eddy, &receiver, &expected);
}

/// One that nobody knows yet is left alone.
#[test]
fn a_folder_of_a_format_to_come_is_refused_with_the_remedy() {
    let source = "[source.line]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"";
    let deployment =
        Deployment::new(&config(source, "[\"line\"]", "max_future = \"none\"", "http://127.0.0.1:9/"));
    unpacked(&deployment);
    for entry in std::fs::read_dir(deployment.data().join("snapshots")).expect("snapshots") {
        let path = entry.expect("a file").path();
        let mut bytes = std::fs::read(&path).expect("it reads");
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..64]);
        bytes[64..68].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(&path, bytes).expect("it is written");
    }
    let refused = deployment.output("run");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("format 9, this one reads 3 and 4") && said.contains("run that version"), "{said}");
}
