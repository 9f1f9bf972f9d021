//! What a shard does for the driver beside judging rows: partitions come, go and are copied.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::engine::{Counts, Engine, Env, Outputs};
use crate::model::Model;
use crate::pipeline::publish::publish;
use crate::pipeline::shard::Stamps;
use crate::state::{NotUnderstood, StateReader};
use crate::status::Status;
use crate::types::drift::Drift;
use crate::types::{Idle, PartitionId, Position, StreamId};

/// Loaded models by checksum.
pub type KnownModels = Arc<[(String, Arc<Model>)]>;

pub enum Errand {
    /// The topic has so many partitions.
    Share(u64),
    /// A stream begins at this message of a partition.
    Begin {
        stream: StreamId,
        partition: PartitionId,
        position: Position,
    },
    /// Every message before `position` is part of the state.
    Restore {
        stream: StreamId,
        partition: PartitionId,
        position: Position,
        state: Vec<u8>,
        models: KnownModels,
        answer: Sender<Result<(), NotUnderstood>>,
    },
    Idle {
        of: (StreamId, PartitionId),
        before: Position,
        idle: Idle,
        /// It is replayed: what comes of it was told.
        again: bool,
    },
    /// Copy a state; nothing if no row of it was ever seen.
    Save {
        stream: StreamId,
        partition: PartitionId,
        answer: Sender<Option<Vec<u8>>>,
    },
    Forget(PartitionId),
    /// Says that everything before it is judged, and its alerts handed on.
    Barrier(Sender<()>),
}

impl Errand {
    pub fn run(self, engine: &mut Engine, status: &Status, env: &Env<'_>, out: &mut Outputs) -> Stamps {
        let nothing_new = Stamps { recovered: true, ..Stamps::default() };
        // Whoever asked may have gone: then nobody needs the answer.
        match self {
            Errand::Share(partitions) => engine.share_among(partitions),
            Errand::Begin { stream, partition, position } => engine.begin(stream, partition, position),
            Errand::Restore { stream, partition, position, state, models, answer } => {
                let known = |checksum: &str| {
                    models.iter().find(|(known, _)| known == checksum).map(|(_, m)| m.clone())
                };
                let state = StateReader::new(&state);
                let _ = answer.send(engine.restore(stream, partition, position, state, &known, env));
            }
            Errand::Idle { of, before, idle, again } => {
                engine.idle_in(of, before, idle, env, out);
                return if again { nothing_new } else { Stamps::begun_here((env.now)()) };
            }
            Errand::Save { stream, partition, answer } => {
                let mut state = Vec::new();
                let seen = engine.save(stream, partition, &mut state);
                let _ = answer.send(seen.then_some(state));
            }
            Errand::Forget(partition) => {
                engine.forget(partition);
                (0..engine.streams()).for_each(|stream| clear(status, StreamId(stream as u16), partition));
            }
            Errand::Barrier(answer) => drop(answer.send(())),
        }
        nothing_new
    }
}

/// Its figures are the next owner's to show.
fn clear(status: &Status, stream: StreamId, partition: PartitionId) {
    let of = status.partition(stream, partition.0 as usize);
    publish(of, &Counts { watermark: i64::MIN, idle_acts: i64::MAX, ..Counts::default() }, false);
    of.set_drift(&Drift::default());
}
