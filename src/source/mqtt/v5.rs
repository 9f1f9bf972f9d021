//! MQTT 5 as the library has it. Topic aliases are never offered, so every message names its topic.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, SubscribeReasonCode};
use rumqttc::v5::{self, MqttOptions};
use rumqttc::{Outgoing, Transport};

use super::wire::{Delivery, Event};
use crate::config::plan::MqttPlan;
use crate::mqtt::{self, PACKET_BYTES_MAX};

/// The library keeps a slot for each message it might publish; Eddy publishes none here.
const PUBLISHED_MAX: u16 = 16;

pub(super) fn options(
    plan: &MqttPlan,
    transport: Transport,
    session_expiry: Duration,
    receive_maximum: u16,
) -> MqttOptions {
    let mut options = mqtt::v5::options(&plan.broker, transport, plan.keep_alive);
    let expiry_s = u32::try_from(session_expiry.as_secs()).unwrap_or(u32::MAX);
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(expiry_s))
        .set_receive_maximum(Some(receive_maximum))
        .set_max_packet_size(Some(PACKET_BYTES_MAX))
        .set_outgoing_inflight_upper_limit(PUBLISHED_MAX)
        .set_manual_acks(true);
    options
}

pub(super) fn filters(plan: &MqttPlan) -> impl Iterator<Item = Filter> {
    let qos = if plan.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    plan.topics.iter().map(move |topic| Filter::new(topic.clone(), qos))
}

/// A message of which only the packet id matters.
pub(super) fn acknowledged(pkid: u16) -> Publish {
    let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new(), None);
    publish.pkid = pkid;
    publish
}

impl From<v5::Event> for Event {
    fn from(event: v5::Event) -> Event {
        match event {
            v5::Event::Incoming(Packet::ConnAck(connack)) => {
                Event::Connected { session_present: connack.session_present }
            }
            v5::Event::Incoming(Packet::Publish(publish)) => Event::Message(Delivery {
                pkid: publish.pkid,
                retain: publish.retain,
                topic: String::from_utf8_lossy(&publish.topic).into(),
                payload: publish.payload,
            }),
            v5::Event::Incoming(Packet::SubAck(suback)) => {
                let granted = |code: &SubscribeReasonCode| match code {
                    SubscribeReasonCode::Success(qos) => Some(*qos as u8),
                    _ => None,
                };
                Event::Subscribed(suback.return_codes.iter().map(granted).collect())
            }
            v5::Event::Outgoing(Outgoing::PubAck(_)) => Event::Acked,
            _ => Event::Other,
        }
    }
}
