//! One connection to the demo's broker: everything at QoS 1, counted when sent and when acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Messages sent and not yet acknowledged.
const IN_FLIGHT_MAX: u16 = 100;
/// Messages waiting for a place in flight.
const QUEUED_MAX: usize = 64;
const RECONNECTS_MAX: u32 = 20;
const RECONNECT_WAIT: Duration = Duration::from_millis(200);
/// With no acknowledgement for this long at the end, the rest counts as not acknowledged.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("the broker cannot be reached ({0}); check that nothing else takes its port and start again")]
    Broker(#[from] ConnectionError),
    #[error("the publisher's connection task ended early; start the demo again")]
    Ended,
}

/// How far a publisher is; read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    pub published_total: AtomicU64,
    pub acked_total: AtomicU64,
    /// Rows that the product makes of what was published: one for each stream that takes a message.
    pub rows_total: AtomicU64,
    /// Event time that was reached, ns; 0 before the first step.
    pub event_time: AtomicI64,
}

/// A client and the task that moves its connection along.
pub struct Link {
    client: AsyncClient,
    connection: JoinHandle<Result<(), ConnectionError>>,
    progress: Arc<Progress>,
}

impl Link {
    pub fn open(id: &str, port: u16, progress: Arc<Progress>) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(10)).set_inflight(IN_FLIGHT_MAX).set_clean_session(false);
        let (client, connection) = AsyncClient::new(options, QUEUED_MAX);
        let connection = tokio::spawn(poll(connection, progress.clone()));
        Link { client, connection, progress }
    }

    /// `rows`: how many streams take the message.
    ///
    /// # Errors
    /// If the connection has ended; [`Link::close`] says why.
    pub async fn send(&self, topic: &str, payload: String, rows: u64) -> Result<(), PublishError> {
        let sent = self.client.publish(topic, QoS::AtLeastOnce, false, payload).await;
        sent.map_err(|_| PublishError::Ended)?;
        self.progress.published_total.fetch_add(1, Ordering::Relaxed);
        self.progress.rows_total.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    /// Waits for the acknowledgements and disconnects.
    ///
    /// # Errors
    /// Why the connection had ended before, if it had.
    pub async fn close(mut self) -> Result<(), PublishError> {
        if !self.connection.is_finished() {
            self.settle().await;
            // Fails only if the connection task has ended; its own result says more.
            let _ = self.client.disconnect().await;
        }
        match tokio::time::timeout(SETTLE, &mut self.connection).await {
            Ok(Ok(ended)) => Ok(ended?),
            Ok(Err(_)) => Err(PublishError::Ended),
            Err(_) => {
                self.connection.abort();
                Ok(())
            }
        }
    }

    async fn settle(&self) {
        let progress = &self.progress;
        let mut acked = progress.acked_total.load(Ordering::Relaxed);
        let mut deadline = Instant::now() + SETTLE;
        while acked < progress.published_total.load(Ordering::Relaxed)
            && Instant::now() < deadline
            && !self.connection.is_finished()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now_acked = progress.acked_total.load(Ordering::Relaxed);
            if now_acked > acked {
                (acked, deadline) = (now_acked, Instant::now() + SETTLE);
            }
        }
    }
}

/// Moves the connection along, counting acknowledgements, until the client disconnects.
async fn poll(mut connection: EventLoop, progress: Arc<Progress>) -> Result<(), ConnectionError> {
    let mut failures = 0;
    loop {
        match connection.poll().await {
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return Ok(()),
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                progress.acked_total.fetch_add(1, Ordering::Relaxed);
                failures = 0;
            }
            Ok(_) => {}
            Err(error) if failures >= RECONNECTS_MAX => return Err(error),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(RECONNECT_WAIT).await;
            }
        }
    }
}
