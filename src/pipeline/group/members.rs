//! Who has which partitions, as the group's coordinator tells it.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use super::clients::Deliverer;
use crate::status::Member;

/// It is for the page only.
const ASK_MAX: Duration = Duration::from_secs(2);

/// In order of name; nothing while the group is being balanced.
pub fn ask(reader: &Deliverer, group: &str) -> KafkaResult<Vec<Member>> {
    let list = reader.fetch_group_list(Some(group), ASK_MAX)?;
    let members =
        list.groups().iter().filter(|found| found.name() == group).flat_map(|found| found.members());
    let member = |member: &rdkafka::groups::GroupMemberInfo| Member {
        name: member.client_id().to_owned(),
        partitions: member.assignment().and_then(assigned).unwrap_or_default(),
    };
    let mut all: Vec<Member> = members.map(member).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The partitions in an assignment of Kafka's consumer protocol (`ConsumerProtocolAssignment.json` of Apache Kafka): a
/// version, then topics, each with its name and partitions; all big-endian, lengths before what they are of.
fn assigned(bytes: &[u8]) -> Option<Vec<i32>> {
    let mut at = 2;
    let mut take = |count: usize| {
        let taken = bytes.get(at..at + count)?;
        at += count;
        Some(taken)
    };
    let number = |taken: &[u8]| taken.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    let mut partitions = Vec::new();
    for _ in 0..number(take(4)?) {
        let name_bytes = number(take(2)?);
        take(name_bytes as usize)?;
        for _ in 0..number(take(4)?) {
            partitions.push(number(take(4)?) as i32);
        }
    }
    partitions.sort_unstable();
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read_from_an_assignment() {
        let mut bytes = vec![0, 3, 0, 0, 0, 1, 0, 5];
        bytes.extend(b"pumps");
        bytes.extend([0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 1]);
        bytes.extend([255; 4]);
        assert_eq!(assigned(&bytes), Some(vec![1, 7]));
        assert_eq!(assigned(&bytes[..18]), None, "it ends early");
        assert_eq!(assigned(&[0, 3, 0, 0, 0, 0]), Some(Vec::new()));
        assert_eq!(assigned(&[]), None);
    }
}
