//! Refits of a running appliance, and roll-backs: who holds challengers against champions, and when.
//!
//! Every `refit` of event time the windows kept for it are gathered from the shards, and a thread of low priority
//! fits a challenger on them: one at a time, whatever the number of streams. Scoring waits for nothing but the
//! copying of the windows. What comes of it, and what a person asks for, acts by an entry of the control log,
//! which names the message before which it acts: a replay does not ask again.
//!
//! After a roll-back a stream is not refitted until another file is activated: the data that led to the model
//! which was not wanted are still there, and would lead to it again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::config::plan::{ModelPlan, StreamPlan};
use crate::durable::{ControlEntry, activations};
use crate::engine::refit::Contest;
use crate::engine::reservoir::LOOK_BACK;
use crate::pipeline::challenge::{self, Fitted, Work, minute};
use crate::pipeline::gather::Gatherer;
use crate::pipeline::{Common, fits, sample};
use crate::stage::{Ask, Intake, Notice, Wish};
use crate::status::ModelStatus;
use crate::types::activation::{before, is_held};
use crate::types::{Activation, Arrival, By, StreamId};

/// How often is looked whether a refit is due.
const LOOK: Duration = Duration::from_millis(250);

/// A stream that loads its model.
struct Line {
    stream: StreamId,
    name: Arc<str>,
    /// Event time from refit to refit; `None`: only a person changes the model.
    every_ns: Option<i64>,
    size_ns: i64,
    /// Watermark from which on the next is due; `None` until there is one.
    due: Option<i64>,
    history: Vec<Activation>,
}

/// A fit on its way, and the model it is held against.
struct Running {
    line: usize,
    champion: String,
    done: oneshot::Receiver<Result<Fitted>>,
}

/// Everything on models that changes while the appliance runs.
pub struct Refits {
    common: Common,
    gatherer: Gatherer,
    asks: mpsc::Receiver<Ask>,
    lines: Vec<Line>,
    running: Option<Running>,
}

impl Refits {
    /// `entries`: of the control log, with those of this start.
    pub(super) fn new(
        common: &Common,
        gatherer: Gatherer,
        asks: mpsc::Receiver<Ask>,
        entries: &[ControlEntry],
    ) -> Self {
        let line = |(id, plan): (usize, &StreamPlan)| {
            let ModelPlan::Load { refit, .. } = &plan.model else { return None };
            let history = activations(entries, &plan.name);
            let stream = StreamId(id as u16);
            common.status.models(stream).set_active(history.last());
            show_sample(common, stream, history.last());
            Some(Line {
                stream,
                name: plan.name.as_str().into(),
                every_ns: refit.map(ns),
                size_ns: ns(plan.window.size),
                due: None,
                history,
            })
        };
        let lines = common.plan.streams.iter().enumerate().filter_map(line).collect();
        Refits { common: common.clone(), gatherer, asks, lines, running: None }
    }

