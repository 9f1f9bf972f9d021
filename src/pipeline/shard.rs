//! One engine thread: slots in, decisions, late rows and points out, every phase timed once a slot.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

use crate::backend::Phases;
use crate::config::plan::Plan;
use crate::durable::Snapshots;
use crate::engine::reservoir::Windows;
use crate::engine::{Engine, Env, Outputs};
use crate::latency::{Clock, Latency, Stage, StageRecorder};
use crate::model::Model;
use crate::pipeline::beat::Answer;
use crate::pipeline::dead::Dead;
use crate::pipeline::gather;
use crate::pipeline::group::Errand;
use crate::pipeline::keeping::Kept;
use crate::pipeline::publish::publish;
use crate::pipeline::receipts::{of_device, with_receipt};
use crate::pipeline::rounds::{Due, Turn};
use crate::pipeline::storing::Outgoing;
use crate::pipeline::unfitted;
use crate::ring::Slot;
use crate::status::Status;
use crate::types::{Alert, Feedback, Idle, PARTITIONS, PartitionId, Point, Position, StreamId};
use crate::watch::Watch;

/// When the messages of a slot passed the stations before the shard, ns of [`Clock`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    pub log_start_ns: i64,
    pub logged_ns: i64,
    pub decode_start_ns: i64,
    pub decoded_ns: i64,
    /// Read back from the log after a restart.
    pub recovered: bool,
}

impl Stamps {
    /// Of what no message brought.
    pub(super) fn begun_here(now_ns: i64) -> Self {
        Stamps {
            log_start_ns: now_ns,
            logged_ns: now_ns,
            decode_start_ns: now_ns,
            decoded_ns: now_ns,
            recovered: false,
        }
    }
}

pub enum Work {
    Rows {
        slot: Slot,
        stamps: Stamps,
    },
    Activate {
        stream: StreamId,
        model: Arc<Model>,
    },
    EndOfInput {
        stream: StreamId,
        before: Position,
    },
    Idle {
        stream: StreamId,
        before: Position,
        idle: Idle,
    },
    Keys {
        stream: StreamId,
        keys: u64,
    },
    Feedback {
        stream: StreamId,
        before: Position,
        said: Arc<Feedback>,
    },
    /// Of second keys.
    Risks(StreamId, Arc<[(u32, u16)]>),
    /// Copy a partition's state: every message before `position` has been handed on.
    Save {
        stream: StreamId,
        partition: PartitionId,
        position: Position,
        turn: Turn,
    },
    Beat(Answer),
    /// Copy the windows kept for a refit.
    Gather {
        stream: StreamId,
        answer: gather::Answer,
    },
    /// Add up what is known of second keys.
    Tally(StreamId, gather::TallyOf),
    /// Of partitions that come and go.
    Errand(Errand),
}

/// Everything a shard is connected to.
pub struct Shard {
    pub engine: Engine,
    pub work: mpsc::Receiver<Work>,
    pub spare: mpsc::Sender<Slot>,
    pub alerts: mpsc::Sender<Outgoing>,
    pub dead: mpsc::Sender<Dead>,
    pub points: mpsc::Sender<Vec<Point>>,
    pub status: Arc<Status>,
    pub plan: Arc<Plan>,
    pub watch: Arc<Watch>,
    pub clock: Clock,
    /// What was told before the messages were read again is told: nobody keeps what is told twice.
    pub tells_once: bool,
}

struct Recorders {
    queue: StageRecorder,
    window: StageRecorder,
    device: [StageRecorder; 3],
    score: StageRecorder,
    judge: StageRecorder,
    verdict: StageRecorder,
}

impl Shard {
    /// Runs until the decode station hangs up.
    pub fn run(mut self, latency: &Latency) {
        let mut recorders = Recorders {
            queue: latency.recorder(Stage::Queue),
            window: latency.recorder(Stage::Window),
            device: of_device(Phases::default()).map(|(stage, _)| latency.recorder(stage)),
            score: latency.recorder(Stage::Score),
            judge: latency.recorder(Stage::Judge),
            verdict: latency.recorder(Stage::Verdict),
        };
        let mut out = Outputs::default();
        // What was restored, though nothing comes to be read back.
        let restored = Stamps { recovered: true, ..Stamps::default() };
        self.hand_on(&mut out, restored, self.clock.now_ns());
        while let Some(work) = self.work.blocking_recv() {
            out.clear();
            let start_ns = self.clock.now_ns();
            let (rows, stamps) = self.take(work, &mut out);
            let took_ns = self.clock.now_ns() - start_ns;
            if !stamps.recovered {
                recorders.record(&out, rows, start_ns - stamps.decoded_ns, took_ns);
            }
            self.hand_on(&mut out, stamps, start_ns);
        }
    }

