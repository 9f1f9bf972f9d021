use super::*;

fn file() -> PathBuf {
    PathBuf::from("/d/file")
}

/// A disk with `synced` in a file that is durable, and `unsynced` behind it that is not.
fn disk_with(synced: &[u8], unsynced: &[u8]) -> FaultyDisk {
    let mut disk = FaultyDisk::new();
    disk.create(&file()).unwrap();
    disk.write_at(&file(), 0, synced).unwrap();
    disk.sync_file(&file()).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    if !unsynced.is_empty() {
        disk.write_at(&file(), synced.len() as u64, unsynced).unwrap();
    }
    disk
}

fn read(disk: &FaultyDisk) -> Vec<u8> {
    let mut bytes = vec![0; disk.file_len(&file()).unwrap() as usize];
    disk.read_at(&file(), 0, &mut bytes).unwrap();
    bytes
}

fn after_crash(disk: &FaultyDisk, seed: u64) -> Vec<u8> {
    disk.crash(seed);
    disk.restart();
    read(disk)
}

#[test]
fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
    let (synced, unsynced) = (vec![1; 700], vec![2; 3000]);
    let whole = [synced.clone(), unsynced.clone()].concat();
    let (mut none, mut all, mut torn, mut damaged) = (0, 0, 0, 0);
    for seed in 0..500 {
        let left = after_crash(&disk_with(&synced, &unsynced), seed);
        assert!(left.starts_with(&synced) && left.len() <= whole.len(), "seed {seed}");
        assert_eq!(left, after_crash(&disk_with(&synced, &unsynced), seed), "seed {seed} twice");
        match left.len() {
            _ if !whole.starts_with(&left) => damaged += 1,
            700 => none += 1,
            3700 => all += 1,
            _ => torn += 1,
        }
    }
    assert!([none, all, torn, damaged].iter().all(|n| *n > 20), "{none} {all} {torn} {damaged}");
}

#[test]
fn a_name_may_vanish_until_its_folder_is_synced() {
    let mut found = 0;
    for seed in 0..50 {
        let mut disk = FaultyDisk::new();
        disk.create(&file()).unwrap();
        disk.write_at(&file(), 0, b"x").unwrap();
        disk.sync_file(&file()).unwrap();
        disk.crash(seed);
        disk.restart();
        found += disk.list(Path::new("/d")).unwrap().len();
    }
    assert!((1..50).contains(&found), "{found} of 50");
    assert_eq!(after_crash(&disk_with(b"x", b""), 0), b"x");
}

#[test]
fn a_failed_sync_loses_what_later_syncs_claim_to_have() {
    let mut disk = disk_with(b"synced", b"lost");
    disk.fail_syncs(1);
    assert!(disk.sync_file(&file()).is_err());
    assert_eq!(read(&disk), b"syncedlost");
    disk.write_at(&file(), 10, b"later").unwrap();
    disk.sync_file(&file()).unwrap();
    assert_eq!(after_crash(&disk, 0), b"synced\0\0\0\0later");
}

#[test]
fn a_full_disk_takes_a_part_and_truncating_gives_room() {
    let mut disk = disk_with(b"synced", b"");
    disk.set_free_bytes(Some(3));
    assert_eq!(disk.write_at(&file(), 6, b"abcdef").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(read(&disk), b"syncedabc");
    disk.truncate(&file(), 5).unwrap();
    disk.write_at(&file(), 5, b"wxyz").unwrap();
    assert_eq!(read(&disk), b"syncewxyz");
}

#[test]
fn nothing_works_without_power_and_the_write_it_went_in_may_be_there() {
    let mut disk = disk_with(b"synced", b"");
    let before = disk.writes();
    disk.cut_power_at_write(2);
    disk.write_at(&file(), 6, b"a").unwrap();
    assert!(disk.write_at(&file(), 7, b"b").is_err());
    assert!(disk.sync_file(&file()).is_err() && disk.file_len(&file()).is_err());
    assert_eq!(disk.writes() - before, 2);
    disk.restart();
    assert_eq!(read(&disk), b"syncedab");
}
