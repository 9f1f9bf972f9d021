//! Where reading begins in a partition that was just assigned.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;

use crate::config::plan::KafkaStart;
use crate::types::Offsets;
use crate::types::kafka::next_of;

/// One question to a broker.
const ASK_MAX: Duration = Duration::from_secs(5);

const SETTLES: Duration = Duration::from_secs(2);

/// What became of an offset that the log names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    There,
    /// So many were deleted before they were read.
    Lost(i64),
    /// The partition ends before it: it was made anew.
    Anew,
}

/// `low..high` is what the broker has.
pub(super) fn judge(next: i64, low: i64, high: i64) -> Found {
    match () {
        () if next < low => Found::Lost(low - next),
        () if next > high => Found::Anew,
        () => Found::There,
    }
}

/// Of one partition the log has something of: where to go on, and what was found there. A broker that does not answer
/// is not asked about the next one: an offset that is gone is found out at the first fetch, too.
pub(super) fn known<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    (topic, partition, next): (&str, i32, i64),
    asks: &mut bool,
) -> (Offset, Found) {
    if !*asks {
        return (Offset::Offset(next), Found::There);
    }
    let ask = || consumer.fetch_watermarks(topic, partition, ASK_MAX);
    let is_anew = |&(low, high): &(i64, i64)| judge(next, low, high) == Found::Anew;
    let mut found = ask();
    if found.as_ref().is_ok_and(is_anew) {
        // A leader that has just become one may not know its whole partition yet.
        std::thread::sleep(SETTLES);
        found = ask();
    }
    match found {
        Ok((low, high)) => match judge(next, low, high) {
            Found::There => (Offset::Offset(next), Found::There),
            found => (Offset::Offset(low), found),
        },
        Err(_) => {
            *asks = false;
            (Offset::Offset(next), Found::There)
        }
    }
}

/// Of partitions the log has nothing of: by `start`.
///
/// # Errors
/// If a broker does not answer what must be asked.
pub(super) fn unknown<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    start: KafkaStart,
    logged: &Offsets,
    partitions: &[(String, i32)],
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    if partitions.is_empty() {
        return Ok(list);
    }
    let asked = match start {
        KafkaStart::Earliest => Offset::Beginning,
        KafkaStart::Latest => Offset::Invalid,
        KafkaStart::At(ms) => Offset::Offset(ms),
    };
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, asked)?;
    }
    match start {
        KafkaStart::Earliest => Ok(list),
        KafkaStart::At(_) => consumer.offsets_for_times(list, ASK_MAX),
        KafkaStart::Latest => latest(consumer, logged, list),
    }
}

/// A partition that was being read before, though it had nothing, goes on at its committed offset: it would lose what came
/// meanwhile. So does a new partition of a topic that is being read, from its beginning.
fn latest<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    logged: &Offsets,
    list: TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    let mut list = consumer.committed_offsets(list, ASK_MAX)?;
    let mut begins = TopicPartitionList::new();
    for found in list.elements() {
        let (topic, partition) = (found.topic(), found.partition());
        let offset = match found.offset() {
            committed @ Offset::Offset(_) => committed,
            _ if logged.contains_key(topic) => Offset::Beginning,
            // As a number, so that it can be committed.
            _ => Offset::Offset(consumer.fetch_watermarks(topic, partition, ASK_MAX)?.1),
        };
        begins.add_partition_offset(topic, partition, offset)?;
    }
    list = begins;
    Ok(list)
}

/// What the log has nothing of.
pub(super) fn not_in<'a>(
    logged: &Offsets,
    assigned: impl Iterator<Item = (&'a str, i32)>,
) -> Vec<(String, i32)> {
    assigned
        .filter(|(topic, partition)| next_of(logged, topic, *partition).is_none())
        .map(|(topic, partition)| (topic.to_owned(), partition))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_there_or_deleted_or_of_a_partition_before() {
        assert_eq!(judge(5, 0, 9), Found::There);
        assert_eq!(judge(9, 0, 9), Found::There, "read to its end");
        assert_eq!(judge(5, 5, 9), Found::There);
        assert_eq!(judge(5, 8, 9), Found::Lost(3));
        assert_eq!(judge(10, 0, 9), Found::Anew);
    }
}
