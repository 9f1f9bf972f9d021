//! The snapshots' thread: writes one state at a time, and works out up to where the log may be cut.
//!
//! A state comes here by way of the outbox and the dead letters (see [`Kept`]): a snapshot says that the
//! messages before it need never be read again, so what followed from them must be on the disk first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::mpsc;

use crate::config::plan::Plan;
use crate::durable::{LogError, SnapshotName, Snapshots};
use crate::latency::Clock;
use crate::pipeline::ledger::{LEDGER, Ledger, Standings};
use crate::pipeline::open::fingerprint;
use crate::pipeline::restore::of;
use crate::pipeline::rounds::{Due, Standing, Turn};
use crate::status::SnapshotStatus;
use crate::types::{PARTITIONS, Position};

/// A copied state on its way to the disk.
pub struct Kept {
    pub of: Due,
    /// Every message before it is part of the state.
    pub position: Position,
    /// With room for the header.
    pub file: Vec<u8>,
    pub turn: Turn,
}

pub struct Keeper {
    snapshots: Snapshots,
    plan: Arc<Plan>,
    /// Messages before it are needed by nobody, even if the newest snapshot of each kind is damaged.
    floor: Arc<AtomicU64>,
    /// Standings of the kept ledgers, newest first.
    ledgers: Vec<(Position, Standings)>,
}

impl Keeper {
    pub fn new(snapshots: Snapshots, plan: Arc<Plan>, floor: Arc<AtomicU64>) -> Self {
        Keeper { snapshots, plan, floor, ledgers: Vec::new() }
    }

    /// Runs until nobody sends any more.
    pub fn run(mut self, mut kept: mpsc::Receiver<Kept>, status: &SnapshotStatus, clock: Clock) {
        while let Some(Kept { of, position, mut file, turn }) = kept.blocking_recv() {
            let stored = self.keep(of, position, &mut file);
            let bytes = file.len() as u64;
            turn.give_back(file);
            match stored {
                Ok(()) => {
                    turn.done();
                    status.written_total.fetch_add(1, Relaxed);
                    status.bytes_total.fetch_add(bytes, Relaxed);
                    if of == (Due::Ledger { whole: true }) {
                        status.round.store(clock.now_ns(), Relaxed);
                    }
                }
                Err(error) => {
                    status.failures_total.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "snapshot not written; the log holds what it would have")
                }
            }
        }
    }

    /// Writes one, and moves the floor.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn keep(&mut self, due: Due, position: Position, file: &mut [u8]) -> Result<(), LogError> {
        let (of, config) = match due {
            Due::Ledger { .. } => (LEDGER.to_owned(), [0; 32]),
            Due::Partition(index) => {
                let stream = &self.plan.streams[index / PARTITIONS];
                (of(&stream.name, index % PARTITIONS), fingerprint(&self.plan, stream))
            }
        };
        self.snapshots.store(&SnapshotName { of, position }, config, file)?;
        if matches!(due, Due::Ledger { .. }) {
            if let Ok((_, standings)) = Ledger::decode(position, &file[Snapshots::HEADER_BYTES..]) {
                self.ledgers.insert(0, (position, standings));
                self.ledgers.truncate(2);
            }
            self.floor.store(self.lowest_needed()?, Relaxed);
        }
        Ok(())
    }

    /// From where the log is needed if the newest snapshot of everything turned out damaged. Only ledgers
    /// of this process count, so for a round or two after a start nothing is cut.
    fn lowest_needed(&self) -> Result<u64, LogError> {
        let [_, (older, standings)] = &self.ledgers[..] else { return Ok(0) };
        let names = self.snapshots.list()?;
        let mut lowest = older.0;
        for stream in &self.plan.streams {
            let Some(partitions) = standings.get(&stream.name) else { return Ok(0) };
            for (id, standing) in partitions.iter().enumerate() {
                let of = of(&stream.name, id);
                let second = names.iter().filter(|name| name.of == of).nth(1);
                lowest = match (second, standing) {
                    (Some(second), _) => lowest.min(second.position.0),
                    (None, Standing::Empty) => lowest,
                    (None, Standing::Changed { first }) => lowest.min(first.0),
                    (None, Standing::SavedAt(_)) => return Ok(0),
                };
            }
        }
        Ok(lowest)
    }
}
