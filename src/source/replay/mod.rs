//! Replay of a CSV or Parquet file: each row is one JSON message, in file order, at full or event-time speed.
//!
//! One submission is in the log at a time, so the log holds a prefix of the file, also after a crash:
//! a restart goes on behind as many rows as the log has. The next batch is built meanwhile.

mod csv;
mod parquet;
mod pieces;
mod table;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Context, Ended, SourceError, overdue};
use crate::config::plan::ReplayPlan;
use crate::stage::NotSafe;
use crate::types::{Arrival, Message};
use pieces::Pieces;
use table::Table;

const BATCH_ROWS_MAX: usize = 1024;
/// Before a refused batch is offered again.
const RETRY: Duration = Duration::from_secs(1);
/// A later row than this is as good as never; also keeps the sum of instants in range.
const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// A file's rows as the messages a replay would send, for training. Blocks. Only a few MB of the file are in memory.
pub struct Rows {
    pieces: Pieces,
    table: Table,
    source: Arc<str>,
    topic: String,
    next: usize,
    failed: bool,
}

impl Rows {
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(path: &Path, source: &str) -> Result<Self, SourceError> {
        let mut pieces = Pieces::open(path)?;
        let table = pieces.piece()?.ok_or_else(|| table::empty(path))?;
        Ok(Rows { pieces, table, source: source.into(), topic: table::stem(path), next: 0, failed: false })
    }

    /// Bytes of the file, and how many of them were read.
    pub fn progress(&self) -> (u64, u64) {
        self.pieces.progress()
    }
}

impl Iterator for Rows {
    type Item = Result<Message, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next == self.table.rows() && !self.failed {
            match self.pieces.piece() {
                Ok(Some(table)) => (self.table, self.next) = (table, 0),
                Ok(None) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        (!self.failed).then(|| {
            let message = message(&self.table, self.next, &self.source, &self.topic);
            self.next += 1;
            Ok(message)
        })
    }
}

/// One row as a message, without its arrival.
fn message(table: &Table, row: usize, source: &Arc<str>, topic: &str) -> Message {
    Message {
        source: source.clone(),
        topic: topic.into(),
        payload: table.json(row).into(),
        arrival: Arrival(0),
        idempotency_key: None,
        origin: None,
    }
}

/// Replays the rows that are not in the log yet. `Ok(Ended::Input)` once all of them are durable.
///
/// # Errors
/// The file cannot be opened or read, lacks `time_column`, or holds fewer rows than the log has.
pub async fn run(plan: &ReplayPlan, source: Arc<str>, context: Context) -> Result<Ended, SourceError> {
    let path = plan.path.clone();
    let read = tokio::task::spawn_blocking(move || Table::read(&path)).await;
    let table =
        read.map_err(|e| SourceError::NotCsv { path: plan.path.clone(), detail: e.to_string() })??;
    let rows = table.rows();
    if context.messages_logged > rows as u64 {
        let (path, logged) = (plan.path.clone(), context.messages_logged);
        return Err(SourceError::Exchanged { path, logged, rows: rows as u64 });
    }
    let pace = match (plan.speed, &plan.time_column) {
        (None, _) => None,
        (Some(_), None) => return Err(SourceError::NoTimeColumn),
        (Some(speed), Some(column)) => {
            Some(Pace { speed, column: table.column(&plan.path, column)?, origin: None })
        }
    };
    let topic = table::stem(&plan.path);
    context.source_status().up();
    tracing::info!(source = &*source, rows, skipped = context.messages_logged, "replay begins");
    let next = context.messages_logged as usize;
    if next == rows && rows > 0 {
        tracing::warn!(
            source = &*source,
            rows,
            "every row of the file is in the log already, from an earlier run: nothing is replayed; to replay it again, \
             give [durable] path an empty folder"
        );
    }
    let mut replay = Replay { table, source, topic, context, pace, next, told_tenths: 0 };
    let ended = replay.work().await;
    replay.context.source_status().connected.store(false, Ordering::Relaxed);
    tracing::info!(source = &*replay.source, rows = replay.next, ?ended, "replay is over");
    Ok(ended)
}

struct Replay {
    table: Table,
    source: Arc<str>,
    topic: String,
    context: Context,
    pace: Option<Pace>,
    /// The first row that is not submitted.
    next: usize,
    /// Progress told so far.
    told_tenths: usize,
}

type Logged = oneshot::Receiver<Result<(), NotSafe>>;

impl Replay {
    async fn work(&mut self) -> Ended {
        let shutdown = self.context.shutdown.clone();
        let mut waiting: Option<(Range<usize>, Logged)> = None;
        loop {
            let batch = self.due().await;
            let mut messages = self.messages(batch.clone());
            if let Some((range, logged)) = waiting.take() {
                let outcome = tokio::select! {
                    outcome = logged => outcome.unwrap_or(Err(NotSafe)),
                    () = overdue(&shutdown) => Err(NotSafe),
                };
                if outcome.is_err() {
                    self.refused(range.start).await;
                    if shutdown.is_cancelled() {
                        return Ended::Shutdown;
                    }
                    continue;
                }
                self.settled(range);
            }
            // The batch may have been taken before the signal came.
            if batch.is_empty() || shutdown.is_cancelled() {
                let over = self.next == self.table.rows();
                return if over { Ended::Input } else { Ended::Shutdown };
            }
            let arrival = Arrival(self.context.intake.clock.now_ns());
            messages.iter_mut().for_each(|message| message.arrival = arrival);
            self.next = batch.end;
            match self.context.intake.submit(messages).await {
                Ok(logged) => waiting = Some((batch, logged)),
                Err(NotSafe) => self.refused(batch.start).await,
            }
        }
    }

