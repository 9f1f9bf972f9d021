//! Lines of cells under the stream's header.
use super::*;
use crate::config::plan::FormatPlan;
use crate::types::Reason;

fn lines() -> StreamPlan {
    let header = ["ts", "id", "temp", "note", "rms"].map(str::to_owned).to_vec();
    let columns = vec![column("temperature", "temp"), column("vibration", "rms")];
    StreamPlan { format: FormatPlan::Csv { header }, key: json_path("id"), topics: None, columns, ..pumps() }
}

const MS: i64 = NOW_NS / 1_000_000;

#[test]
fn each_line_is_a_row() {
    let payload =
        format!("{MS},007,61.5,\"a, \"\"b\"\"\nc\",2\r\n\r\n{MS},p8,,x,-1e3\n{MS},9,0.5,,\n{MS},-3,true,,0");
    let (events, dead) = decode(lines(), payload);
    assert_eq!(dead, []);
    let rows: Vec<_> = events.iter().map(|e| (e.row, e.key.as_str(), e.values(), e.time)).collect();
    assert_eq!(
        rows,
        [
            (0, "007", vec![Some(61.5), Some(2.0)], NOW_NS),
            (1, "p8", vec![None, Some(-1000.0)], NOW_NS),
            (2, "9", vec![Some(0.5), None], NOW_NS),
            (3, "-3", vec![Some(1.0), Some(0.0)], NOW_NS),
        ]
    );
}

#[test]
fn a_header_line_and_a_byte_order_mark_are_passed_over() {
    let (events, dead) = decode(lines(), format!("\u{feff}ts,id,temp,note,rms\n{MS},p7,1,,2\n"));
    assert_eq!((events.len(), events[0].row, dead), (1, 0, Vec::new()));
}

#[test]
fn a_header_in_another_order_is_no_row_and_neither_are_those_below_it() {
    for header in ["ts,id,rms,note,temp", "TS,Id,temp,note,rms", "rms , ts,id,temp,note"] {
        let (events, dead) = decode(lines(), format!("{header}\n{MS},p7,1,,2\n{MS},p7,1,,2\n"));
        assert_eq!((events.len(), dead.len(), dead[0].reason), (0, 1, Reason::Malformed), "{header}");
        assert!(dead[0].detail.contains("another order"), "{}", dead[0].detail);
    }
}

#[test]
fn a_bad_line_is_a_dead_letter_of_its_own() {
    let good = format!("{MS},p7,1,,2");
    let payload =
        format!("{good}\n{MS},p7,1\n{MS},p7,hot,,2\n{MS},,1,,2\nsoon,p7,1,,2\n{MS},p7,NaN,,2\n{good}");
    let (events, dead) = decode(lines(), &payload);
    assert_eq!(events.iter().map(|event| event.row).collect::<Vec<_>>(), [0, 6]);
    let found: Vec<_> =
        dead.iter().map(|dead| (dead.row, dead.reason, &payload[dead.range.clone()])).collect();
    assert_eq!(
        found,
        [
            (1, Reason::Malformed, &*format!("{MS},p7,1")),
            (2, Reason::BadValue, &*format!("{MS},p7,hot,,2")),
            (3, Reason::NoKey, &*format!("{MS},,1,,2")),
            (4, Reason::BadTime, "soon,p7,1,,2"),
            (5, Reason::BadValue, &*format!("{MS},p7,NaN,,2")),
        ]
    );
    assert!(
        dead[0].detail.contains("3 cells") && dead[0].detail.contains("`header` 5"),
        "{}",
        dead[0].detail
    );
}

#[test]
fn what_is_no_csv_is_refused_whole() {
    let (events, dead) = decode(lines(), b"\n\n");
    assert_eq!((events.len(), dead[0].reason), (0, Reason::Malformed));
    let (events, dead) = decode(lines(), [MS.to_string().as_bytes(), b",p\xff,1,,2"].concat());
    assert_eq!((events.len(), dead[0].reason), (0, Reason::Malformed));
    let unclosed = format!("{MS},p7,1,\"{},2", "x".repeat(2 << 20));
    let (events, dead) = decode(lines(), unclosed);
    assert_eq!((events.len(), dead.len(), dead[0].reason), (0, 1, Reason::Malformed));
}
