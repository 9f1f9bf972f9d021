//! MQTT 3.1.1 as the library has it.

use std::time::Duration;

use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{
    ConnectReturnCode, ConnectionError, MqttOptions, Outgoing, Packet, Publish, QoS, StateError,
    SubscribeFilter, SubscribeReasonCode, TlsError, Transport,
};

use super::wire::{Delivery, Event, Fault, PACKET_BYTES_MAX, host};
use crate::config::plan::MqttPlan;

pub(super) fn options(plan: &MqttPlan, transport: Transport) -> MqttOptions {
    let mut options = MqttOptions::new(plan.client_id.clone(), host(plan), plan.port);
    // Both setters panic on what the protocol does not know; a config that got here anyway is mended.
    if !plan.client_id.is_empty() {
        options.set_clean_session(false);
    }
    options.set_keep_alive(plan.keep_alive.max(Duration::from_secs(1)));
    let bytes_max = PACKET_BYTES_MAX as usize;
    options.set_manual_acks(true).set_max_packet_size(bytes_max, bytes_max).set_transport(transport);
    if let Some(username) = &plan.username {
        options.set_credentials(username.clone(), plan.password.clone().unwrap_or_default());
    }
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

pub(super) fn event(event: rumqttc::Event) -> Event {
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

pub(super) fn fault(error: ConnectionError) -> Fault {
    use ConnectReturnCode::{BadClientId, BadUserNamePassword, NotAuthorized, RefusedProtocolVersion};
    match error {
        ConnectionError::Io(e) => Fault::Unreachable(e),
        ConnectionError::Tls(TlsError::Io(e))
        | ConnectionError::MqttState(StateError::Io(e) | StateError::Deserialization(PacketError::Io(e))) => {
            Fault::Broken(e)
        }
        ConnectionError::Tls(e) => Fault::Tls(e.to_string()),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => Fault::Silent,
        ConnectionError::ConnectionRefused(BadUserNamePassword | NotAuthorized) => Fault::Login,
        ConnectionError::ConnectionRefused(BadClientId) => Fault::ClientId,
        ConnectionError::ConnectionRefused(RefusedProtocolVersion) => Fault::Version,
        ConnectionError::ConnectionRefused(code) => Fault::Refused(format!("{code:?}")),
        ConnectionError::MqttState(StateError::ConnectionAborted) => Fault::Closed,
        other => Fault::Other(other.to_string()),
    }
}
