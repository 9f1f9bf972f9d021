//! What outlives the process: the message log, the control log, snapshots and blobs, over a [`Disk`].
//!
//! The one rule: acknowledge after the log. [`Log::append`] only fills a buffer; [`Log::commit`] makes
//! the whole group durable with one write and one fsync, and only its `Ok` may be acknowledged.
//!
//! What can be promised:
//! - a message whose commit returned `Ok` is read back after any crash or power cut, once, in order;
//! - a message whose commit returned `Err` is gone once its rollback is durable, which the failing
//!   commit itself attempts and the next one insists on before it writes anything;
//! - a message that was neither acknowledged nor rolled back when the process or the power went may or
//!   may not be there afterwards. Its sender was told nothing, or to send it again: duplicates are
//!   dropped downstream. What survives of such a group is always a prefix of it;
//! - damage to acknowledged records is never stepped over: it is [`LogError::Corrupt`], with the place
//!   and the remedy. One case cannot be told from a torn write: damage inside the very last group of
//!   the log, after which nothing was written. It is cut, and a warning says so.
//!
//! Assumed of the disk: what a successful fsync covered stays, and an interrupted write does no harm
//! to bytes outside the range it writes.
//!
//! Everything blocks: run it on a thread of its own.

mod ballast;
mod blob;
mod control;
mod disk;
pub mod faulty;
mod lock;
mod log;
mod record;
mod record_log;
mod segment;
mod snapshot;

use std::io;
use std::path::{Path, PathBuf};

pub use ballast::Ballast;
pub use blob::{read_blob, store_blob};
pub use control::{ControlEntry, ControlEvent, ControlLog, activations, beginning};
pub use disk::{Disk, RealDisk};
pub use lock::DirLock;
pub use log::{Log, LogReader};
pub use record::MESSAGE_BYTES_MAX;
pub use record_log::CommitStats;
pub use snapshot::{LEDGER, SnapshotError, SnapshotName, Snapshots};

/// What can go wrong with durable state.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot {action} {}: {source}; check free space, permissions and the disk itself", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("the disk of {} is full: {needed} bytes must be free there; delete something, Eddy goes on by itself", dir.display())]
    Full { dir: PathBuf, needed: u64 },

    #[error("the data folder {} cannot be written: {source}; mount it writable, give it to the user Eddy runs as, or choose another with `[durable] path`", dir.display())]
    NotWritable { dir: PathBuf, source: io::Error },

    #[error(
        "{} is damaged at byte {offset}: {detail}; restore it from a backup, or give up what follows: \
         `truncate -s {offset}` this file and move every later file of its folder away",
        file.display()
    )]
    Corrupt { file: PathBuf, offset: u64, detail: &'static str },

    #[error("{} was written by another version of eddy ({detail}); run that version, or start with an empty `[durable] path`", file.display())]
    Version { file: PathBuf, detail: String },

    #[error(
        "a message of {bytes} bytes is larger than the log takes ({MESSAGE_BYTES_MAX}, text fields 65,534); send smaller messages"
    )]
    TooLarge { bytes: u64 },

    #[error("another eddy is using {}; stop it, or give this one a folder of its own with `[durable] path`", dir.display())]
    Locked { dir: PathBuf },
}

impl LogError {
    /// The same call may succeed later without anyone touching the files: space was freed, the disk
    /// came back. Everything else needs a person.
    pub fn is_retryable(&self) -> bool {
        matches!(self, LogError::Io { .. } | LogError::Full { .. })
    }

    /// A write found no space.
    pub fn is_full(&self) -> bool {
        match self {
            LogError::Io { source, .. } => ballast::is_full(source),
            _ => false,
        }
    }

    /// For `map_err`: what was being done, and to which file.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
        move |source| LogError::Io { action, path: path.to_owned(), source }
    }

    fn corrupt(file: &Path, offset: u64, detail: &'static str) -> LogError {
        LogError::Corrupt { file: file.to_owned(), offset, detail }
    }
}
