//! `eddy train --report`, by the program itself.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const START_S: u64 = 1_767_744_000;
/// For half a minute from here on a pump vibrates as it never does.
const FAULT_S: std::ops::Range<u64> = 5_000..5_030;

const CONFIG: &str = r#"
[source.file]
type = "replay"
path = "pumps.csv"
[stream.pumps]
from = "file"
key = "pump"
time = { path = "ts", unit = "s" }
columns.flow = { path = "flow", unit = "L/s" }
columns.running = { path = "running" }
columns.vibration = { path = "vibration", unit = "mm/s" }
window = { type = "hopping", size = "64s", every = "4s", grid = "2s" }
[sink.out]
type = "stdout"
"#;

/// About normal, by xorshift.
fn noise(state: &mut u64) -> f64 {
    let mut uniform = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

/// Two hours of two pumps, and a config for them.
fn plant() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut text, mut state) = (String::from("ts,pump,flow,running,vibration\n"), 7);
    for second in (0..7_200).step_by(2) {
        for pump in ["pump-1", "pump-2"] {
            let running = second / 300 % 2;
            let flow = 10.0 + 2.0 * (second as f64 / 90.0).sin() + 0.3 * noise(&mut state);
            let fault = if pump == "pump-2" && FAULT_S.contains(&second) { 3.0 } else { 0.0 };
            let vibration = 0.2 * flow + 0.1 * noise(&mut state) + fault;
            let time = START_S + second;
            writeln!(text, "{time},{pump},{flow:.3},{running},{vibration:.3}").expect("a text takes it");
        }
    }
    text.push_str("soon,pump-1,1,1,1\n");
    std::fs::write(folder.path().join("pumps.csv"), text).expect("data");
    std::fs::write(folder.path().join("eddy.toml"), CONFIG).expect("a config");
    folder
}

fn train(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
    let args =
        ["train", "eddy.toml", "--stream", "pumps", "--data", "pumps.csv", "--out", "pumps.safetensors"];
    let command = command.args(args).args(more).current_dir(folder);
    command.env("SOURCE_DATE_EPOCH", "1767772800").output().expect("it runs")
}

fn stdout(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout.clone()).expect("text")
}

/// What stands behind a name in the terminal.
fn line<'a>(said: &'a str, name: &str) -> &'a str {
    let mut lines = said.lines().filter(|line| line.split(' ').next() == Some(name));
    lines.next().unwrap_or_else(|| panic!("no {name} in {said}"))[name.len()..].trim()
}

#[test]
fn the_page_and_the_terminal_tell_of_the_same_run() {
    let folder = plant();
    let said = stdout(&train(folder.path(), &["--report", "pumps.html"]));
    let page = std::fs::read_to_string(folder.path().join("pumps.html")).expect("a page");
    for name in ["stream", "data", "rows", "keys", "events", "window", "windows", "seed", "model"] {
        let cell = format!(r#"<th scope="row">{name}</th><td>{}</td>"#, line(&said, name));
        assert!(page.contains(&cell), "{cell} is not on the page");
    }
    assert_eq!(line(&said, "rows"), "7,201 read, 1 refused");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for outside in ["<script", "src=", "http:", "https:", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    // What nobody told the fit of comes first, with its column.
    let oddest = line(&said, "oddest");
    assert!(oddest.starts_with("pump-2 until 2026-01-07 01:2"), "{oddest}");
    assert!(oddest.contains(", vibration "), "{oddest}");
    let first = page.find("<article>").expect("a window");
    assert!(page[first..].starts_with("<article>\n<h3>pump-2 "), "{}", &page[first..first + 80]);
    assert!(page.contains("flag (0/1): carried, not scored"));

    let again = stdout(&train(folder.path(), &["--report", "again.html"]));
    assert_eq!(line(&again, "model"), line(&said, "model"), "no random number, no clock");
    let plain = stdout(&train(folder.path(), &[]));
    assert_eq!(line(&plain, "oddest"), oddest, "the terminal needs no page");
}

#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let folder = plant();
    let done = train(folder.path(), &["--report", "nowhere/pumps.html"]);
    assert!(!done.status.success());
    let said = String::from_utf8(done.stderr).expect("text");
    assert!(said.contains("nowhere/pumps.html"), "{said}");
}
