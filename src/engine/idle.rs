//! Partitions that nothing comes to any more, or not now: time passes for them by entries of the control log.
//!
//! An entry names a reading of the wall clock. What it means for a partition follows from arrivals, and those
//! stand in the log: one that had a row shortly before is let alone, however far its event time is behind,
//! and the others go on as their own devices' clocks would have. So one device whose clock is wrong, or
//! that sends what it had stored, moves nobody else's watermark, and a replay needs no clock.

use std::ops::Range;

use super::{Engine, Env, Outputs, Scratch};
use crate::config::plan::Shape;
use crate::engine::partition::{Closing, Partition};
use crate::engine::setup::StreamSetup;
use crate::state::{NotUnderstood, StateReader, StateWriter};
use crate::types::{Idle, PARTITIONS, PartitionId, Position, RecordRef, StreamId};
use crate::window::grid::cell_of;

/// A break that came twice is how the devices are: so many of it are waited for ...
const USUAL_BREAKS: i64 = 2;
/// ... while it has been seen within so many of it.
const REMEMBERED: i64 = 4;

/// A time without arrivals, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Break {
    ns: i64,
    /// Forgotten after that.
    until: i64,
}

/// When a partition last heard of its devices, wall clock ns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Hearing {
    /// The two longest breaks of late, longest first. Devices that send what they gathered every few minutes
    /// must not find their windows closed; one outage changes nothing.
    breaks: [Break; 2],
    /// Arrival of the newest row, by event time; or what it was said to be by an entry.
    newest: i64,
    /// Arrival of any row.
    last: i64,
    /// Its source came to an end after that: nothing is waited for.
    pub ended: bool,
}

impl Hearing {
    pub fn row(&mut self, record: &RecordRef<'_>, newest_time: i64) {
        if self.last > 0 && record.arrival.0 > self.last {
            self.note_break(record.arrival.0 - self.last, record.arrival.0);
        }
        self.last = self.last.max(record.arrival.0);
        self.ended = false;
        if record.time.0 > newest_time {
            self.newest = record.arrival.0;
        }
    }

    fn note_break(&mut self, ns: i64, now: i64) {
        for known in &mut self.breaks {
            if ns >= known.ns / 4 * 3 {
                known.until = now.saturating_add(known.ns.saturating_mul(REMEMBERED));
            } else if now > known.until {
                *known = Break::default();
            }
        }
        let [longest, second] = &mut self.breaks;
        if ns > second.ns {
            *second = Break { ns, until: now.saturating_add(ns.saturating_mul(REMEMBERED)) };
        }
        if second.ns > longest.ns {
            std::mem::swap(longest, second);
        }
    }

    /// Since when it is idle if it has to be for `after_ns`, by the wall clock.
    fn idle_from(&self, after_ns: i64) -> i64 {
        self.last.saturating_add(after_ns.max(self.breaks[1].ns.saturating_mul(USUAL_BREAKS)))
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Hearing { breaks, newest, last, ended } = *self;
        for Break { ns, until } in breaks {
            to.number(ns);
            to.number(until);
        }
        to.number(newest);
        to.number(last);
        to.flag(ended);
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut breaks = [Break::default(); 2];
        for known in &mut breaks {
            *known = Break { ns: from.number()?, until: from.number()? };
        }
        Ok(Hearing { breaks, newest: from.number()?, last: from.number()?, ended: from.flag()? })
    }
}

impl Engine {
    /// So much wall-clock time had passed before the message at `before`: partitions of `stream` that had no
    /// row for long go on. (Doing so twice at the same place changes nothing.)
    pub fn idle(&mut self, stream: StreamId, before: Position, idle: Idle, env: &Env<'_>, out: &mut Outputs) {
        self.each(stream, before, |partition, setup, scratch| partition.idle(idle, setup, scratch, env, out));
    }

    /// Does something that is no row, and precedes the message at `before`, to the stream's partitions.
    pub(super) fn each(
        &mut self,
        stream: StreamId,
        before: Position,
        act: impl FnMut(&mut Partition, &StreamSetup, &mut Scratch),
    ) {
        self.each_of(stream, 0..PARTITIONS, before, act);
    }

