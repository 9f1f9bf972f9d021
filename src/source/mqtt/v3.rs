//! MQTT 3.1.1 as the library has it.

use rumqttc::{MqttOptions, Outgoing, Packet, Publish, QoS, SubscribeFilter, SubscribeReasonCode, Transport};

use super::wire::{Delivery, Event};
use crate::config::plan::MqttPlan;
use crate::mqtt::{PACKET_BYTES_MAX, v3};

pub(super) fn options(plan: &MqttPlan, transport: Transport) -> MqttOptions {
    let mut options = v3::options(&plan.broker, transport, plan.keep_alive);
    // The setter panics on what the protocol does not know; a config that got here anyway is mended.
    if !plan.broker.client_id.is_empty() {
        options.set_clean_session(false);
    }
    let bytes_max = PACKET_BYTES_MAX as usize;
    options.set_manual_acks(true).set_max_packet_size(bytes_max, bytes_max);
    options
}

pub(super) fn filters(plan: &MqttPlan) -> impl Iterator<Item = SubscribeFilter> {
    let qos = if plan.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    plan.topics.iter().map(move |topic| SubscribeFilter::new(topic.clone(), qos))
}

/// A message of which only the packet id matters.
pub(super) fn acknowledged(pkid: u16) -> Publish {
    let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new());
    publish.pkid = pkid;
    publish
}

impl From<rumqttc::Event> for Event {
    fn from(event: rumqttc::Event) -> Event {
        match event {
            rumqttc::Event::Incoming(Packet::ConnAck(connack)) => {
                Event::Connected { session_present: connack.session_present }
            }
            rumqttc::Event::Incoming(Packet::Publish(publish)) => Event::Message(Delivery {
                pkid: publish.pkid,
                retain: publish.retain,
                topic: publish.topic.into_boxed_str(),
                payload: publish.payload,
            }),
            rumqttc::Event::Incoming(Packet::SubAck(suback)) => {
                let granted = |code: &SubscribeReasonCode| match code {
                    SubscribeReasonCode::Success(qos) => Some(*qos as u8),
                    SubscribeReasonCode::Failure => None,
                };
                Event::Subscribed(suback.return_codes.iter().map(granted).collect())
            }
            rumqttc::Event::Outgoing(Outgoing::PubAck(_)) => Event::Acked,
            _ => Event::Other,
        }
    }
}
