//! The replay source: what a file holds is what the log gets, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{FakeLog, Rig, STEP_MAX, read, texts};
use eddy::config::plan::{ReplayPlan, SourceKind};
use eddy::source::{Ended, SourceError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

fn plan(path: &Path) -> ReplayPlan {
    ReplayPlan { path: path.to_owned(), speed: None, time_column: None }
}

fn rig(plan: ReplayPlan) -> (Rig, FakeLog) {
    Rig::new(SourceKind::Replay(plan))
}

fn written(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

async fn ends(rig: &Rig) -> Result<Ended, SourceError> {
    timeout(STEP_MAX, eddy::source::run(&rig.plan, rig.context.clone())).await.expect("it ends in time")
}

/// A file and, made from the same numbers without reading it, its rows.
fn pumps(rows: usize) -> (String, Vec<Value>) {
    let mut text = "ts,pump,vibration,note\n".to_owned();
    let mut expected = Vec::new();
    for n in 0..rows {
        let (time, vibration) = (1_700_000_000 + n, n as f64 / 8.0 - 3.0);
        let missing = n % 7 == 3;
        let cell = if missing { String::new() } else { vibration.to_string() };
        text.push_str(&format!("{time},p{},{cell},\"row {n}, \"\"quoted\"\"\"\n", n % 3));
        let vibration = if missing { Value::Null } else { serde_json::from_str(&cell).unwrap() };
        let note = format!("row {n}, \"quoted\"");
        expected
            .push(json!({"ts": time, "pump": format!("p{}", n % 3), "vibration": vibration, "note": note}));
    }
    (text, expected)
}

fn parsed(texts: &[String]) -> Vec<Value> {
    texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
}

#[tokio::test]
async fn every_row_is_a_message_in_order_plain_gzipped_and_with_crlf() {
    let folder = TempDir::new().unwrap();
    let (text, expected) = pumps(3000);
    let plain = written(&folder, "pumps.csv", &text);
    let crlf = written(&folder, "windows.csv", &text.replace('\n', "\r\n"));
    assert!(Command::new("gzip").arg("-k").arg(&plain).status().expect("gzip").success());
    let gzipped = folder.path().join("pumps.csv.gz");
    for (path, topic) in [(plain, "pumps"), (gzipped, "pumps"), (crlf, "windows")] {
        let (rig, log) = rig(plan(&path));
        let logged = log.accept_from_now_on();
        assert_eq!(ends(&rig).await.unwrap(), Ended::Input);
        let messages = logged.lock().unwrap().clone();
        assert_eq!(parsed(&texts(&messages)), expected);
        assert!(messages.iter().all(|m| &*m.topic == topic && &*m.source == "plant" && m.arrival.0 > 0));
        assert_eq!(read(&rig.status().acked_total), 3000);
    }
}

#[tokio::test]
async fn a_later_row_does_not_change_an_earlier_one() {
    let folder = TempDir::new().unwrap();
    let path = written(&folder, "a.csv", "id,v\n1,2\n007,1.50\nx,oops\n,nan\n");
    let (rig, log) = rig(plan(&path));
    let logged = log.accept_from_now_on();
    assert_eq!(ends(&rig).await.unwrap(), Ended::Input);
    let rows = texts(&logged.lock().unwrap());
    let expected = [
        r#"{"id":1,"v":2}"#,
        r#"{"id":"007","v":1.50}"#,
        r#"{"id":"x","v":"oops"}"#,
        r#"{"id":null,"v":null}"#,
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_restart_goes_on_behind_the_log() {
    let folder = TempDir::new().unwrap();
    let (text, expected) = pumps(2500);
    let path = written(&folder, "pumps.csv", &text);
    for skipped in [1, 1024, 2499, 2500] {
        let (mut rig, log) = rig(plan(&path));
        rig.context.messages_logged = skipped;
        let logged = log.accept_from_now_on();
        assert_eq!(ends(&rig).await.unwrap(), Ended::Input);
        let rows = parsed(&texts(&logged.lock().unwrap()));
        assert_eq!(rows, expected[skipped as usize..]);
    }
}

#[tokio::test]
async fn the_log_always_holds_a_prefix_of_the_file() {
    let folder = TempDir::new().unwrap();
    let (text, expected) = pumps(2500);
    let path = written(&folder, "pumps.csv", &text);
    let (rig, mut log) = rig(plan(&path));
    let task = rig.spawn();
    let first = log.next().await;
    log.stays_empty(Duration::from_millis(200)).await;
    let mut rows = texts(&first.messages);
    let _ = first.logged.send(Ok(()));
    let refused = texts(&log.refuse().await);
    rig.until_told("free disk space").await;
    let again = log.accept(1).await;
    assert_eq!(texts(&again), refused, "the refused batch comes first");
    rows.extend(texts(&again));
    rows.extend(texts(&log.accept(2500 - rows.len()).await));
    assert_eq!(parsed(&rows), expected);
    assert_eq!(timeout(STEP_MAX, task).await.unwrap().unwrap().unwrap(), Ended::Input);
    assert_eq!(*rig.status().last_error.lock().unwrap(), None);
}

#[tokio::test]
async fn a_stop_is_not_the_end_of_the_input() {
    let folder = TempDir::new().unwrap();
    let (text, _) = pumps(2500);
    let path = written(&folder, "pumps.csv", &text);
    let (rig, mut log) = rig(plan(&path));
    let task = rig.spawn();
    let first = log.next().await;
    rig.context.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!task.is_finished(), "it waits for the log");
    let _ = first.logged.send(Ok(()));
    // At once: nothing more is taken.
    let ended = timeout(STEP_MAX, task).await.expect("it stops");
    assert_eq!(ended.unwrap().unwrap(), Ended::Shutdown);
    assert!(log.0.try_recv().is_err());
    assert_eq!(read(&rig.status().acked_total), first.messages.len() as u64);
}

#[tokio::test]
async fn speed_paces_by_event_time() {
    let folder = TempDir::new().unwrap();
    let seconds = written(&folder, "s.csv", "ts,v\n100,1\n101.5,2\nsoon,3\n103,4\n");
    let iso = written(&folder, "i.csv", "ts,v\n2024-02-29T23:59:59Z,1\n2024-03-01 00:00:02,2\n");
    // 3 s of event time at 5 times the speed.
    for path in [seconds, iso] {
        let (rig, log) = rig(ReplayPlan { speed: Some(5.0), time_column: Some("ts".into()), ..plan(&path) });
        let logged = log.accept_from_now_on();
        let start = Instant::now();
        assert_eq!(ends(&rig).await.unwrap(), Ended::Input);
        let took = start.elapsed();
        assert!((Duration::from_millis(600)..Duration::from_secs(10)).contains(&took), "{path:?}: {took:?}");
        let arrivals: Vec<i64> = logged.lock().unwrap().iter().map(|m| m.arrival.0).collect();
        let span = arrivals[arrivals.len() - 1] - arrivals[0];
        // The first row may be late on a busy machine, which makes the span shorter.
        assert!(span > 200_000_000, "{span}");
    }
}

#[tokio::test]
async fn what_cannot_be_replayed_is_told_with_its_remedy() {
    let folder = TempDir::new().unwrap();
    let good = written(&folder, "good.csv", "ts,v\n1,2\n");
    let empty = written(&folder, "empty.csv", "");
    let ragged = written(&folder, "ragged.csv", "a,b\n1,2,3,4\n");
    let paced = |column: Option<&str>| ReplayPlan {
        speed: Some(1.0),
        time_column: column.map(str::to_owned),
        ..plan(&good)
    };
    let cases = [
        (plan(&folder.path().join("none.csv")), 0, "cannot open", "correct `path`"),
        (plan(folder.path()), 0, "", "correct"),
        (plan(&empty), 0, "not a CSV file", "correct the file"),
        (plan(&ragged), 0, "not a CSV file", "correct the file"),
        (paced(Some("time")), 0, "no column \"time\"; it has ts, v", "correct `time_column`"),
        (paced(None), 0, "needs `time_column`", "leave `speed` out"),
        (plan(&good), 2, "holds 2 rows", "empty `[durable] path`"),
    ];
    for (plan, messages_logged, error, remedy) in cases {
        let (mut rig, _log) = rig(plan);
        rig.context.messages_logged = messages_logged;
        let text = ends(&rig).await.expect_err(error).to_string();
        assert!(text.contains(error) && text.contains(remedy), "{text}");
    }
}