    fn take(&mut self, work: Work, out: &mut Outputs) -> (u64, Stamps) {
        let (clock, watch) = (self.clock, self.watch.clone());
        let env = Env {
            now: &move || clock.now_ns(),
            meets: &|stream, hash, key| watch.offer(stream, hash, key),
            follows_version: watch.version(),
            follows: &|stream, hash| watch.wanted(stream, hash),
        };
        match work {
            Work::Rows { slot, stamps } => {
                self.engine.step(&slot, &env, out);
                let rows = slot.len() as u64;
                self.give_back(slot);
                (rows, stamps)
            }
            Work::Activate { stream, model } => {
                let activated = self.engine.activate(stream, model);
                let _ = activated.inspect_err(|error| tracing::error!(%error, "model not activated"));
                (0, Stamps { recovered: true, ..Stamps::default() })
            }
            Work::Beat(answer) => {
                // There is room for every shard's; whoever asked may have gone.
                let _ = answer.try_send(());
                (0, Stamps { recovered: true, ..Stamps::default() })
            }
            Work::Gather { stream, answer } => {
                self.gather(stream, &answer);
                (0, Stamps { recovered: true, ..Stamps::default() })
            }
            Work::EndOfInput { stream, before } => {
                self.engine.end_of_input(stream, before, &env, out);
                (0, Stamps::begun_here(self.clock.now_ns()))
            }
            Work::Idle { stream, before, idle } => {
                self.engine.idle(stream, before, idle, &env, out);
                (0, Stamps::begun_here(self.clock.now_ns()))
            }
            Work::Keys { stream, keys } => {
                self.engine.set_keys(stream, keys);
                (0, Stamps { recovered: true, ..Stamps::default() })
            }
            Work::Feedback { stream, before, said } => {
                self.engine.feedback(stream, before, &said);
                (0, Stamps { recovered: true, ..Stamps::default() })
            }
            Work::Risks(stream, risks) => {
                self.engine.set_risks(stream, &risks);
                (0, Stamps { recovered: true, ..Stamps::default() })
            }
            Work::Tally(stream, of) => {
                let _ = of.answer.try_send(self.engine.tally(stream, of.seconds.as_deref()));
                (0, Stamps { recovered: true, ..Stamps::default() })
            }
            Work::Errand(errand) => (0, errand.run(&mut self.engine, &self.status, &env, out)),
            Work::Save { stream, partition, position, turn } => {
                self.save(stream, partition, position, turn);
                (0, Stamps { recovered: true, ..Stamps::default() })
            }
        }
    }

    fn give_back(&self, mut slot: Slot) {
        slot.clear();
        // The pool is full when decode has slots enough; this one is then simply dropped.
        let _ = self.spare.try_send(slot);
    }

    fn gather(&self, stream: StreamId, answer: &gather::Answer) {
        let mut windows = Windows::default();
        self.engine.reservoir(stream, &mut windows);
        let _ = answer.try_send(windows);
    }

    /// Scoring waits for the copy only; if there is no room to hand it on, its turn comes again.
    fn save(&self, stream: StreamId, partition: PartitionId, position: Position, turn: Turn) {
        let bytes = Snapshots::HEADER_BYTES + self.engine.state_bytes(stream, partition);
        let Some(mut file) = turn.buffer(bytes) else { return turn.make_room(bytes) };
        let began_ns = self.clock.now_ns();
        file.resize(Snapshots::HEADER_BYTES, 0);
        if self.engine.save(stream, partition, &mut file) {
            let pause_ns = (self.clock.now_ns() - began_ns).max(0) as u64;
            self.status.snapshots.pause_ns_last.store(pause_ns, Relaxed);
            self.status.snapshots.pause_ns_max.fetch_max(pause_ns, Relaxed);
            let of = Due::Partition(stream.0 as usize * PARTITIONS + partition.0 as usize);
            let _ = self.alerts.try_send(Outgoing::Keep(Kept { of, position, file, turn }));
        } else {
            turn.give_back(file);
            turn.done();
        }
    }

    fn hand_on(&mut self, out: &mut Outputs, stamps: Stamps, start_ns: i64) {
        let status = &self.status;
        self.engine.drifted(|stream, partition, drift| {
            status.partition(stream, partition.0 as usize).set_drift(drift);
        });
        self.engine.expected(|stream, partition, alerts| status.said.expect(stream, partition, alerts));
        self.engine.changed(|stream, partition, counts, fit_error| {
            if let Some(error) = fit_error {
                let name = &self.plan.streams[stream.0 as usize].name;
                unfitted::tell(&status.models(stream).told_unfitted, name, &error);
            }
            publish(status.partition(stream, partition.0 as usize), counts, !stamps.recovered);
        });
        if self.tells_once && stamps.recovered {
            out.late.clear();
            out.held_back.clear();
        }
        out.held_back.iter().for_each(|(stream, end, why)| status.held_back(*stream).add(end.0, *why));
        if !out.raised.is_empty() {
            let alerts: Vec<Alert> =
                out.raised.drain(..).map(|r| with_receipt(r, stamps, start_ns)).collect();
            // Fails only when the outbox is gone, and with it the process: the log holds the rows.
            if self.alerts.blocking_send(Outgoing::Alerts(alerts)).is_err() {
                tracing::error!("the outbox is closed; its alerts come back from the log after a restart");
            }
        }
        for late in out.late.drain(..) {
            let _ = self.dead.blocking_send(Dead::Late(late));
        }
        if !out.points.is_empty() && self.points.try_send(std::mem::take(&mut out.points)).is_err() {
            // Charts are conflated, alerts are not: a slow page never holds up scoring.
            self.status.points_dropped_total.fetch_add(1, Relaxed);
        }
    }
}

impl Recorders {
    fn record(&mut self, out: &Outputs, rows: u64, queued_ns: i64, took_ns: i64) {
        self.queue.record(queued_ns, rows);
        let on_device = out.device.total_ns() as i64;
        self.window.record(took_ns - on_device - out.score_ns - out.judge_ns, rows);
        for (recorder, (_, ns)) in self.device.iter_mut().zip(of_device(out.device)) {
            recorder.record(ns as i64, out.device_windows);
        }
        self.score.record(out.score_ns, out.windows);
        self.judge.record(out.judge_ns, out.windows);
        for &(trigger, judged_ns, windows) in &out.verdicts {
            self.verdict.record(judged_ns - trigger.0, u64::from(windows));
        }
    }
}

#[cfg(test)]
mod tests;
