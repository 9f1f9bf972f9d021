//! An append-only log of records in segments: group commit, rollback, reading in order.
//!
//! Holds no meaning of its own: the message log and the control log are both one of these.

use std::path::{Path, PathBuf};

use super::record::{self, FrameReader, MESSAGE_BYTES_MAX, Next, Record};
use super::segment::{self, HEADER_BYTES};
use super::{Disk, LogError};

/// What one commit made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    pub messages: u64,
    /// As written, with headers and checksums.
    pub bytes: u64,
}

/// A file of the log; it holds at least one record.
struct Segment {
    first: u64,
    /// Durable length in bytes. What lies behind it, if anything, is no part of the log.
    len: u64,
}

/// A file that a failed commit has to be taken out of, before anything else is written.
struct Rollback {
    path: PathBuf,
    /// To this length; 0 = the file goes.
    len: u64,
}

pub(super) struct RecordLog {
    disk: Box<dyn Disk>,
    dir: PathBuf,
    magic: [u8; 8],
    /// A segment this long is closed; a commit is never split, so one may be longer by a commit.
    segment_bytes: u64,
    segments: Vec<Segment>,
    /// The last segment may be appended to. Not after a failure: once an fsync failed, a later one
    /// that succeeds says nothing about the same file.
    appendable: bool,
    rollback: Option<Rollback>,
    /// Position after the last durable record.
    next: u64,
    /// Room for a segment header, then the records of the commit being gathered.
    buffer: Vec<u8>,
    gathered: u64,
}

impl RecordLog {
    pub fn open(
        mut disk: Box<dyn Disk>,
        dir: PathBuf,
        magic: [u8; 8],
        segment_bytes: u64,
    ) -> Result<RecordLog, LogError> {
        disk.create_dir_all(&dir).map_err(LogError::io("make folder", &dir))?;
        let names = disk.list(&dir).map_err(LogError::io("list", &dir))?;
        let mut segments = Vec::with_capacity(names.len());
        for first in names.iter().filter_map(|name| segment::first_of(name)) {
            let path = segment::path(&dir, first);
            let len = disk.file_len(&path).map_err(LogError::io("read", &path))?;
            segments.push(Segment { first, len });
        }
        let mut next = 0;
        if let Some(last) = segments.last_mut() {
            let tail = segment::recover(&mut *disk, &segment::path(&dir, last.first), magic, last.first)?;
            next = tail.next;
            last.len = tail.len;
            disk.sync_dir(&dir).map_err(LogError::io("sync folder", &dir))?;
        }
        segments.retain(|segment| segment.len > 0);
        let appendable = segments.last().is_some_and(|last| last.first < next);
        Ok(RecordLog {
            disk,
            dir,
            magic,
            segment_bytes,
            segments,
            appendable,
            rollback: None,
            next,
            buffer: vec![0; HEADER_BYTES],
            gathered: 0,
        })
    }

    /// The position the next appended record gets.
    pub fn next_position(&self) -> u64 {
        self.next + self.gathered
    }

