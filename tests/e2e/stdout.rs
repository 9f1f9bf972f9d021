//! Standard output that somebody reads for a while: `eddy run eddy.toml | head -1`, at the release binary.

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::{Child, ExitStatus, Stdio};

use crate::e2e::eddy::{Deployment, config};
use crate::e2e::receiver::Receiver;
use crate::e2e::{expect, poll};
use crate::plant;

const REPLAY: &str = "[source.line]\ntype = \"replay\"\npath = \"recording.csv\"\n";
const STDOUT: &str = "[sink.console]\ntype = \"stdout\"\n";

fn deployment(text: &str) -> Deployment {
    let mut rows = plant::rows(12, 600, 31, 0..0);
    for key in 0..8 {
        expect::break_pump(&mut rows, key, 40 + 44 * key as i64..90 + 44 * key as i64);
    }
    let mut recording = format!("ts,pump,{}\n", plant::COLUMNS.join(","));
    for row in rows {
        let values = row.values.map(|value| value.to_string()).join(",");
        writeln!(recording, "{},{},{values}", row.time_ns / 1_000_000, row.key).expect("text grows");
    }
    let deployment = Deployment::new(text);
    std::fs::write(deployment.path("recording.csv"), recording).expect("it is written");
    deployment
}

/// As `head -1` does it. Gives the line, and how the process ended with what it said.
fn head(deployment: &Deployment) -> (String, ExitStatus, String) {
    let mut command = deployment.command("run");
    let mut process: Child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let ended = poll(|| process.try_wait().expect("it can be waited for"));
    let _ = process.kill();
    let said = String::from_utf8_lossy(&process.wait_with_output().expect("its output").stderr).into_owned();
    (line, ended.unwrap_or_else(|| panic!("it goes on; it said:\n{said}")), said)
}

#[test]
fn without_another_sink_it_stops_and_says_why_and_the_next_start_goes_on() {
    let text = config(REPLAY, "[\"line\"]", "", "http://127.0.0.1:1/none");
    let (above, below) =
        (text.find("[sink.on_call]").expect("a sink"), text.find("[dashboard]").expect("a page"));
    let deployment = deployment(&format!("{}{STDOUT}{}", &text[..above], &text[below..]));
    let (first, ended, said) = head(&deployment);
    assert!(first.contains("anomaly.raised"), "{first}");
    assert_eq!(ended.code(), Some(74), "{said}");
    assert!(
        said.contains("who read standard output has closed it, and beside sink console nobody is told"),
        "{said}"
    );
    assert_eq!(said.matches("this sink delivers nothing any more").count(), 1, "{said}");
    let (next, ended, said) = head(&deployment);
    assert!(next.contains("\"data\"") && next != first, "what waited: {next}");
    assert_eq!(ended.code(), Some(74), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sink_is_told_everything_all_the_same() {
    let receiver = Receiver::start([]).await;
    let text = config(REPLAY, "[\"line\"]", "", &receiver.url);
    let deployment = deployment(&text.replace("[sink.on_call]", &format!("{STDOUT}[sink.on_call]")));
    let (_, ended, said) = head(&deployment);
    assert_eq!(ended.code(), Some(0), "{said}");
    assert_eq!(said.matches("this sink delivers nothing any more").count(), 1, "{said}");
    assert!(receiver.received().len() >= 16, "8 raised and resolved: {}", receiver.received().len());
}
