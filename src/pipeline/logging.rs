//! The log's thread: groups submissions, makes them durable with one fsync, then lets sources acknowledge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use crate::config::plan::DurablePlan;
use crate::decode::DeadRow;
use crate::durable::{Ballast, ControlEntry, ControlEvent, ControlLog, Log, LogError};
use crate::latency::{Clock, Latency, Stage, StageRecorder};
use crate::pipeline::beat::Answer;
use crate::pipeline::dead::Dead;
use crate::pipeline::gather;
use crate::stage::{NotSafe, Notice, Submission};
use crate::status::Status;
use crate::types::{Arrival, Message, Position, Reason, StreamId};

/// What became durable, in log order.
pub enum Logged {
    Messages {
        first: Position,
        messages: Vec<Message>,
        log_start_ns: i64,
        logged_ns: i64,
    },
    Control(ControlEvent),
    Beat(Answer),
    /// Nothing that became durable: a question to every shard, which goes the same way.
    Gather {
        stream: StreamId,
        answer: gather::Answer,
    },
    /// Another one.
    Tally {
        stream: StreamId,
        of: gather::TallyOf,
    },
}

/// One commit takes what is waiting, up to these.
const GROUP_MESSAGES: usize = 8192;
const GROUP_BYTES: usize = 4 << 20;

/// How often a full disk is looked at while nobody sends.
const LOOK: Duration = Duration::from_millis(100);

type Reply = oneshot::Sender<Result<(), NotSafe>>;

pub struct LogStation {
    pub log: Log,
    pub control: ControlLog,
    pub intake: mpsc::Receiver<Submission>,
    pub next: mpsc::Sender<Logged>,
    pub dead: mpsc::Sender<Dead>,
    pub status: Arc<Status>,
    /// `None` where the disk is not the machine's.
    pub ballast: Option<Arc<Ballast>>,
    pub clock: Clock,
    pub recorders: Recorders,
    pub retention: Retention,
}

/// How much of the log is kept beyond what a start needs.
pub struct Retention {
    /// Messages before it are needed by no start.
    pub floor: Arc<AtomicU64>,
    pub retain_ns: i64,
    pub bytes_max: u64,
}

impl Retention {
    /// As configured; `floor` is moved by whoever writes snapshots.
    pub fn new(plan: &DurablePlan, floor: Arc<AtomicU64>) -> Self {
        let retain_ns = i64::try_from(plan.retain.as_nanos()).unwrap_or(i64::MAX);
        Retention { floor, retain_ns, bytes_max: plan.bytes_max }
    }
}

/// The histograms of this station.
pub struct Recorders {
    receive: StageRecorder,
    log: StageRecorder,
}

impl Recorders {
    pub fn new(latency: &Latency) -> Self {
        Recorders { receive: latency.recorder(Stage::Receive), log: latency.recorder(Stage::Log) }
    }
}

/// Submissions that share a commit.
#[derive(Default)]
struct Group {
    messages: Vec<Message>,
    replies: Vec<Reply>,
    bytes: usize,
    notice: Option<(Notice, Reply)>,
}

impl Group {
    fn add(&mut self, submission: Submission) {
        self.bytes += submission.messages.iter().map(|m| m.payload.len()).sum::<usize>();
        self.messages.extend(submission.messages);
        match submission.notice {
            Some(notice) => self.notice = Some((notice, submission.logged)),
            None => self.replies.push(submission.logged),
        }
    }

    fn has_room(&self) -> bool {
        self.notice.is_none() && self.messages.len() < GROUP_MESSAGES && self.bytes < GROUP_BYTES
    }
}

impl LogStation {
    /// Runs until every source has hung up.
    pub fn run(mut self) {
        while let Some(first) = self.receive() {
            if !self.turn(first) {
                return;
            }
        }
    }

    /// While the disk is full it also looks whether there is room again: senders who ask first whether
    /// Eddy is ready would otherwise never hear that it is.
    fn receive(&mut self) -> Option<Submission> {
        while !self.status.log_safe.load(Relaxed) {
            match self.intake.try_recv() {
                Ok(submission) => return Some(submission),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => std::thread::sleep(LOOK),
            }
            let starved = self.ballast.as_ref().is_some_and(|ballast| !ballast.is_held());
            if starved && self.room().is_ok() && self.log.commit().is_ok() {
                tracing::info!("the disk has room again: the log goes on");
                self.status.log_safe.store(true, Relaxed);
            }
        }
        self.intake.blocking_recv()
    }

    /// Nothing is taken into the room that the ballast left: it is for what was taken before.
    fn room(&self) -> Result<(), LogError> {
        match &self.ballast {
            Some(ballast) if !ballast.hold() => Err(ballast.lacking()),
            _ => Ok(()),
        }
    }

