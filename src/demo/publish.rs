//! The plant's devices: every sample over real MQTT at QoS 1, paced so that event time runs `speed` times
//! as fast as the clock.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::link::{Link, Progress, PublishError};
use super::plant::{Column, Plant, Sample, pump_name};

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
        let link = Link::open("plant-demo", self.port, self.progress.clone());
        // If it fails the connection has ended, and closing says why.
        let _ = self.send_all(&link, &stop).await;
        link.close().await
    }

    async fn send_all(&mut self, link: &Link, stop: &CancellationToken) -> Result<(), PublishError> {
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
            send(link, samples).await?;
        }
        send(link, self.delivery.finish()).await
    }
}

async fn send(link: &Link, samples: &[Sample]) -> Result<(), PublishError> {
    for sample in samples {
        link.send(&topic(sample.pump), payload(sample), 1).await?;
    }
    Ok(())
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
