//! A data folder of a format that is not read any more: the release binary leaves it alone, says the remedy, and the
//! remedy helps.

use std::net::SocketAddr;
use std::process::Command;

use crate::e2e::eddy::{Deployment, config};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant;

fn unpacked(deployment: &Deployment) {
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/upgrade/format-3.tar.gz");
    let status = Command::new("tar").args(["-xzf", archive, "-C"]).arg(deployment.folder.path()).status();
    assert!(status.expect("tar").success());
}

/// Its model and snapshots are not understood any more. Nothing is touched until the user says that the stream may
/// learn anew; what was told stays told, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_a_format_before_says_the_remedy_and_it_helps() {
    let receiver = Receiver::start([]).await;
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    let text = config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url);
    let deployment = Deployment::new(&text);
    unpacked(&deployment);
    for _ in 0..2 {
        let refused = deployment.output("run");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{said}");
        assert!(said.contains("format 1, this build reads 3") && said.contains("eddy train"), "{said}");
        plant::model().save(&deployment.path("model.safetensors")).expect("the model is written");
    }
    let mut reset = Command::new(env!("CARGO_BIN_EXE_eddy"));
    reset
        .args(["state", "reset", "eddy.toml", "--stream", "pumps", "--yes"])
        .current_dir(deployment.folder.path());
    let reset = reset.output().expect("it runs");
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    let mut eddy = deployment.start();
    let rows = plant::rows(3, 400, 61, 0..0);
    let body = plant::ndjson(&rows);
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = http::request(http, "POST", "/v1/events/pumps", &headers, &body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    eddy.until("all rows", |eddy| (eddy.events() as usize == rows.len()).then_some(()));
}
