//! Whole files kept by name, such as the bytes of an activated model by their checksum.

use std::io;
use std::path::Path;

use super::{Disk, LogError};

/// Keeps `bytes` as the file `name` (a plain file name) of `dir`, durably. The file is there whole or
/// not at all, whenever the power goes. Storing again replaces it, so a store may always be repeated.
pub fn store_blob(disk: &mut dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    let path = dir.join(name);
    let unfinished = dir.join(format!("{name}.tmp"));
    disk.create_dir_all(dir).map_err(LogError::io("make folder", dir))?;
    match disk.remove(&unfinished) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(LogError::io("remove", &unfinished)(e)),
        _ => {}
    }
    disk.create(&unfinished).map_err(LogError::io("create", &unfinished))?;
    disk.write_at(&unfinished, 0, bytes).map_err(LogError::io("write", &unfinished))?;
    disk.sync_file(&unfinished).map_err(LogError::io("sync", &unfinished))?;
    disk.rename(&unfinished, &path).map_err(LogError::io("rename to", &path))?;
    disk.sync_dir(dir).map_err(LogError::io("sync folder", dir))
}

/// The bytes of a stored blob. Whether they are the right ones is for the reader to check.
pub fn read_blob(disk: &dyn Disk, dir: &Path, name: &str) -> Result<Vec<u8>, LogError> {
    let path = dir.join(name);
    let len = disk.file_len(&path).map_err(LogError::io("read", &path))?;
    let mut bytes = vec![0; len as usize];
    let filled = disk.read_at(&path, 0, &mut bytes).map_err(LogError::io("read", &path))?;
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::RealDisk;
    use super::super::faulty::FaultyDisk;
    use super::*;

    #[test]
    fn a_blob_is_replaced_whole_on_a_real_disk() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("models");
        let mut disk = RealDisk::new();
        store_blob(&mut disk, &blobs, "abc", b"first").unwrap();
        store_blob(&mut disk, &blobs, "abc", b"second").unwrap();
        assert_eq!(read_blob(&disk, &blobs, "abc").unwrap(), b"second");
        assert_eq!(disk.list(&blobs).unwrap(), ["abc"]);
        assert!(read_blob(&disk, &blobs, "abd").unwrap_err().to_string().contains("abd"));
    }

    /// Old or new, never a mixture, at a power cut at every write; and new once `store_blob` returned.
    #[test]
    fn a_power_cut_leaves_the_old_blob_or_the_new_one() {
        let dir = Path::new("/models");
        let (old, new) = (vec![1; 3000], vec![2; 5000]);
        for cut in 1.. {
            for seed in 0..20 {
                let mut disk = FaultyDisk::new();
                store_blob(&mut disk, dir, "abc", &old).unwrap();
                disk.cut_power_at_write(cut);
                let stored = store_blob(&mut disk, dir, "abc", &new);
                disk.crash(seed);
                disk.restart();
                let found = read_blob(&disk, dir, "abc").unwrap();
                assert!(found == new || (stored.is_err() && found == old), "write {cut}, seed {seed}");
                store_blob(&mut disk, dir, "abc", &new).unwrap();
                assert_eq!(read_blob(&disk, dir, "abc").unwrap(), new, "write {cut}, seed {seed}");
                if stored.is_ok() && seed == 19 {
                    return;
                }
            }
        }
    }
}
