//! What control entries do: each reaches every shard between the rows it stands between in the log.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::DecodeStation;
use crate::durable::ControlEvent;
use crate::pipeline::shard::Work;
use crate::types::StreamId;

impl DecodeStation {
    /// False once the shards are gone.
    pub(super) fn control(&mut self, event: &ControlEvent) -> bool {
        match event {
            ControlEvent::EndOfInput { source } => {
                let streams = (self.streams_of)(source);
                let before = self.next;
                streams.iter().for_each(|stream| self.touch(*stream));
                streams.into_iter().all(|stream| self.broadcast(|| Work::EndOfInput { stream, before }))
            }
            ControlEvent::Idle { stream, idle } => {
                let Some(stream) = self.stream(stream) else { return true };
                let (before, idle) = (self.next, *idle);
                self.touch(stream);
                self.broadcast(|| Work::Idle { stream, before, idle })
            }
            ControlEvent::Keys { stream, keys } => {
                let (stream, keys) = (self.stream(stream), *keys);
                stream.is_none_or(|stream| self.tell_keys(stream, keys))
            }
            ControlEvent::Feedback { stream, feedback } => {
                let Some(stream) = self.stream(stream) else { return true };
                let (before, said) = (self.next, Arc::new(feedback.clone()));
                self.touch(stream);
                self.broadcast(|| Work::Feedback { stream, before, said: said.clone() })
            }
            ControlEvent::Risks { stream, risks } => {
                let risks: Arc<[(u32, u16)]> = risks.as_slice().into();
                let stream = self.stream(stream);
                stream.is_none_or(|stream| self.broadcast(|| Work::Risks(stream, risks.clone())))
            }
            ControlEvent::ModelActivated { stream, activation } => {
                match (self.stream(stream), self.models.take(&activation.checksum)) {
                    (Some(stream), Ok(model)) => {
                        self.broadcast(|| Work::Activate { stream, model: model.clone() })
                    }
                    // To score on by the model before would be against the log, which a replay follows.
                    (_, Err(error)) => {
                        tracing::error!(
                            stream,
                            ?error,
                            "the model that is active from here on cannot be read, so nothing new is scored: restore \
                             `models` in the data folder and start again"
                        );
                        false
                    }
                    (None, Ok(_)) => true,
                }
            }
            // Written at the start only, and replayed by recovery.
            ControlEvent::Config { .. } | ControlEvent::Reset { .. } => true,
            // Of no engine's interest: they are about delivery.
            ControlEvent::Silenced { .. }
            | ControlEvent::SilenceEnded { .. }
            | ControlEvent::Acknowledged { .. } => true,
        }
    }

    pub(super) fn tell_keys(&mut self, stream: StreamId, keys: u64) -> bool {
        self.status.keys_noted(stream).store(keys, Relaxed);
        self.broadcast(|| Work::Keys { stream, keys })
    }

    pub(super) fn stream(&self, name: &str) -> Option<StreamId> {
        let id = self.plan.streams.iter().position(|plan| plan.name == name)?;
        Some(StreamId(id as u16))
    }
}
