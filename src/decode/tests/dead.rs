//! The dead-letter file over restarts, torn lines and rotation.
use std::fs;
use std::path::Path;

use base64::Engine as _;
use serde_json::Value;

use crate::decode::{Content, DeadEntry, DeadLetters, MAX_PAYLOAD_BYTES, ROTATE_BYTES};
use crate::types::{Arrival, EventTime, Position, Reason};

fn entry(position: u64, row: u32, bytes: &[u8]) -> DeadEntry<'_> {
    DeadEntry {
        kafka: None,
        position: Position(position),
        row,
        stream: Some("pumps"),
        source: "plant",
        topic: "a/b",
        arrival: Arrival(1_740_830_400_000_000_001),
        reason: Reason::BadValue,
        detail: "`temp` is the text \"x\"",
        content: Content::Bytes(bytes),
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn positions(path: &Path) -> Vec<u64> {
    lines(path).iter().filter_map(|line| line["position"].as_u64()).collect()
}

#[test]
fn a_line_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead-letters.ndjson");
    let mut file = DeadLetters::open(&path, ROTATE_BYTES).unwrap();
    assert!(file.append(&entry(3, 1, b"{\"temp\":\"x\"}\n")).unwrap());
    let no_stream = DeadEntry { stream: None, reason: Reason::NoStream, ..entry(4, 0, b"\xff\x00") };
    assert!(file.append(&no_stream).unwrap());
    let values =
        Content::Values { key: b"p7", time: EventTime(1_740_830_399_000_000_000), values: &[1.5, f32::NAN] };
    assert!(file.append(&DeadEntry { reason: Reason::Late, content: values, ..entry(5, 0, b"") }).unwrap());
    file.flush().unwrap();
    insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
    {"position":3,"row":1,"stream":"pumps","source":"plant","topic":"a/b","arrival":"2025-03-01T12:00:00.000000001Z","arrival_ns":1740830400000000001,"reason":"bad_value","detail":"`temp` is the text \"x\"","payload":"{\"temp\":\"x\"}\n"}
    {"position":4,"row":0,"source":"plant","topic":"a/b","arrival":"2025-03-01T12:00:00.000000001Z","arrival_ns":1740830400000000001,"reason":"no_stream","detail":"`temp` is the text \"x\"","payload_base64":"/wA="}
    {"position":5,"row":0,"stream":"pumps","source":"plant","topic":"a/b","arrival":"2025-03-01T12:00:00.000000001Z","arrival_ns":1740830400000000001,"reason":"late","detail":"`temp` is the text \"x\"","key":"p7","time":"2025-03-01T11:59:59.000000000Z","values":[1.5,null]}
    "#);
}

#[test]
fn a_replay_adds_only_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead-letters.ndjson");
    let mut file = DeadLetters::open(&path, ROTATE_BYTES).unwrap();
    for row in 0..3 {
        assert!(file.append(&entry(1, row, b"x")).unwrap());
    }
    assert!(!file.append(&entry(1, 2, b"x")).unwrap(), "the same row twice");
    assert!(
        file.append(&DeadEntry { stream: Some("fans"), ..entry(1, 2, b"x") }).unwrap(),
        "another stream's row"
    );
    drop(file);
    let mut file = DeadLetters::open(&path, ROTATE_BYTES).unwrap();
    assert!(!file.append(&entry(1, 0, b"x")).unwrap());
    assert!(!file.append(&DeadEntry { stream: Some("fans"), ..entry(1, 2, b"x") }).unwrap());
    assert!(file.append(&entry(2, 0, b"x")).unwrap());
    drop(file);
    assert_eq!(positions(&path), [1, 1, 1, 1, 2]);
}

