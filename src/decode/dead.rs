//! The dead-letter file: one JSON line for each row that did not become an event.
//!
//! The file can be made again from the log, so it is synced only before a snapshot makes a part of the
//! log needless: after a restart the rest is replayed and lines that were lost are written again, while
//! those already there are skipped.

mod line;
mod sync;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DeadRow;
use crate::types::{Arrival, EventTime, Message, Position, Reason};
use line::Line;

/// Size at which the file becomes `.1` (whose previous content is dropped). So the two together stay
/// below twice this and one line.
pub const ROTATE_BYTES: u64 = 64 << 20;

/// Over the length of a line, so that a failed write goes on where it stopped.
const BUFFER_BYTES: usize = 1 << 20;

/// Bytes of a payload kept in a line; the log holds the rest at the line's position.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
#[error(
    "the dead-letter file {path} cannot be {action}: {source}; free disk space or correct its owner and mode"
)]
pub struct DeadError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

impl DeadError {
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// One row for the file.
#[derive(Clone, Copy, Debug)]
pub struct DeadEntry<'a> {
    pub position: Position,
    pub row: u32,
    /// Name of the stream that refused it, if one took the message.
    pub stream: Option<&'a str>,
    pub source: &'a str,
    pub topic: &'a str,
    pub arrival: Arrival,
    /// Partition and offset, of a message from Kafka.
    pub kafka: Option<(i32, i64)>,
    pub reason: Reason,
    pub detail: &'a str,
    pub content: Content<'a>,
}

/// What is kept of a row: its bytes, or what it was decoded to when only that is left.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    Bytes(&'a [u8]),
    /// A decoded row that came too late. NaN is written as null.
    Values {
        key: &'a [u8],
        time: EventTime,
        values: &'a [f32],
    },
}

impl<'a> DeadEntry<'a> {
    /// The entry for a row the decoder refused. `stream` is the name of `row.stream`.
    pub fn of_row(
        position: Position,
        message: &'a Message,
        row: &'a DeadRow,
        stream: Option<&'a str>,
    ) -> Self {
        DeadEntry {
            position,
            row: row.row,
            stream,
            source: &message.source,
            topic: &message.topic,
            arrival: message.arrival,
            kafka: message.origin.as_ref().map(|origin| (origin.partition, origin.offset)),
            reason: row.reason,
            detail: &row.detail,
            content: Content::Bytes(message.payload.get(row.range.clone()).unwrap_or(&message.payload)),
        }
    }
}

/// Which row a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
struct Id {
    position: u64,
    row: u32,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    stream: Option<Box<str>>,
}

/// First line of a file that follows a dropped one: a replay must not write the dropped rows again.
#[derive(Serialize, Deserialize)]
struct Forgotten {
    rotated_out_through_position: u64,
}

/// What one file holds.
#[derive(Debug, Default)]
struct Held {
    ids: HashSet<Id>,
    newest: Option<u64>,
    forgotten: Option<u64>,
}

/// The writer. One a deployment.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    rotate_bytes: u64,
    file: BufWriter<File>,
    bytes: u64,
    /// Something was written since the last sync, by this process or one before it.
    unsynced: bool,
    /// Positions are those of one log, so that those of a dropped file are below one of them.
    of_a_log: bool,
    current: Held,
    previous: Held,
}

impl DeadLetters {
    /// Opens or creates the file, learns which rows it and its predecessor hold, and cuts off a line
    /// that was torn. Rotates at `rotate_bytes` ([`ROTATE_BYTES`] unless there is a reason).
    pub fn open(path: &Path, rotate_bytes: u64) -> Result<Self, DeadError> {
        let fail = |action| move |source| DeadError { path: path.to_owned(), action, source };
        let previous = load(&rotated(path)).map_err(fail("read"))?.0;
        let (current, whole_bytes) = load(path).map_err(fail("read"))?;
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(fail("opened"))?;
        if file.metadata().map_err(fail("read"))?.len() > whole_bytes {
            file.set_len(whole_bytes).map_err(fail("repaired"))?;
        }
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let path = path.to_owned();
        let of_a_log = true;
        let bytes = whole_bytes;
        Ok(DeadLetters { path, rotate_bytes, file, bytes, unsynced: true, of_a_log, current, previous })
    }

    /// Positions are offsets of many partitions.
    pub fn without_a_log(self) -> Self {
        DeadLetters { of_a_log: false, ..self }
    }

    /// Adds a row; `false` if the file has it already, as it does during a replay. The line may stay
    /// in memory until [`DeadLetters::flush`].
    pub fn append(&mut self, entry: &DeadEntry<'_>) -> Result<bool, DeadError> {
        let partition = entry.kafka.map(|(partition, _)| partition);
        let stream = entry.stream.map(Into::into);
        let id = Id { position: entry.position.0, row: entry.row, partition, stream };
        let forgotten = self.of_a_log && self.current.forgotten.is_some_and(|through| id.position <= through);
        if forgotten || self.current.ids.contains(&id) || self.previous.ids.contains(&id) {
            return Ok(false);
        }
        if self.bytes >= self.rotate_bytes {
            self.rotate()?;
        }
        self.write_line(&Line::new(entry))?;
        self.current.newest = self.current.newest.max(Some(id.position));
        self.current.ids.insert(id);
        Ok(true)
    }

    /// Hands everything to the operating system. Once a batch.
    pub fn flush(&mut self) -> Result<(), DeadError> {
        self.file.flush().map_err(|source| self.error("written", source))
    }

    fn rotate(&mut self) -> Result<(), DeadError> {
        self.sync()?;
        fs::rename(&self.path, rotated(&self.path)).map_err(|source| self.error("rotated", source))?;
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        self.file = BufWriter::with_capacity(BUFFER_BYTES, file.map_err(|e| self.error("opened", e))?);
        self.bytes = 0;
        let dropped = std::mem::replace(&mut self.previous, std::mem::take(&mut self.current));
        self.current.forgotten = self.previous.forgotten.max(dropped.newest);
        match self.current.forgotten {
            Some(position) => self.write_line(&Forgotten { rotated_out_through_position: position }),
            None => Ok(()),
        }
    }

    fn write_line(&mut self, line: &impl Serialize) -> Result<(), DeadError> {
        self.unsynced = true;
        let mut bytes = serde_json::to_vec(line).map_err(|error| self.error("written", error.into()))?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).map_err(|source| self.error("written", source))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn error(&self, action: &'static str, source: io::Error) -> DeadError {
        DeadError { path: self.path.clone(), action, source }
    }
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Reads a file's ids and the length of its whole lines. A missing file is empty.
fn load(path: &Path) -> io::Result<(Held, u64)> {
    let mut held = Held::default();
    let mut whole_bytes = 0;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((held, 0)),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        whole_bytes += line.len() as u64;
        if let Ok(id) = serde_json::from_slice::<Id>(&line) {
            held.newest = held.newest.max(Some(id.position));
            held.ids.insert(id);
        } else if let Ok(marker) = serde_json::from_slice::<Forgotten>(&line) {
            held.forgotten = Some(marker.rotated_out_through_position);
        }
        line.clear();
    }
    Ok((held, whole_bytes))
}
