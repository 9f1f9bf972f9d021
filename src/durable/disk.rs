//! The handful of file operations durable code is written against.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Files as durable code sees them. [`RealDisk`] is the machine's; the twin for simulation is
/// [`FaultyDisk`](super::faulty::FaultyDisk).
///
/// Nothing is durable before it is synced: contents and length by `sync_file`, the existence and name
/// of a file by `sync_dir` of its folder.
pub trait Disk: Send {
    /// Makes a folder and its parents, durably.
    fn create_dir_all(&mut self, dir: &Path) -> io::Result<()>;

    /// Names of the files in a folder, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Length in bytes.
    fn file_len(&self, path: &Path) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on; less only at the end of the file. Returns the bytes read.
    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes an empty file; fails if it exists.
    fn create(&mut self, path: &Path) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. After an error any part of them may be in the file.
    fn write_at(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;

    fn truncate(&mut self, path: &Path, len: u64) -> io::Result<()>;

    fn sync_file(&mut self, path: &Path) -> io::Result<()>;

    fn sync_dir(&mut self, dir: &Path) -> io::Result<()>;

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&mut self, path: &Path) -> io::Result<()>;

    /// Forgets the handle held for writing this file, if any.
    fn close(&mut self, path: &Path);
}

/// The machine's file system. Files are kept open for writing until `close`.
#[derive(Debug, Default)]
pub struct RealDisk {
    writing: HashMap<PathBuf, Writing>,
}

#[derive(Debug)]
struct Writing {
    file: File,
    /// Truncated since the last sync. `fdatasync` covers the length of a file that grew; that of one
    /// that shrank holds nothing needed to read data back, so only `fsync` is sure to cover it.
    shrunk: bool,
}

impl RealDisk {
    pub fn new() -> Self {
        RealDisk::default()
    }

    fn writing(&mut self, path: &Path) -> io::Result<&mut Writing> {
        if !self.writing.contains_key(path) {
            let file = OpenOptions::new().write(true).open(path)?;
            self.writing.insert(path.to_owned(), Writing { file, shrunk: false });
        }
        self.writing.get_mut(path).ok_or_else(|| io::Error::other("the handle just opened is gone"))
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Disk for RealDisk {
    fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|a| !a.as_os_str().is_empty() && !a.exists()).collect();
        fs::create_dir_all(dir)?;
        for created in &missing {
            self.sync_dir(parent(created))?;
        }
        if missing.is_empty() {
            // Whoever made it may have died before it was synced. A parent this process may not read
            // was made by somebody else.
            match self.sync_dir(parent(dir)) {
                Err(e) if e.kind() != io::ErrorKind::PermissionDenied => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn file_len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    fn create(&mut self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        self.writing.insert(path.to_owned(), Writing { file, shrunk: false });
        Ok(())
    }

    fn write_at(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = &mut self.writing(path)?.file;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn truncate(&mut self, path: &Path, len: u64) -> io::Result<()> {
        let writing = self.writing(path)?;
        writing.shrunk = true;
        writing.file.set_len(len)
    }

    fn sync_file(&mut self, path: &Path) -> io::Result<()> {
        let writing = self.writing(path)?;
        if !writing.shrunk {
            return writing.file.sync_data();
        }
        writing.file.sync_all()?;
        writing.shrunk = false;
        Ok(())
    }

    fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.close(from);
        self.close(to);
        fs::rename(from, to)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.close(path);
        fs::remove_file(path)
    }

    fn close(&mut self, path: &Path) {
        self.writing.remove(path);
    }
}
