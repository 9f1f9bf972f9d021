//! A running appliance: its sources, threads and workers, and how they come to an end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle as Task, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::alert::outbox::OutboxHandle;
use crate::config::plan::{FormatPlan, StreamPlan};
use crate::durable::DirLock;
use crate::latency::{Clock, Latency};
use crate::pipeline::Common;
use crate::pipeline::beat::Beater;
use crate::pipeline::desk::Desk;
use crate::pipeline::letters;
use crate::pipeline::open::Mismatch;
use crate::pipeline::refit::Refits;
use crate::pipeline::risks;
use crate::pipeline::schemas::door;
use crate::pipeline::{idle, keys};
use crate::schemas::Schemas;
use crate::source::http::IdempotencyIndex;
use crate::source::{self, Context, Ended, SourceError};
use crate::stage::{Intake, NotSafe, Notice, Validate};
use crate::status::Status;
use crate::types::Offsets;

/// How often readiness is looked at until it is reached.
const READY_POLL: Duration = Duration::from_millis(20);

/// Wait before the end of a source is noted again.
const END_RETRY: Duration = Duration::from_secs(1);

/// Delivery workers drain for at most this long on a stop; what is left stays in the outbox.
const WORKERS_STOP: Duration = Duration::from_secs(5);

pub struct Running {
    pub status: Arc<Status>,
    pub latency: Latency,
    pub outbox: OutboxHandle,
    /// Proves that every shard turns over.
    pub beater: Beater,
    /// Where the page answers, if there is one.
    pub page: Option<SocketAddr>,
    /// Held until every station has ended: nobody else may open the folder before.
    pub(super) lock: DirLock,
    pub(super) sources: Sources,
    pub(super) threads: Threads,
    pub(super) workers: JoinSet<()>,
    pub(super) stop_workers: CancellationToken,
}

impl Running {
    /// Resolves once the log is read back and every source has had its first session.
    ///
    /// # Errors
    /// If a source ended with an error before that.
    pub async fn ready(&mut self) -> Result<()> {
        while !self.status.ready.load(Relaxed) {
            if self.sources.task.is_finished() {
                return self.sources.ended().await;
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Resolves when all sources have ended by themselves, or one with an error.
    ///
    /// # Errors
    /// The first source's that ended with one.
    pub async fn sources_ended(&mut self) -> Result<()> {
        self.sources.ended().await
    }

    /// Stops taking, drains every station in order, and returns when the last one has ended.
    pub async fn stop(self) -> Result<()> {
        self.sources.stop.cancel();
        let mut sources = self.sources;
        let ended = sources.ended().await;
        let Threads(threads) = self.threads;
        tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join))
            .await?
            .map_err(|_| {
                anyhow::anyhow!("a station's thread panicked; the log holds everything acknowledged")
            })?;
        self.stop_workers.cancel();
        let mut workers = self.workers;
        let drained = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(WORKERS_STOP, drained).await.is_err() {
            tracing::warn!(
                "not everything was delivered before the stop; the outbox keeps it for the next start"
            );
        }
        drop(self.lock);
        ended
    }
}

/// Named threads, joined in the order they were started on a stop.
#[derive(Default)]
pub(super) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    pub fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let builder = std::thread::Builder::new().name(name.to_owned());
        let handle = builder
            .spawn(work)
            .with_context(|| format!("cannot start thread {name}; raise the process limit"))?;
        self.0.push(handle);
        Ok(())
    }
}

/// What the log holds of each source, so that a replayed file and a topic go on behind it.
pub(super) struct Counted {
    pub messages: BTreeMap<Arc<str>, u64>,
    pub offsets: BTreeMap<Arc<str>, Offsets>,
}

/// All sources, behind the log's reading back.
pub(super) struct Sources {
    task: Task<Result<()>>,
    stop: CancellationToken,
    result: Option<Result<(), Failed>>,
}

/// Why sources ended, told as often as it is asked.
enum Failed {
    /// The config does not belong to what was found.
    Mismatch(String),
    Other(String),
}

