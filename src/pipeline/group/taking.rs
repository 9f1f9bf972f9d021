//! A message on its way to the shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rdkafka::message::{BorrowedMessage, Message as _};

use super::owned::Owned;
use super::{Driver, End};
use crate::source::kafka::batch::message;
use crate::types::{Arrival, PartitionId, Position};

/// What a message needs of a session.
pub(super) struct Taking<'s> {
    pub driver: &'s mut Driver,
    pub owned: &'s mut BTreeMap<i32, Owned>,
    pub source: &'s Arc<str>,
}

impl Taking<'_> {
    pub fn take(&mut self, received: &BorrowedMessage<'_>) -> Result<(), End> {
        let (partition, offset) = (received.partition(), received.offset());
        let status = &self.driver.status.sources[0];
        // Taken away while it was on its way.
        let Some(owned) = self.owned.get_mut(&partition) else { return Ok(()) };
        if offset < owned.next {
            status.kafka.redelivered_total.fetch_add(1, Relaxed);
            return Ok(());
        }
        let again = offset < owned.replay_until;
        (owned.next, owned.ended, owned.changed) = (offset + 1, None, true);
        // Not by the clock: whoever reads it again must find it arrived at the same time.
        let arrival = Arrival(received.timestamp().to_millis().unwrap_or(0).saturating_mul(1_000_000));
        let read = message(received, self.source, arrival);
        match (&read, again) {
            (_, true) => drop(self.driver.status.recovered_messages_total.fetch_add(1, Relaxed)),
            (None, false) => drop(status.kafka.tombstones_total.fetch_add(1, Relaxed)),
            (Some(_), false) => {
                status.messages_total.fetch_add(1, Relaxed);
                status.last_arrival.store(arrival.0, Relaxed);
            }
        }
        while let Some((stream, control)) = owned.control_before(offset) {
            let from_ns = self.driver.clock.now_ns();
            self.driver.hand.send(from_ns)?;
            let of = (stream, PartitionId::of_kafka(partition));
            self.driver.hand.idle(of, control.offset, control.idle, true)?;
        }
        if let Some(message) = &read {
            self.driver.hand.decode(Position(offset.unsigned_abs()), message, again);
        }
        Ok(())
    }
}
