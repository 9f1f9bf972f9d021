//! The thread behind the dead-letter file: rows that could not be decoded, and rows that came too late.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::plan::Plan;
use crate::decode::{Content, DeadEntry, DeadError, DeadLetters, DeadRow};
use crate::durable::Ballast;
use crate::engine::LateRow;
use crate::pipeline::keeping::Kept;
use crate::status::Status;
use crate::types::{Arrival, Message, Position, Reason};

/// Wait before writing is tried again, while the disk is full or gone.
const RETRY: Duration = Duration::from_millis(500);

/// Something that did not become part of a window.
pub enum Dead {
    Row {
        position: Position,
        message: Message,
        row: DeadRow,
    },
    Late(LateRow),
    /// Follows everything that came before it out of the messages it covers.
    Keep(Kept),
}

/// Runs until the log, decode, the outbox and all shards have hung up. Nothing is dropped: a full channel
/// makes them wait. The file is flushed whenever nothing more is waiting.
pub fn run(
    mut file: DeadLetters,
    mut dead: mpsc::Receiver<Dead>,
    keep: &mpsc::Sender<Kept>,
    plan: &Plan,
    status: &Status,
    ballast: &Ballast,
) {
    while let Some(first) = dead.blocking_recv() {
        let mut next = Some(first);
        let mut kept = None;
        while let Some(entry) = next {
            let reason = match &entry {
                Dead::Row { row, .. } => row.reason,
                Dead::Late(_) => Reason::Late,
                Dead::Keep(_) => {
                    kept = Some(entry);
                    break;
                }
            };
            status.dead_letters[reason as usize].fetch_add(1, Relaxed);
            until_done(ballast, || write(&mut file, &entry, plan));
            next = dead.try_recv().ok();
        }
        match kept {
            Some(Dead::Keep(kept)) => {
                until_done(ballast, || file.sync());
                // Only one is under way at a time, so there is room, unless all ends.
                drop(keep.try_send(kept));
            }
            _ => until_done(ballast, || file.flush()),
        }
    }
}

/// A write that failed goes on where it stopped.
fn until_done(ballast: &Ballast, mut write: impl FnMut() -> Result<(), DeadError>) {
    while let Err(error) = write() {
        tracing::error!(%error, "dead letter not written, trying again; nothing is dropped");
        if error.is_full() {
            ballast.give_up();
        }
        std::thread::sleep(RETRY);
    }
}

fn write(file: &mut DeadLetters, entry: &Dead, plan: &Plan) -> Result<(), DeadError> {
    match entry {
        Dead::Row { position, message, row } => {
            let stream = row.stream.map(|id| plan.streams[id.0 as usize].name.as_str());
            file.append(&DeadEntry::of_row(*position, message, row, stream))?;
        }
        Dead::Keep(_) => {}
        Dead::Late(late) => {
            let stream = &plan.streams[late.stream.0 as usize];
            let detail = format!(
                "later than its partition's watermark allows ({} s behind); raise `window.lateness` (now {:?}) if this is usual",
                (late.watermark.0 - late.time.0) as f64 / 1e9,
                stream.window.lateness
            );
            // Of a topic that is shared, positions are offsets.
            let shared = plan.shared().and_then(|(kafka, _)| kafka.topics.first());
            let topic = shared.map_or("", String::as_str);
            let kafka = shared.map(|_| (i32::from(late.partition.0), late.position.0 as i64));
            file.append(&DeadEntry {
                position: late.position,
                row: late.row,
                stream: Some(&stream.name),
                source: "",
                topic,
                arrival: Arrival(late.arrival.0),
                kafka,
                reason: Reason::Late,
                detail: &detail,
                content: Content::Values { key: &late.key, time: late.time, values: &late.values },
            })?;
        }
    }
    Ok(())
}
