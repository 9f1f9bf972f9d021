//! MQTT 5 as the library has it.

use std::time::Duration;

use rumqttc::v5::mqttbytes::Error as PacketError;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, MqttOptions, StateError};
use rumqttc::{TlsError, Transport};

use super::{Fault, host, network};
use crate::config::plan::BrokerPlan;

/// Who connects where.
pub fn options(broker: &BrokerPlan, transport: Transport, keep_alive: Duration) -> MqttOptions {
    let mut options = MqttOptions::new(broker.client_id.clone(), host(broker), broker.port);
    // The setter panics on less; a config that got here anyway is mended.
    options
        .set_transport(transport)
        .set_network_options(network())
        .set_keep_alive(keep_alive.max(Duration::from_secs(5)));
    if let Some(username) = &broker.username {
        options.set_credentials(username.clone(), broker.password.clone().unwrap_or_default());
    }
    options
}

pub fn fault(error: ConnectionError) -> Fault {
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
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            match (reason_code, reason_string) {
                (DisconnectReasonCode::SessionTakenOver, _) => Fault::TakenOver,
                (code, Some(said)) => Fault::Dismissed(format!("{code:?}, {said:?}")),
                (code, None) => Fault::Dismissed(format!("{code:?}")),
            }
        }
        other => Fault::Other(other.to_string()),
    }
}
