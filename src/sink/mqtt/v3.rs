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
    let mut publish = Publish::new(&plan.topic, QoS::AtLeastOnce, outgoing.body.clone());
    // Only an id that is not 0 has its two bytes counted.
    publish.pkid = 1;
    publish.size()
}

impl From<rumqttc::Event> for Event {
    fn from(event: rumqttc::Event) -> Event {
        match event {
            rumqttc::Event::Incoming(Packet::ConnAck(_)) => Event::Connected(Limits {
                packet_bytes_max: PACKET_BYTES_MAX,
                is_qos_0_only: false,
                retains: true,
            }),
            rumqttc::Event::Outgoing(Sent::Publish(pkid)) => Event::Sent { pkid },
            rumqttc::Event::Outgoing(Sent::AwaitAck(pkid)) => Event::Held { pkid },
            rumqttc::Event::Incoming(Packet::PubAck(ack)) => {
                Event::Acked { pkid: ack.pkid, receipt: Receipt::Taken }
            }
            _ => Event::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::config::plan::{BrokerPlan, Version};

    #[test]
    fn a_packet_has_as_many_bytes_as_are_written() {
        let broker = BrokerPlan {
            host: "h".into(),
            port: 1883,
            tls: None,
            client_id: "eddy".into(),
            username: None,
            password: None,
        };
        let timeout = Duration::from_secs(15);
        let plan = MqttSinkPlan {
            broker,
            version: Version::V3,
            topic: "alerts/eddy".into(),
            retain: false,
            timeout,
        };
        let outgoing = Outgoing {
            id: "a1".into(),
            message_id: "a1_1".into(),
            body: Bytes::from(vec![b'x'; 300]),
            traceparent: String::new(),
        };
        let mut sent = Publish::new(&plan.topic, QoS::AtLeastOnce, outgoing.body.clone());
        sent.pkid = 64;
        let mut written = BytesMut::new();
        sent.write(&mut written).unwrap();
        assert_eq!(packet_bytes(&plan, &outgoing), written.len());
    }
}
