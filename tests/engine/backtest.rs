//! `eddy backtest` and `eddy train` on files, by the program itself.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn eddy(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
    command.args(args).current_dir(folder).env("EDDY__DASHBOARD__ENABLED", "false").output().expect("it runs")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a report")).expect("JSON")
}

/// End of the warm-up of `configs/replay.toml` on its trace.
const WARM_NS: i64 = 1_767_765_600_000_000_000;

/// Id, end of the first window told of, end of the last, smallest p-value.
type Told = Vec<(String, i64, Option<i64>, f64)>;

fn told_by_backtest(run: &Value) -> Told {
    let alerts = run["alerts"].as_array().expect("alerts").iter();
    let of = |alert: &Value| {
        let id = alert["id"].as_str().expect("an id").to_owned();
        let opened = alert["opened_ns"].as_i64().expect("a time");
        (id, opened, alert["closed_ns"].as_i64(), alert["p_value_min"].as_f64().expect("a number"))
    };
    alerts.map(of).collect()
}

fn told_live(out: &str) -> Told {
    let mut told: Told = Vec::new();
    for line in out.lines() {
        let data = serde_json::from_str::<Value>(line).expect("a line of JSON")["data"].take();
        let id = data["id"].as_str().expect("an id").to_owned();
        let (end, p) =
            (data["window_end"].as_i64().expect("a time"), data["p_value_min"].as_f64().expect("p"));
        match told.iter_mut().find(|alert| alert.0 == id) {
            None => told.push((id, end, None, p)),
            Some(alert) => (alert.2, alert.3) = ((data["state"] == "resolved").then_some(end), p),
        }
    }
    told
}

#[test]
fn a_backtest_tells_what_a_run_of_the_same_data_tells() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (config, data) = (format!("{ROOT}/configs/replay.toml"), format!("{ROOT}/datasets/pumps.csv.gz"));
    let live = Command::new(env!("CARGO_BIN_EXE_eddy"))
        .args(["run", &config])
        .current_dir(folder.path())
        .env("EDDY__SOURCE__RECORDED__PATH", format!("{data:?}"))
        .env("EDDY__DASHBOARD__ENABLED", "false")
        .output()
        .expect("it runs");
    let live = told_live(&String::from_utf8(live.stdout).expect("text"));
    // Of the load changes that the first minutes did not show, one at most is odd beyond doubt.
    let early = live.iter().filter(|(_, opened, ..)| *opened < WARM_NS).count();
    assert!(live.len() == early + 1 && early == 1, "one fault: {live:?}");

    // The fault, and nothing else, is known; a config that wants to be surer loses the early alert.
    let labels = "key,start,end\npump-02,2026-01-07T07:30:00Z,2026-01-07T07:45:00Z\n";
    std::fs::write(folder.path().join("labels.csv"), labels).expect("labels");
    let blind = std::fs::read_to_string(&config).expect("the config");
    std::fs::write(
        folder.path().join("blind.toml"),
        blind.replace("\nwindow =", "\np_value = 1e-9\nwindow ="),
    )
    .expect("a config");
    let args = ["--stream", "pumps", "--data", &data, "--labels", "labels.csv", "--against", "blind.toml"];
    let done = eddy(folder.path(), &[&["backtest", &config], &args[..], &["--json", "report.json"]].concat());
    let said = String::from_utf8(done.stdout).expect("text");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report = json(&folder.path().join("report.json"));
    assert_eq!(told_by_backtest(&report["run"]), live);
    let events = &report["run"]["events"];
    assert_eq!((&events["opened_in"], &events["false_alerts"]), (&1.into(), &early.into()), "{said}");
    assert_eq!(events["delay_ns_median"], 76_000_000_000i64, "datasets/README.md: 07:31:16");
    let comparison = &report["comparison"];
    assert_eq!(comparison["lost"], Value::Array(Vec::new()), "{said}");
    let gained: Vec<&Value> = comparison["gained"].as_array().expect("alerts").iter().collect();
    assert!(gained.len() == 1 && gained[0]["id"] == live[0].0, "{said}");
    let kept = live.len() - gained.len();
    let words = format!("against blind.toml: {kept} alerts kept, {} gained (+), 0 lost (-)", gained.len());
    assert!(said.contains(&words), "{said}");
}

