//! What the release binary does when it must not go on: exit codes and remedies, a data folder that is
//! taken or does not fit, and a disk that takes no more writes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::e2e::eddy::{Deployment, Eddy, config, mqtt_source};
use crate::e2e::http::{self, Response};
use crate::e2e::mosquitto::{Mosquitto, free_port};
use crate::e2e::publisher::Publisher;
use crate::plant;
use eddy::engine::train::Trainer;

const NOWHERE: &str = "http://127.0.0.1:1/none";

fn http_source(http: SocketAddr) -> String {
    format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"")
}

fn local() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

fn post(http: SocketAddr, body: &[u8]) -> Response {
    let headers = [("Content-Type", "application/x-ndjson")];
    http::request(http, "POST", "/v1/events/pumps", &headers, body).expect("an answer")
}

fn says(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

/// A deployment that holds `seconds` of rows, and is stopped.
fn with_data(http: SocketAddr, seconds: i64) -> Deployment {
    let deployment = Deployment::new(&config(&http_source(http), "[\"line\"]", "", NOWHERE));
    let eddy = deployment.start();
    for rows in plant::rows(8, seconds, 3, 0..0).chunks(400) {
        assert_eq!(post(http, &plant::ndjson(rows)).status, 200);
    }
    assert!(eddy.stop().0.success());
    deployment
}

#[test]
fn a_broken_config_is_refused_with_all_its_problems_and_exit_code_78() {
    let good = config(&http_source(local()), "[\"line\"]", "", NOWHERE);
    let broken = good.replace("key = \"pump\"", "kee = \"pump\"").replace("every = \"2s\"", "every = \"3s\"");
    let deployment = Deployment::new(&broken);
    let words = ["eddy.toml:", "kee", "key", "every", "does not divide", "problems in"];
    says(&deployment.output("check"), 78, &words);
    says(&deployment.output("run"), 78, &words);
    assert!(!deployment.data().exists(), "nothing was touched");
    deployment.configure(&good);
    says(&deployment.output("check"), 0, &["is good"]);
}

#[test]
fn a_data_folder_has_one_process() {
    let http = local();
    let deployment = Deployment::new(&config(&http_source(http), "[\"line\"]", "", NOWHERE));
    let eddy = deployment.start();
    says(&deployment.output("run"), 1, &["another eddy is using", "[durable] path"]);
    let row = plant::rows(1, 1, 1, 0..0)[0].message();
    assert_eq!(post(http, &row.payload).status, 200, "the first one goes on");
    assert!(eddy.stop().0.success());
}

#[test]
fn a_folder_written_under_another_config_is_refused_until_that_config_is_back() {
    let http = local();
    let deployment = with_data(http, 20);
    let before = config(&http_source(http), "[\"line\"]", "", NOWHERE);
    for (now, was) in [
        ("p_value = 1e-3", "p_value = 1e-4"),
        ("alert_budget = \"1/day\"", "p_value = 1e-4"),
        ("key = \"ts\"", "key = \"pump\""),
    ] {
        deployment.configure(&before.replace(was, now));
        says(&deployment.output("run"), 78, &["stream pumps", "restore that config", "[durable] path"]);
    }
    deployment.configure(&before);
    // Ready is said when the log is read back; the last rows may still be on their way to a window.
    let mut eddy = deployment.start();
    eddy.until("every row of before the attempts", |eddy| (eddy.events() == 160).then_some(()));
}

#[test]
fn a_model_that_does_not_fit_or_is_damaged_is_refused() {
    let good = config(&http_source(local()), "[\"line\"]", "", NOWHERE);
    let deployment = Deployment::new(&good.replace("size = \"16s\"", "size = \"32s\""));
    says(&deployment.output("run"), 78, &["stream pumps", "16", "32"]);
    says(&deployment.output("check"), 78, &["eddy.toml", "stream pumps", "16", "32"]);

    deployment.configure(&good);
    let model = std::fs::read(deployment.path("model.safetensors")).unwrap();
    let mut damaged = model.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    for bytes in [&damaged[..], &model[..model.len() - 7], b""] {
        std::fs::write(deployment.path("model.safetensors"), bytes).unwrap();
        says(&deployment.output("run"), 1, &["stream pumps", "model", "eddy train"]);
        says(&deployment.output("check"), 78, &["eddy.toml", "stream pumps", "model", "eddy train"]);
    }
    std::fs::remove_file(deployment.path("model.safetensors")).unwrap();
    says(&deployment.output("run"), 1, &["cannot read the model", "eddy train"]);
    says(&deployment.output("check"), 0, &["model.safetensors is not there yet", "is good"]);
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_damaged_log_is_refused() {
    let deployment = with_data(local(), 1200);
    let segments = files(&deployment.data().join("log"));
    assert!(segments.len() > 1, "the damage is not at the end of the log: {segments:?}");
    damage(&segments[0]);
    // A stop saves everything, and then nothing of the log is read.
    std::fs::remove_dir_all(deployment.data().join("snapshots")).expect("snapshots");
    says(&deployment.output("run"), 1, &["is damaged at byte", "backup"]);
}

/// The log is read back with the models it was scored by: their copies lie in the data folder.
#[test]
fn a_damaged_copy_of_a_model_is_replaced_from_its_file_or_refused() {
    let deployment = with_data(local(), 20);
    let copies = files(&deployment.data().join("models"));
    let sound = std::fs::read(&copies[0]).unwrap();
    damage(&copies[0]);
    assert!(deployment.start().stop().0.success());
    assert!(std::fs::read(&copies[0]).unwrap() == sound, "the copy was made again");

    let mut trainer = Trainer::new(&plant::plan(1).streams[0]);
    for (i, row) in plant::rows(24, 900, 98, 0..0).iter().enumerate() {
        trainer.push(&row.record(i as u64));
    }
    trainer.finish().unwrap().save(&deployment.path("model.safetensors")).unwrap();
    damage(&copies[0]);
    says(&deployment.output("run"), 1, &["stream pumps", "damaged", "backup"]);
    std::fs::write(&copies[0], sound).unwrap();
    deployment.start().until("every row again", |eddy| (eddy.events() == 160).then_some(()));
}

fn limit_files(eddy: &Eddy, limit: &str) {
    let id = eddy.id().to_string();
    let status = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={limit}:unlimited")]).status();
    assert!(status.expect("prlimit is part of util-linux").success());
}

/// A file size limit stands for a full disk, since filling one needs a mount of its own.
#[test]
fn a_disk_that_takes_no_more_is_told_and_survived_without_a_restart() {
    let (broker, http) = (Mosquitto::start(), local());
    let sources = format!("{}\n{}", mqtt_source(broker.port), http_source(http));
    let deployment = Deployment::new(&config(&sources, "[\"plant\", \"line\"]", "", NOWHERE));
    let mut eddy = deployment.start_with_limited_files();
    let rows = plant::rows(4, 30, 9, 0..0);
    assert_eq!(post(http, &plant::ndjson(&rows[..80])).status, 200);

    limit_files(&eddy, "0");
    let refused = post(http, &plant::ndjson(&rows[80..100]));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert!(refused.json()["error"].as_str().is_some_and(|e| e.contains("nothing of this request was kept")));
    assert!(refused.json()["remedy"].as_str().is_some_and(|r| r.contains("free disk space")));
    assert_eq!(eddy.metric("eddy_log_safe"), 0);
    let mut publisher = Publisher::connect(broker.port);
    rows[100..].iter().for_each(|row| publisher.publish("plant/pumps", &row.message().payload));
    publisher.settle();
    eddy.until("it says why MQTT rests", |eddy| {
        eddy.said().contains("nothing was acknowledged").then_some(())
    });
    assert_eq!(eddy.metric("eddy_source_acked_total{source=\"plant\"}"), 0);
    eddy.until("the rows of before", |eddy| (eddy.events() == 80).then_some(()));

    limit_files(&eddy, "unlimited");
    assert_eq!(post(http, &plant::ndjson(&rows[80..100])).status, 200, "it goes on without a restart");
    eddy.until("every row", |eddy| (eddy.events() == rows.len() as u64).then_some(()));
    let duplicates: u64 = eddy.partitions().iter().map(|p| p.duplicates_total).sum();
    assert_eq!((duplicates, eddy.metric("eddy_log_safe")), (0, 1));
    let (status, said) = eddy.stop();
    assert!(status.success(), "{said}");
    assert_eq!(deployment.logged().len(), 2 + rows[100..].len(), "what was refused is not in the log");
}
