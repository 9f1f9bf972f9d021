//! What no section can see alone: sections that get into each other's way.

use std::net::SocketAddr;

use super::field::Field;
use super::plan::{
    BrokerPlan, DashboardPlan, KafkaPlan, ModelPlan, MqttPlan, Plan, SinkKind, SinkPlan, SourceKind,
    StreamPlan,
};
use super::sink::Sink;
use super::source::Source;
use super::topic::takes;

/// Two listeners on one address: the second would fail to start.
pub fn listeners(sources: &[Source<'_>], dashboard: Option<(&DashboardPlan, Field<'_>)>) {
    let http = sources.iter().filter_map(|source| match &source.plan.as_ref()?.kind {
        SourceKind::Http(plan) => Some((plan.listen, source.field.locate("listen"))),
        _ => None,
    });
    let page = dashboard.filter(|(plan, _)| plan.enabled).map(|(plan, field)| (plan.listen, field));
    let listeners: Vec<(SocketAddr, Field<'_>)> = http.chain(page).collect();
    for (index, (address, field)) in listeners.iter().enumerate() {
        if let Some((_, other)) = listeners[..index].iter().find(|(earlier, _)| clash(*earlier, *address)) {
            field.problem(
                format!("{address} is already taken by {}", other.path()),
                "Give each listener its own port.",
            );
        }
    }
}

/// Port 0 asks for any free port, so it never clashes.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && same_host
}

/// Two clients of one id throw each other out of the broker for ever.
pub fn client_ids(sources: &[Source<'_>], sinks: &[Sink<'_>]) {
    let of_sources = mqtt_sources(sources).map(|(plan, source)| (&plan.broker, &source.field));
    let of_sinks = sinks.iter().filter_map(|sink| match &sink.plan.as_ref()?.kind {
        SinkKind::Mqtt(plan) => Some((&plan.broker, &sink.field)),
        _ => None,
    });
    let clients: Vec<(&BrokerPlan, &Field<'_>)> = of_sources.chain(of_sinks).collect();
    for (index, (plan, field)) in clients.iter().enumerate() {
        let same = |other: &BrokerPlan| other.is_of(plan) && other.client_id == plan.client_id;
        if let Some((_, other)) = clients[..index].iter().find(|(other, _)| same(other)) {
            field.locate("client_id").problem(
                format!("[{}] connects to the same broker with the same client id", other.path()),
                "Give each its own, or leave it out: the default differs.",
            );
        }
    }
}

/// Alerts that come back as readings would end among the dead letters, one for each.
pub fn alerts_over_mqtt(sources: &[Source<'_>], sinks: &[Sink<'_>]) {
    for sink in sinks {
        let Some(SinkKind::Mqtt(plan)) = sink.plan.as_ref().map(|plan| &plan.kind) else { continue };
        for (source, named) in mqtt_sources(sources) {
            let taken = source.topics.iter().find(|filter| takes(filter, &plan.topic));
            if let Some(filter) = taken.filter(|_| source.broker.is_of(&plan.broker)) {
                sink.field.locate("topic").problem(
                    format!(
                        "[{}] subscribes {filter:?} at this broker, which takes {:?}",
                        named.field.path(),
                        plan.topic
                    ),
                    "Publish alerts where no source reads, such as \"alerts/eddy\".",
                );
            }
        }
    }
}

/// Sinks and sources, by name, for which the same would be if two ports of one host were one broker's.
pub fn perhaps_own_alerts(plan: &Plan) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for sink in &plan.sinks {
        let SinkKind::Mqtt(told) = &sink.kind else { continue };
        for source in &plan.sources {
            if let SourceKind::Mqtt(read) = &source.kind
                && read.broker.is_beside(&told.broker)
                && read.broker.port != told.broker.port
                && read.topics.iter().any(|filter| takes(filter, &told.topic))
            {
                found.push((sink.name.as_str(), source.name.as_str()));
            }
        }
    }
    found
}

fn mqtt_sources<'a, 'b>(sources: &'b [Source<'a>]) -> impl Iterator<Item = (&'b MqttPlan, &'b Source<'a>)> {
    sources.iter().filter_map(|source| match &source.plan.as_ref()?.kind {
        SourceKind::Mqtt(plan) => Some((plan, source)),
        _ => None,
    })
}

