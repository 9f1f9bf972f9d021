//! The thread behind the dead-letter file: rows that could not be decoded, and rows that came too late.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

use crate::config::plan::Plan;
use crate::decode::{DeadEntry, DeadLetters, DeadRow};
use crate::engine::LateRow;
use crate::status::Status;
use crate::types::{Message, Position, Reason};

/// Something that did not become part of a window.
pub enum Dead {
    Row { position: Position, message: Message, row: DeadRow },
    Late(LateRow),
}

/// Runs until decode and all shards have hung up. Nothing is dropped: a full disk makes them wait.
pub fn run(mut file: DeadLetters, mut dead: mpsc::Receiver<Dead>, plan: &Plan, status: &Arc<Status>) {
    while let Some(entry) = dead.blocking_recv() {
        let (reason, written) = match &entry {
            Dead::Row { position, message, row } => (row.reason, file.write(&DeadEntry::of_message(*position, message, row))),
            Dead::Late(late) => (Reason::Late, file.write(&DeadEntry::of_late(late, plan))),
        };
        status.dead_letters[reason as usize].fetch_add(1, Relaxed);
        if let Err(error) = written {
            tracing::error!(%error, "dead letter not written; the log still holds the message");
        }
    }
}