    /// Commits `first` and whatever else is waiting, then answers. `false` once nobody decodes any more.
    pub fn turn(&mut self, first: Submission) -> bool {
        let mut group = Group::default();
        group.add(first);
        while group.has_room() {
            match self.intake.try_recv() {
                Ok(submission) => group.add(submission),
                Err(_) => break,
            }
        }
        let Group { messages, replies, notice, .. } = group;
        if (!messages.is_empty() || !replies.is_empty()) && !self.commit(messages, replies) {
            return false;
        }
        match notice {
            Some((notice, reply)) => self.commit_notice(notice, reply),
            None => true,
        }
    }

    fn commit(&mut self, messages: Vec<Message>, replies: Vec<Reply>) -> bool {
        let log_start_ns = self.clock.now_ns();
        let first = self.log.next_position();
        let (messages, committed) = match self.room() {
            Ok(()) => (self.append(messages), self.log.commit()),
            Err(full) => (messages, Err(full)),
        };
        let logged_ns = self.clock.now_ns();
        let answer = match committed {
            Ok(stats) => {
                self.status.log_next.store(self.log.next_position().0, Relaxed);
                self.count(stats.bytes, messages.len() as u64);
                Ok(())
            }
            Err(error) => {
                self.refuse(&error);
                Err(NotSafe)
            }
        };
        self.status.log_safe.store(answer.is_ok(), Relaxed);
        for reply in replies {
            // A source that went away while waiting will be sent its messages again.
            let _ = reply.send(answer);
        }
        if answer.is_err() || messages.is_empty() {
            return true;
        }
        self.trim(logged_ns);
        self.recorders.receive.record_each(messages.iter().map(|m| log_start_ns - m.arrival.0));
        self.recorders.log.record(logged_ns - log_start_ns, messages.len() as u64);
        self.next.blocking_send(Logged::Messages { first, messages, log_start_ns, logged_ns }).is_ok()
    }

    /// Lets segments go that no start needs and nobody wants any more.
    fn trim(&mut self, now_ns: i64) {
        let Retention { floor, retain_ns, bytes_max } = &self.retention;
        let (floor, older_than) = (Position(floor.load(Relaxed)), Arrival(now_ns.saturating_sub(*retain_ns)));
        loop {
            match self.log.trim(floor, older_than, *bytes_max) {
                Ok(true) => {
                    tracing::info!(first = self.log.first_position().0, "removed the log's oldest file")
                }
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "the log's oldest file is not removed");
                    return;
                }
            }
        }
    }

    /// Gives back what the log takes. What is too large for it would come again for ever if refused, so
    /// it is acknowledged and kept as a dead letter.
    fn append(&mut self, mut messages: Vec<Message>) -> Vec<Message> {
        messages.retain(|message| match self.log.append(message) {
            Ok(_) => true,
            Err(error) => {
                let range = 0..message.payload.len();
                let row = DeadRow {
                    stream: None,
                    row: 0,
                    reason: Reason::TooLarge,
                    detail: error.to_string(),
                    range,
                };
                let position = self.log.next_position();
                let _ = self.dead.blocking_send(Dead::Row { position, message: message.clone(), row });
                false
            }
        });
        messages
    }

    fn count(&self, bytes: u64, messages: u64) {
        self.status.log_messages_total.fetch_add(messages, Relaxed);
        self.status.log_bytes_total.fetch_add(bytes, Relaxed);
        self.status.log_commits_total.fetch_add(1, Relaxed);
    }

    fn refuse(&self, error: &LogError) {
        if let Some(ballast) = self.ballast.as_ref().filter(|_| error.is_full()) {
            ballast.give_up();
        }
        self.status.log_commit_failures_total.fetch_add(1, Relaxed);
        tracing::error!(%error, retryable = error.is_retryable(), "not acknowledged: the log cannot be written");
    }

    fn commit_notice(&mut self, notice: Notice, reply: Reply) -> bool {
        let event = match notice {
            Notice::EndOfInput { source } => ControlEvent::EndOfInput { source: source.to_string() },
            Notice::Idle { stream, idle } => ControlEvent::Idle { stream: stream.to_string(), idle },
            Notice::Keys { stream, keys } => ControlEvent::Keys { stream: stream.to_string(), keys },
            Notice::Risks { stream, risks } => ControlEvent::Risks { stream: stream.to_string(), risks },
            Notice::Model { stream, activation } => {
                ControlEvent::ModelActivated { stream: stream.to_string(), activation }
            }
            Notice::Feedback { stream, feedback } => {
                ControlEvent::Feedback { stream: stream.to_string(), feedback }
            }
            Notice::Silenced { silence } => ControlEvent::Silenced { silence },
            Notice::SilenceEnded { id, at_ns } => ControlEvent::SilenceEnded { id, at_ns },
            Notice::Acknowledged { acknowledgement } => ControlEvent::Acknowledged { acknowledgement },
        };
        let entry = ControlEntry { precedes: self.log.next_position(), event: event.clone() };
        if let Err(error) = self.control.append(&entry) {
            self.refuse(&error);
            let _ = reply.send(Err(NotSafe));
            return true;
        }
        let _ = reply.send(Ok(()));
        self.next.blocking_send(Logged::Control(event)).is_ok()
    }
}
