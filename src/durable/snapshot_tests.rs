use super::super::faulty::FaultyDisk;
use super::*;

const CONFIG: [u8; 32] = [7; 32];

fn open(disk: &FaultyDisk) -> Snapshots {
    Snapshots::open(Box::new(disk.clone()), Path::new("/data")).unwrap()
}

fn name(position: u64) -> SnapshotName {
    SnapshotName { of: "pumps-07".into(), position: Position(position) }
}

fn file(fill: u8, len: usize) -> Vec<u8> {
    let mut file = vec![0; Snapshots::HEADER_BYTES];
    file.resize(Snapshots::HEADER_BYTES + len, fill);
    file
}

#[test]
fn the_two_newest_of_each_are_kept() {
    let disk = FaultyDisk::new();
    let mut snapshots = open(&disk);
    for position in [5, 70, 600] {
        snapshots.store(&name(position), CONFIG, &mut file(position as u8, 100)).unwrap();
    }
    let other = SnapshotName { of: "pumps-08".into(), position: Position(1) };
    snapshots.store(&other, CONFIG, &mut file(9, 0)).unwrap();
    assert_eq!(snapshots.list().unwrap(), [name(600), name(70), other]);
    assert_eq!(snapshots.read(&name(70), Some(CONFIG)).unwrap(), vec![70; 100]);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let disk = FaultyDisk::new();
    let mut snapshots = open(&disk);
    snapshots.store(&name(5), CONFIG, &mut file(3, 20)).unwrap();
    let path = Path::new("/data/snapshots").join(name(5).file());
    for offset in 0..(Snapshots::HEADER_BYTES + 20) as u64 {
        disk.flip_bit(&path, offset).unwrap();
        let found = snapshots.read(&name(5), Some(CONFIG));
        assert!(matches!(found, Err(SnapshotError::Damaged { .. })), "byte {offset}: {found:?}");
        disk.flip_bit(&path, offset).unwrap();
    }
    assert!(snapshots.read(&name(5), Some(CONFIG)).is_ok());
}

#[test]
fn another_config_or_version_is_refused_with_the_remedy() {
    let disk = FaultyDisk::new();
    let mut snapshots = open(&disk);
    snapshots.store(&name(5), CONFIG, &mut file(3, 20)).unwrap();
    let refused = snapshots.read(&name(5), Some([8; 32])).unwrap_err();
    assert!(refused.to_string().contains("restore that config"), "{refused}");
    let mut newer = header(FORMAT, Position(6), CONFIG, b"?").to_vec();
    newer[8] = FORMAT as u8 + 1;
    let crc = crc32fast::hash(&newer[..64]);
    newer[64..].copy_from_slice(&crc.to_le_bytes());
    newer.push(b'?');
    store_blob(&mut disk.clone(), Path::new("/data/snapshots"), &name(6).file(), &newer).unwrap();
    let refused = snapshots.read(&name(6), Some(CONFIG)).unwrap_err();
    assert!(refused.to_string().contains(&format!("format {}", FORMAT + 1)), "{refused}");
}

/// The power goes at every write of a store: the older ones are there, the new one whole or not at all,
/// and certainly once `store` returned.
#[test]
fn a_power_cut_never_leaves_a_partition_without_a_snapshot() {
    for cut in 1.. {
        for seed in 0..20 {
            let disk = FaultyDisk::new();
            let mut snapshots = open(&disk);
            for position in [5, 70] {
                snapshots.store(&name(position), CONFIG, &mut file(position as u8, 3000)).unwrap();
            }
            disk.cut_power_at_write(cut);
            let stored = snapshots.store(&name(99), CONFIG, &mut file(99, 3000));
            disk.crash(seed);
            disk.restart();
            let snapshots = open(&disk);
            let found = snapshots.list().unwrap();
            let newest = found[0].position.0;
            assert!(newest == 99 || (stored.is_err() && newest == 70), "write {cut}, seed {seed}: {found:?}");
            for name in &found {
                let body = snapshots.read(name, Some(CONFIG)).unwrap();
                assert_eq!(body, vec![name.position.0 as u8; 3000], "write {cut}, seed {seed}");
            }
            assert!(found.len() >= 2, "write {cut}, seed {seed}: {found:?}");
            if stored.is_ok() && seed == 19 {
                return;
            }
        }
    }
}