#[test]
fn a_torn_line_is_cut_off_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead-letters.ndjson");
    let mut file = DeadLetters::open(&path, ROTATE_BYTES).unwrap();
    file.append(&entry(1, 0, b"first")).unwrap();
    file.append(&entry(2, 0, b"second")).unwrap();
    drop(file);
    let whole = fs::read(&path).unwrap();
    let first_line = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
    for torn in [first_line + 1, first_line + 40, whole.len() - 1] {
        fs::write(&path, &whole[..torn]).unwrap();
        let mut file = DeadLetters::open(&path, ROTATE_BYTES).unwrap();
        assert!(!file.append(&entry(1, 0, b"first")).unwrap());
        assert!(file.append(&entry(2, 0, b"second")).unwrap());
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), whole, "torn at {torn}");
    }
}

#[test]
fn rotation_bounds_the_size_and_a_replay_brings_nothing_dropped_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead-letters.ndjson");
    let old = folder.path().join("dead-letters.ndjson.1");
    let limit = 4096;
    let mut file = DeadLetters::open(&path, limit).unwrap();
    for position in 0..100 {
        assert!(file.append(&entry(position, 0, b"x")).unwrap());
    }
    drop(file);
    let kept = [positions(&old), positions(&path)].concat();
    let first = kept[0];
    assert!(first > 0, "something was dropped");
    assert_eq!(kept, (first..100).collect::<Vec<_>>());
    for path in [&old, &path] {
        assert!(fs::metadata(path).unwrap().len() < limit + 400);
    }
    let mut file = DeadLetters::open(&path, limit).unwrap();
    for position in 0..100 {
        assert!(!file.append(&entry(position, 0, b"x")).unwrap(), "{position}");
    }
    assert!(file.append(&entry(100, 0, b"x")).unwrap());
}

#[test]
fn long_payloads_are_cut_between_characters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead-letters.ndjson");
    let mut file = DeadLetters::open(&path, ROTATE_BYTES).unwrap();
    let text = format!("x{}", "é".repeat(MAX_PAYLOAD_BYTES));
    let exact = "y".repeat(MAX_PAYLOAD_BYTES);
    file.append(&entry(0, 0, text.as_bytes())).unwrap();
    file.append(&entry(1, 0, &[text.as_bytes(), b"\xff"].concat())).unwrap();
    file.append(&entry(2, 0, &[b"\xff", text.as_bytes()].concat())).unwrap();
    file.append(&entry(3, 0, exact.as_bytes())).unwrap();
    file.append(&entry(4, 0, "é".as_bytes().split_last().unwrap().1)).unwrap();
    drop(file);
    let lines = lines(&path);
    for line in &lines[..2] {
        assert_eq!(line["payload"].as_str().unwrap(), &text[..MAX_PAYLOAD_BYTES - 1]);
    }
    assert_eq!(lines[0]["payload_cut_from_bytes"], text.len());
    let decoded =
        base64::engine::general_purpose::STANDARD.decode(lines[2]["payload_base64"].as_str().unwrap());
    assert_eq!(decoded.unwrap().len(), MAX_PAYLOAD_BYTES);
    assert_eq!(lines[3]["payload"], exact);
    assert_eq!(lines[3]["payload_cut_from_bytes"], Value::Null);
    assert_eq!(lines[4]["payload_base64"], "ww==");
}

#[test]
fn an_unwritable_file_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = DeadLetters::open(&folder.path().join("no/such/file"), ROTATE_BYTES).unwrap_err().to_string();
    assert!(
        error.contains("cannot be opened")
            && error.ends_with("free disk space or correct its owner and mode"),
        "{error}"
    );
}

/// Offsets of many partitions: equal ones are not the same row, and lower ones of another are not old.
#[test]
fn rows_of_partitions_are_told_apart_and_none_is_taken_for_a_dropped_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead-letters.ndjson");
    let of = |partition, offset: u64| DeadEntry {
        kafka: Some((partition, offset as i64)),
        ..entry(offset, 0, b"x")
    };
    let mut file = DeadLetters::open(&path, 1).unwrap().without_a_log();
    let appended =
        [(0, 5), (1, 5), (0, 5), (1, 9), (0, 2)].map(|(p, offset)| file.append(&of(p, offset)).unwrap());
    assert_eq!(appended, [true, true, false, true, true]);
}