    /// The same, to some of them.
    pub(super) fn each_of(
        &mut self,
        stream: StreamId,
        ids: Range<usize>,
        before: Position,
        mut act: impl FnMut(&mut Partition, &StreamSetup, &mut Scratch),
    ) {
        let setup = &self.streams[stream.0 as usize];
        for id in ids {
            let index = stream.0 as usize * PARTITIONS + id;
            if before < self.applied[index] {
                continue;
            }
            if let Some(partition) = &mut self.partitions[index] {
                act(partition, setup, &mut self.scratch);
                if !partition.touched {
                    partition.touched = true;
                    self.touched.push((stream, PartitionId(id as u8)));
                }
            }
        }
    }
}

impl Partition {
    /// Everything held back becomes final.
    pub(super) fn flush(
        &mut self,
        setup: &StreamSetup,
        scratch: &mut Scratch,
        env: &Env<'_>,
        out: &mut Outputs,
    ) {
        if self.started {
            let until = cell_of(self.newest_time + setup.pause_ns(), setup.grid_ns) + 1;
            self.counts.watermark = until * setup.grid_ns;
            let mut closing = Closing { setup, scratch, env, out, trigger: (env.now)() };
            self.advance(until, &mut closing);
            self.settle(self.released, &mut closing);
            self.hearing.ended = true;
        }
    }

    pub(super) fn idle(
        &mut self,
        idle: Idle,
        setup: &StreamSetup,
        scratch: &mut Scratch,
        env: &Env<'_>,
        out: &mut Outputs,
    ) {
        let Hearing { newest, ended, .. } = self.hearing;
        if !self.started || ended || idle.at.0 < self.hearing.idle_from(idle.after_ns) {
            return;
        }
        // Never ahead of the wall clock: where that was set forward, the time it skipped has not passed.
        let time = self.newest_time.saturating_add(idle.at.0 - newest).min(idle.at.0);
        if time <= self.newest_time {
            return;
        }
        self.newest_time = time;
        self.hearing.newest = idle.at.0;
        self.counts.watermark = time - setup.disorder_ns;
        let until = cell_of(self.counts.watermark, setup.grid_ns);
        let mut closing = Closing { setup, scratch, env, out, trigger: (env.now)() };
        self.advance(until, &mut closing);
        self.settle(self.released, &mut closing);
    }

    /// Says from when on, by the wall clock, an entry would change something: so that none is written that
    /// would not.
    pub(super) fn note_idle(&mut self, setup: &StreamSetup) {
        let acts_at = if self.started && !self.hearing.ended { self.acts_at(setup) } else { i64::MAX };
        let ahead = acts_at.saturating_add(setup.disorder_ns);
        self.counts.heard = self.hearing.last;
        self.counts.idle_acts = if acts_at == i64::MAX {
            i64::MAX
        } else {
            let caught_up = ahead.saturating_sub(self.newest_time).saturating_add(self.hearing.newest);
            ahead.max(caught_up).max(self.hearing.idle_from(0))
        };
    }

    /// The watermark at which the next window closes or the next key may be silent; `i64::MAX` if neither.
    fn acts_at(&self, setup: &StreamSetup) -> i64 {
        if setup.shape != Shape::Grid {
            let bucket =
                if self.pending.rows() > 0 { self.released } else { self.events.next_end_bucket(setup) };
            return self.silence.next().min(bucket.saturating_add(1).saturating_mul(setup.grid_ns));
        }
        let reach = setup.cells as i64 + setup.every_cells;
        let held_back = self.pending.rows() > 0
            || !self.unsettled.is_empty()
            || (self.newest_cell > i64::MIN && self.released <= self.newest_cell.saturating_add(reach));
        let next_end = (self.released.div_euclid(setup.every_cells) + 1) * setup.every_cells * setup.grid_ns;
        if held_back { self.silence.next().min(next_end) } else { self.silence.next() }
    }
}
