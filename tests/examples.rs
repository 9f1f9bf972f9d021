//! The examples in `configs/`, run by the program itself: what the README promises of them happens.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const SECOND_NS: i64 = 1_000_000_000;

/// `eddy run configs/NAME` in an empty folder, its output in files there.
fn run(name: &str, folder: &Path, overrides: &[(&str, String)]) -> Child {
    let root = env!("CARGO_MANIFEST_DIR");
    let file = |name: &str| File::create(folder.join(name)).expect("a file in a temporary folder");
    Command::new(env!("CARGO_BIN_EXE_eddy"))
        .args(["run", &format!("{root}/configs/{name}")])
        .current_dir(folder)
        .envs(overrides.iter().map(|(key, value)| (*key, value.as_str())))
        .stdin(Stdio::null())
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .expect("the program starts")
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_default()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Waits until `done` gives something; the program's own words if it does not.
fn wait<T>(folder: &Path, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{}", read(folder, "err"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `datasets/README.md`: the vibration of pump-02 is a quarter too high from 07:30 to 07:45.
#[test]
fn the_replay_finds_the_fault_in_its_trace() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = concat!("\"", env!("CARGO_MANIFEST_DIR"), "/datasets/pumps.csv.gz\"");
    let overrides = [
        ("EDDY__SOURCE__RECORDED__PATH", trace.to_owned()),
        ("EDDY__DASHBOARD__ENABLED", "false".to_owned()),
    ];
    let mut eddy = run("replay.toml", folder.path(), &overrides);
    assert!(eddy.wait().expect("it ends by itself").success(), "{}", read(folder.path(), "err"));
    let fault = 1_767_771_000 * SECOND_NS..1_767_771_900 * SECOND_NS;
    let alerts = lines(&read(folder.path(), "out"));
    let found = alerts.iter().find(|alert| {
        let data = &alert["data"];
        let end = data["window_end"].as_i64().expect("a time");
        data["state"] == "raised" && data["key"] == "pump-02" && fault.contains(&end)
    });
    let columns =
        found.expect("an alert about the fault")["data"]["columns"].as_array().expect("columns").clone();
    let share = |column: &Value| column["share"].as_f64().expect("a share");
    let top = columns.iter().max_by(|a, b| share(a).total_cmp(&share(b))).expect("a column");
    assert_eq!(top["column"], "vibration");
}

/// The README's first five minutes: three hours of readings with a hot end, then one that comes too late.
#[tokio::test]
async fn the_first_five_minutes_are_as_the_readme_tells() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listen = free_address();
    let overrides = [
        ("EDDY__SOURCE__LINE__LISTEN", format!("{listen:?}")),
        ("EDDY__DASHBOARD__ENABLED", "false".to_owned()),
    ];
    let mut eddy = run("minimal.toml", folder.path(), &overrides);
    wait(folder.path(), || std::net::TcpStream::connect(&listen).ok());

    let now_s = jiff::Timestamp::now().as_second();
    let body: String = (0..1_080).map(|i| reading(now_s - 10_800 + i * 10, i >= 990, i)).collect();
    let answer = post(&listen, body).await;
    assert_eq!(answer["accepted"], 1_080, "{answer}");
    let alert = wait(folder.path(), || lines(&read(folder.path(), "out")).into_iter().next());
    assert_eq!(alert["type"], "anomaly.raised");
    assert_eq!(alert["data"]["key"], "P-101");

    // Later than the lateness of ten seconds: kept in the dead-letter file, and nothing stops.
    let answer = post(&listen, reading(now_s - 9_000, false, 0)).await;
    assert_eq!(answer["accepted"], 1);
    let letter = wait(folder.path(), || lines(&read(folder.path(), "eddy-data/dead-letters.ndjson")).pop());
    assert_eq!((&letter["reason"], &letter["key"]), (&"late".into(), &"P-101".into()));
    eddy.kill().expect("it runs still");
    eddy.wait().expect("it ends");
}

fn reading(second: i64, hot: bool, noise: i64) -> String {
    let (a, b) = ((noise * 37 % 101) as f64 / 101.0, (noise * 53 % 97) as f64 / 97.0);
    let (vibration, temperature) = (2.0 + a / 5.0, 60.0 + b + if hot { 8.0 } else { 0.0 });
    let row = serde_json::json!({
        "ts": second * 1000, "pump": "P-101", "vibration": vibration, "temperature": temperature,
    });
    format!("{row}\n")
}

async fn post(listen: &str, body: String) -> Value {
    let request = reqwest::Client::new()
        .post(format!("http://{listen}/v1/events/pumps"))
        .header("content-type", "application/x-ndjson")
        .body(body);
    let text = request.send().await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&text).expect("an answer in JSON")
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}