/// A second file of the same time is nearly all late, and a key that nobody has is a slip.
#[test]
fn what_makes_a_backtest_worthless_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut text = (String::from("ts,pump,flow\n"), String::from("ts,pump,flow\n"));
    for second in 0..7200 {
        let line = |pump: &str| format!("{},{pump},{}\n", 1_767_225_600 + second, second % 7);
        text.0 += &line("890100000000000000012345");
        text.1 += &line("1.50");
    }
    std::fs::write(folder.path().join("one.csv"), text.0).expect("data");
    std::fs::write(folder.path().join("two.csv"), text.1).expect("data");
    let labels = "key,start,end\n890100000000000000012345,1767225700,1767225800\n1.50,1767225700,1767225800\n\
                  pump-7,1767225700,1767225800\n";
    std::fs::write(folder.path().join("labels.csv"), labels).expect("labels");
    let config = "[source.file]\ntype = \"replay\"\npath = \"one.csv\"\n[stream.pumps]\nfrom = \"file\"\nkey = \"pump\"\n\
        time = { path = \"ts\", unit = \"s\" }\ncolumns.flow = { path = \"flow\" }\n\
        window = { type = \"tumbling\", size = \"10s\" }\nmodel = { type = \"fit\", warmup = \"1h\" }\n\
        [sink.out]\ntype = \"stdout\"\n";
    std::fs::write(folder.path().join("eddy.toml"), config).expect("a config");
    let of = |data: &[&str]| {
        let args = ["backtest", "eddy.toml", "--stream", "pumps", "--labels", "labels.csv", "--data"];
        let done = eddy(folder.path(), &[&args[..], data].concat());
        let said = String::from_utf8(done.stderr).expect("text");
        assert!(done.status.success(), "{said}");
        said
    };
    let said = of(&["one.csv", "two.csv"]);
    assert!(said.contains("keys that the data does not have: pump-7\n"), "{said}");
    let said = of(&["one.csv"]);
    assert!(said.contains("keys that the data does not have: 1.50, pump-7\n"), "{said}");
    assert!(!said.contains("too late"), "{said}");
    assert!(!said.contains("outside the data's time"), "{said}");
    std::fs::write(folder.path().join("labels.csv"), "key,start,end\n1.50,1767225700000,1767225800000\n")
        .expect("labels");
    let said = of(&["one.csv", "two.csv"]);
    assert!(said.contains("1 labelled events lie outside the data's time"), "{said}");
    let said = of(&["one.csv", "one.csv"]);
    assert!(said.contains("of 14400 rows came too late") && said.contains("merge files of a time"), "{said}");
}

/// Whoever hands in such a file must not take "no alert" for "all is well".
#[test]
fn data_in_reverse_order_fails_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = readings(7200);
    let (header, rows) = text.split_once('\n').expect("a header");
    let reversed: String = rows.lines().rev().map(|row| format!("{row}\n")).collect();
    std::fs::write(folder.path().join("reversed.csv"), format!("{header}\n{reversed}")).expect("data");
    let config = "[source.file]\ntype = \"replay\"\npath = \"reversed.csv\"\n[stream.pumps]\nfrom = \"file\"\nkey = \"pump\"\n\
        time = { path = \"ts\", unit = \"s\" }\ncolumns.flow = { path = \"flow\" }\n\
        window = { type = \"tumbling\", size = \"10s\" }\nmodel = { type = \"fit\", warmup = \"1h\" }\n\
        [sink.out]\ntype = \"stdout\"\n";
    std::fs::write(folder.path().join("eddy.toml"), config).expect("a config");
    let done = eddy(folder.path(), &["backtest", "eddy.toml", "--stream", "pumps", "--data", "reversed.csv"]);
    let (out, said) = [done.stdout, done.stderr].map(|text| String::from_utf8(text).expect("text")).into();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(
        said.contains("eddy: nearly nothing was judged") && said.contains("sort it by its time"),
        "{said}"
    );
    assert!(out.contains("no window was judged: most rows came too late"), "{out}");
}

