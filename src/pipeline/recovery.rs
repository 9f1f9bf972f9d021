//! Reading the log and the control log back as one sequence.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::plan::Plan;
use crate::durable::{ControlEntry, ControlEvent, Log, LogError, LogReader};
use crate::model::Model;
use crate::pipeline::shard::Work;
use crate::types::{Feedback, Idle, Message, Position, StreamId};

/// A batch ends once its payloads reach this, so that a log of large messages is read back in no more
/// memory than it was taken in.
const BATCH_BYTES: usize = 4 << 20;

/// The log from where the snapshots need it to the position at which the process took over.
pub struct Recovery {
    /// The log as it was found; the one that is written to is another handle.
    pub log: Log,
    pub replay: Replay,
}

/// Where the reading back stands.
pub struct Replay {
    pub control: VecDeque<ControlEntry>,
    /// Loaded models by checksum.
    pub models: Vec<(String, Arc<Model>)>,
    pub stream_ids: Vec<String>,
    /// Streams that end with a source.
    pub streams_of: StreamsOf,
    /// Of the next message to be read.
    pub position: Position,
}

/// A control entry's effect on every shard.
pub enum Action {
    Activate { stream: StreamId, model: Arc<Model> },
    EndOfInput { stream: StreamId, before: Position },
    Idle { stream: StreamId, before: Position, idle: Idle },
    Keys { stream: StreamId, keys: u64 },
    Risks { stream: StreamId, risks: Arc<[(u32, u16)]> },
    Feedback { stream: StreamId, before: Position, said: Arc<Feedback> },
}

impl Action {
    pub fn work(&self) -> Work {
        match self {
            Action::Activate { stream, model } => Work::Activate { stream: *stream, model: model.clone() },
            Action::EndOfInput { stream, before } => Work::EndOfInput { stream: *stream, before: *before },
            Action::Idle { stream, before, idle } => {
                Work::Idle { stream: *stream, before: *before, idle: *idle }
            }
            Action::Keys { stream, keys } => Work::Keys { stream: *stream, keys: *keys },
            Action::Risks { stream, risks } => Work::Risks(*stream, risks.clone()),
            Action::Feedback { stream, before, said } => {
                Work::Feedback { stream: *stream, before: *before, said: said.clone() }
            }
        }
    }

    /// The stream whose partitions it changes though no row of theirs is read.
    pub fn touches(&self) -> Option<StreamId> {
        match self {
            Action::Activate { .. } | Action::Keys { .. } | Action::Risks { .. } => None,
            Action::EndOfInput { stream, .. }
            | Action::Idle { stream, .. }
            | Action::Feedback { stream, .. } => Some(*stream),
        }
    }
}

/// Consecutive messages, and what happens right after them.
#[derive(Default)]
pub struct Batch {
    pub first: Option<Position>,
    pub messages: Vec<Message>,
    pub then: Vec<Action>,
    pub last: bool,
}

