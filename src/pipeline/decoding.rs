//! The decode station's thread: what the log made durable becomes rows in slots, a slot a shard.
//!
//! After a start it first reads the log back, with the control entries where they belong, and only then
//! turns to what is new: rows reach the shards in log order either way.

mod control;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::{mpsc, oneshot};

use crate::config::plan::Plan;
use crate::decode::{DeadRow, Decoder};
use crate::durable::Snapshots;
use crate::latency::{Clock, Latency, Stage};
use crate::pipeline::dead::{Dead, refuse};
use crate::pipeline::keeping::Kept;
use crate::pipeline::ledger::Ledger;
use crate::pipeline::logging::Logged;
use crate::pipeline::models::Models;
use crate::pipeline::noting::note_rows;
use crate::pipeline::recovery::{Action, Recovery, StreamsOf};
use crate::pipeline::rounds::{Due, Rounds};
use crate::pipeline::running::Counted;
use crate::pipeline::shard::{Stamps, Work};
use crate::ring::Slot;
use crate::source::http::IdempotencyIndex;
use crate::status::Status;
use crate::types::{Message, PARTITIONS, PartitionId, Position, StreamId};

/// Messages a slot during recovery.
const RECOVERY_BATCH: usize = 4096;

/// A partition of a million keys' sixty-fourth takes a second on a slow disk.
const LAST_SAVE_MAX: std::time::Duration = std::time::Duration::from_secs(10);

pub struct DecodeStation {
    pub decoder: Decoder,
    pub logged: mpsc::Receiver<Logged>,
    pub shards: Vec<mpsc::Sender<Work>>,
    pub spare: mpsc::Receiver<Slot>,
    pub dead: mpsc::Sender<Dead>,
    pub status: Arc<Status>,
    pub clock: Clock,
    pub filling: Vec<Slot>,
    /// Position after the last message decoded.
    pub next: Position,
    pub rounds: Rounds,
    pub ledger: Ledger,
    /// Told of the keys answered before this start.
    pub answered: IdempotencyIndex,
    pub plan: Arc<Plan>,
    /// Those to be activated.
    pub models: Arc<Models>,
    /// Streams of each source, for the end of a bounded one.
    pub streams_of: StreamsOf,
}