/// Two pumps, a reading a second each; the first one's flow leaves its wave for five minutes.
fn readings(seconds: i64) -> String {
    let mut text = String::from("ts,pump,flow\n");
    for second in 0..seconds {
        for pump in ["north", "south"] {
            let fault = if pump == "north" && (6000..6300).contains(&second) { 6.0 } else { 0.0 };
            // Steps of a linear congruential generator, so that the model has a spread to learn.
            let noise = f64::from((second as u32).wrapping_mul(2_654_435_769) >> 16) / 65_536.0;
            let flow = (second as f64 / 50.0).sin() + 0.2 * noise + fault;
            text += &format!("{},{pump},{flow:.4}\n", 1_767_225_600 + second);
        }
    }
    text
}

fn pumps_config(lateness: &str) -> String {
    format!(
        "[source.file]\ntype = \"replay\"\npath = \"data.csv\"\n[stream.pumps]\nfrom = \"file\"\nkey = \"pump\"\n\
         time = {{ path = \"ts\", unit = \"s\" }}\ncolumns.flow = {{ path = \"flow\" }}\n\
         window = {{ type = \"hopping\", size = \"40s\", every = \"10s\", grid = \"5s\", disorder = \"0s\", lateness = \"{lateness}\" }}\n\
         model = {{ type = \"fit\", warmup = \"1h\" }}\n[sink.out]\ntype = \"stdout\"\n"
    )
}

/// Lines of `--scores`, and the run of `--json`.
fn scored(folder: &Path, data: &str, lateness: &str) -> (Vec<String>, Value) {
    std::fs::write(folder.join("eddy.toml"), pumps_config(lateness)).expect("a config");
    std::fs::write(folder.join("data.csv"), data).expect("data");
    let args = ["backtest", "eddy.toml", "--stream", "pumps", "--data", "data.csv", "--scores", "scores.csv"];
    let done = eddy(folder, &[&args[..], &["--json", "told.json"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let scores = std::fs::read_to_string(folder.join("scores.csv")).expect("scores");
    (scores.lines().map(str::to_owned).collect(), json(&folder.join("told.json"))["run"].take())
}

fn cell<T: std::str::FromStr>(line: &str, place: usize) -> T {
    let text = line.split(',').nth(place).expect("a cell");
    text.parse().unwrap_or_else(|_| panic!("{line}"))
}

/// Nothing that comes later reaches a verdict: cut the file short, and what was said before stays.
#[test]
fn every_window_has_its_line_and_a_shorter_file_changes_no_earlier_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (whole, run) = scored(folder.path(), &readings(7200), "0s");
    assert_eq!(
        whole[0],
        "key,window_end_ns,surprise_nats,column_surprise_nats,p_value,confident,anomalous,held_back"
    );
    assert_eq!(whole.len() as u64 - 1, run["windows"].as_u64().expect("a count"));
    assert!(whole.len() > 600, "{} lines", whole.len());
    let odd =
        whole.iter().filter(|line| line.starts_with("north,") && line.ends_with(",true,true,false")).count();
    assert!(odd > 10, "{odd} anomalous windows in the fault");

    // In the midst of the fault, and of a window.
    let cut = 6157;
    let cut_ns = (1_767_225_600 + cut) * 1_000_000_000;
    let (short, cut_run) = scored(folder.path(), &readings(cut), "0s");
    let before = |lines: &[String]| -> Vec<String> {
        lines[1..].iter().filter(|line| cell::<i64>(line, 1) <= cut_ns).cloned().collect()
    };
    assert_eq!(before(&short), before(&whole));
    assert!(before(&short).len() > 400, "{} lines", short.len());
    let openings = |run: &Value| -> Vec<(String, i64)> {
        let told = told_by_backtest(run).into_iter();
        told.map(|(id, opened, ..)| (id, opened)).filter(|(_, opened)| *opened <= cut_ns).collect()
    };
    assert_eq!(openings(&cut_run), openings(&run));
    assert!(!openings(&run).is_empty(), "the fault is told of");
}

/// A row that comes after its windows were judged gives each of them a second line.
#[test]
fn a_window_opened_again_by_a_late_row_has_its_new_verdict_below_the_old_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut data, more) = (readings(5000), readings(5200));
    data += &format!("{},north,9.5\n", 1_767_225_600 + 4970);
    data += more.strip_prefix(&readings(5000)).expect("the same beginning");
    let (lines, _) = scored(folder.path(), &data, "1m");
    let again: Vec<(f64, f64)> = (4980..=5000)
        .step_by(10)
        .map(|second| {
            let window = format!("north,{},", (1_767_225_600i64 + second) * 1_000_000_000);
            let of: Vec<f64> = lines.iter().filter(|l| l.starts_with(&window)).map(|l| cell(l, 2)).collect();
            assert!(of.len() <= 2, "{window}: {of:?}");
            (of[0], *of.last().expect("a line"))
        })
        .collect();
    assert!(again.iter().filter(|(first, last)| last > first).count() >= 2, "{again:?}");
}

