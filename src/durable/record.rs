//! The frame every record is kept in, and reading frames back in large chunks.
//!
//! ```text
//! len u32 │ crc32 u32 │ content: position u64 │ index in its commit u32 │ body
//!           over content, len bytes
//! ```
//! Little-endian. The index in its commit tells a torn write from damage: a record whose commit began
//! after a bad record proves that the bad one had been synced.

use std::io;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};

use super::Disk;

/// The largest message that MQTT can carry, and the largest that is logged.
pub const MESSAGE_BYTES_MAX: u64 = 268_435_455;

const FRAME_BYTES: usize = 8;
const PREFIX_BYTES: usize = 12;

/// One read from the disk, unless a record is larger.
const CHUNK_BYTES: u64 = 1 << 20;

/// Adds a record to `buffer`; `write_body` appends the body.
pub(super) fn encode(
    buffer: &mut Vec<u8>,
    position: u64,
    commit_index: u32,
    write_body: impl FnOnce(&mut Vec<u8>),
) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_BYTES]);
    buffer.extend_from_slice(&position.to_le_bytes());
    buffer.extend_from_slice(&commit_index.to_le_bytes());
    write_body(buffer);
    let content = start + FRAME_BYTES;
    let len = (buffer.len() - content) as u32;
    let crc = crc32fast::hash(&buffer[content..]);
    buffer[start..start + 4].copy_from_slice(&len.to_le_bytes());
    buffer[start + 4..content].copy_from_slice(&crc.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Is there a whole record in `bytes`, at any offset, whose commit began after position `expected`?
/// Then a bad record at `expected` had been synced, and is damage, not a torn write.
pub(super) fn later_commit_follows(bytes: &[u8], expected: u64) -> bool {
    (0..bytes.len().saturating_sub(FRAME_BYTES + PREFIX_BYTES - 1)).any(|at| {
        let frame = &bytes[at..];
        let len = u32_at(frame, 0) as usize;
        let position = u64_at(frame, FRAME_BYTES);
        let commit_index = u64::from(u32_at(frame, FRAME_BYTES + 8));
        // The cheap checks go first: they leave next to nothing for the checksum to refuse.
        (PREFIX_BYTES..=frame.len() - FRAME_BYTES).contains(&len)
            && position > expected
            && position - expected <= bytes.len() as u64
            && position.checked_sub(commit_index).is_some_and(|first| first > expected)
            && crc32fast::hash(&frame[FRAME_BYTES..FRAME_BYTES + len]) == u32_at(frame, 4)
    })
}

pub(super) struct Record {
    /// Byte offset of its frame in the file.
    pub offset: u64,
    pub position: u64,
    pub commit_index: u32,
    pub body: Bytes,
}

pub(super) enum Next {
    Record(Record),
    /// The limit was reached between two records.
    End,
    /// What is at `offset()` is no whole record.
    Bad,
}

/// Reads the frames of one file in order, up to a limit.
pub(super) struct FrameReader<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    offset: u64,
    limit: u64,
    /// What was read from `offset` on and not handed out yet.
    chunk: Bytes,
}

impl<'a> FrameReader<'a> {
    pub fn new(disk: &'a dyn Disk, path: PathBuf, offset: u64, limit: u64) -> Self {
        FrameReader { disk, path, offset, limit, chunk: Bytes::new() }
    }

    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The body is a slice of its chunk, so it keeps up to a chunk of memory alive.
    pub fn next(&mut self) -> io::Result<Next> {
        let left = self.limit.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < FRAME_BYTES as u64 || !self.fill(FRAME_BYTES)? {
            return Ok(Next::Bad);
        }
        let len = u32_at(&self.chunk, 0) as usize;
        let crc = u32_at(&self.chunk, 4);
        if len < PREFIX_BYTES || len as u64 > left - FRAME_BYTES as u64 || !self.fill(FRAME_BYTES + len)? {
            return Ok(Next::Bad);
        }
        if crc32fast::hash(&self.chunk[FRAME_BYTES..FRAME_BYTES + len]) != crc {
            return Ok(Next::Bad);
        }
        let frame = self.chunk.split_to(FRAME_BYTES + len);
        let record = Record {
            offset: self.offset,
            position: u64_at(&frame, FRAME_BYTES),
            commit_index: u32_at(&frame, FRAME_BYTES + 8),
            body: frame.slice(FRAME_BYTES + PREFIX_BYTES..),
        };
        self.offset += frame.len() as u64;
        Ok(Next::Record(record))
    }

    /// Has at least `need` bytes in the chunk; false if the file is shorter than its limit.
    fn fill(&mut self, need: usize) -> io::Result<bool> {
        if self.chunk.len() >= need {
            return Ok(true);
        }
        let want = (need as u64).max(CHUNK_BYTES).min(self.limit - self.offset);
        let mut chunk = BytesMut::zeroed(want as usize);
        let filled = self.disk.read_at(&self.path, self.offset, &mut chunk)?;
        chunk.truncate(filled);
        self.chunk = chunk.freeze();
        Ok(filled >= need)
    }
}