impl DecodeStation {
    /// Runs until the log's thread hangs up.
    pub fn run(mut self, recovery: Recovery, recovered: oneshot::Sender<Counted>, latency: &Latency) {
        let mut recorder = latency.recorder(Stage::Decode);
        match self.recover(recovery) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(%error, "recovery stopped; nothing new is scored, nothing acknowledged is lost");
                return;
            }
        }
        self.status.recovering.store(false, Relaxed);
        let _ = recovered
            .send(Counted { messages: self.ledger.counted.clone(), offsets: self.ledger.offsets.clone() });
        self.rounds.begin(self.clock.now_ns());
        while let Some(logged) = self.logged.blocking_recv() {
            let alive = match logged {
                Logged::Control(event) => self.control(&event),
                Logged::Beat(answer) => self.broadcast(|| Work::Beat(answer.clone())),
                Logged::Gather { stream, answer } => {
                    self.broadcast(|| Work::Gather { stream, answer: answer.clone() })
                }
                Logged::Tally { stream, of } => self.broadcast(|| Work::Tally(stream, of.clone())),
                Logged::Messages { first, messages, log_start_ns, logged_ns } => {
                    let decode_start_ns = self.clock.now_ns();
                    for (position, message) in (first.0..).map(Position).zip(&messages) {
                        self.ledger.observe(position, message);
                    }
                    let rows = self.decode(first, &messages);
                    let decoded_ns = self.clock.now_ns();
                    recorder.record(decoded_ns - decode_start_ns, rows);
                    let stamps =
                        Stamps { log_start_ns, logged_ns, decode_start_ns, decoded_ns, recovered: false };
                    self.send(stamps)
                }
            };
            if !alive || self.save().is_break() {
                return;
            }
        }
        self.save_the_rest();
    }

    /// At a clean stop: the next start has nothing to read back. Whatever cannot be written stays in the log.
    fn save_the_rest(&mut self) {
        // What fails is tried once more.
        for _ in 0..2 {
            self.rounds.hurry();
            self.last_round();
            if !self.rounds.unsaved(self.next) {
                return;
            }
        }
    }

    fn last_round(&mut self) {
        while self.last_save_is_over() {
            match self.save() {
                ControlFlow::Continue(Some(Due::Partition(_))) => {}
                ControlFlow::Continue(Some(Due::Ledger { .. })) => {
                    self.last_save_is_over();
                    return;
                }
                ControlFlow::Continue(None) | ControlFlow::Break(()) => return,
            }
        }
    }

    /// Waits for it; `false` if it takes so long that it may never be.
    fn last_save_is_over(&self) -> bool {
        let began = std::time::Instant::now();
        while self.rounds.busy() {
            if began.elapsed() > LAST_SAVE_MAX {
                tracing::warn!("the last snapshots are not written: the disk does not answer, or is full");
                return false;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        true
    }

    /// Sets a state on its way to the disk, if one is due; breaks when a shard has hung up.
    fn save(&mut self) -> ControlFlow<(), Option<Due>> {
        let position = self.next;
        let Some((due, turn)) = self.rounds.due(self.clock.now_ns(), position) else {
            return ControlFlow::Continue(None);
        };
        match due {
            Due::Partition(index) => {
                let stream = StreamId((index / PARTITIONS) as u16);
                let partition = PartitionId((index % PARTITIONS) as u8);
                let shard = &self.shards[partition.shard(self.shards.len())];
                let save = Work::Save { stream, partition, position, turn };
                if shard.blocking_send(save).is_err() {
                    return ControlFlow::Break(());
                }
            }
            Due::Ledger { .. } => {
                let mut file = vec![0; Snapshots::HEADER_BYTES];
                let standings = self.rounds.standings();
                let names = self.plan.streams.iter().map(|stream| stream.name.as_str());
                self.ledger.encode(names.zip(standings.chunks_exact(PARTITIONS)), &mut file);
                // By way of the dead letters only: it says nothing of what the shards make of messages.
                let _ = self.dead.try_send(Dead::Keep(Kept { of: due, position, file, turn }));
            }
        }
        ControlFlow::Continue(Some(due))
    }

    fn recover(&mut self, recovery: Recovery) -> Result<bool, crate::durable::LogError> {
        let Recovery { log, mut replay } = recovery;
        let mut reader = log.read_from(replay.position);
        self.next = replay.position;
        self.ledger.answered.iter().for_each(|answered| self.answered.remember(answered));
        let recovered = Stamps { recovered: true, ..Stamps::default() };
        loop {
            let batch = replay.next_batch(&mut reader, RECOVERY_BATCH)?;
            if let Some(first) = batch.first {
                self.remember(first, &batch.messages);
                self.decode(first, &batch.messages);
                self.status.recovered_messages_total.fetch_add(batch.messages.len() as u64, Relaxed);
                if !self.send(recovered) {
                    return Ok(false);
                }
            }
            for action in batch.then {
                if let Some(stream) = action.touches() {
                    self.touch(stream);
                }
                let told = match action {
                    Action::Keys { stream, keys } => self.tell_keys(stream, keys),
                    other => self.broadcast(|| other.work()),
                };
                if !told {
                    return Ok(false);
                }
            }
            if batch.last {
                return Ok(true);
            }
        }
    }

    fn touch(&mut self, stream: StreamId) {
        let first = stream.0 as usize * PARTITIONS;
        (first..first + PARTITIONS).for_each(|index| self.rounds.touch(index));
    }

    /// Takes note of what must be known before the sources start.
    fn remember(&mut self, first: Position, messages: &[Message]) {
        for (position, message) in (first.0..).map(Position).zip(messages) {
            if let Some(answered) = self.ledger.observe(position, message) {
                self.answered.remember(answered);
            }
        }
    }

    /// Decodes into the filling slots; returns the rows.
    fn decode(&mut self, first: Position, messages: &[Message]) -> u64 {
        let DecodeStation { decoder, filling, dead, rounds, plan, .. } = self;
        let shards = filling.len();
        let mut rows = 0;
        let mut dead_rows = Vec::new();
        for (i, message) in messages.iter().enumerate() {
            let position = Position(first.0 + i as u64);
            let mut emit = |record: crate::types::RecordRef<'_>| {
                if rounds.is_gone(record.stream, position) {
                    return;
                }
                rows += 1;
                let partition = record.partition;
                rounds.row(record.stream.0 as usize * PARTITIONS + partition.0 as usize, position);
                filling[partition.shard(shards)].push(record);
            };
            decoder.decode(position, message, &mut emit, &mut dead_rows);
            let gone = |row: &DeadRow| row.stream.is_some_and(|stream| rounds.is_gone(stream, position));
            let refused = dead_rows.drain(..).filter(|row| !gone(row)).collect();
            refuse(dead, plan, position, message, refused);
        }
        self.next = Position(first.0 + messages.len() as u64);
        self.status.rows_total.fetch_add(rows, Relaxed);
        note_rows(&mut self.decoder, &self.status, &self.plan);
        rows
    }

    fn send(&mut self, stamps: Stamps) -> bool {
        for shard in 0..self.shards.len() {
            if self.filling[shard].is_empty() {
                continue;
            }
            let empty = self.spare.try_recv().unwrap_or_default();
            let slot = std::mem::replace(&mut self.filling[shard], empty);
            if self.shards[shard].blocking_send(Work::Rows { slot, stamps }).is_err() {
                return false;
            }
        }
        true
    }

    fn broadcast(&mut self, work: impl Fn() -> Work) -> bool {
        self.shards.iter().all(|shard| shard.blocking_send(work()).is_ok())
    }
}
