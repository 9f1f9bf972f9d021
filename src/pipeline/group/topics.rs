//! The topics that a group needs, made if they are not there, and refused if they would not do.

use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::runtime::Handle;

use super::End;
use super::clients::Reader;
use crate::config::plan::{KafkaPlan, SharedPlan};
use crate::kafka::quiet::admin;
use crate::kafka::words::{of_code, plainly};
use crate::source::kafka::topics::{ASK_MAX, found_or_made, partitions};
use crate::types::PARTITIONS;

/// What is written of the topic of states. Old ones go soon: whoever takes a partition over reads what there is.
const STATE: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("segment.bytes", "67108864"),
    ("segment.ms", "600000"),
];

/// Partitions of the source's topic, once all topics are there.
pub fn prepare(runtime: &Handle, reader: &Reader, plan: &KafkaPlan, shared: &SharedPlan) -> Result<i32, End> {
    let topic = &plan.topics[0];
    let Some(partitions) = partitions(reader, topic).map_err(End::Again)? else {
        return Err(End::Again(format!("the cluster has no topic {topic}; make it, or correct `topics`")));
    };
    if partitions > PARTITIONS as i32 {
        return Err(End::Refused(format!(
            "topic {topic} has {partitions} partitions, and Eddys that share one read {PARTITIONS} at most: repartition it, or \
             remove `shared`"
        )));
    }
    let make = |topic: &str, wanted, settings: &[_]| {
        found_or_made(runtime, reader, &plan.cluster, (topic, wanted), settings).map_err(End::Again)
    };
    let state = make(&shared.state, partitions, &STATE)?;
    if state != partitions {
        return Err(End::Refused(format!(
            "topic {} has {state} partitions, and {topic} has {partitions}: name another topic in `shared.state`, which is then \
             made as it has to be",
            shared.state
        )));
    }
    make(&shared.alerts, partitions, &[])?;
    if let Some(dead) = &plan.dead_letters {
        make(dead, 1, &[])?;
    }
    check_compacted(runtime, plan, &shared.state)?;
    Ok(partitions)
}

/// One that is cut by age would lose the states of partitions.
fn check_compacted(runtime: &Handle, plan: &KafkaPlan, topic: &str) -> Result<(), End> {
    let unseen = |why: &str| {
        tracing::warn!(topic, why, "its settings are not looked at; it must be compacted");
        Ok(())
    };
    if plan.cluster.has_tokens() {
        return unseen("`sasl` goes by tokens");
    }
    let again =
        |error: String| End::Again(format!("the settings of topic {topic} cannot be looked at: {error}"));
    let admin = admin(&plan.cluster).map_err(|error| again(plainly(&error)))?;
    let options = AdminOptions::new().request_timeout(Some(ASK_MAX));
    let of = ResourceSpecifier::Topic(topic);
    let asked = admin.describe_configs([&of], &options);
    let described = runtime.block_on(asked).map_err(|error| again(plainly(&error)))?;
    let resource = described.into_iter().next().ok_or_else(|| again("no answer".to_owned()))?;
    let resource = match resource {
        Ok(resource) => resource,
        Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            return unseen("DescribeConfigs is not allowed");
        }
        Err(code) => return Err(again(of_code(code).map_or_else(|| code.to_string(), str::to_owned))),
    };
    let policy = resource.get("cleanup.policy").and_then(|entry| entry.value.clone()).unwrap_or_default();
    if policy == "compact" {
        return Ok(());
    }
    Err(End::Refused(format!(
        "topic {topic} has cleanup.policy={policy}, by which states of partitions would go: set it to compact, or name \
         another topic in `shared.state`, which is then made as it has to be"
    )))
}
