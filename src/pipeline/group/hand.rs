//! The driver's hand-off to the shards: rows in slots, errands, and the alerts that come back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc;

use super::errand::{Errand, KnownModels};
use crate::config::plan::Plan;
use crate::decode::{DeadRow, Decoder};
use crate::latency::{Clock, Stage, StageRecorder};
use crate::pipeline::common::Common;
use crate::pipeline::dead::{Dead, refuse};
use crate::pipeline::letters::{self, Letter};
use crate::pipeline::noting::note_rows;
use crate::pipeline::shard::{Stamps, Work};
use crate::pipeline::storing::Outgoing;
use crate::ring::Slot;
use crate::schemas::Schemas;
use crate::state::NotUnderstood;
use crate::status::Status;
use crate::types::{Alert, Idle, Message, PartitionId, Position, RecordRef, StreamId};

/// The shards are gone, and with them the process.
#[derive(Clone, Copy, Debug)]
pub struct Gone;

pub struct Hand {
    pub shards: Vec<mpsc::Sender<Work>>,
    pub spare: mpsc::Receiver<Slot>,
    pub alerts: mpsc::Receiver<Outgoing>,
    pub decoder: Decoder,
    pub dead: mpsc::Sender<Dead>,
    pub plan: Arc<Plan>,
    pub status: Arc<Status>,
    pub clock: Clock,
    pub recorder: StageRecorder,
    /// Of each shard: rows that were judged before, and new ones.
    again: Vec<Slot>,
    new: Vec<Slot>,
    dead_rows: Vec<DeadRow>,
    raised: Vec<Alert>,
    /// Dead letters that go to a topic.
    letters: Vec<Letter>,
}

/// Both ends of what shards are connected to.
pub struct Ends {
    pub shards: Vec<mpsc::Sender<Work>>,
    pub spare: mpsc::Receiver<Slot>,
    pub alerts: mpsc::Receiver<Outgoing>,
    pub dead: mpsc::Sender<Dead>,
}

impl Hand {
    pub fn new(ends: Ends, common: &Common, registered: Arc<Schemas>) -> Self {
        let Ends { shards, spare, alerts, dead } = ends;
        let slots = || shards.iter().map(|_| Slot::default()).collect();
        let (again, new) = (slots(), slots());
        Hand {
            shards,
            spare,
            alerts,
            decoder: Decoder::with_schemas(&common.plan, registered),
            dead,
            plan: common.plan.clone(),
            status: common.status.clone(),
            clock: common.clock,
            recorder: common.latency.recorder(Stage::Decode),
            again,
            new,
            dead_rows: Vec::new(),
            raised: Vec::new(),
            letters: Vec::new(),
        }
    }

