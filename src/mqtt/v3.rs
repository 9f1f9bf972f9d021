//! MQTT 3.1.1 as the library has it.

use std::time::Duration;

use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{ConnectReturnCode, ConnectionError, MqttOptions, StateError, TlsError, Transport};

use super::{Fault, host};
use crate::config::plan::BrokerPlan;

/// Who connects where.
pub fn options(broker: &BrokerPlan, transport: Transport, keep_alive: Duration) -> MqttOptions {
    let mut options = MqttOptions::new(broker.client_id.clone(), host(broker), broker.port);
    // The setter panics on less; a config that got here anyway is mended.
    options.set_keep_alive(keep_alive.max(Duration::from_secs(1))).set_transport(transport);
    if let Some(username) = &broker.username {
        options.set_credentials(username.clone(), broker.password.clone().unwrap_or_default());
    }
    options
}

pub fn fault(error: ConnectionError) -> Fault {
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
