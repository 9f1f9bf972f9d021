//! One file of a record log: its name, its header, and what recovery makes of the last one.
//!
//! Header, 24 bytes, little-endian: `magic [u8; 8] │ format version u32 │ first position u64 │ crc32 u32`
//! over the 20 bytes before it. Records follow without gaps.

use std::io;
use std::path::{Path, PathBuf};

use super::record::{FrameReader, Next, later_commit_follows};
use super::{Disk, LogError};

pub(super) const HEADER_BYTES: usize = 24;
const FORMAT_VERSION: u32 = 1;

pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

/// The first position of the segment of this name; `None` for files that are not segments.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

pub(super) fn header(magic: [u8; 8], first: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&magic);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Is the header whole? `Err` if it is, but not of this file or this version.
pub(super) fn check_header(
    disk: &dyn Disk,
    path: &Path,
    magic: [u8; 8],
    first: u64,
) -> Result<bool, LogError> {
    let mut found = [0; HEADER_BYTES];
    let filled = disk.read_at(path, 0, &mut found).map_err(LogError::io("read", path))?;
    if filled < HEADER_BYTES || crc32fast::hash(&found[..20]).to_le_bytes() != found[20..] {
        return Ok(false);
    }
    if found == header(magic, first) {
        return Ok(true);
    }
    if found[..8] == magic && found[12..20] == first.to_le_bytes() {
        let version = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
        let detail = format!("format {version}, this one reads {FORMAT_VERSION}");
        return Err(LogError::Version { file: path.to_owned(), detail });
    }
    Err(LogError::corrupt(path, 0, "the header is that of another file"))
}

/// Takes a file back to `len` bytes, durably; back to nothing means no file.
pub(super) fn cut(disk: &mut dyn Disk, path: &Path, len: u64) -> Result<(), LogError> {
    if len > 0 {
        disk.truncate(path, len).map_err(LogError::io("truncate", path))?;
        return disk.sync_file(path).map_err(LogError::io("sync", path));
    }
    match disk.remove(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(LogError::io("remove", path)(e)),
        _ => {}
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    disk.sync_dir(dir).map_err(LogError::io("sync folder", dir))
}

/// Where the whole records of the last segment end.
pub(super) struct Tail {
    /// Length of header and whole records, bytes; 0 if there are none and the file was removed.
    pub len: u64,
    /// Position after the last whole record.
    pub next: u64,
    /// Where the search for records ended: `len`, or before or after a header without records.
    end: u64,
    /// Byte offset at which the last commit begins; 0 if it is the segment's first, header included.
    last_commit: u64,
}

/// Makes the last segment fit to go on: cuts a torn tail, and makes sure that what is read from here on
/// is also what is on the disk. The folder is left to the caller to sync.
pub(super) fn recover(
    disk: &mut dyn Disk,
    path: &Path,
    magic: [u8; 8],
    first: u64,
) -> Result<Tail, LogError> {
    let file_len = disk.file_len(path).map_err(LogError::io("read", path))?;
    let tail = find_tail(disk, path, magic, first, file_len)?;
    if tail.len < file_len || tail.len == 0 {
        refuse_damage(disk, path, tail.end, file_len, tail.next)?;
        tracing::warn!(
            file = %path.display(),
            offset = tail.len,
            bytes = file_len - tail.len,
            "cut a torn write that was never acknowledged"
        );
        cut(disk, path, tail.len)?;
    }
    if tail.len > 0 {
        settle(disk, path, &tail)?;
    }
    Ok(tail)
}

fn find_tail(
    disk: &dyn Disk,
    path: &Path,
    magic: [u8; 8],
    first: u64,
    file_len: u64,
) -> Result<Tail, LogError> {
    let mut tail = Tail { len: 0, next: first, end: 0, last_commit: 0 };
    if !check_header(disk, path, magic, first)? {
        return Ok(tail);
    }
    tail.end = HEADER_BYTES as u64;
    let mut frames = FrameReader::new(disk, path.to_owned(), tail.end, file_len);
    while let Next::Record(record) = frames.next().map_err(LogError::io("read", path))? {
        if record.position != tail.next {
            break;
        }
        if record.commit_index == 0 && record.position > first {
            tail.last_commit = record.offset;
        }
        tail.next += 1;
        tail.end = frames.offset();
        tail.len = tail.end;
    }
    Ok(tail)
}

/// A torn write is the last thing that happened to a log. If a later commit follows the bad record,
/// that record had been synced and acknowledged, and must not be dropped in silence.
fn refuse_damage(disk: &dyn Disk, path: &Path, from: u64, to: u64, expected: u64) -> Result<(), LogError> {
    let mut bytes = vec![0; (to - from) as usize];
    let filled = disk.read_at(path, from, &mut bytes).map_err(LogError::io("read", path))?;
    if later_commit_follows(&bytes[..filled], expected) {
        return Err(LogError::corrupt(path, from, "this record is not whole, but later ones are"));
    }
    Ok(())
}

/// Writes the last commit again, over itself, and syncs it. A process that died between write and
/// fsync, or whose fsync failed, leaves pages the system believes clean though they never reached the
/// disk: reading them works and syncing them does nothing, until a power cut takes them. Earlier
/// commits were synced before this one was written.
fn settle(disk: &mut dyn Disk, path: &Path, tail: &Tail) -> Result<(), LogError> {
    let mut bytes = vec![0; (tail.len - tail.last_commit) as usize];
    let filled = disk.read_at(path, tail.last_commit, &mut bytes).map_err(LogError::io("read", path))?;
    disk.write_at(path, tail.last_commit, &bytes[..filled]).map_err(LogError::io("write", path))?;
    disk.sync_file(path).map_err(LogError::io("sync", path))
}