    /// The next rows, once they are due; empty at the end of the file and during a stop.
    async fn due(&mut self) -> Range<usize> {
        let (start, shutdown) = (self.next, &self.context.shutdown);
        let end = (start + BATCH_ROWS_MAX).min(self.table.rows());
        if shutdown.is_cancelled() || start == end {
            return start..start;
        }
        let Some(pace) = &mut self.pace else { return start..end };
        tokio::select! {
            () = sleep_until(pace.instant(&self.table, start)) => {}
            () = shutdown.cancelled() => return start..start,
        }
        let now = Instant::now();
        let later = (start + 1..end).find(|&row| pace.instant(&self.table, row) > now);
        start..later.unwrap_or(end)
    }

    fn messages(&self, rows: Range<usize>) -> Vec<Message> {
        rows.map(|row| message(&self.table, row, &self.source, &self.topic)).collect()
    }

    /// The rows are durable.
    fn settled(&mut self, rows: Range<usize>) {
        let status = self.context.source_status();
        if status.last_error.lock().unwrap_or_else(|e| e.into_inner()).is_some() {
            status.up();
        }
        status.messages_total.fetch_add(rows.len() as u64, Ordering::Relaxed);
        status.acked_total.fetch_add(rows.len() as u64, Ordering::Relaxed);
        status.last_arrival.store(self.context.intake.clock.now_ns(), Ordering::Relaxed);
        let tenths = rows.end * 10 / self.table.rows().max(1);
        if tenths > self.told_tenths {
            self.told_tenths = tenths;
            tracing::info!(source = &*self.source, rows = rows.end, of = self.table.rows(), "replayed");
        }
    }

    /// The log holds nothing of the batch: go back to its first row, after a while.
    async fn refused(&mut self, first_row: usize) {
        self.next = first_row;
        let status = self.context.source_status();
        if status.connected.load(Ordering::Relaxed) {
            tracing::warn!(source = &*self.source, "{NotSafe}; the replay waits");
        }
        status.down(NotSafe.to_string());
        let _ = timeout(RETRY, self.context.shutdown.cancelled()).await;
    }
}

/// Event time against the clock: the first row sent is due now, the others by their distance to it.
struct Pace {
    /// Seconds of event time in a second.
    speed: f64,
    column: usize,
    origin: Option<(Instant, i64)>,
}

impl Pace {
    /// When the row is due. A row without a readable time is due at once: what is wrong with it is for
    /// decoding to say.
    fn instant(&mut self, table: &Table, row: usize) -> Instant {
        let Some(time_ns) = table.time_ns(row, self.column) else { return Instant::now() };
        let (start, start_ns) = *self.origin.get_or_insert_with(|| (Instant::now(), time_ns));
        let seconds = time_ns.saturating_sub(start_ns).max(0) as f64 / 1e9 / self.speed;
        start + Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }
}
