//! Kafka: a member of a consumer group that goes by what the log holds.
//!
//! *Once.* Each logged message carries its partition and offset, so the log itself says where to go on. At every
//! assignment a partition is read from there, not from the offset that was committed; what comes again all the
//! same is dropped and counted. Offsets are committed after the fsync, for tools that show lag, and to tell `latest`
//! from a partition that was being read already.
//!
//! *One submission at a time.* While it is on its way the next one gathers. Were there two and the first refused (a full
//! disk), the log would have a gap that the offsets behind it hide.
//!
//! *Back-pressure.* What is received and not logged is bounded. While there is no room nothing is polled; if that lasts,
//! the partitions are paused and the queue is polled all the same, since a member that does not poll loses its
//! partitions.
//!
//! *Schemas.* A message whose schema is not known yet holds up its partition alone: what comes behind it there waits, and
//! is read again if the session ends first.
//!
//! *Sessions.* Whatever cannot be mended by waiting ends the session: a new one makes a new client, which begins with
//! what the log holds. The member's name is the same ever after, so that a restart need not wait until the group
//! has given the process before up.

pub(crate) mod batch;
pub(crate) mod client;
mod group;
mod place;
pub(crate) mod reasons;
pub(crate) mod registry;
mod session;
mod taking;
pub(crate) mod topics;
pub(crate) mod waiting;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Context, Ended, overdue};
use crate::config::plan::KafkaPlan;
use crate::types::Offsets;
use session::Session;

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How long a stop waits for the client to commit and close.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// Receives until told to stop; waits for brokers that are away, for as long as it takes.
pub async fn run(plan: &KafkaPlan, source: Arc<str>, context: Context) -> Ended {
    let shutdown = context.shutdown.clone();
    context.source_status().kafka.set_lag(None);
    context.source_status().kafka.behind.store(true, Relaxed);
    let mut logged = context.offsets_logged.clone();
    let (mut backoff, mut told) = (BACKOFF_MIN, None);
    while !shutdown.is_cancelled() {
        let started = Instant::now();
        let session = Session::new(plan.clone(), source.clone(), context.clone(), logged.clone());
        let Some((now, result)) = watch(session, &shutdown).await else {
            tracing::warn!(
                source = &*source,
                "the log did not answer in time; what it has not is read again"
            );
            break;
        };
        logged = now;
        let Err(reason) = result else { break };
        if started.elapsed() >= BACKOFF_MAX {
            (backoff, told) = (BACKOFF_MIN, None);
        }
        if told.as_ref() != Some(&reason) {
            tracing::warn!(source = &*source, reason, "nothing is received, trying again until it is");
            told = Some(reason.clone());
        }
        context.source_status().down(reason);
        let jittered = backoff.mul_f64(rand::random_range(0.5..1.0));
        backoff = (backoff * 2).min(BACKOFF_MAX);
        let _ = timeout(jittered, shutdown.cancelled()).await;
    }
    context.source_status().connected.store(false, Relaxed);
    Ended::Shutdown
}

/// What the log holds at the end of the session, and why it ended; `None` if it takes too long over a stop.
async fn watch(session: Session, shutdown: &CancellationToken) -> Option<(Offsets, Result<(), String>)> {
    let logged = session.logged.clone();
    let (ended_to, ended) = oneshot::channel();
    // Never sent: it is dropped once the client is closed.
    let (closed_to, closed) = oneshot::channel::<()>();
    let log = Handle::current();
    // Polling blocks. Not one of the runtime's own threads: those are waited for, and closing may take long.
    let thread = std::thread::Builder::new().name("eddy-kafka".to_owned()).spawn(move || {
        session.run(log, ended_to);
        drop(closed_to);
    });
    if let Err(error) = thread {
        return Some((logged, Err(format!("no thread for Kafka ({error}); raise the process limit"))));
    }
    let (now, result) = tokio::select! {
        ended = ended => {
            ended.unwrap_or((logged, Err("the session ended unexpectedly; report what the log says".to_owned())))
        }
        () = overdue(shutdown) => return None,
    };
    // The next session is the same member: this one must be gone before, unless there is none.
    tokio::select! {
        _ = closed => {}
        () = goodbye(shutdown) => {}
    }
    Some((now, result))
}

/// Resolves some time after the signal to stop: a client that reaches no broker closes slowly.
async fn goodbye(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(GOODBYE_MAX).await;
}
