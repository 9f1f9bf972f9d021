//! MQTT 5 as the library has it: a message says what it is beside its payload, and an acknowledgement what became of it.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, PubAck, PubAckReason, Publish, PublishProperties};
use rumqttc::v5::{self, AsyncClient, MqttOptions};
use rumqttc::{Outgoing as Sent, Transport};

use super::wire::{Event, IN_FLIGHT_MAX, Limits, Receipt};
use crate::config::plan::MqttSinkPlan;
use crate::mqtt::{self, Full, KEEP_ALIVE, PACKET_BYTES_MAX};
use crate::sink::Outgoing;

pub(super) fn options(plan: &MqttSinkPlan, transport: Transport) -> MqttOptions {
    let mut options = mqtt::v5::options(&plan.broker, transport, KEEP_ALIVE);
    options
        .set_clean_start(true)
        .set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX)
        .set_connection_timeout(plan.timeout.as_secs().max(1));
    options
}

pub(super) fn publish(
    client: &AsyncClient,
    plan: &MqttSinkPlan,
    outgoing: &Outgoing,
    kind: &str,
) -> Result<(), Full> {
    client
        .try_publish_with_properties(
            &plan.topic,
            QoS::AtLeastOnce,
            plan.retain,
            outgoing.body.clone(),
            properties(outgoing, kind),
        )
        .map_err(|_| Full)
}

pub(super) fn packet_bytes(plan: &MqttSinkPlan, outgoing: &Outgoing, kind: &str) -> usize {
    let properties = Some(properties(outgoing, kind));
    let mut publish = Publish::new(&plan.topic, QoS::AtLeastOnce, outgoing.body.clone(), properties);
    // Only an id that is not 0 has its two bytes counted.
    publish.pkid = 1;
    publish.size()
}

/// `traceparent` is carried as the W3C's "Trace Context: MQTT protocol" has it: a user property of this name.
fn properties(outgoing: &Outgoing, kind: &str) -> PublishProperties {
    let said = [
        ("webhook-id", outgoing.message_id.as_str()),
        ("type", kind),
        ("traceparent", outgoing.traceparent.as_str()),
    ];
    PublishProperties {
        // Text in UTF-8 (section 3.3.2.3.2).
        payload_format_indicator: Some(1),
        content_type: Some("application/json".to_owned()),
        user_properties: said.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..PublishProperties::default()
    }
}

impl From<v5::Event> for Event {
    fn from(event: v5::Event) -> Event {
        match event {
            v5::Event::Incoming(Packet::ConnAck(connack)) => Event::Connected(limits(&connack)),
            v5::Event::Outgoing(Sent::Publish(pkid)) => Event::Sent { pkid },
            v5::Event::Outgoing(Sent::AwaitAck(pkid)) => Event::Held { pkid },
            v5::Event::Incoming(Packet::PubAck(ack)) => {
                Event::Acked { pkid: ack.pkid, receipt: receipt(ack) }
            }
            _ => Event::Other,
        }
    }
}

/// Section 3.2.2.3: what is not said is not limited. How many may be under way (`receive maximum`) the library keeps to.
fn limits(connack: &ConnAck) -> Limits {
    let said = connack.properties.as_ref();
    Limits {
        packet_bytes_max: said.and_then(|said| said.max_packet_size).unwrap_or(PACKET_BYTES_MAX),
        is_qos_0_only: said.and_then(|said| said.max_qos) == Some(0),
        retains: said.and_then(|said| said.retain_available) != Some(0),
    }
}

fn receipt(ack: PubAck) -> Receipt {
    match ack.reason {
        PubAckReason::Success => Receipt::Taken,
        PubAckReason::NoMatchingSubscribers => Receipt::Nobody,
        reason => Receipt::Refused { reason, said: ack.properties.and_then(|said| said.reason_string) },
    }
}