    /// Decodes a message. One that is read `again` says nothing anew: neither its alerts nor its dead letters.
    pub fn decode(&mut self, position: Position, message: &Message, again: bool) {
        let Hand { decoder, dead_rows, status, .. } = self;
        let filling = if again { &mut self.again } else { &mut self.new };
        let shards = filling.len();
        let mut rows = 0;
        let mut emit = |record: RecordRef<'_>| {
            rows += 1;
            filling[record.partition.shard(shards)].push(record);
        };
        decoder.decode(position, message, &mut emit, dead_rows);
        status.rows_total.fetch_add(rows, Relaxed);
        let refused: Vec<DeadRow> = self.dead_rows.drain(..).filter(|_| !again).collect();
        if refused.is_empty() || letters::source_of(&self.plan, message).is_none() {
            return refuse(&self.dead, &self.plan, position, message, refused);
        }
        for row in &refused {
            self.status.dead_letters[row.reason as usize].fetch_add(1, Relaxed);
        }
        self.letters.push(Letter::new(position, message, refused));
    }

    /// Of messages that were decoded since the last call.
    pub fn letters(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.letters)
    }

    /// Hands on what was decoded; what came `from_ns` on. Rows that were judged before go first: new ones of the same
    /// partition lie behind them.
    pub fn send(&mut self, from_ns: i64) -> Result<(), Gone> {
        note_rows(&mut self.decoder, &self.status, &self.plan);
        let decoded_ns = self.clock.now_ns();
        let stamps = Stamps {
            log_start_ns: from_ns,
            logged_ns: from_ns,
            decode_start_ns: from_ns,
            decoded_ns,
            recovered: false,
        };
        let rows: usize = self.new.iter().map(Slot::len).sum();
        self.recorder.record(decoded_ns - from_ns, rows as u64);
        self.send_slots(true, Stamps { recovered: true, ..stamps })?;
        self.send_slots(false, stamps)
    }

    fn send_slots(&mut self, again: bool, stamps: Stamps) -> Result<(), Gone> {
        for shard in 0..self.shards.len() {
            let filling = if again { &mut self.again } else { &mut self.new };
            if filling[shard].is_empty() {
                continue;
            }
            let slot = std::mem::replace(&mut filling[shard], self.spare.try_recv().unwrap_or_default());
            self.work(shard, Work::Rows { slot, stamps })?;
        }
        Ok(())
    }

    /// A full hand-off is waited for, but never while the shards wait for theirs.
    fn work(&mut self, shard: usize, work: Work) -> Result<(), Gone> {
        self.collect();
        self.shards[shard].blocking_send(work).map_err(|_| Gone)
    }

    /// Alerts that have come so far; those of messages that were judged before are told already.
    fn collect(&mut self) {
        while let Ok(outgoing) = self.alerts.try_recv() {
            if let Outgoing::Alerts(alerts) = outgoing {
                self.raised.extend(alerts.into_iter().filter(|alert| !alert.receipt.recovered));
            }
        }
    }

    fn errand(&mut self, partition: PartitionId, errand: Errand) -> Result<(), Gone> {
        let shard = partition.shard(self.shards.len());
        self.work(shard, Work::Errand(errand))
    }

    pub fn each(&mut self, work: impl Fn() -> Work) -> Result<(), Gone> {
        (0..self.shards.len()).try_for_each(|shard| self.work(shard, work()))
    }

    /// Waits until everything handed on is judged; the alerts that came of it, since the last call.
    pub fn barrier(&mut self) -> Result<Vec<Alert>, Gone> {
        let (answer, answers) = channel();
        self.each(|| Work::Errand(Errand::Barrier(answer.clone())))?;
        (0..self.shards.len()).try_for_each(|_| answers.recv()).map_err(|_| Gone)?;
        self.collect();
        Ok(std::mem::take(&mut self.raised))
    }

    /// What was decoded or handed on and is of no use any more goes.
    pub fn drop_all(&mut self) -> Result<(), Gone> {
        self.again.iter_mut().chain(&mut self.new).for_each(Slot::clear);
        self.letters.clear();
        self.barrier().map(drop)
    }

    pub fn share_among(&mut self, partitions: i32) -> Result<(), Gone> {
        self.each(|| Work::Errand(Errand::Share(u64::from(partitions.unsigned_abs()))))
    }

    pub fn begin(&mut self, stream: StreamId, partition: PartitionId, offset: i64) -> Result<(), Gone> {
        let position = Position(offset.unsigned_abs());
        self.errand(partition, Errand::Begin { stream, partition, position })
    }

    pub fn restore(
        &mut self,
        (stream, partition): (StreamId, PartitionId),
        offset: i64,
        state: Vec<u8>,
        models: KnownModels,
    ) -> Result<Result<(), NotUnderstood>, Gone> {
        let (answer, answers) = channel();
        let position = Position(offset.unsigned_abs());
        self.errand(partition, Errand::Restore { stream, partition, position, state, models, answer })?;
        one(&answers)
    }

    pub fn idle(
        &mut self,
        of: (StreamId, PartitionId),
        offset: i64,
        idle: Idle,
        again: bool,
    ) -> Result<(), Gone> {
        let before = Position(offset.unsigned_abs());
        self.errand(of.1, Errand::Idle { of, before, idle, again })
    }

    pub fn save(&mut self, stream: StreamId, partition: PartitionId) -> Result<Option<Vec<u8>>, Gone> {
        let (answer, answers): (Sender<_>, _) = channel();
        self.errand(partition, Errand::Save { stream, partition, answer })?;
        one(&answers)
    }

    pub fn forget(&mut self, partition: PartitionId) -> Result<(), Gone> {
        self.errand(partition, Errand::Forget(partition))
    }
}

fn one<T>(answers: &Receiver<T>) -> Result<T, Gone> {
    answers.recv().map_err(|_| Gone)
}
