//! Of a source of type `kafka`, beside what every source has.

use serde::Serialize;

use crate::status::Member;

#[derive(Clone, Debug, Serialize)]
pub struct KafkaView {
    /// Messages that the broker has and the log has not; `null` while that is not known.
    pub lag: Option<u64>,
    pub partitions: u64,
    /// Those of them whose next message waits for its schema.
    pub partitions_waiting: u64,
    pub redelivered_total: u64,
    pub tombstones_total: u64,
    pub lost_total: u64,
    /// Why messages wait for their schemas, with the remedy.
    pub registry_error: Option<String>,
    /// Why it is not known what the group silences and acknowledges, with the remedy.
    pub words_error: Option<String>,
    /// Partitions taken over, and how long the last ones took; 0 where nothing is shared.
    pub handovers_total: u64,
    pub handover_ns_last: u64,
    /// Everybody of the group; empty where nothing is shared.
    pub members: Vec<Member>,
}

impl KafkaView {
    /// Who has which partitions, in a line.
    pub fn shared_by(&self) -> String {
        let member = |member: &Member| {
            let partitions: Vec<String> = member.partitions.iter().map(i32::to_string).collect();
            let has = if partitions.is_empty() { "none".to_owned() } else { partitions.join(", ") };
            format!("{} has {has}", member.name)
        };
        format!(
            "{} Eddys: {}",
            self.members.len(),
            self.members.iter().map(member).collect::<Vec<_>>().join("; ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_what_is_said_in_a_line() {
        let member =
            |name: &str, partitions: &[i32]| Member { name: name.into(), partitions: partitions.into() };
        let view = KafkaView {
            lag: None,
            partitions: 2,
            partitions_waiting: 0,
            redelivered_total: 0,
            tombstones_total: 0,
            lost_total: 0,
            registry_error: None,
            words_error: None,
            handovers_total: 2,
            handover_ns_last: 0,
            members: vec![member("box-a", &[0, 2]), member("box-b", &[])],
        };
        assert_eq!(view.shared_by(), "2 Eddys: box-a has 0, 2; box-b has none");
    }
}