    /// Position of the oldest record kept; that of the next one if there is none.
    pub fn first_position(&self) -> u64 {
        self.segments.first().map_or(self.next, |segment| segment.first)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Where the second segment begins, if there are two: what lies before it could go.
    pub fn second_segment(&self) -> Option<u64> {
        self.segments.get(1).map(|segment| segment.first)
    }

    /// Removes the oldest segment, durably, unless it is the only one. One at a time, so that no power cut
    /// leaves a gap.
    pub fn remove_oldest(&mut self) -> Result<(), LogError> {
        if self.segments.len() < 2 {
            return Ok(());
        }
        let path = segment::path(&self.dir, self.segments[0].first);
        segment::cut(&mut *self.disk, &path, 0)?;
        self.segments.remove(0);
        Ok(())
    }

    /// Adds a record to the commit being gathered: no I/O. `write_body` appends `body_bytes` bytes.
    /// (A commit of 2^32 records would have to fit into memory before their count outgrew its field.)
    pub fn append(
        &mut self,
        body_bytes: u64,
        write_body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, LogError> {
        if body_bytes > MESSAGE_BYTES_MAX {
            return Err(LogError::TooLarge { bytes: body_bytes });
        }
        let position = self.next_position();
        record::encode(&mut self.buffer, position, self.gathered as u32, write_body);
        self.gathered += 1;
        Ok(position)
    }

    /// Makes everything appended since the last commit durable, with one write and one fsync (and one
    /// of the folder when a segment begins). After an error nothing of it is in the log, its positions
    /// are given again, and the caller may append and commit it anew.
    pub fn commit(&mut self) -> Result<CommitStats, LogError> {
        let written = self.write_gathered();
        match &written {
            Ok(_) => self.next += self.gathered,
            Err(_) => {
                self.appendable = false;
                // Its own failure is kept for the next commit to try again; the first error is the telling one.
                let _ = self.finish_rollback();
            }
        }
        self.buffer.truncate(HEADER_BYTES);
        self.gathered = 0;
        written
    }

    fn write_gathered(&mut self) -> Result<CommitStats, LogError> {
        self.finish_rollback()?;
        if self.gathered == 0 {
            return Ok(CommitStats::default());
        }
        let bytes = match self.segments.last() {
            Some(last) if self.appendable && last.len < self.segment_bytes => self.extend_segment()?,
            _ => self.begin_segment()?,
        };
        Ok(CommitStats { messages: self.gathered, bytes })
    }

    fn extend_segment(&mut self) -> Result<u64, LogError> {
        let Some(last) = self.segments.last_mut() else { return self.begin_segment() };
        let path = segment::path(&self.dir, last.first);
        let records = &self.buffer[HEADER_BYTES..];
        // Armed first, so that every way out but the last leaves it to be done.
        self.rollback = Some(Rollback { path: path.clone(), len: last.len });
        self.disk.write_at(&path, last.len, records).map_err(LogError::io("write", &path))?;
        self.disk.sync_file(&path).map_err(LogError::io("sync", &path))?;
        self.rollback = None;
        last.len += records.len() as u64;
        Ok(records.len() as u64)
    }

    fn begin_segment(&mut self) -> Result<u64, LogError> {
        if let Some(last) = self.segments.last() {
            self.disk.close(&segment::path(&self.dir, last.first));
        }
        let path = segment::path(&self.dir, self.next);
        self.buffer[..HEADER_BYTES].copy_from_slice(&segment::header(self.magic, self.next));
        self.rollback = Some(Rollback { path: path.clone(), len: 0 });
        self.disk.create(&path).map_err(LogError::io("create", &path))?;
        self.disk.write_at(&path, 0, &self.buffer).map_err(LogError::io("write", &path))?;
        self.disk.sync_file(&path).map_err(LogError::io("sync", &path))?;
        self.disk.sync_dir(&self.dir).map_err(LogError::io("sync folder", &self.dir))?;
        self.rollback = None;
        let len = self.buffer.len() as u64;
        self.segments.push(Segment { first: self.next, len });
        self.appendable = true;
        Ok(len)
    }

    fn finish_rollback(&mut self) -> Result<(), LogError> {
        if let Some(rollback) = &self.rollback {
            self.disk.close(&rollback.path);
            segment::cut(&mut *self.disk, &rollback.path, rollback.len)?;
            self.rollback = None;
        }
        Ok(())
    }

    /// The durable records from `position` on.
    pub fn read_from(&self, position: u64) -> RecordReader<'_> {
        let segment = self.segments.partition_point(|s| s.first <= position).saturating_sub(1);
        RecordReader { log: self, segment, frames: None, expected: position, start: position, done: false }
    }
}

/// Records in order. Ends after the first error.
pub(super) struct RecordReader<'a> {
    log: &'a RecordLog,
    /// Index of the next segment to open.
    segment: usize,
    frames: Option<FrameReader<'a>>,
    /// Position the next record must have.
    expected: u64,
    start: u64,
    done: bool,
}

impl RecordReader<'_> {
    /// The file being read.
    pub fn path(&self) -> &Path {
        self.frames.as_ref().map_or(&self.log.dir, |frames| frames.path())
    }

    fn read(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            let Some(frames) = &mut self.frames else {
                if !self.open_segment()? {
                    return Ok(None);
                }
                continue;
            };
            match frames.next().map_err(LogError::io("read", frames.path()))? {
                Next::Record(record) if record.position == self.expected => {
                    self.expected += 1;
                    if record.position >= self.start {
                        return Ok(Some(record));
                    }
                }
                Next::End => self.frames = None,
                Next::Record(Record { offset, .. }) => {
                    return Err(LogError::corrupt(frames.path(), offset, "a record is out of order"));
                }
                Next::Bad => {
                    return Err(LogError::corrupt(
                        frames.path(),
                        frames.offset(),
                        "this record is not whole",
                    ));
                }
            }
        }
    }

    fn open_segment(&mut self) -> Result<bool, LogError> {
        let Some(segment) = self.log.segments.get(self.segment) else { return Ok(false) };
        let path = segment::path(&self.log.dir, segment.first);
        let skipped_to = segment.first <= self.start;
        if !skipped_to && segment.first != self.expected {
            return Err(LogError::corrupt(&path, 0, "the records before this file are missing"));
        }
        if !segment::check_header(&*self.log.disk, &path, self.log.magic, segment.first)? {
            return Err(LogError::corrupt(&path, 0, "the header is not whole"));
        }
        self.expected = segment.first;
        self.segment += 1;
        self.frames = Some(FrameReader::new(&*self.log.disk, path, HEADER_BYTES as u64, segment.len));
        Ok(true)
    }
}

impl Iterator for RecordReader<'_> {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let read = self.read().transpose();
        self.done = !matches!(read, Some(Ok(_)));
        read
    }
}
