//! One process a data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::{Disk, LogError, RealDisk};

const LOCK_FILE: &str = "eddy.lock";

/// Held while this process owns a data folder; the operating system lets go of it when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the folder, making it if it is not there. `Locked` if another process (or another part of
    /// this one) has it.
    pub fn acquire(dir: &Path) -> Result<DirLock, LogError> {
        RealDisk::new().create_dir_all(dir).map_err(LogError::io("make folder", dir))?;
        let path = dir.join(LOCK_FILE);
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(|source| {
                match source.kind() {
                    ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                        LogError::NotWritable { dir: dir.to_owned(), source }
                    }
                    _ => LogError::Io { action: "open", path: path.clone(), source },
                }
            })?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LogError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(LogError::Io { action: "lock", path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let held = DirLock::acquire(&data).unwrap();
        let refused = DirLock::acquire(&data).unwrap_err();
        assert!(matches!(refused, LogError::Locked { .. }));
        assert!(!refused.is_retryable());
        assert!(refused.to_string().contains("[durable] path"), "no remedy in: {refused}");
        drop(held);
        DirLock::acquire(&data).unwrap();
    }
}
