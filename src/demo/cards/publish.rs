//! The bank's messages over real MQTT at QoS 1: the history as fast as it is taken, then a day every
//! [`DAY_REAL_S`](super::DAY_REAL_S) seconds, counted from the start of the run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::super::link::{Link, Progress, PublishError};
use super::shop::{Shop, Told};
use super::{CARD_SPEED, CARDS_START};
use crate::types::EventTime;

/// Streams that take a payment: `cards` and `bursts` in `configs/demo.toml`. A charge-back is for the first alone.
const PAYMENT_ROWS: u64 = 2;

pub struct CardPublisher {
    pub port: u16,
    pub shop: Shop,
    /// Days after the start to publish.
    pub days: i64,
    pub progress: Arc<Progress>,
}

impl CardPublisher {
    /// Publishes until the days are over or `stop`, waits for the acknowledgements, disconnects.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), PublishError> {
        let link = Link::open("cards-demo", self.port, self.progress.clone());
        // If it fails the connection has ended, and closing says why.
        let _ = self.send_all(&link, &stop).await;
        link.close().await
    }

    async fn send_all(&mut self, link: &Link, stop: &CancellationToken) -> Result<(), PublishError> {
        let began = Instant::now();
        while self.shop.day() < self.days {
            for told in self.shop.next_day() {
                tokio::select! {
                    biased;
                    _ = stop.cancelled() => return Ok(()),
                    _ = sleep_until(began + real_after_start(told.at)) => {}
                }
                self.send(link, &told).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, link: &Link, told: &Told) -> Result<(), PublishError> {
        self.progress.event_time.store(told.at.0, Ordering::Relaxed);
        let rows = if told.charge_back { 1 } else { PAYMENT_ROWS };
        link.send(told.topic(), told.payload(), rows).await
    }
}

/// Nothing for what lies in the history.
fn real_after_start(time: EventTime) -> Duration {
    Duration::from_nanos(((time.0 - CARDS_START.0) / CARD_SPEED).max(0) as u64)
}
