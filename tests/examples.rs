//! The examples in `configs/`, run by the program itself: what the README promises of them happens.

#[path = "support/mosquitto.rs"]
#[allow(dead_code)] // a part is used
mod mosquitto;

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
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

/// Those of a file that may be written to meanwhile.
fn lines(text: &str) -> Vec<Value> {
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Waits until `done` gives something; the program's own words if it does not.
fn wait<T>(folder: &Path, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(90), "{}", read(folder, "err"));
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

/// The newest row first: whoever hands in such a file must not be left to wonder why no alert comes.
#[test]
fn a_file_in_the_wrong_order_is_said_to_be_so_and_one_in_order_is_not() {
    let rows = |minute: i64| {
        let at = jiff::Timestamp::from_second(1_767_225_600 + minute * 60).expect("a time");
        ["pump-01", "pump-02"].map(|pump| format!("{at},{pump},2.0,36.0,5.8,9.9\n")).concat()
    };
    let said = |minutes: Vec<i64>| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text: String = minutes.into_iter().map(rows).collect();
        let text = format!("ts,pump,vibration,temperature,pressure,flow\n{text}");
        std::fs::write(folder.path().join("rows.csv"), text).expect("the file is written");
        let overrides = [
            ("EDDY__SOURCE__RECORDED__PATH", "\"rows.csv\"".to_owned()),
            ("EDDY__DASHBOARD__ENABLED", "false".to_owned()),
        ];
        let mut eddy = run("replay.toml", folder.path(), &overrides);
        let code = eddy.wait().expect("it ends by itself").code();
        let said = read(folder.path(), "err");
        let late: Vec<String> =
            said.lines().filter(|line| line.contains("came too late")).map(str::to_owned).collect();
        (late, code)
    };
    let (reversed, code) = said((0..300).rev().collect());
    assert_eq!((reversed.len(), code), (2, Some(1)), "{reversed:?}");
    let sort = "rows.csv is not in order of time: sort it by ts, oldest first. If rows are late by little, give [stream.pumps]";
    for part in ["598 of all 600 rows since the start", "stream=\"pumps\"", sort] {
        assert!(reversed[0].contains(part), "{part} is not in {}", reversed[0]);
    }
    let command = "(head -n 1 rows.csv; tail -n +2 rows.csv | LC_ALL=C sort -st, -k1,1) > rows-sorted.csv";
    for part in ["eddy: nearly nothing was judged: 598 of 600 rows of stream pumps", sort, command] {
        assert!(reversed[1].contains(part), "{part} is not in {}", reversed[1]);
    }
    assert_eq!(said((0..300).collect()), (Vec::new(), Some(0)));
}

