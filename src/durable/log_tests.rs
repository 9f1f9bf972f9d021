use super::super::RealDisk;
use super::super::faulty::FaultyDisk;
use super::super::segment::HEADER_BYTES;
use super::*;

const DIR: &str = "/data";

pub fn message(n: u64) -> Message {
    Message {
        source: if n.is_multiple_of(3) { "plant".into() } else { "fleet".into() },
        topic: format!("plant/1/pump/{n}/telemetry").into(),
        payload: format!("{{\"ts\":{n},\"vib\":0.25}}").into_bytes().into(),
        arrival: Arrival(1_700_000_000_000_000_000 + n as i64),
        idempotency_key: (n % 4 == 1).then(|| format!("key-{n}").into()),
        origin: (n % 5 == 2).then(|| Box::new(origin::example(n))),
    }
}

pub fn open(disk: &FaultyDisk, segment_bytes: u64) -> Result<Log, LogError> {
    Log::open(Box::new(disk.clone()), Path::new(DIR), segment_bytes)
}

pub fn commit(log: &mut Log, messages: impl IntoIterator<Item = Message>) -> Result<CommitStats, LogError> {
    for message in messages {
        log.append(&message)?;
    }
    log.commit()
}

fn read(log: &Log, from: u64) -> Vec<(Position, Message)> {
    log.read_from(Position(from)).map(|read| read.unwrap()).collect()
}

fn numbered(range: std::ops::Range<u64>) -> Vec<(Position, Message)> {
    range.map(|n| (Position(n), message(n))).collect()
}

fn segments(disk: &FaultyDisk) -> Vec<String> {
    disk.list(&Path::new(DIR).join("log")).unwrap()
}

fn segment(first: u64) -> std::path::PathBuf {
    Path::new(DIR).join(format!("log/{first:020}.log"))
}

#[test]
fn messages_come_back_as_they_were_over_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let reopen = || Log::open(Box::new(RealDisk::new()), dir.path(), 4096).unwrap();
    for batch in 0..20 {
        let mut log = reopen();
        assert_eq!(log.next_position(), Position(batch * 10));
        let stats = commit(&mut log, (batch * 10..batch * 10 + 10).map(message)).unwrap();
        assert_eq!(stats.messages, 10);
    }
    let log = reopen();
    assert!(std::fs::read_dir(dir.path().join("log")).unwrap().count() > 2, "segments were not closed");
    assert_eq!(read(&log, 0), numbered(0..200));
    for from in [1, 9, 10, 57, 199, 200, 5000] {
        assert_eq!(read(&log, from), numbered(from.min(200)..200), "from {from}");
    }
}

#[test]
fn empty_and_very_large_fields_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(Box::new(RealDisk::new()), dir.path(), 1 << 20).unwrap();
    let mut odd = [message(0), message(1), message(2), message(3)];
    odd[0].payload = vec![7; 3 << 20].into();
    odd[1].payload = Bytes::new();
    odd[1].topic = "".into();
    odd[2].idempotency_key = Some("".into());
    odd[3].topic = "t".repeat(65_534).into();
    commit(&mut log, odd.clone()).unwrap();
    assert_eq!(read(&log, 0).into_iter().map(|(_, m)| m).collect::<Vec<_>>(), odd);
}

#[test]
fn messages_of_a_source_share_its_name() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 1 << 20).unwrap();
    commit(&mut log, (0..7).map(message)).unwrap();
    let read = read(&log, 0);
    assert!(Arc::ptr_eq(&read[0].1.source, &read[3].1.source));
    assert!(Arc::ptr_eq(&read[1].1.source, &read[5].1.source));
}

#[test]
fn a_text_field_that_does_not_fit_is_refused_and_the_rest_goes_on() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 1 << 20).unwrap();
    log.append(&message(0)).unwrap();
    let mut long = message(1);
    long.idempotency_key = Some("k".repeat(65_535).into());
    let refused = log.append(&long).unwrap_err();
    assert!(matches!(refused, LogError::TooLarge { .. }) && !refused.is_retryable());
    commit(&mut log, [message(1)]).unwrap();
    assert_eq!(read(&log, 0), numbered(0..2));
}

#[test]
fn a_commit_is_one_write_and_one_fsync() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 1 << 20).unwrap();
    commit(&mut log, (0..5).map(message)).unwrap();
    let before = disk.writes();
    commit(&mut log, (5..1005).map(message)).unwrap();
    assert_eq!(disk.writes() - before, 2);
    assert_eq!(log.commit().unwrap(), CommitStats::default());
    assert_eq!(disk.writes() - before, 2);
}

/// Goes red when the fsync is taken out of commit, and when that of the folder is.
#[test]
fn what_was_committed_is_there_after_a_power_cut() {
    for seed in 0..200 {
        let disk = FaultyDisk::new();
        let mut log = open(&disk, 600).unwrap();
        for batch in 0..6 {
            commit(&mut log, (batch * 3..batch * 3 + 3).map(message)).unwrap();
        }
        disk.crash(seed);
        disk.restart();
        assert_eq!(read(&open(&disk, 600).unwrap(), 0), numbered(0..18), "seed {seed}");
    }
}

