//! Looking into the outbox for what is delivered.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::backlog::Revision;
use crate::alert::outbox::{OutboxError, OutboxHandle, OutboxReader};

/// From one look to the next, and at least so many times what the last one took: nothing is polled meanwhile.
const EVERY: Duration = Duration::from_secs(1);
const TIMES: u32 = 20;

#[derive(Default)]
pub struct Look {
    reader: Option<OutboxReader>,
    /// When the next one is due.
    next: Option<Instant>,
}

impl Look {
    pub fn is_due(&self) -> bool {
        self.next.is_none_or(|next| Instant::now() >= next)
    }

    /// What one of `sinks` at least is to be told yet.
    pub fn pending<'a>(
        &mut self,
        outbox: &OutboxHandle,
        sinks: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeSet<Revision>, OutboxError> {
        let began = Instant::now();
        let found = self.ask(outbox, sinks);
        if found.is_err() {
            self.reader = None;
        }
        self.next = Some(Instant::now() + EVERY.max(began.elapsed() * TIMES));
        found
    }

    fn ask<'a>(
        &mut self,
        outbox: &OutboxHandle,
        sinks: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeSet<Revision>, OutboxError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(outbox.reader()?),
        };
        let mut pending = BTreeSet::new();
        for sink in sinks {
            pending.extend(reader.pending(sink)?);
        }
        Ok(pending)
    }
}
