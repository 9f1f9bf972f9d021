//! What the owner of a partition writes of it: snapshots, and readings of the wall clock.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::End;
use super::manifest::Control;
use super::session::Session;
use crate::types::{Arrival, Idle, PartitionId, StreamId};

/// How often is looked for partitions that nothing comes to.
const LOOK: Duration = Duration::from_millis(250);

impl Session<'_> {
    /// One partition after the other, each once in `snapshot_every`.
    pub(super) fn save_one(&mut self) -> Result<(), End> {
        let every = self.driver.plan.durable.snapshot_every;
        // The one before is still on its way.
        if !self.pending.state.is_empty() {
            return Ok(());
        }
        let due = self.owned.iter().find(|(_, owned)| owned.changed && owned.saved.elapsed() >= every);
        match due.map(|(partition, _)| *partition) {
            Some(partition) => self.save(partition),
            None => Ok(()),
        }
    }

    /// Puts what is known of a partition on its way to the state topic.
    pub(super) fn save(&mut self, partition: i32) -> Result<(), End> {
        let Session { owned, driver, pending, terms, .. } = self;
        let Some(owned) = owned.get_mut(&partition) else { return Ok(()) };
        if !owned.changed || owned.is_replaying() {
            return Ok(());
        }
        let began_ns = driver.clock.now_ns();
        let id = PartitionId::of_kafka(partition);
        let mut bytes = 0;
        for (stream, shelved) in owned.streams.iter_mut().enumerate() {
            let name = &driver.plan.streams[stream].name;
            let state = driver.hand.save(StreamId(stream as u16), id)?;
            bytes += state.as_ref().map_or(0, Vec::len);
            pending.state.extend(shelved.save(partition, name, &terms[stream], (owned.next, state)));
        }
        (owned.changed, owned.saved) = (false, Instant::now());
        let (status, now_ns) = (&driver.status.snapshots, driver.clock.now_ns());
        let pause_ns = (now_ns - began_ns).max(0).unsigned_abs();
        status.written_total.fetch_add(1, Relaxed);
        status.bytes_total.fetch_add(bytes as u64, Relaxed);
        status.pause_ns_last.store(pause_ns, Relaxed);
        status.pause_ns_max.fetch_max(pause_ns, Relaxed);
        if self
            .owned
            .values()
            .all(|owned| !owned.changed || owned.saved.elapsed() < driver.plan.durable.snapshot_every)
        {
            status.round.store(now_ns, Relaxed);
        }
        Ok(())
    }

    /// Has partitions go on that nothing comes to, and writes it down with what comes of it. Of a broker that does not
    /// answer nothing is known, nor of a partition that is not read to its end.
    pub(super) fn idle(&mut self) -> Result<(), End> {
        if self.idle_looked.elapsed() < LOOK {
            return Ok(());
        }
        self.idle_looked = Instant::now();
        let Session { owned, driver, pending, .. } = self;
        let now_ns = driver.clock.now_ns();
        let is_heard = driver.status.sources[0].connected.load(Relaxed);
        for (partition, owned) in owned {
            for stream in 0..driver.plan.streams.len() {
                let Some(after) = driver.plan.streams[stream].idle_after else { continue };
                let after_ns = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
                if !is_heard || !owned.is_read() || owned.is_replaying() {
                    owned.idle_next[stream] = now_ns.saturating_add(after_ns);
                }
                let id = StreamId(stream as u16);
                let of = driver.status.partition(id, *partition as usize);
                let acts =
                    now_ns >= of.idle_acts.load(Relaxed) && now_ns - of.heard.load(Relaxed) >= after_ns;
                if now_ns < owned.idle_next[stream] || !acts {
                    continue;
                }
                owned.idle_next[stream] = now_ns.saturating_add(after_ns);
                owned.changed = true;
                let idle = Idle { at: Arrival(now_ns), after_ns };
                let control = Control { offset: owned.next, idle };
                let name = &driver.plan.streams[stream].name;
                pending.controls.push(owned.streams[stream].control(*partition, name, &control));
                driver.hand.idle((id, PartitionId::of_kafka(*partition)), owned.next, idle, false)?;
            }
        }
        Ok(())
    }
}