/// The first record of a torn commit is lost and the ones after it are whole. If they were not cut,
/// a new record of the first one's length would make them readable again.
#[test]
fn a_torn_tail_is_cut_and_does_not_come_back() {
    let mut disk = FaultyDisk::new();
    let mut log = open(&disk, 1 << 20).unwrap();
    commit(&mut log, (0..5).map(message)).unwrap();
    let whole = disk.file_len(&segment(0)).unwrap();
    commit(&mut log, (5..9).map(message)).unwrap();
    disk.flip_bit(&segment(0), whole + 30).unwrap();
    disk.restart();

    let mut log = open(&disk, 1 << 20).unwrap();
    assert_eq!(log.next_position(), Position(5));
    assert_eq!(disk.file_len(&segment(0)).unwrap(), whole);
    commit(&mut log, [message(5)]).unwrap();
    assert_eq!(read(&log, 0), numbered(0..6));
    disk.create(&segment(0).with_file_name("notes.txt")).unwrap();
    let mut log = open(&disk, 1 << 20).unwrap();
    assert_eq!(log.next_position(), Position(6));
    commit(&mut log, (6..12).map(message)).unwrap();
    assert_eq!(read(&open(&disk, 1 << 20).unwrap(), 0), numbered(0..12));
}

#[test]
fn damage_before_a_later_commit_is_refused_with_place_and_remedy() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 1 << 20).unwrap();
    let first = commit(&mut log, (0..5).map(message)).unwrap().bytes;
    commit(&mut log, (5..10).map(message)).unwrap();
    for (byte, bad_record) in [(0, 0), (HEADER_BYTES as u64 + 1, HEADER_BYTES as u64), (first + 9, first)] {
        // In the last group alone, damage is a torn write; in an earlier one it is not.
        if bad_record == first {
            commit(&mut log, (10..15).map(message)).unwrap();
        }
        disk.flip_bit(&segment(0), byte).unwrap();
        let error = open(&disk, 1 << 20).err().expect("damage was stepped over");
        let LogError::Corrupt { file, offset, .. } = &error else { panic!("{error}") };
        assert_eq!((file, *offset), (&segment(0), bad_record));
        assert!(!error.is_retryable());
        assert!(error.to_string().contains(&format!("truncate -s {bad_record}")), "{error}");
        disk.flip_bit(&segment(0), byte).unwrap();
    }
    assert_eq!(read(&open(&disk, 1 << 20).unwrap(), 0), numbered(0..15));
}

#[test]
fn damage_in_an_earlier_segment_is_found_when_it_is_read() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 1).unwrap();
    for n in 0..3 {
        commit(&mut log, [message(n)]).unwrap();
    }
    disk.flip_bit(&segment(1), HEADER_BYTES as u64 + 25).unwrap();
    let log = open(&disk, 1).unwrap();
    let mut reader = log.read_from(Position(0));
    assert_eq!(reader.next().unwrap().unwrap(), (Position(0), message(0)));
    let error = reader.next().unwrap().unwrap_err();
    let LogError::Corrupt { file, offset, .. } = &error else { panic!("{error}") };
    assert_eq!((file, *offset), (&segment(1), HEADER_BYTES as u64));
    assert!(reader.next().is_none());
    assert_eq!(read(&log, 2), numbered(2..3));
}

#[test]
fn a_missing_segment_is_damage() {
    let mut disk = FaultyDisk::new();
    let mut log = open(&disk, 1).unwrap();
    for n in 0..3 {
        commit(&mut log, [message(n)]).unwrap();
    }
    disk.remove(&segment(1)).unwrap();
    let log = open(&disk, 1).unwrap();
    let found: Vec<_> = log.read_from(Position(0)).collect();
    assert!(matches!(&found[..], [Ok(_), Err(LogError::Corrupt { file, .. })] if *file == segment(2)));
}

#[test]
fn a_log_of_another_version_is_left_alone() {
    let mut disk = FaultyDisk::new();
    commit(&mut open(&disk, 1 << 20).unwrap(), [message(0)]).unwrap();
    let mut header = super::super::segment::header(MAGIC, 0);
    header[8] = 2;
    let crc = crc32fast::hash(&header[..20]).to_le_bytes();
    header[20..].copy_from_slice(&crc);
    disk.write_at(&segment(0), 0, &header).unwrap();
    let before = disk.writes();
    let error = open(&disk, 1 << 20).err().unwrap();
    assert!(matches!(error, LogError::Version { .. }), "{error}");
    assert_eq!(disk.writes(), before);
}