impl Replay {
    /// At most `limit` messages or about [`BATCH_BYTES`], ending early where a control entry belongs.
    ///
    /// # Errors
    /// If the log cannot be read back.
    pub fn next_batch(&mut self, reader: &mut LogReader<'_>, limit: usize) -> Result<Batch, LogError> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.messages.len() < limit && bytes < BATCH_BYTES {
            self.take_control(&mut batch);
            if !batch.then.is_empty() {
                return Ok(batch);
            }
            match reader.next().transpose()? {
                Some((position, message)) => {
                    bytes += message.payload.len();
                    batch.first.get_or_insert(position);
                    batch.messages.push(message);
                    self.position = Position(position.0 + 1);
                }
                None => {
                    batch.last = true;
                    return Ok(batch);
                }
            }
        }
        Ok(batch)
    }

    fn stream(&self, name: &str) -> Option<StreamId> {
        let id = self.stream_ids.iter().position(|known| known == name)?;
        Some(StreamId(id as u16))
    }

    /// Moves the control entries that precede the next message into `batch.then`.
    fn take_control(&mut self, batch: &mut Batch) {
        while self.control.front().is_some_and(|entry| entry.precedes <= self.position) {
            let Some(entry) = self.control.pop_front() else { return };
            match entry.event {
                ControlEvent::Config { .. }
                | ControlEvent::Reset { .. }
                | ControlEvent::Silenced { .. }
                | ControlEvent::SilenceEnded { .. }
                | ControlEvent::Acknowledged { .. } => {}
                ControlEvent::ModelActivated { stream, activation } => {
                    let id = self.stream(&stream);
                    let model = self.models.iter().find(|(known, _)| *known == activation.checksum);
                    if let (Some(stream), Some((_, model))) = (id, model) {
                        batch.then.push(Action::Activate { stream, model: model.clone() });
                    }
                }
                ControlEvent::EndOfInput { source } => {
                    let streams = (self.streams_of)(&source);
                    let before = entry.precedes;
                    batch
                        .then
                        .extend(streams.into_iter().map(|stream| Action::EndOfInput { stream, before }));
                }
                ControlEvent::Idle { stream, idle } => {
                    let before = entry.precedes;
                    let action = |stream| Action::Idle { stream, before, idle };
                    batch.then.extend(self.stream(&stream).map(action));
                }
                ControlEvent::Feedback { stream, feedback } => {
                    let (before, said) = (entry.precedes, Arc::new(feedback));
                    batch.then.extend(self.stream(&stream).map(|stream| Action::Feedback {
                        stream,
                        before,
                        said,
                    }));
                }
                ControlEvent::Risks { stream, risks } => {
                    let action = |stream| Action::Risks { stream, risks: risks.into() };
                    batch.then.extend(self.stream(&stream).map(action));
                }
                ControlEvent::Keys { stream, keys } => {
                    let stream = self.stream(&stream);
                    batch.then.extend(stream.map(|stream| Action::Keys { stream, keys }));
                }
            }
        }
    }
}

/// Streams that end with a source, by its name.
pub type StreamsOf = Box<dyn Fn(&str) -> Vec<StreamId> + Send>;

/// A stream ends with its source only if it has no other: of two files the first to end must not make
/// the other's rows late.
pub fn streams_of(plan: &Plan) -> StreamsOf {
    let from: Vec<Vec<String>> = plan.streams.iter().map(|s| s.from.clone()).collect();
    Box::new(move |source| {
        let takes = |(id, from): (usize, &Vec<String>)| {
            (from.len() == 1 && from[0] == source).then_some(StreamId(id as u16))
        };
        from.iter().enumerate().filter_map(takes).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_of_a_stream_s_keys_and_risks_acts_again_at_its_place() {
        let keys = |precedes, stream: &str, keys| ControlEntry {
            precedes: Position(precedes),
            event: ControlEvent::Keys { stream: stream.into(), keys },
        };
        let risks = ControlEntry {
            precedes: Position(7),
            event: ControlEvent::Risks { stream: "fans".into(), risks: vec![(7, 4766)] },
        };
        let mut replay = Replay {
            control: [keys(0, "pumps", 3), keys(7, "fans", 5), risks, keys(7, "pumps", 9)].into(),
            models: Vec::new(),
            stream_ids: vec!["fans".into(), "pumps".into()],
            streams_of: Box::new(|_| Vec::new()),
            position: Position(6),
        };
        let mut taken = |position| {
            replay.position = Position(position);
            let mut batch = Batch::default();
            replay.take_control(&mut batch);
            let of = |action: &Action| match action {
                Action::Keys { stream, keys } => (stream.0, *keys),
                Action::Risks { stream, risks } => (stream.0, u64::from(risks[0].1)),
                _ => panic!("another action"),
            };
            batch.then.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(taken(6), [(1, 3)]);
        assert_eq!(taken(7), [(0, 5), (0, 4766), (1, 9)]);
    }
}
