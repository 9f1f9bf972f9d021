//! Starting from snapshots: each partition from its newest good one, and where the log must be read from
//! so that nothing behind any of them is missed.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::plan::{Plan, StreamPlan};
use crate::durable::{
    ControlEntry, ControlEvent, Log, LogError, SnapshotError, SnapshotName, Snapshots, beginning,
};
use crate::engine::{Engine, Env};
use crate::model::Model;
use crate::pipeline::ledger::{LEDGER, Ledger, Standings};
use crate::pipeline::open::fingerprint;
use crate::pipeline::rounds::{Begun, Standing};
use crate::state::{NotUnderstood, StateReader};
use crate::types::{PARTITIONS, PartitionId, Position, StreamId};

/// Why a start from snapshots is refused.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(
        "{of} cannot be restored: {error}; run the version that wrote it, or start with an empty folder (`[durable] path`)"
    )]
    State { of: String, error: NotUnderstood },
    #[error(
        "{of} has no good snapshot, and the log it could be made from begins at message {first} only: restore \
         {} from a backup, or start with an empty folder (`[durable] path`)",
        dir.display()
    )]
    LogGone { of: String, first: u64, dir: PathBuf },
}

impl RestoreError {
    /// Config or program do not belong to what is on the disk.
    pub fn is_mismatch(&self) -> bool {
        use SnapshotError::{Config, Version};
        matches!(self, RestoreError::Snapshot(Config { .. } | Version { .. }) | RestoreError::State { .. })
    }
}

impl From<LogError> for RestoreError {
    fn from(error: LogError) -> Self {
        RestoreError::Snapshot(error.into())
    }
}

/// Where a start goes on from.
#[derive(Debug)]
pub struct Restored {
    /// The log is to be read from here.
    pub start: Position,
    /// `stream * PARTITIONS + partition`
    pub partitions: Vec<Begun>,
    pub ledger: Ledger,
}

/// What is on the disk, and what it is held against.
pub struct Found<'a> {
    pub plan: &'a Plan,
    pub log: &'a Log,
    pub entries: &'a [ControlEntry],
    pub models: &'a [(String, Arc<Model>)],
    pub snapshots: &'a mut Snapshots,
}

/// The snapshots' name for a partition.
pub fn of(stream: &str, partition: usize) -> String {
    format!("{stream}-{partition:02}")
}

