//! What is neither an error nor as was meant, at the release binary: it is counted, shown, and said once a stream.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::plant::START_NS;
use serde_json::Value;

const METRICS: &str = r#"
[stream.metrics]
from = ["line"]
key = "pump"
column = "name"
value = "v"
time = { path = "ts", unit = "ms" }
columns.flow = {}
window = { type = "hopping", size = "16s", every = "2s", grid = "1s", lateness = "32s" }
model = { type = "fit", warmup = "20s" }
"#;

fn post(address: SocketAddr, stream: &str, lines: &str) {
    let headers = [("Content-Type", "application/x-ndjson")];
    let path = format!("/v1/events/{stream}");
    let answer = http::request(address, "POST", &path, &headers, lines.as_bytes()).expect("an answer");
    assert_eq!(answer.json()["accepted"], lines.lines().count(), "{}", answer.text());
}

/// Eight pumps with a reading each five seconds on a grid of one, ten minutes long: no window is whole enough for a fit.
fn sparse() -> String {
    let mut lines = String::new();
    for second in (0..600).step_by(5) {
        for pump in 0..8 {
            let ts = START_NS / 1_000_000 + second * 1000;
            writeln!(lines, r#"{{"pump":"pump-{pump}","ts":{ts},"flow":{}}}"#, second % 7)
                .expect("text grows");
        }
    }
    lines
}

/// That says all of this; of fewer rows it may have been said before.
fn note(eddy: &mut Eddy, words: [&str; 2]) -> String {
    eddy.until(words[0], |eddy| {
        let status = eddy.get("/api/v1/status");
        let notes = status["notes"].as_array().expect("notes").iter();
        notes.map(|note| note.to_string()).find(|note| words.iter().all(|words| note.contains(words)))
    })
}

#[test]
fn rows_left_out_times_of_the_wrong_unit_and_streams_without_a_model_are_told_of_once() {
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{address}\"");
    let text = config(&source, "[\"line\"]", "", "http://127.0.0.1:1/none");
    let text = text.replace(
        r#"model = { type = "load", path = "model.safetensors" }"#,
        r#"model = { type = "fit", warmup = "20s" }"#,
    );
    let deployment = Deployment::new(&text.replace("[sink.on_call]", &format!("{METRICS}\n[sink.on_call]")));
    let mut eddy = deployment.start();
    // Times since the device was started.
    let metric =
        |name: &str, ts: i64| format!("{{\"pump\":\"p\",\"name\":\"{name}\",\"v\":1,\"ts\":{ts}}}\n");
    post(address, "metrics", &(metric("flow", 5_000) + &metric("flwo", 5_000) + &metric("flow", 6_000)));
    post(address, "metrics", &metric("noise", 7_000));
    post(address, "pumps", &sparse());

    note(&mut eddy, ["none of its columns", "2 rows of stream metrics"]);
    let old = note(&mut eddy, ["before the year 2000", "2 rows of stream metrics"]);
    assert!(old.contains("unit"), "{old}");
    let metric =
        |name: &str, stream: &str| eddy.metric(&format!("eddy_stream_{name}_total{{stream=\"{stream}\"}}"));
    assert_eq!((metric("rows_ignored", "metrics"), metric("rows_ignored", "pumps")), (2, 0));
    assert_eq!((metric("rows_before_2000", "metrics"), metric("rows_before_2000", "pumps")), (2, 0));
    // The pumps send their flow alone.
    let missed = eddy.until("what never came", |eddy| {
        let status = eddy.get("/api/v1/status");
        let problems = status["problems"].as_array().expect("problems").clone();
        let of_all = |problem: &Value| problem.to_string().contains("has not come in 960 rows");
        let found = status["state"] == "degraded" && problems.len() == 3 && problems.iter().all(of_all);
        found.then_some(problems)
    });
    for problem in &missed {
        let text = problem.to_string();
        assert!(text.contains("of stream pumps has not come"), "{text}");
        assert!(text.contains("Fields seen: flow, pump, ts."), "{text}");
    }
    let absent = |column: &str| {
        eddy.metric(&format!("eddy_stream_column_absent_total{{stream=\"pumps\",column=\"{column}\"}}"))
    };
    assert_eq!((absent("vibration"), absent("flow")), (960, 0));
    eddy.until("the last rows are judged", |eddy| {
        let partitions = eddy.partitions();
        let of_pumps = partitions.iter().filter(|p| p.stream == "pumps" && p.windows_unscored_total > 250);
        (of_pumps.count() >= 6).then_some(())
    });
    let (_, said) = eddy.stop();
    let lines = |of: &str| said.lines().filter(|line| line.contains(of)).count();
    assert_eq!(lines("no model yet"), 1, "{said}");
    assert_eq!(lines("before the year 2000"), 1, "{said}");
    assert_eq!(lines("the column was in none of the first rows"), 3, "{said}");
}