impl Sources {
    pub fn start(
        common: &Common,
        (intake, registered): (Intake, Arc<Schemas>),
        validate: Validate,
        answered: IdempotencyIndex,
        recovered: oneshot::Receiver<Counted>,
        (refits, risks, desk): (Refits, risks::Watch, Desk),
        stop: CancellationToken,
    ) -> Self {
        let (common, shutdown) = (common.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let counted = tokio::select! {
                read_back = recovered => read_back.context("the log could not be read back; see the error above")?,
                () = shutdown.cancelled() => return Ok(()),
            };
            let mut running = JoinSet::new();
            for (index, plan) in common.plan.sources.iter().enumerate() {
                let takes = |s: &&StreamPlan| s.from.contains(&plan.name);
                let is_csv = |s: &&StreamPlan| matches!(s.format, FormatPlan::Csv { .. });
                let context = Context {
                    index,
                    intake: intake.clone(),
                    door: door(&common, index, &registered, &shutdown)?,
                    status: common.status.clone(),
                    shutdown: shutdown.clone(),
                    streams: names(&mut common.plan.streams.iter().filter(takes)),
                    csv_streams: names(&mut common.plan.streams.iter().filter(takes).filter(is_csv)),
                    validate: validate.clone(),
                    http_sources: common.plan.http_sources(),
                    answered: answered.clone(),
                    incoming: common.incoming.clone(),
                    messages_logged: counted.messages.get(plan.name.as_str()).copied().unwrap_or(0),
                    offsets_logged: counted.offsets.get(plan.name.as_str()).cloned().unwrap_or_default(),
                    own_topics: letters::own_topics(&common.plan, plan),
                };
                let (plan, intake) = (plan.clone(), intake.clone());
                running.spawn(async move {
                    let ended = source::run(&plan, context).await?;
                    if ended == Ended::Input {
                        say_end(&intake, &plan.name).await;
                    }
                    Ok::<(), SourceError>(())
                });
            }
            tokio::select! {
                ended = watch_over(running, &common.status, &shutdown) => ended,
                never = idle::watch(&common.plan, &common.status, &intake) => never,
                never = keys::watch(&common.plan, &common.status, &intake) => never,
                never = refits.watch(&intake) => match never {},
                never = risks.run(&intake) => match never {},
                never = desk.run(&intake) => match never {},
            }
        });
        Sources { task, stop, result: None }
    }

    /// Whatever receives; told to end by `stop`.
    pub fn of(task: Task<Result<()>>, stop: CancellationToken) -> Self {
        Sources { task, stop, result: None }
    }

    async fn ended(&mut self) -> Result<()> {
        if self.result.is_none() {
            let joined = (&mut self.task).await;
            self.result = Some(match joined {
                Ok(result) => result.map_err(|error| match error.downcast::<Mismatch>() {
                    Ok(mismatch) => Failed::Mismatch(mismatch.to_string()),
                    Err(error) => Failed::Other(format!("{error:#}")),
                }),
                Err(error) => Err(Failed::Other(format!("a source panicked: {error}"))),
            });
        }
        match &self.result {
            Some(Err(Failed::Mismatch(reason))) => Err(Mismatch::Group(reason.clone()).into()),
            Some(Err(Failed::Other(error))) => bail!("{error}"),
            _ => Ok(()),
        }
    }
}

fn names(streams: &mut dyn Iterator<Item = &StreamPlan>) -> Vec<String> {
    streams.map(|stream| stream.name.clone()).collect()
}

/// Looks at the system's clock once a second.
pub(super) async fn follow_the_clock(clock: Clock, stop: CancellationToken) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = second.tick() => clock.resync(),
            () = stop.cancelled() => return,
        }
    }
}

/// Notes a source's end in the control log, again and again while that cannot be written.
async fn say_end(intake: &Intake, source: &str) {
    while let Ok(logged) = intake.notice(Notice::EndOfInput { source: source.into() }).await {
        match logged.await {
            Ok(Err(NotSafe)) => tokio::time::sleep(END_RETRY).await,
            Ok(Ok(())) | Err(_) => return,
        }
    }
}

/// Waits for all sources; marks the appliance ready once each was connected. The first error stops all.
async fn watch_over(
    mut running: JoinSet<Result<(), SourceError>>,
    status: &Status,
    shutdown: &CancellationToken,
) -> Result<()> {
    let mut met = vec![false; status.sources.len()];
    let mut poll = tokio::time::interval(READY_POLL);
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => {
                    status.ready.store(true, Relaxed);
                    return Ok(());
                }
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => {
                    shutdown.cancel();
                    while running.join_next().await.is_some() {}
                    return Err(error.into());
                }
                Some(Err(error)) => return Err(error.into()),
            },
            _ = poll.tick(), if !status.ready.load(Relaxed) => {
                for (met, source) in met.iter_mut().zip(&status.sources) {
                    *met |= source.connected.load(Relaxed);
                }
                if met.iter().all(|met| *met) {
                    status.ready.store(true, Relaxed);
                }
            }
        }
    }
}