/// A line a column beside each verdict, and nothing else changes for being asked.
#[test]
fn what_was_expected_of_every_column_is_told_if_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (plain, run) = scored(folder.path(), &readings(5000), "0s");
    let args = ["backtest", "eddy.toml", "--stream", "pumps", "--data", "data.csv", "--scores", "scores.csv"];
    let done =
        eddy(folder.path(), &[&args[..], &["--columns", "columns.csv", "--json", "asked.json"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let read = |name| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    assert!(
        read("scores.csv").lines().eq(plain.iter()) && json(&folder.path().join("asked.json"))["run"] == run
    );
    let text = read("columns.csv");
    let mut lines = text.lines();
    let header = "key,window_end_ns,column,value,expected,expected_low,expected_high,share";
    assert_eq!(lines.next(), Some(header));
    let columns =
        lines.clone().map(|line| cell::<String>(line, 2)).collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(lines.clone().count(), columns * (plain.len() - 1));
    for (line, verdict) in
        lines.zip(plain[1..].iter().flat_map(|verdict| std::iter::repeat_n(verdict, columns)))
    {
        assert!(line.split(',').take(2).eq(verdict.split(',').take(2)), "{line} beside {verdict}");
        let [low, expected, high] = [5, 4, 6].map(|place| cell::<f32>(line, place));
        assert!(low < expected && expected < high && (0.0..=1.0).contains(&cell::<f32>(line, 7)), "{line}");
    }
}

/// Nobody records what a request's path was: a file belongs to the stream that is named.
#[test]
fn a_stream_that_comes_by_http_or_mqtt_learns_from_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = format!("{ROOT}/datasets/pumps.csv.gz");
    let http = std::fs::read_to_string(format!("{ROOT}/configs/minimal.toml")).expect("the config");
    let http = http.replace("path = \"ts\", unit = \"ms\"", "path = \"ts\", unit = \"iso8601\"");
    std::fs::write(folder.path().join("http.toml"), &http).expect("a config");
    let train = |config: &str, more: &[&str]| {
        let args = ["train", config, "--stream", "pumps", "--out", "model.safetensors", "--data", &data];
        eddy(folder.path(), &[&args[..], more].concat())
    };
    let done = train("http.toml", &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mqtt = http
        .replace("type = \"http\"", "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\ntopics = \"plant/+/+\"");
    let mqtt = mqtt.lines().filter(|line| !line.starts_with("listen")).collect::<Vec<_>>().join("\n");
    std::fs::write(folder.path().join("mqtt.toml"), mqtt.replace("key = \"pump\"", "key = \"topic.3\""))
        .expect("a config");
    let refused = String::from_utf8(train("mqtt.toml", &[]).stderr).expect("text");
    assert!(refused.contains("name the field with --key FIELD"), "{refused}");
    let done = train("mqtt.toml", &["--key", "pump"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).expect("text");
    assert!(said.contains("keys         2"), "{said}");
}

#[test]
fn bad_input_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (config, data) = (format!("{ROOT}/configs/replay.toml"), format!("{ROOT}/datasets/pumps.csv.gz"));
    std::fs::write(folder.path().join("labels.csv"), "key,start,end\npump-02,noon,3\n").expect("labels");
    let refused = |more: &[&str]| {
        let done = eddy(folder.path(), &[&["backtest", &config, "--data", &data], more].concat());
        assert!(!done.status.success());
        String::from_utf8(done.stderr).expect("text")
    };
    assert!(refused(&["--stream", "pumsp"]).contains("has no [stream.pumsp]; it has pumps"));
    let said = refused(&["--stream", "pumps", "--labels", "labels.csv"]);
    assert!(said.contains("labels.csv, row 1") && said.contains("2026-01-07T07:30:00Z"), "{said}");
    let said = refused(&["--stream", "pumps", "--key", "device"]);
    assert!(said.contains("check key, time and columns against the file's header"), "{said}");
    let text =
        std::fs::read_to_string(&config).expect("the config").replace("path = \"flow\"", "path = \"flwo\"");
    let other = folder.path().join("other.toml");
    std::fs::write(&other, text).expect("a config");
    let other = other.to_str().expect("a path");
    let done = eddy(folder.path(), &["backtest", other, "--data", &data, "--stream", "pumps"]);
    let said = String::from_utf8(done.stderr).expect("text");
    assert!(!done.status.success() && said.contains("no row of the data has flow"), "{said}");
}

#[test]
fn a_file_that_is_read_is_never_written_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (config, data) = (pumps_config("0s"), readings(300));
    std::fs::write(folder.path().join("eddy.toml"), &config).expect("a config");
    std::fs::write(folder.path().join("data.csv"), &data).expect("data");
    let refused = |args: &[&str]| {
        let done = eddy(folder.path(), &[args, &["--stream", "pumps", "--data", "data.csv"]].concat());
        let said = String::from_utf8(done.stderr).expect("text");
        assert!(done.status.code() == Some(1) && said.contains("name another file"), "{args:?}: {said}");
    };
    refused(&["train", "eddy.toml", "--out", "./data.csv"]);
    refused(&["train", "eddy.toml", "--out", "model", "--report", "eddy.toml"]);
    refused(&["backtest", "eddy.toml", "--json", "data.csv"]);
    refused(&["backtest", "eddy.toml", "--scores", "eddy.toml"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("data.csv")).expect("data"), data);
    assert_eq!(std::fs::read_to_string(folder.path().join("eddy.toml")).expect("a config"), config);
}

#[test]
fn who_reads_the_output_may_stop_reading() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("eddy.toml"), pumps_config("0s")).expect("a config");
    std::fs::write(folder.path().join("data.csv"), readings(300)).expect("data");
    let (reader, closed) = std::io::pipe().expect("a pipe");
    drop(reader);
    let done = Command::new(env!("CARGO_BIN_EXE_eddy"))
        .args(["backtest", "eddy.toml", "--stream", "pumps", "--data", "data.csv", "--json", "told.json"])
        .current_dir(folder.path())
        .stdout(closed)
        .output()
        .expect("it runs");
    let said = String::from_utf8(done.stderr).expect("text");
    assert!(done.status.code() == Some(74) && !said.contains("panicked"), "{:?}: {said}", done.status);
    assert!(json(&folder.path().join("told.json"))["run"]["rows"].as_u64() > Some(0), "written before");
}
