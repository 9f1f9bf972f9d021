//! What every deployment starts with, wherever its messages come from: outbox, sinks, clock and page.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::common::Common;
use super::desk::{self, Desk};
use super::group::member;
use super::lateness;
use super::pruning;
use super::running::follow_the_clock;
use super::{ASKS_MAX, POINT_GROUPS_MAX};
use super::{telemetry, view};
use crate::access::{self, Key, Links};
use crate::alert::outbox::{Outbox, OutboxHandle};
use crate::config::plan::{Plan, SinkKind, SinkPlan};
use crate::durable::ControlEntry;
use crate::sink::alertmanager::AGAIN;
use crate::sink::deliver::{self, Delivery};
use crate::sink::schedule::SCHEDULE;
use crate::stage::Ask;
use crate::telemetry::Tracer;
use crate::types::Point;

pub(super) struct Grounds {
    pub outbox: OutboxHandle,
    pub page: Option<SocketAddr>,
    /// What the page draws.
    pub points: mpsc::Sender<Vec<Point>>,
    /// What the page wants done.
    pub asks: mpsc::Receiver<Ask>,
    /// Follows what people order about alerts.
    pub desk: Desk,
    pub workers: JoinSet<()>,
    pub stop_workers: CancellationToken,
}

impl Grounds {
    /// `entries`: of the control log, where there is one. Sinks begin once it is `known` what is silenced.
    ///
    /// # Errors
    /// If the outbox, a sink or the page's port cannot be used; the text names the remedy.
    pub async fn lay(
        common: &Common,
        entries: &[ControlEntry],
        known: watch::Receiver<bool>,
    ) -> Result<Self> {
        // Before the sinks: what was silenced is not to be sent.
        desk::recall(&common.status.said, entries);
        let receivers: Vec<String> = common.plan.sinks.iter().map(|s| s.name.clone()).collect();
        let outbox = Outbox::open(&common.plan.durable.path.join("outbox.sqlite"), &receivers)?;
        let outbox = outbox.with_links(links(&common.plan)?).with_others(common.plan.shared().is_some());
        let outbox = OutboxHandle::new(outbox);
        let (mut workers, stop_workers) = (JoinSet::new(), CancellationToken::new());
        workers.spawn(follow_the_clock(common.clock, stop_workers.clone()));
        workers.spawn(pruning::run(
            outbox.clone(),
            retain_alerts(&common.plan),
            common.clock,
            stop_workers.clone(),
        ));
        let (plan, status) = (common.plan.clone(), common.status.clone());
        workers.spawn(lateness::watch(plan, status, stop_workers.clone(), lateness::warn));
        let tracer = telemetry::start(common, &outbox, &stop_workers, &mut workers).await?;
        start_sinks(common, (&outbox, &tracer), &known, &stop_workers, &mut workers)?;
        let (points_to, points) = mpsc::channel(POINT_GROUPS_MAX);
        let (ask, asks) = mpsc::channel(ASKS_MAX);
        let (order, orders) = mpsc::channel(ASKS_MAX);
        let sights = view::Sights {
            plan: common.plan.clone(),
            status: common.status.clone(),
            latency: common.latency.clone(),
            clock: common.clock,
            watch: common.watch.clone(),
            points,
            ask,
            order,
        };
        let page = view::start(sights, &outbox, &stop_workers, &mut workers).await?;
        let desk = Desk::new(common, &outbox, orders);
        Ok(Grounds { outbox, page, points: points_to, asks, desk, workers, stop_workers })
    }
}

/// Links need an address that leads here. Of an Eddy that shares its work none is made: bodies come over the topic
/// from whoever judged, whose key is another.
fn links(plan: &Plan) -> Result<Option<Links>> {
    let Some(url) = plan.dashboard.url.as_ref().filter(|_| plan.dashboard.enabled) else { return Ok(None) };
    let key = Key::read_or_make(&access::folder(&plan.durable.path))?;
    Ok(Some(Links::new(url, key)))
}

fn start_sinks(
    common: &Common,
    (outbox, tracer): (&OutboxHandle, &Tracer),
    known: &watch::Receiver<bool>,
    stop: &CancellationToken,
    workers: &mut JoinSet<()>,
) -> Result<()> {
    let member = common.plan.shared().map(|_| member::name(&common.plan.durable.path)).transpose()?;
    for (index, sink) in common.plan.sinks.iter().enumerate() {
        let delivery = Delivery {
            sink: of_member(sink, member.as_deref()),
            index,
            outbox: outbox.clone(),
            status: common.status.clone(),
            latency: common.latency.clone(),
            clock: common.clock,
            tracer: tracer.clone(),
            schedule: &SCHEDULE,
            again: AGAIN,
            shutdown: stop.clone(),
        };
        let (name, mut known, stopped) = (sink.name.clone(), known.clone(), stop.clone());
        workers.spawn(async move {
            let is_known = tokio::select! {
                known = known.wait_for(|known| *known) => known.is_ok(),
                () = stopped.cancelled() => false,
            };
            if !is_known {
                return;
            }
            if let Err(error) = deliver::run(delivery).await {
                tracing::error!(sink = name, %error, "this sink delivers nothing; its alerts wait in the outbox");
            }
        });
    }
    Ok(())
}

/// Where several Eddys share a topic, an alert that one has left to another comes back if that one dies, and must still be known: for
/// longer at least than any is tried.
const LEFT_MIN: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn retain_alerts(plan: &Plan) -> Duration {
    let retain = plan.durable.retain_alerts;
    if plan.shared().is_some() { retain.max(LEFT_MIN) } else { retain }
}

/// Eddys that share their work have one config, and a broker throws out a client when another comes with its id.
fn of_member(sink: &SinkPlan, member: Option<&str>) -> SinkPlan {
    let mut sink = sink.clone();
    if let (SinkKind::Mqtt(mqtt), Some(member)) = (&mut sink.kind, member) {
        mqtt.broker.client_id += &format!("-{member}");
    }
    sink
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{BrokerPlan, MqttSinkPlan, Version};

    #[test]
    fn each_of_several_eddys_is_a_client_of_its_own() {
        let broker = BrokerPlan {
            host: "broker".into(),
            port: 1883,
            tls: None,
            client_id: "eddy-fleet-sink-plant".into(),
            username: None,
            password: None,
        };
        let (topic, timeout) = ("alerts/eddy".into(), Duration::from_secs(15));
        let mqtt = MqttSinkPlan { broker, version: Version::V5, topic, retain: false, timeout };
        let (name, deployment) = ("plant".into(), "fleet".into());
        let sink = SinkPlan { name, deployment, kind: SinkKind::Mqtt(mqtt), group: None };
        let client_id = |member| match of_member(&sink, member).kind {
            SinkKind::Mqtt(mqtt) => mqtt.broker.client_id,
            other => panic!("{other:?}"),
        };
        assert_eq!(client_id(None), "eddy-fleet-sink-plant");
        assert_eq!(client_id(Some("box-1")), "eddy-fleet-sink-plant-box-1");
    }
}
