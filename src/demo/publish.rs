//! The plant's devices: every sample over real MQTT at QoS 1, paced so that event time runs `speed` times
//! as fast as the clock.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::plant::{Column, Plant, Sample, pump_name};

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

/// How far the publisher is; read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    pub published_total: AtomicU64,
    pub acked_total: AtomicU64,
    /// Event time that the plant has reached, ns; 0 before the first step.
    pub event_time: AtomicI64,
}

/// What to publish, and where.
pub struct Publisher {
    pub port: u16,
    pub plant: Plant,
    pub delivery: Delivery,
    /// Seconds of event time to publish.
    pub steps: i64,
    /// Seconds of event time a second of real time.
    pub speed: u32,
    pub progress: Arc<Progress>,
}

impl Publisher {
    /// Publishes until the steps are done or `stop`, waits for the acknowledgements, disconnects.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), PublishError> {
        let mut options = MqttOptions::new("plant-demo", "127.0.0.1", self.port);
        options.set_keep_alive(Duration::from_secs(10)).set_inflight(IN_FLIGHT_MAX).set_clean_session(false);
        let (client, connection) = AsyncClient::new(options, QUEUED_MAX);
        let mut connection = tokio::spawn(poll(connection, self.progress.clone()));
        if self.send_all(&client, &stop).await.is_ok() {
            self.settle(&connection).await;
            // Fails only if the connection task has ended; its own result says more.
            let _ = client.disconnect().await;
        }
        match tokio::time::timeout(SETTLE, &mut connection).await {
            Ok(Ok(ended)) => Ok(ended?),
            Ok(Err(_)) => Err(PublishError::Ended),
            Err(_) => {
                connection.abort();
                Ok(())
            }
        }
    }

    async fn send_all(&mut self, client: &AsyncClient, stop: &CancellationToken) -> Result<(), PublishError> {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / self.speed);
        // After a stall the plant catches up: its event time keeps its distance to the clock.
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..self.steps {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stop.cancelled() => break,
            }
            self.progress.event_time.store(self.plant.now().0, Ordering::Relaxed);
            let samples = self.delivery.step(self.plant.step());
            send(client, samples, &self.progress).await?;
        }
        send(client, self.delivery.finish(), &self.progress).await
    }

    async fn settle(&self, connection: &JoinHandle<Result<(), ConnectionError>>) {
        let mut acked = self.progress.acked_total.load(Ordering::Relaxed);
        let mut deadline = Instant::now() + SETTLE;
        while acked < self.progress.published_total.load(Ordering::Relaxed)
            && Instant::now() < deadline
            && !connection.is_finished()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now_acked = self.progress.acked_total.load(Ordering::Relaxed);
            if now_acked > acked {
                (acked, deadline) = (now_acked, Instant::now() + SETTLE);
            }
        }
    }
}

async fn send(client: &AsyncClient, samples: &[Sample], progress: &Progress) -> Result<(), PublishError> {
    for sample in samples {
        let sent = client.publish(topic(sample.pump), QoS::AtLeastOnce, false, payload(sample)).await;
        sent.map_err(|_| PublishError::Ended)?;
        progress.published_total.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
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

pub fn topic(pump: usize) -> String {
    format!("plant/demo/pump/{}/telemetry", pump_name(pump))
}

/// `{"ts":…,"vib":{"rms":…},"temp":…,"press":…,"flow":…}`; a missing reading is an absent field.
pub fn payload(sample: &Sample) -> String {
    let mut json = format!("{{\"ts\":{}", sample.time.0 / 1_000_000);
    let mut field = |open: &str, column: Column, close: &str| {
        let value = sample.values[column as usize];
        if value.is_finite() {
            // Writing to a string does not fail.
            let _ = write!(json, ",{open}{value}{close}");
        }
    };
    field("\"vib\":{\"rms\":", Column::Vibration, "}");
    field("\"temp\":", Column::Temperature, "");
    field("\"press\":", Column::Pressure, "");
    field("\"flow\":", Column::Flow, "");
    json.push('}');
    json
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