/// Two sources of one group would take each other's partitions.
pub fn groups(sources: &[Source<'_>]) {
    let members: Vec<(&KafkaPlan, &Source<'_>)> = sources
        .iter()
        .filter_map(|source| match &source.plan.as_ref()?.kind {
            SourceKind::Kafka(plan) => Some((plan, source)),
            _ => None,
        })
        .collect();
    for (index, (plan, source)) in members.iter().enumerate() {
        let same = |other: &KafkaPlan| other.cluster.is_of(&plan.cluster) && other.group == plan.group;
        if let Some((_, other)) = members[..index].iter().find(|(other, _)| same(other)) {
            source.field.locate("group").problem(
                format!("[{}] is in the same group of the same brokers", other.field.path()),
                "Give each its own, or leave it out: the default differs.",
            );
        }
    }
}

/// Alerts that would come in again as readings, or stand among what is something else.
pub fn alerts_over_kafka(sources: &[Source<'_>], sinks: &[Sink<'_>]) {
    for sink in sinks {
        let Some(SinkKind::Kafka(kafka)) = sink.plan.as_ref().map(|plan| &plan.kind) else { continue };
        let use_of = |source: &Source<'_>| match source.plan.as_ref().map(|plan| &plan.kind) {
            Some(SourceKind::Kafka(plan)) if plan.cluster.is_of(&kafka.cluster) => use_of(plan, &kafka.topic),
            _ => None,
        };
        for (source, used) in sources.iter().filter_map(|source| Some((source, use_of(source)?))) {
            sink.field.locate("topic").problem(
                format!("{} is {used} of [{}]", kafka.topic, source.field.path()),
                "Give alerts of this sink a topic of their own.",
            );
        }
    }
}

/// What a source has a topic for, if it names it. One that a regular expression fits is passed over as it is read.
fn use_of(plan: &KafkaPlan, topic: &String) -> Option<&'static str> {
    let shared = plan.shared.as_ref();
    match () {
        () if plan.topics.contains(topic) => Some("one of the `topics`"),
        () if plan.dead_letters.as_ref() == Some(topic) => Some("for the `dead_letters`"),
        () if shared.is_some_and(|shared| shared.alerts == *topic) => Some("for `shared.alerts`"),
        () if shared.is_some_and(|shared| shared.state == *topic) => Some("for `shared.state`"),
        () => None,
    }
}

/// A source nobody takes from sends all it receives to the dead letters. `streams` must be complete.
pub fn unused_sources(sources: &[Source<'_>], streams: &[StreamPlan]) {
    for source in sources {
        if !streams.iter().any(|stream| stream.from.iter().any(|from| from == source.name)) {
            source.field.problem(
                "no stream takes from this source",
                format!("Add `from = {:?}` to a stream, or remove the source.", source.name),
            );
        }
    }
}

/// What several Eddys cannot do together yet, or what would not be a function of each partition.
pub fn shared(sources: &[Source<'_>], streams: &[StreamPlan], sinks: &[SinkPlan]) {
    let shares = |source: &&Source<'_>| {
        let kind = source.plan.as_ref().map(|plan| &plan.kind);
        matches!(kind, Some(SourceKind::Kafka(KafkaPlan { shared: Some(_), .. })))
    };
    let Some(source) = sources.iter().find(shares) else { return };
    let shared = source.field.locate("shared");
    if sources.len() > 1 {
        shared.problem(
            "other sources stand beside a source that is shared",
            "Give them a config and a data folder of their own, or remove `shared`.",
        );
    }
    if let Some(SourceKind::Kafka(kafka)) = source.plan.as_ref().map(|plan| &plan.kind) {
        only_topic(&source.field, kafka);
    }
    for sink in sinks.iter().filter(|sink| sink.group.is_some()) {
        shared.problem(
            format!("[sink.{}] has a `group`, and each Eddy would tell an incident of its own", sink.name),
            "Remove `group` and let the receiver put alerts together, as Alertmanager does, or remove `shared`.",
        );
    }
    for stream in streams {
        if matches!(stream.model, ModelPlan::Load { refit: Some(_), .. }) {
            shared.problem(
                format!(
                    "[stream.{}] has a model with `refit`, which learns from all partitions",
                    stream.name
                ),
                "Remove `refit`, or `shared`.",
            );
        }
    }
}

fn only_topic(source: &Field<'_>, kafka: &KafkaPlan) {
    let shared = kafka.shared.as_ref();
    match &kafka.topics[..] {
        [topic] if !topic.starts_with('^') => {
            if shared.is_some_and(|shared| shared.alerts == *topic || shared.state == *topic) {
                source.locate("shared").problem(
                    format!("{topic} is read already"),
                    "Give alerts and state topics of their own.",
                );
            }
        }
        _ => source.locate("topics").problem(
            "a source that is shared reads one topic",
            "Name one topic, no regular expression; run one group of Eddys for each.",
        ),
    }
}
