//! From the alerts topic into the outbox.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use super::backlog::{Backlog, Position};
use super::{Delivery, RETRY};
use crate::alert::outbox::Sent;
use crate::pipeline::group::clients::Deliverer;
use crate::types::{Alert, Decision, Receipt};

const POLL: Duration = Duration::from_millis(50);
const COMMITTED_MAX: Duration = Duration::from_secs(5);
const GROUP_MAX: usize = 1000;

/// What a body tells. Read once more, since what is shown must be what was sent.
#[derive(Deserialize)]
struct Body {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(flatten)]
    decision: Decision,
    receipt: Receipt,
}

impl Delivery {
    /// # Errors
    /// If it is not known of a partition what was delivered of it: a new client is to ask again, before anything is told twice.
    pub(super) fn receive(
        &self,
        consumer: &Deliverer,
        waiting: &mut BTreeMap<i32, Backlog>,
    ) -> KafkaResult<()> {
        let (mut group, mut wait, mut known) = (Vec::new(), POLL, Ok(()));
        while group.len() < GROUP_MAX {
            let Some(received) = consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            let Ok(message) = received else { continue };
            let (partition, offset) = (message.partition(), message.offset());
            let backlog = match self.backlog(consumer, waiting.entry(partition), offset) {
                Ok(backlog) => backlog,
                Err(error) => {
                    known = Err(error);
                    break;
                }
            };
            let is_told = backlog.is_told(offset);
            let sent = message.payload().filter(|_| !is_told).and_then(read);
            if sent.is_none() && !is_told {
                let topic = message.topic();
                tracing::error!(topic, partition, offset, "no alert of eddy's; it is passed over");
            }
            let revision =
                sent.as_ref().map(|Sent { alert, .. }| (alert.decision.id.clone(), alert.decision.revision));
            backlog.take(offset, revision);
            group.extend(sent);
        }
        self.store(&group);
        known
    }

    /// Until it is done.
    fn store(&self, group: &[Sent]) {
        while !group.is_empty() {
            match self.outbox.store_sent(group, self.clock.now_ns()) {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%error, alerts = group.len(), "outbox not written, trying again; nothing is dropped");
                    if error.is_full() {
                        self.ballast.give_up();
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// The partition's, for a message at `offset`. Of one that comes it is asked what was delivered of it.
    fn backlog<'a>(
        &self,
        consumer: &Deliverer,
        entry: Entry<'a, i32, Backlog>,
        offset: i64,
    ) -> KafkaResult<&'a mut Backlog> {
        match entry {
            Entry::Occupied(known) if known.get().goes_on_at(offset) => Ok(known.into_mut()),
            Entry::Occupied(mut known) => {
                *known.get_mut() = self.begin(consumer, *known.key(), offset)?;
                Ok(known.into_mut())
            }
            Entry::Vacant(place) => {
                let backlog = self.begin(consumer, *place.key(), offset)?;
                Ok(place.insert(backlog))
            }
        }
    }

    fn begin(&self, consumer: &Deliverer, partition: i32, offset: i64) -> KafkaResult<Backlog> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.shared.alerts, partition);
        let answer = consumer.committed_offsets(list, COMMITTED_MAX)?;
        let elements = answer.elements();
        let committed = elements.first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(Position { offset, beyond: element.metadata().to_owned() }),
            _ => None,
        });
        Ok(Backlog::begin(committed, offset))
    }
}

fn read(payload: &[u8]) -> Option<Sent> {
    let Body { data: Data { decision, receipt } } = sonic_rs::from_slice(payload).ok()?;
    let body = std::str::from_utf8(payload).ok()?.to_owned();
    Some(Sent { alert: Alert { decision, receipt }, body })
}
