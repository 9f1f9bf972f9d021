//! Why nothing is received, in words that name the remedy.

use rumqttc::{ConnectReturnCode, ConnectionError, StateError};

use crate::config::plan::MqttPlan;
use crate::stage::NotSafe;

/// What went wrong and what to do.
pub(super) fn explain(plan: &MqttPlan, error: &ConnectionError) -> String {
    let broker = format!("{}:{}", plan.host, plan.port);
    match error {
        ConnectionError::Io(e) => {
            format!("cannot reach the broker at {broker} ({e}); start it, or correct the source's address")
        }
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            format!("the broker at {broker} does not answer; check the network and the broker")
        }
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => format!("the broker at {broker} refused the login; correct `username` and `password`"),
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId) => {
            format!(
                "the broker at {broker} refused client id {:?}; choose another `client_id`",
                plan.client_id
            )
        }
        ConnectionError::ConnectionRefused(code) => {
            format!("the broker at {broker} refused the connection ({code:?}); see the broker's log")
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => format!(
            "the broker at {broker} closed the connection; if it goes on, look for a second client with \
                 client id {:?}",
            plan.client_id
        ),
        other => format!("the connection to {broker} failed ({other}); see the broker's log"),
    }
}

/// The log refused. QoS 0 messages among what it refused cannot be asked for again.
pub(super) fn not_safe(qos0_lost: usize) -> String {
    let lost = match qos0_lost {
        0 => String::new(),
        n => format!(" ({n} QoS 0 messages are lost; publish with QoS 1 to have them kept)"),
    };
    format!("{}{lost}", NotSafe)
}