/// Every write of a commit fails once, in a fresh segment and in one that is there, with the rollback
/// failing up to three times after it.
#[test]
fn a_refused_message_leaves_no_trace() {
    for (segment_bytes, failing, count) in
        [1, 1 << 20].into_iter().flat_map(|s| (1..=4).flat_map(move |f| (1..=4).map(move |c| (s, f, c))))
    {
        let case = format!("segments of {segment_bytes}, {count} writes fail from the {failing}th");
        let disk = FaultyDisk::new();
        let mut log = open(&disk, segment_bytes).unwrap();
        commit(&mut log, (0..4).map(message)).unwrap();
        disk.fail_writes(failing, count);
        let mut refused = 0;
        for n in 4..12 {
            let at = log.next_position().0;
            // The payload tells the refused message from the accepted one at its position.
            while let Err(error) = commit(&mut log, [message(1000 + n)]) {
                assert!(error.is_retryable(), "{case}: {error}");
                assert_eq!(log.next_position(), Position(at), "{case}");
                refused += 1;
                assert!(refused <= count, "{case}: still refusing");
            }
            let Position(next) = log.next_position();
            assert_eq!(next, at + 1);
        }
        let expected: Vec<u64> = (0..4).chain(1004..1012).collect();
        assert!(refused >= 1, "{case}: nothing failed");
        for log in [log, open(&disk, segment_bytes).unwrap()] {
            let found: Vec<_> = read(&log, 0).into_iter().map(|(_, message)| message).collect();
            assert_eq!(found, expected.iter().copied().map(message).collect::<Vec<_>>(), "{case}");
        }
    }
}

/// At every write of a commit that begins a segment (four) or extends one (two).
#[test]
fn a_refused_message_is_gone_after_restart_and_power_cut() {
    for (segment_bytes, failing) in [(1, 1), (1, 2), (1, 3), (1, 4), (1 << 20, 1), (1 << 20, 2)] {
        for seed in 0..50 {
            let disk = FaultyDisk::new();
            let mut log = open(&disk, segment_bytes).unwrap();
            commit(&mut log, (0..4).map(message)).unwrap();
            disk.fail_writes(failing, 1);
            assert!(commit(&mut log, (4..8).map(message)).is_err());
            if seed > 0 {
                disk.crash(seed);
            }
            disk.restart();
            let found = read(&open(&disk, segment_bytes).unwrap(), 0);
            assert_eq!(found, numbered(0..4), "segments of {segment_bytes}, write {failing}, seed {seed}");
        }
    }
}

#[test]
fn a_file_whose_fsync_failed_is_not_written_again() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk, 1 << 20).unwrap();
    commit(&mut log, (0..4).map(message)).unwrap();
    let len = disk.file_len(&segment(0)).unwrap();
    disk.fail_syncs(1);
    assert!(commit(&mut log, [message(9)]).is_err());
    commit(&mut log, (4..6).map(message)).unwrap();
    assert_eq!(disk.file_len(&segment(0)).unwrap(), len);
    assert_eq!(segments(&disk).len(), 2);
    assert_eq!(read(&log, 0), numbered(0..6));
}

/// An fsync fails and loses the data, the rollback fails too, the process ends, and only then goes the
/// power. What the new process read in between must be what is there for good.
#[test]
fn what_recovery_read_stays_even_if_its_fsync_had_failed_before() {
    for seed in 0..50 {
        let disk = FaultyDisk::new();
        let mut log = open(&disk, 1 << 20).unwrap();
        commit(&mut log, (0..4).map(message)).unwrap();
        disk.fail_writes(2, 10);
        assert!(commit(&mut log, (4..8).map(message)).is_err());
        disk.restart();

        let mut log = open(&disk, 1 << 20).unwrap();
        let found = read(&log, 0);
        assert_eq!(found, numbered(0..8), "the case this test is for");
        commit(&mut log, (8..10).map(message)).unwrap();
        disk.crash(seed);
        disk.restart();
        assert_eq!(read(&open(&disk, 1 << 20).unwrap(), 0), numbered(0..10), "seed {seed}");
    }
}

#[test]
fn a_full_disk_refuses_and_recovers_without_a_restart() {
    for segment_bytes in [1, 1 << 20] {
        let disk = FaultyDisk::new();
        let mut log = open(&disk, segment_bytes).unwrap();
        commit(&mut log, (0..4).map(message)).unwrap();
        disk.set_free_bytes(Some(100));
        for _ in 0..3 {
            let error = commit(&mut log, (4..8).map(message)).unwrap_err();
            let full = matches!(&error, LogError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
            assert!(full && error.is_retryable(), "{error}");
            assert_eq!(read(&open(&disk, segment_bytes).unwrap(), 0), numbered(0..4));
        }
        disk.set_free_bytes(None);
        commit(&mut log, (4..8).map(message)).unwrap();
        assert_eq!(read(&open(&disk, segment_bytes).unwrap(), 0), numbered(0..8));
    }
}
