//! MQTT 3.1.1 as the library has it. A message is topic and payload; an acknowledgement says nothing more.

use rumqttc::{AsyncClient, MqttOptions, NetworkOptions, Outgoing as Sent, Packet, Publish, QoS, Transport};

use super::wire::{Event, IN_FLIGHT_MAX, Limits, Receipt};
use crate::config::plan::MqttSinkPlan;
use crate::mqtt::{self, Full, KEEP_ALIVE, PACKET_BYTES_MAX};
use crate::sink::Outgoing;

pub(super) fn options(plan: &MqttSinkPlan, transport: Transport) -> MqttOptions {
    let mut options = mqtt::v3::options(&plan.broker, transport, KEEP_ALIVE);
    let bytes_max = PACKET_BYTES_MAX as usize;
    options.set_clean_session(true).set_inflight(IN_FLIGHT_MAX).set_max_packet_size(bytes_max, bytes_max);
    options
}

pub(super) fn network(plan: &MqttSinkPlan) -> NetworkOptions {
    let mut network = mqtt::network();
    network.set_connection_timeout(plan.timeout.as_secs().max(1));
    network
}

pub(super) fn publish(client: &AsyncClient, plan: &MqttSinkPlan, outgoing: &Outgoing) -> Result<(), Full> {
    client.try_publish(&plan.topic, QoS::AtLeastOnce, plan.retain, outgoing.body.clone()).map_err(|_| Full)
}

pub(super) fn packet_bytes(plan: &MqttSinkPlan, outgoing: &Outgoing) -> usize {
    Publish::new(&plan.topic, QoS::AtLeastOnce, outgoing.body.clone()).size()
}

pub(super) fn event(event: rumqttc::Event) -> Event {
    match event {
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => Event::Connected(Limits {
            packet_bytes_max: PACKET_BYTES_MAX,
            is_qos_0_only: false,
            retains: true,
        }),
        rumqttc::Event::Outgoing(Sent::Publish(pkid)) => Event::Sent { pkid },
        rumqttc::Event::Incoming(Packet::PubAck(ack)) => {
            Event::Acked { pkid: ack.pkid, receipt: Receipt::Taken }
        }
        _ => Event::Other,
    }
}
