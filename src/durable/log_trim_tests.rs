use super::super::faulty::FaultyDisk;
use super::tests::{commit, message, open};
use super::*;

/// What no start needs goes by age, or because the log is too large; what one needs stays in any case.
#[test]
fn old_segments_go_by_age_or_by_size_and_never_beyond_what_a_start_needs() {
    let filled = || {
        let mut log = open(&FaultyDisk::new(), 1024).unwrap();
        (0..20).for_each(|batch| _ = commit(&mut log, (batch * 10..batch * 10 + 10).map(message)).unwrap());
        log
    };
    let trimmed = |floor: u64, older_than: i64, bytes_max: u64| {
        let mut log = filled();
        while log.trim(Position(floor), Arrival(older_than), bytes_max).unwrap() {}
        (log.first_position().0, log.records.bytes())
    };
    let (first, all) = trimmed(200, i64::MIN, u64::MAX);
    assert_eq!(first, 0, "neither old nor too large");
    let (first, _) = trimmed(200, message(100).arrival.0, u64::MAX);
    assert!((80..=100).contains(&first), "everything older than message 100, by the segment: {first}");
    let (first, left) = trimmed(200, i64::MIN, all / 2);
    assert!(first > 0 && left <= all / 2 && left + 2048 > all / 2, "{left} of {all}");
    let (first, left) = trimmed(50, i64::MIN, all / 4);
    assert!((30..=50).contains(&first) && left > all / 4, "a start reads from 50 on: {first}");
}