/// From a shell that has not the secrets of the Eddy that runs: they are for those who send and receive.
#[test]
fn commands_that_ask_need_no_secret_and_those_that_run_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir_all(folder.path().join("eddy-data/plant")).expect("a data folder");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/plant-mqtt.toml");
    let said = |words: &str| {
        let words = words.split(' ').map(|word| if word == "CONFIG" { config } else { word });
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
        command.args(words).current_dir(folder.path()).env_remove("ON_CALL_SECRET");
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        // What runs on is none of these, and must not be waited for.
        let started = Instant::now();
        while process.try_wait().expect("it can be waited for").is_none() {
            if started.elapsed() > Duration::from_secs(90) {
                process.kill().expect("it runs still");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = process.wait_with_output().expect("its output");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for (words, code, expected) in [
        ("silence list CONFIG", 0, "nothing was ever silenced"),
        ("delivery failed CONFIG", 0, "no delivery was given up"),
        ("alert acknowledge CONFIG a1 --author ann", 1, "Eddy is not running"),
        ("token list CONFIG", 0, ""),
        ("run CONFIG", 78, "\"ON_CALL_SECRET\" is not set"),
        ("check CONFIG", 78, "\"ON_CALL_SECRET\" is not set"),
    ] {
        let (ended, text) = said(words);
        assert!(ended == Some(code) && text.contains(expected), "eddy {words}: {ended:?}: {text}");
    }
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

    // In the midst of a minute, as most begin: the first window has not all of its cells.
    let now_s = jiff::Timestamp::now().as_second() / 60 * 60 - 33;
    let body: String = (0..1_080).map(|i| reading(now_s - 10_800 + i * 10, i >= 990, i)).collect();
    let answer = post(&listen, "pumps", body).await;
    assert_eq!(answer["accepted"], 1_080, "{answer}");
    let alert = wait(folder.path(), || lines(&read(folder.path(), "out")).into_iter().next());
    assert_eq!(alert["type"], "anomaly.raised");
    assert_eq!(alert["data"]["key"], "P-101");

    // Who sees it for the first time is not to be alarmed by what is in order.
    let said = read(folder.path(), "err");
    assert!(
        said.contains("a new data folder") && said.contains("still learning: 31 of a partition's 32"),
        "{said}"
    );
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");

    // Later than the lateness of ten seconds: kept in the dead-letter file, and nothing stops.
    let answer = post(&listen, "pumps", reading(now_s - 9_000, false, 0)).await;
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

async fn post(listen: &str, stream: &str, body: String) -> Value {
    let request = reqwest::Client::new()
        .post(format!("http://{listen}/v1/events/{stream}"))
        .header("content-type", "application/x-ndjson")
        .body(body);
    let text = request.send().await.expect("an answer").text().await.expect("a body");
    serde_json::from_str(&text).expect("an answer in JSON")
}

fn free_address() -> String {
    format!("127.0.0.1:{}", mosquitto::free_port())
}

/// Ten days of sixty cards, then one of them is tested with small payments and emptied at a new kind of merchant.
#[tokio::test]
async fn a_card_that_is_emptied_is_told_of_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listen = free_address();
    let overrides = [
        ("EDDY__SOURCE__SHOP__LISTEN", format!("{listen:?}")),
        ("EDDY__DASHBOARD__ENABLED", "false".to_owned()),
    ];
    let mut eddy = run("cards.toml", folder.path(), &overrides);
    wait(folder.path(), || std::net::TcpStream::connect(&listen).ok());
    let end_s = jiff::Timestamp::now().as_second() - 600;
    let mut payments: Vec<(i64, Value)> = (0..60).flat_map(|card| usual_payments(card, end_s)).collect();
    payments.sort_by_key(|(second, _)| *second);
    for chunk in payments.chunks(2_000) {
        let body: String = chunk.iter().map(|(_, payment)| format!("{payment}\n")).collect();
        assert_eq!(post(&listen, "cards", body).await["accepted"], chunk.len());
    }
    let before = |alert: &Value| alert["data"]["window_end"].as_i64() < Some(end_s * SECOND_NS);
    for step in 0..12 {
        let (amount, kind) = if step < 8 { (1.0, "4829") } else { (900.0, "5944") };
        let odd = payment(7, end_s + step * 40, amount + step as f64 / 100.0, kind);
        post(&listen, "cards", format!("{odd}\n")).await;
    }
    // Nothing comes after the last payment, so no watermark has passed the ones before it.
    let raised = wait(folder.path(), || {
        lines(&read(folder.path(), "out"))
            .into_iter()
            .find(|alert| !before(alert) && alert["data"]["key"] == "c-7")
    });
    assert_eq!(raised["type"], "anomaly.raised");
    let others = lines(&read(folder.path(), "out")).into_iter().filter(|alert| !before(alert));
    assert!(others.clone().all(|alert| alert["data"]["key"] == "c-7"), "{:?}", others.collect::<Vec<_>>());
    eddy.kill().expect("it runs still");
    eddy.wait().expect("it ends");
}

fn usual_payments(card: i64, end_s: i64) -> Vec<(i64, Value)> {
    let mut rng = ChaCha8Rng::seed_from_u64(card as u64);
    let mut second = end_s - 10 * 86_400 + rng.random_range(0..20_000);
    let mut all = Vec::new();
    while second < end_s {
        let amount = (15.0 + 5.0 * (card % 9) as f64) * rng.random_range(0.6..1.4);
        let kind = ["5411", "5812", "5541"][usize::from(rng.random_range(0..10u8) / 4)];
        all.push((second, payment(card, second, amount, kind)));
        second += rng.random_range(6_000..22_000);
    }
    all
}

fn payment(card: i64, second: i64, amount: f64, kind: &str) -> Value {
    let time = jiff::Timestamp::from_second(second).expect("a time").to_string();
    serde_json::json!({ "time": time, "card": format!("c-{card}"), "amount": amount, "kind": kind })
}

fn config_file(name: &str) -> String {
    format!("{}/configs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What docker-compose makes of the file, or its words if it refuses it.
fn composed(secret: Option<&str>) -> Result<String, String> {
    let mut command = Command::new("docker-compose");
    command.args(["-f", &config_file("fleet-compose.yaml"), "config"]).env_remove("ON_CALL_SECRET");
    let output = command.envs(secret.map(|secret| ("ON_CALL_SECRET", secret))).output();
    let output = output.expect("docker-compose is installed by scripts/setup");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What stands behind `key: ` in its lines.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.trim().strip_prefix(key)?.strip_prefix(": ");
    text.lines().filter_map(value).collect()
}

#[test]
fn three_eddys_are_composed_and_scraped() {
    let refused = composed(None).expect_err("it goes without a secret");
    assert!(refused.contains("ON_CALL_SECRET"), "{refused}");
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let composed = composed(Some(secret)).expect("a sound file");
    let pages = values(&composed, "EDDY__DASHBOARD__LISTEN");
    assert_eq!(pages, ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"]);
    let mounts = format!("{}:/etc/eddy/eddy.toml:ro", config_file("fleet.toml"));
    assert_eq!(composed.matches(&mounts).count(), pages.len());
    for page in &pages {
        let checked = Command::new(env!("CARGO_BIN_EXE_eddy"))
            .args(["check", &config_file("fleet.toml")])
            .envs([("EDDY__DASHBOARD__LISTEN", *page), ("ON_CALL_SECRET", secret)])
            .output()
            .expect("the program starts");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    let pom = include_str!("kafka/pom.xml");
    let version = pom.split("<kafka.version>").nth(1).and_then(|rest| rest.split('<').next());
    let image = format!("apache/kafka:{}", version.expect("a version"));
    assert_eq!(
        values(&composed, "image").iter().filter(|name| **name == image).count(),
        2,
        "as it is tested"
    );
    let prometheus = config_file("fleet-prometheus.yaml");
    let checked = Command::new("promtool").args(["check", "config", &prometheus]).output();
    let checked = checked.expect("promtool is installed by scripts/setup");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let text = std::fs::read_to_string(prometheus).expect("it can be read");
    let targets: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- 127")).collect();
    assert_eq!(targets, pages.iter().map(|page| &page[3..]).collect::<Vec<_>>());
}

/// The command that docker runs in the container.
fn health(page: &str) -> bool {
    let text = std::fs::read_to_string(config_file("fleet-compose.yaml")).expect("it can be read");
    let command = text.split("- >-\n").nth(1).and_then(|rest| rest.split("interval:").next());
    let command =
        command.expect("a command").split_whitespace().collect::<Vec<_>>().join(" ").replace("$$", "$");
    let checked = Command::new("bash").args(["-c", &command]).env("EDDY__DASHBOARD__LISTEN", page).output();
    checked.expect("bash").status.success()
}

#[test]
fn the_composed_health_check_tells_a_page_from_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let overrides = [
        ("EDDY__DASHBOARD__LISTEN", "127.0.0.1:0".to_owned()),
        ("EDDY__SOURCE__LINE__LISTEN", "127.0.0.1:0".to_owned()),
    ];
    let mut eddy = run("minimal.toml", folder.path(), &overrides);
    let page = wait(folder.path(), || {
        let err = read(folder.path(), "err");
        let page = err.split("page and metrics: http://").nth(1)?.split_once('/')?.0;
        Some(page.to_owned())
    });
    wait(folder.path(), || health(&page).then_some(()));
    eddy.kill().expect("it was alive until now");
    eddy.wait().expect("it ends");
    assert!(!health(&page), "nobody answers there any more");
}
