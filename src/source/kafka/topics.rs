//! Topics that are written to: looked for, and made if they are not there.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::runtime::Handle;

use crate::config::plan::ClusterPlan;
use crate::kafka::quiet::{Quiet, admin};
use crate::kafka::words::{of_code, plainly};

/// One question to a broker.
pub(crate) const ASK_MAX: Duration = Duration::from_secs(10);
/// Brokers do not know at once what was made.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 100;

/// How many partitions a topic has; `None`: there is no such topic.
///
/// # Errors
/// If the brokers do not say.
pub(crate) fn partitions(reader: &BaseConsumer<Quiet>, topic: &str) -> Result<Option<i32>, String> {
    let failed = |error: KafkaError| format!("topic {topic} cannot be looked at: {}", plainly(&error));
    let metadata = reader.fetch_metadata(Some(topic), ASK_MAX).map_err(failed)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map(|found| found.partitions().len() as i32).filter(|partitions| *partitions > 0))
}

/// Partitions of a topic, made with as many as are `wanted` if it is not there. Replicas are what the cluster gives
/// a topic by default.
///
/// # Errors
/// If it is not there and cannot be made; the text names the remedy.
pub(crate) fn found_or_made(
    runtime: &Handle,
    reader: &BaseConsumer<Quiet>,
    cluster: &ClusterPlan,
    (topic, wanted): (&str, i32),
    settings: &[(&str, &str)],
) -> Result<i32, String> {
    if let Some(partitions) = partitions(reader, topic)? {
        return Ok(partitions);
    }
    if cluster.has_tokens() {
        let settings: String = settings.iter().map(|(key, value)| format!(", {key}={value}")).collect();
        return Err(format!(
            "topic {topic} is not there, and where `sasl` goes by tokens Eddy makes none: make it (partitions={wanted}{settings})"
        ));
    }
    let failed = |error: String| {
        format!(
            "topic {topic} is not there and cannot be made ({error}); make it, or allow this user to create topics"
        )
    };
    let admin = admin(cluster).map_err(|error| failed(plainly(&error)))?;
    let mut new = NewTopic::new(topic, wanted, TopicReplication::Fixed(-1));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(ASK_MAX)).request_timeout(Some(ASK_MAX));
    let made =
        runtime.block_on(admin.create_topics([&new], &options)).map_err(|error| failed(plainly(&error)))?;
    if let Some(Err((_, code))) = made.into_iter().next()
        && code != Code::TopicAlreadyExists
    {
        return Err(failed(of_code(code).map_or_else(|| code.to_string(), str::to_owned)));
    }
    tracing::info!(topic, partitions = wanted, "made");
    for _ in 0..LOOKS {
        if let Some(partitions) = partitions(reader, topic)? {
            return Ok(partitions);
        }
        std::thread::sleep(LOOK);
    }
    Err(failed("it was made, and is not shown".to_owned()))
}
