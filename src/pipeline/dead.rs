//! The thread behind the dead letters, file and topics: rows that could not be decoded, and rows that came too late.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::plan::Plan;
use crate::decode::{Content, DeadEntry, DeadError, DeadLetters, DeadRow};
use crate::durable::Ballast;
use crate::engine::LateRow;
use crate::pipeline::keeping::Kept;
use crate::pipeline::letters::{self, Letter};
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
    /// Goes to a topic.
    Letter(Letter),
    /// Was counted, and is refused by its topic.
    Refused(Letter),
    /// Whoever sends it waits until what it sent before is on the disk.
    Sync(std::sync::mpsc::Sender<()>),
    Late(LateRow),
    /// Follows everything that came before it out of the messages it covers.
    Keep(Kept),
}

/// What was refused of a message, on its way: one letter to a topic, or each row to the file.
pub fn refuse(
    dead: &mpsc::Sender<Dead>,
    plan: &Plan,
    position: Position,
    message: &Message,
    rows: Vec<DeadRow>,
) {
    if rows.is_empty() {
        return;
    }
    if letters::source_of(plan, message).is_some() {
        let _ = dead.blocking_send(Dead::Letter(Letter::new(position, message, rows)));
        return;
    }
    for row in rows {
        let _ = dead.blocking_send(Dead::Row { position, message: message.clone(), row });
    }
}

pub struct DeadStation {
    pub file: DeadLetters,
    /// `None`: no letters come, they go with the offsets.
    pub topics: Option<letters::Writer>,
    pub dead: mpsc::Receiver<Dead>,
    pub keep: mpsc::Sender<Kept>,
    pub plan: Arc<Plan>,
    pub status: Arc<Status>,
    pub ballast: Arc<Ballast>,
}

impl DeadStation {
    /// Runs until the log, decode, the outbox and all shards have hung up. Nothing is dropped: a full channel
    /// makes them wait. The file is flushed, and topics are waited for, whenever nothing more is waiting.
    pub fn run(mut self) {
        while let Some(first) = self.dead.blocking_recv() {
            let mut next = Some(first);
            let mut kept = None;
            while let Some(entry) = next {
                if let Dead::Keep(entry) = entry {
                    kept = Some(entry);
                    break;
                }
                self.take(entry);
                next = self.dead.try_recv().ok();
            }
            let written = self.topics.as_mut().is_none_or(letters::Writer::flush);
            self.keep_refused();
            match kept {
                Some(kept) => {
                    until_done(&self.ballast, || self.file.sync());
                    // Only one is under way at a time, so there is room, unless all ends. What topics have not got
                    // must be read back.
                    drop(written.then(|| self.keep.try_send(kept)));
                }
                None => until_done(&self.ballast, || self.file.flush()),
            }
        }
    }

    /// What the brokers will not take is in the file.
    fn keep_refused(&mut self) {
        let refused = self.topics.as_mut().map(letters::Writer::refused).unwrap_or_default();
        self.status.dead_letters_refused_total.fetch_add(refused.len() as u64, Relaxed);
        refused.into_iter().for_each(|letter| self.write_rows(letter));
    }

    fn write_rows(&mut self, letter: Letter) {
        let Letter { position, message, rows } = letter;
        for row in rows {
            let entry = Dead::Row { position, message: message.clone(), row };
            until_done(&self.ballast, || write(&mut self.file, &entry, &self.plan));
        }
    }

    fn take(&mut self, entry: Dead) {
        let count = |reason: Reason| self.status.dead_letters[reason as usize].fetch_add(1, Relaxed);
        match entry {
            Dead::Letter(letter) => {
                for row in &letter.rows {
                    count(row.reason);
                }
                if let Some(topics) = &mut self.topics {
                    topics.send(Box::new(letter));
                }
            }
            Dead::Refused(letter) => self.write_rows(letter),
            Dead::Sync(kept) => {
                until_done(&self.ballast, || self.file.sync());
                // Whoever waits has gone only if all ends.
                let _ = kept.send(());
            }
            Dead::Row { ref row, .. } => {
                count(row.reason);
                until_done(&self.ballast, || write(&mut self.file, &entry, &self.plan));
            }
            Dead::Late(_) => {
                count(Reason::Late);
                until_done(&self.ballast, || write(&mut self.file, &entry, &self.plan));
            }
            Dead::Keep(_) => {}
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
        Dead::Keep(_) | Dead::Letter(_) | Dead::Refused(_) | Dead::Sync(_) => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "[source.a]\ntype = \"kafka\"\nbrokers = \"b:9092\"\ntopics = \"t\"\n[stream.s]\nfrom = \"a\"\n\
                         key = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
                         window = { type = \"tumbling\", size = \"1m\" }\n";

    fn letter(position: u64) -> Letter {
        let message = Message {
            source: "a".into(),
            topic: "t".into(),
            payload: vec![0].into(),
            arrival: Arrival(1),
            idempotency_key: None,
            origin: None,
        };
        let row =
            DeadRow { stream: None, row: 0, reason: Reason::Malformed, detail: String::new(), range: 0..1 };
        Letter::new(Position(position), &message, vec![row])
    }

    #[test]
    fn refused_letters_are_in_the_file_once_that_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let plan = crate::config::parse(CONFIG, "", &Default::default());
        let plan = Arc::new(plan.unwrap_or_else(|problems| panic!("{problems}")));
        let mut station = DeadStation {
            file: DeadLetters::open(&path, u64::MAX).unwrap(),
            topics: None,
            dead: mpsc::channel(1).1,
            keep: mpsc::channel(1).0,
            status: Arc::new(Status::new(&plan, 0)),
            plan,
            ballast: Arc::new(Ballast::new(folder.path())),
        };
        (0..3).for_each(|position| station.take(Dead::Refused(letter(position))));
        let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!(lines(), 0, "the disk is waited for once, not for each");
        let (kept_to, kept) = std::sync::mpsc::channel();
        station.take(Dead::Sync(kept_to));
        assert_eq!((kept.recv(), lines()), (Ok(()), 3));
        assert!(kept.recv().is_err(), "it is answered once");
    }
}