impl Found<'_> {
    /// Puts every partition that has a good snapshot into its engine (shard), and says where to go on.
    ///
    /// # Errors
    /// If a snapshot is of another config or version, or one that is needed is damaged and the log it could
    /// be made from is gone.
    pub fn restore(mut self, engines: &mut [Engine], env: &Env<'_>) -> Result<Restored, RestoreError> {
        let ledgers = self.ledgers()?;
        let names = self.sound()?;
        let ledger = ledgers.first().map(|(ledger, _)| ledger.clone()).unwrap_or_default();
        let mut start = self.reached(ledger.position, LEDGER, None)?;
        let mut partitions = Vec::with_capacity(self.plan.streams.len() * PARTITIONS);
        for (stream, StreamPlan { name, .. }) in self.plan.streams.iter().enumerate() {
            let beginning = beginning(self.entries, name);
            engines.iter_mut().for_each(|engine| engine.begin_at(StreamId(stream as u16), beginning));
            for partition in 0..PARTITIONS {
                let (stream, id) = (StreamId(stream as u16), PartitionId(partition as u8));
                let engine = &mut engines[id.shard(engines.len())];
                let restored = self.partition(stream, id, beginning, &names, engine, env)?;
                let needs = needs(restored, name, partition, &ledgers).max(beginning);
                start = start.min(self.reached(needs, &of(name, partition), Some(name))?);
                partitions.push(Begun { restored, beginning });
            }
        }
        Ok(Restored { start, partitions, ledger })
    }

    /// Names of snapshots that belong to this log. One ahead of it was taken of a log that has lost its
    /// end since; its positions are given to other messages, so it must never be used.
    fn sound(&mut self) -> Result<Vec<SnapshotName>, LogError> {
        let (ahead, sound): (Vec<_>, Vec<_>) =
            self.snapshots.list()?.into_iter().partition(|name| name.position > self.log.next_position());
        for name in ahead {
            tracing::warn!(snapshot = name.file(), "ahead of the log, which has lost its end; set aside");
            self.snapshots.set_aside(&name)?;
        }
        Ok(sound)
    }

    /// The body of a snapshot; `None` if it is damaged, and then it is set aside.
    fn body(
        &mut self,
        name: &SnapshotName,
        config: Option<[u8; 32]>,
    ) -> Result<Option<Vec<u8>>, SnapshotError> {
        match self.snapshots.read(name, config) {
            Ok(body) => Ok(Some(body)),
            Err(SnapshotError::Damaged { file, detail }) => {
                tracing::warn!(file = %file.display(), detail, "snapshot is damaged; an older one is used");
                self.snapshots.set_aside(name)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The good ones, newest first.
    fn ledgers(&mut self) -> Result<Vec<(Ledger, Standings)>, RestoreError> {
        let mut ledgers = Vec::new();
        for name in self.sound()?.iter().filter(|name| name.of == LEDGER) {
            if let Some(body) = self.body(name, None)? {
                let ledger = Ledger::decode(name.position, &body);
                ledgers.push(ledger.map_err(|error| RestoreError::State { of: name.file(), error })?);
            }
        }
        Ok(ledgers)
    }

    fn partition(
        &mut self,
        stream: StreamId,
        id: PartitionId,
        beginning: Position,
        names: &[SnapshotName],
        engine: &mut Engine,
        env: &Env<'_>,
    ) -> Result<Option<Position>, RestoreError> {
        let plan = &self.plan.streams[stream.0 as usize];
        let (of, config) = (of(&plan.name, id.0 as usize), fingerprint(self.plan, plan));
        let models = self.models;
        let model =
            |checksum: &str| models.iter().find(|(known, _)| known == checksum).map(|(_, m)| m.clone());
        // A row of a stream that was reset lies behind the reset, and so does every state made of it.
        let valid = |name: &&SnapshotName| beginning == Position(0) || name.position > beginning;
        for name in names.iter().filter(|name| name.of == of).filter(valid) {
            if let Some(body) = self.body(name, Some(config))? {
                let state = StateReader::new(&body);
                let restored = engine.restore(stream, id, name.position, state, &model, env);
                restored.map_err(|error| RestoreError::State { of: name.file(), error })?;
                return Ok(Some(name.position));
            }
        }
        Ok(None)
    }

    /// `needs`, if the log still has it. A stream that was added when the log no longer began at 0 has
    /// missed nothing that was there for it.
    fn reached(&self, needs: Position, of: &str, stream: Option<&str>) -> Result<Position, RestoreError> {
        let first = self.log.first_position();
        let added_since = stream.is_some_and(|stream| {
            let config = |entry: &&ControlEntry| {
                matches!(&entry.event, ControlEvent::Config { stream: name, .. } if name == stream)
            };
            self.entries.iter().find(config).is_none_or(|entry| entry.precedes >= first)
        });
        if needs >= first || added_since {
            return Ok(needs.max(first));
        }
        let dir = self.plan.durable.path.clone();
        Err(RestoreError::LogGone { of: of.to_owned(), first: first.0, dir })
    }
}

/// From where a partition's part of the log is needed.
fn needs(
    restored: Option<Position>,
    stream: &str,
    partition: usize,
    ledgers: &[(Ledger, Standings)],
) -> Position {
    for (ledger, standings) in ledgers {
        match (restored, standings.get(stream).map(|partitions| partitions[partition])) {
            (Some(at), Some(Standing::SavedAt(saved))) if at == saved => return ledger.position.max(at),
            (None, Some(Standing::Empty)) => return ledger.position,
            (None, Some(Standing::Changed { first })) => return first,
            _ => {}
        }
    }
    restored.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_was_never_saved_needs_the_log_from_its_first_row() {
        let ledger = |position, standing| {
            let standings = Standings::from([("pumps".to_owned(), vec![standing; PARTITIONS])]);
            (Ledger { position: Position(position), ..Ledger::default() }, standings)
        };
        let needs = |restored: Option<u64>, ledgers: &[(Ledger, Standings)]| {
            needs(restored.map(Position), "pumps", 7, ledgers).0
        };
        let changed = ledger(90, Standing::Changed { first: Position(70) });
        assert_eq!(needs(None, std::slice::from_ref(&changed)), 70);
        // What was saved and cannot be read is another matter: the one before says how far back it goes.
        let saved = ledger(95, Standing::SavedAt(Position(92)));
        assert_eq!(needs(None, &[saved.clone(), changed.clone()]), 70);
        assert_eq!(needs(None, std::slice::from_ref(&saved)), 0);
        assert_eq!(needs(Some(92), &[saved, changed.clone()]), 95, "unchanged since");
        assert_eq!(needs(Some(80), &[changed]), 80);
        assert_eq!(needs(None, &[ledger(90, Standing::Empty)]), 90);
    }
}
