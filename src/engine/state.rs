//! Saving and restoring partitions.

use super::{Engine, Env, Models};
use crate::engine::partition::Partition;
use crate::state::{NotUnderstood, StateReader, StateWriter};
use crate::types::{PARTITIONS, PartitionId, Position, StreamId};

impl Engine {
    /// About as many bytes as [`Engine::save`] would append.
    pub fn state_bytes(&self, stream: StreamId, partition: PartitionId) -> usize {
        let setup = &self.streams[stream.0 as usize];
        let partition = self.partitions[place(stream, partition)].as_ref();
        partition.map_or(0, |partition| partition.state_bytes(setup))
    }

    /// Appends the state of one stream's partition; `false` if no row of it was ever seen.
    pub fn save(&self, stream: StreamId, partition: PartitionId, to: &mut Vec<u8>) -> bool {
        let setup = &self.streams[stream.0 as usize];
        let Some(partition) = &self.partitions[place(stream, partition)] else { return false };
        to.reserve(partition.state_bytes(setup));
        partition.encode(setup, &mut StateWriter(to));
        true
    }

    /// A stream begins at this message: rows and ends of input before it are passed over. Its alerts are other ones
    /// than those of before, even about the same windows.
    pub fn begin_at(&mut self, stream: StreamId, beginning: Position) {
        self.streams[stream.0 as usize].beginning = beginning;
        let first = place(stream, PartitionId(0));
        self.applied[first..first + PARTITIONS].fill(beginning);
    }

    /// Puts back what [`Engine::save`] wrote when every message before `position` had been applied. Rows
    /// and ends of input before it are passed over from then on.
    ///
    /// # Errors
    /// If the state is that of another build, or of a model that is not loaded.
    pub fn restore(
        &mut self,
        stream: StreamId,
        partition: PartitionId,
        position: Position,
        state: StateReader<'_>,
        models: Models<'_>,
        env: &Env<'_>,
    ) -> Result<(), NotUnderstood> {
        let setup = &self.streams[stream.0 as usize];
        let mut restored = Box::new(Partition::decode(setup, partition, models, state)?);
        restored.meet_all(setup, env);
        restored.touched = true;
        self.touched.push((stream, partition));
        let place = place(stream, partition);
        self.partitions[place] = Some(restored);
        self.applied[place] = position;
        Ok(())
    }
}

pub(super) fn place(stream: StreamId, partition: PartitionId) -> usize {
    stream.0 as usize * PARTITIONS + partition.0 as usize
}

impl Partition {
    /// What a key's first row does for whoever looks on.
    fn meet_all(&mut self, setup: &super::StreamSetup, env: &Env<'_>) {
        self.follows_version = env.follows_version;
        for (key, followed) in self.followed.iter_mut().enumerate() {
            let hash = self.keys.hash(key as u32);
            (env.meets)(setup.id, hash, self.keys.bytes(key as u32));
            *followed = (env.follows)(setup.id, hash);
        }
    }
}