    /// Runs for ever.
    pub async fn watch(mut self, intake: &Intake) -> std::convert::Infallible {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick(), if self.running.is_none() => self.look().await,
                Some(ask) = self.asks.recv() => self.answer(ask, intake).await,
                done = finished(&mut self.running) => self.finish(done, intake).await,
            }
        }
    }

    /// Sets a fit on its way if one is due.
    async fn look(&mut self) {
        for at in 0..self.lines.len() {
            let line = &mut self.lines[at];
            let newest =
                self.common.status.stream(line.stream).iter().map(|p| p.watermark.load(Relaxed)).max();
            let is_due = line.is_due(newest.unwrap_or(i64::MIN));
            self.tell_due(at);
            if !is_due {
                continue;
            }
            match self.begin(at).await {
                Ok(running) => return self.running = Some(running),
                Err(error) => self.failed(at, &error),
            }
        }
    }

    async fn begin(&self, at: usize) -> Result<Running> {
        let line = &self.lines[at];
        let champion = line.history.last().context("no model is active")?.checksum.clone();
        let windows = self.gatherer.gather(line.stream).await.context("a shard is gone")?;
        let (models, plan) = (self.common.models.clone(), self.common.plan.clone());
        let (stream, size_ns) = (line.stream, line.size_ns);
        let span_ns = line.every_ns.unwrap_or_default().saturating_mul(LOOK_BACK);
        let work = Work { plan, models, stream, champion: champion.clone(), windows, span_ns, size_ns };
        let done = challenge::start(work)?;
        Ok(Running { line: at, champion, done })
    }

    async fn finish(&mut self, (running, done): (Running, Result<Fitted>), intake: &Intake) {
        let (at, line) = (running.line, &self.lines[running.line]);
        let Fitted { contest, better, newest_ns } = match done {
            Ok(fitted) => fitted,
            Err(error) => return self.failed(at, &error),
        };
        let status = self.status(at);
        let Some(model) = better else {
            let why = contest.decide().err().unwrap_or_default();
            tracing::info!(stream = &*line.name, ?contest, "the challenger lost: {why}");
            status.rejected_total.fetch_add(1, Relaxed);
            return status.set_fate(format!("lost: {why}"));
        };
        if line.is_held() || line.history.last().is_none_or(|active| active.checksum != running.champion) {
            self.common.models.discard(model.checksum());
            status.rejected_total.fetch_add(1, Relaxed);
            return status.set_fate("dropped: the model was changed while it was fitted".to_owned());
        }
        let name = format!("{}@{}", line.name, minute(newest_ns));
        tracing::info!(
            stream = &*line.name,
            ?contest,
            name,
            model = model.checksum_short(),
            "the challenger won"
        );
        let activation =
            Activation { at: Some(self.now()), name, checksum: model.checksum().to_owned(), by: By::Refit };
        match self.activate(at, activation, intake).await {
            Ok(()) => {
                let status = self.status(at);
                status.activated_total.fetch_add(1, Relaxed);
                let Contest { champion, challenger, error, .. } = contest;
                let (gain, [old, new]) = (contest.gain(), [champion, challenger].map(|of| of.odd * 100.0));
                status.set_fate(format!(
                    "won: likelier by {gain:.4} +- {error:.4} nats a number, p < 0.01 in {new:.1} % after {old:.1} %"
                ));
            }
            Err(error) => self.failed(at, &error),
        }
    }

    /// Has it written down; the engines follow as they come to it.
    async fn activate(&mut self, at: usize, activation: Activation, intake: &Intake) -> Result<()> {
        let line = &mut self.lines[at];
        let notice = Notice::Model { stream: line.name.clone(), activation: activation.clone() };
        let logged = match intake.notice(notice).await {
            Ok(logged) => logged.await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        if logged.is_none() {
            self.common.models.discard(&activation.checksum);
            bail!("the control log cannot be written: free disk space, and try again");
        }
        line.history.push(activation);
        self.status(at).set_active(self.lines[at].history.last());
        show_sample(&self.common, self.lines[at].stream, self.lines[at].history.last());
        self.tell_due(at);
        Ok(())
    }

    async fn answer(&mut self, Ask { stream, wish, answer }: Ask, intake: &Intake) {
        let found = match self.lines.iter().position(|line| *line.name == *stream) {
            None => Err(format!("no stream {stream} loads a model: look at `model` of its config")),
            Some(at) => match wish {
                Wish::List => Ok(at),
                Wish::RollBack => self.roll_back(at, intake).await.map(|()| at).map_err(|e| format!("{e:#}")),
            },
        };
        // Whoever asked may have gone.
        let _ = answer.send(found.map(|at| self.lines[at].history.clone()));
    }

    async fn roll_back(&mut self, at: usize, intake: &Intake) -> Result<()> {
        let (activation, models) = (self.lines[at].back(self.now())?, self.common.models.clone());
        let checksum = activation.checksum.clone();
        let model = tokio::task::spawn_blocking(move || models.fetch(&checksum)).await??;
        fits(&model, &self.common.plan.streams[self.lines[at].stream.0 as usize])?;
        tracing::info!(stream = &*self.lines[at].name, name = activation.name, "rolled back");
        self.activate(at, activation, intake).await
    }

    fn tell_due(&self, at: usize) {
        let line = &self.lines[at];
        let due = line.due.filter(|_| !line.is_held());
        self.status(at).due.store(due.unwrap_or(i64::MAX), Relaxed);
    }

    fn failed(&self, at: usize, error: &anyhow::Error) {
        tracing::warn!(stream = &*self.lines[at].name, error = format!("{error:#}"), "no refit");
        self.status(at).failed_total.fetch_add(1, Relaxed);
        self.status(at).set_fate(format!("failed: {error:#}"));
    }

    fn status(&self, at: usize) -> &ModelStatus {
        self.common.status.models(self.lines[at].stream)
    }

    fn now(&self) -> Arrival {
        Arrival(self.common.clock.now_ns())
    }
}

/// Of the model that is active; none where it cannot be read, which is told where it is scored by.
fn show_sample(common: &Common, stream: StreamId, active: Option<&Activation>) {
    let model = active.and_then(|active| common.models.read(&active.checksum).ok());
    common.status.models(stream).set_sample(model.map(|model| sample::of(&model)));
}

impl Line {
    fn is_held(&self) -> bool {
        is_held(&self.history)
    }

    /// The first is due once the windows can go back as far as those of any other: what a challenger has not
    /// been shown, such as the night, would be odd to it.
    fn is_due(&mut self, watermark: i64) -> bool {
        let Some(every_ns) = self.every_ns.filter(|_| watermark != i64::MIN) else { return false };
        let due = *self.due.get_or_insert(watermark.saturating_add(every_ns.saturating_mul(LOOK_BACK)));
        if watermark < due {
            return false;
        }
        self.due = Some(watermark.saturating_add(every_ns));
        !self.is_held()
    }

    fn back(&self, now: Arrival) -> Result<Activation> {
        let name = &self.name;
        let to = before(&self.history)
            .with_context(|| format!("stream {name} has no model before the one that is active"))?;
        Ok(Activation { at: Some(now), by: By::RollBack, ..to.clone() })
    }
}

/// The running fit, once it has come to something.
async fn finished(running: &mut Option<Running>) -> (Running, Result<Fitted>) {
    let Some(fit) = running else { return std::future::pending().await };
    let done = (&mut fit.done).await.unwrap_or_else(|_| bail!("the fit ended in an error; see above"));
    match running.take() {
        Some(running) => (running, done),
        None => std::future::pending().await,
    }
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
