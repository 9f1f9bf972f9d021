//! Clients of MQTT that are put out of their broker, most likely by others that have their id.

use super::Problem;
use crate::dashboard::snapshot::Snapshot;

pub fn rivals(snapshot: &Snapshot) -> Vec<Problem> {
    let sources = snapshot.sources.iter().filter_map(|source| {
        Some(Problem {
            what: format!("Source {} is put out of its broker again and again", source.name),
            effect:
                "Messages that go to the other client meanwhile never come here; others come later, or twice"
                    .to_owned(),
            remedy: source.rival.clone()?,
        })
    });
    let sinks = snapshot.sinks.iter().filter_map(|sink| {
        Some(Problem {
            what: format!("Receiver {} puts Eddy out of the broker again and again", sink.name),
            effect: "What is on its way then is sent again".to_owned(),
            remedy: sink.rival.clone()?,
        })
    });
    sources.chain(sinks).collect()
}
