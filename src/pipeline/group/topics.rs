//! The topics that a group needs, made if they are not there, and refused if they would not do.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::runtime::Handle;

use super::End;
use super::clients::{ASK_MAX, Reader, admin};
use crate::config::plan::{KafkaPlan, SharedPlan};
use crate::types::PARTITIONS;

/// What is written of a topic that is made here. Replicas are what the cluster gives a topic by default. Old states go
/// soon: whoever takes a partition over reads what there is.
const STATE: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("segment.bytes", "67108864"),
    ("segment.ms", "600000"),
];

/// Brokers do not know at once what was made.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 100;

/// Partitions of the source's topic, once all topics are there.
pub fn prepare(runtime: &Handle, reader: &Reader, plan: &KafkaPlan, shared: &SharedPlan) -> Result<i32, End> {
    let topic = &plan.topics[0];
    let Some(partitions) = partitions(reader, topic)? else {
        return Err(End::Again(format!("the cluster has no topic {topic}; make it, or correct `topics`")));
    };
    if partitions > PARTITIONS as i32 {
        return Err(End::Refused(format!(
            "topic {topic} has {partitions} partitions, and Eddys that share one read {PARTITIONS} at most: repartition it, or \
             remove `shared`"
        )));
    }
    let state = found_or_made(runtime, reader, plan, &shared.state, partitions, &STATE)?;
    if state != partitions {
        return Err(End::Refused(format!(
            "topic {} has {state} partitions, and {topic} has {partitions}: name another topic in `shared.state`, which is then \
             made as it has to be",
            shared.state
        )));
    }
    found_or_made(runtime, reader, plan, &shared.alerts, partitions, &[])?;
    check_compacted(runtime, plan, &shared.state)?;
    Ok(partitions)
}

fn partitions(reader: &Reader, topic: &str) -> Result<Option<i32>, End> {
    let again = |error: KafkaError| End::Again(format!("topic {topic} cannot be looked at: {error}"));
    let metadata = reader.fetch_metadata(Some(topic), ASK_MAX).map_err(again)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map(|found| found.partitions().len() as i32).filter(|partitions| *partitions > 0))
}

fn found_or_made(
    runtime: &Handle,
    reader: &Reader,
    plan: &KafkaPlan,
    topic: &str,
    wanted: i32,
    settings: &[(&str, &str)],
) -> Result<i32, End> {
    if let Some(partitions) = partitions(reader, topic)? {
        return Ok(partitions);
    }
    let again = |error: String| {
        End::Again(format!(
            "topic {topic} is not there and cannot be made ({error}); make it, or allow this user to create topics"
        ))
    };
    let admin = admin(plan).map_err(|error| again(error.to_string()))?;
    let mut new = NewTopic::new(topic, wanted, TopicReplication::Fixed(-1));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(ASK_MAX)).request_timeout(Some(ASK_MAX));
    let made =
        runtime.block_on(admin.create_topics([&new], &options)).map_err(|error| again(error.to_string()))?;
    if let Some(Err((_, code))) = made.into_iter().next()
        && code != Code::TopicAlreadyExists
    {
        return Err(again(code.to_string()));
    }
    tracing::info!(topic, partitions = wanted, "made");
    for _ in 0..LOOKS {
        if let Some(partitions) = partitions(reader, topic)? {
            return Ok(partitions);
        }
        std::thread::sleep(LOOK);
    }
    Err(again("it was made, and is not shown".to_owned()))
}

/// One that is cut by age would lose the states of partitions.
fn check_compacted(runtime: &Handle, plan: &KafkaPlan, topic: &str) -> Result<(), End> {
    let again =
        |error: String| End::Again(format!("the settings of topic {topic} cannot be looked at: {error}"));
    let admin = admin(plan).map_err(|error| again(error.to_string()))?;
    let options = AdminOptions::new().request_timeout(Some(ASK_MAX));
    let of = ResourceSpecifier::Topic(topic);
    let asked = admin.describe_configs([&of], &options);
    let described = runtime.block_on(asked).map_err(|error| again(error.to_string()))?;
    let resource = described.into_iter().next().ok_or_else(|| again("no answer".to_owned()))?;
    let resource = match resource {
        Ok(resource) => resource,
        Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            tracing::warn!(
                topic,
                "its settings may not be looked at (DescribeConfigs); it must be compacted"
            );
            return Ok(());
        }
        Err(code) => return Err(again(code.to_string())),
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
