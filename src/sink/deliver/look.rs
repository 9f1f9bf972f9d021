//! One visit to the outbox.

use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, Counts, Due, Outbox, OutboxError, Worker, record_latency};
use crate::config::plan::GroupPlan;
use crate::latency::Latency;
use crate::types::Silence;

/// What is due is held against the silences in lots of this many at least.
const LOT: usize = 256;

/// What the worker brings, and wants to know.
struct Visit {
    receiver: String,
    target: String,
    now_ns: i64,
    attach: bool,
    finished: Vec<Attempt>,
    set_back_ns: i64,
    latency: Latency,
    delivered_ns: Vec<i64>,
    limit: usize,
    silences: Vec<Arc<Silence>>,
    group: Option<GroupPlan>,
    gather_at_ns: i64,
}

/// What one look at the outbox gives.
#[derive(Default)]
pub(super) struct Look {
    pub due: Vec<Due>,
    pub next_due_at_ns: Option<i64>,
    /// When alerts are next put together.
    pub gather_at_ns: i64,
    pub counts: Counts,
}

impl Worker {
    /// What finished is written down before anything is taken out.
    pub(super) async fn look(&mut self, now_ns: i64, room: usize) -> Result<Look, OutboxError> {
        let visit = Visit {
            receiver: self.delivery.sink.name.clone(),
            target: self.target.clone(),
            now_ns,
            attach: !self.attached,
            finished: self.unrecorded.clone(),
            set_back_ns: self.watch.untold_ns,
            latency: self.delivery.latency.clone(),
            delivered_ns: self.delivered_ns.clone(),
            // What is under way is still due in the outbox and comes first, so ask for that much more.
            limit: if room == 0 { 0 } else { room + self.under_way.len() },
            silences: self.delivery.status.said.active(now_ns),
            group: self.delivery.sink.group.clone(),
            gather_at_ns: self.gather_at_ns,
        };
        let look = self.delivery.outbox.run(move |outbox| visit.pay(outbox)).await?;
        self.attached = true;
        self.watch.untold_ns = 0;
        self.gather_at_ns = look.gather_at_ns;
        Ok(look)
    }
}

impl Visit {
    fn pay(&self, outbox: &mut Outbox) -> Result<Look, OutboxError> {
        let Visit { receiver, target, now_ns, .. } = self;
        if self.attach {
            outbox.attach(receiver, target, *now_ns)?;
        }
        outbox.record_attempts(receiver, target, &self.finished)?;
        if self.set_back_ns > 0 {
            outbox.set_back(receiver, self.set_back_ns)?;
        }
        let mut look = Look { gather_at_ns: self.gather_at_ns, ..Look::default() };
        match &self.group {
            Some(group) => self.gather(outbox, group, &mut look)?,
            None => {
                outbox.hold_back(receiver, *now_ns, &self.silences, LOT.max(self.limit))?;
                look.due = outbox.due(receiver, *now_ns, self.limit)?;
            }
        }
        look.next_due_at_ns = outbox.next_due_at(receiver, *now_ns)?;
        look.counts = outbox.counts(receiver)?;
        if self.group.is_some() && look.counts.pending + look.counts.silenced > 0 {
            let gather_ns = look.gather_at_ns;
            look.next_due_at_ns = Some(look.next_due_at_ns.map_or(gather_ns, |due_ns| due_ns.min(gather_ns)));
        }
        record_latency(&self.latency, &self.delivered_ns);
        Ok(look)
    }

    fn gather(&self, outbox: &mut Outbox, group: &GroupPlan, look: &mut Look) -> Result<(), OutboxError> {
        let Visit { receiver, now_ns, .. } = self;
        if look.gather_at_ns <= *now_ns {
            let next_ns = outbox.gather(receiver, group, *now_ns, &self.silences)?;
            // What comes in between waits for as long at least.
            let wait = Duration::min(group.wait, group.interval);
            let later_ns = now_ns.saturating_add(wait.as_nanos() as i64);
            look.gather_at_ns = next_ns.map_or(later_ns, |next_ns| next_ns.min(later_ns));
        }
        look.due = outbox.due_incidents(receiver, *now_ns, self.limit)?;
        Ok(())
    }
}
