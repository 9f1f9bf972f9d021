//! MQTT 5 as the library has it. Topic aliases are never offered, so every message names its topic.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, Filter, Packet, Publish, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as PacketError, QoS};
use rumqttc::v5::{self, ConnectionError, MqttOptions, StateError};
use rumqttc::{Outgoing, TlsError, Transport};

use super::wire::{Delivery, Event, Fault, PACKET_BYTES_MAX, host};
use crate::config::plan::MqttPlan;

/// The library keeps a slot for each message it might publish; Eddy publishes none here.
const PUBLISHED_MAX: u16 = 16;

pub(super) fn options(
    plan: &MqttPlan,
    transport: Transport,
    session_expiry: Duration,
    receive_maximum: u16,
) -> MqttOptions {
    let mut options = MqttOptions::new(plan.client_id.clone(), host(plan), plan.port);
    let expiry_s = u32::try_from(session_expiry.as_secs()).unwrap_or(u32::MAX);
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(expiry_s))
        .set_receive_maximum(Some(receive_maximum))
        .set_max_packet_size(Some(PACKET_BYTES_MAX))
        .set_outgoing_inflight_upper_limit(PUBLISHED_MAX)
        .set_manual_acks(true)
        .set_transport(transport)
        // Panics on less.
        .set_keep_alive(plan.keep_alive.max(Duration::from_secs(5)));
    if let Some(username) = &plan.username {
        options.set_credentials(username.clone(), plan.password.clone().unwrap_or_default());
    }
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

pub(super) fn event(event: v5::Event) -> Event {
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

pub(super) fn fault(error: ConnectionError) -> Fault {
    use ConnectReturnCode as Code;
    match error {
        ConnectionError::Io(e) => Fault::Unreachable(e),
        ConnectionError::Tls(TlsError::Io(e))
        | ConnectionError::MqttState(StateError::Io(e) | StateError::Deserialization(PacketError::Io(e))) => {
            Fault::Broken(e)
        }
        ConnectionError::Tls(e) => Fault::Tls(e.to_string()),
        ConnectionError::Timeout(_) => Fault::Silent,
        ConnectionError::ConnectionRefused(code) => match code {
            Code::BadUserNamePassword | Code::NotAuthorized => Fault::Login,
            Code::BadClientId | Code::ClientIdentifierNotValid => Fault::ClientId,
            Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => Fault::Version,
            code => Fault::Refused(format!("{code:?}")),
        },
        ConnectionError::MqttState(StateError::ConnectionAborted) => Fault::Closed,
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::SessionTakenOver,
            ..
        }) => Fault::TakenOver,
        other => Fault::Other(other.to_string()),
    }
}
