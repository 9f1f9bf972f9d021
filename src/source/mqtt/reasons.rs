//! Why nothing is received, in words that name the remedy.

use std::io;

use rumqttc::{ConnectReturnCode, ConnectionError, StateError, TlsError};
use rustls::{AlertDescription, CertificateError};

use crate::config::plan::{MqttPlan, TlsProblem};
use crate::stage::NotSafe;

/// What went wrong and what to do.
pub(super) fn explain(plan: &MqttPlan, error: &ConnectionError) -> String {
    let broker = format!("{}:{}", plan.host, plan.port);
    if plan.tls.is_some()
        && let Some(reason) = tls_reason(plan, &broker, error)
    {
        return reason;
    }
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

/// A file of the plan that was good at the start and is not now.
pub(super) fn unusable(problem: &TlsProblem) -> String {
    format!("`{}`: {}; {}", problem.key, problem.fault, problem.remedy)
}

/// What TLS has to say of it, if anything.
fn tls_reason(plan: &MqttPlan, broker: &str, error: &ConnectionError) -> Option<String> {
    use rumqttc::mqttbytes::Error as Packet;
    let io = match error {
        ConnectionError::Tls(TlsError::Io(e))
        | ConnectionError::MqttState(StateError::Deserialization(Packet::Io(e))) => e,
        ConnectionError::Tls(e) => return Some(format!("TLS to {broker} failed ({e}); correct `url`")),
        _ => return None,
    };
    let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return cut_off(plan, broker, io);
    };
    Some(match tls {
        rustls::Error::InvalidCertificate(fault) => certificate_reason(plan, broker, fault),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure
                if no_certificate(plan) =>
            {
                format!("the broker at {broker} asks for a client certificate; name one in `cert` and `key`")
            }
            _ => format!(
                "the broker at {broker} refused TLS ({alert:?}); if it asks for a client certificate, name one \
                 in `cert` and `key` that its authority signed and that has not expired"
            ),
        },
        rustls::Error::InvalidMessage(_) => format!(
            "the broker at {broker} does not speak TLS ({tls}); correct the port in `url`, or use mqtt://"
        ),
        other => format!("TLS to {broker} failed ({other}); see the broker's log"),
    })
}

fn no_certificate(plan: &MqttPlan) -> bool {
    plan.tls.as_ref().is_some_and(|tls| tls.client.is_none())
}

/// The connection went before the alert that says why could be read.
fn cut_off(plan: &MqttPlan, broker: &str, error: &io::Error) -> Option<String> {
    no_certificate(plan).then(|| {
        format!(
            "the broker at {broker} broke off TLS ({error}); if it asks for a client certificate, name one in \
             `cert` and `key`, else see the broker's log"
        )
    })
}

fn certificate_reason(plan: &MqttPlan, broker: &str, fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of the broker at {broker} is not signed by an authority Eddy trusts; name the PEM \
             file of the right one in `ca`"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
            "the certificate of the broker at {broker} has expired; renew it, or correct this machine's clock"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the certificate of the broker at {broker} is not made out to {:?}; use the name it is made out to \
             in `url`, or have it made out anew",
            plan.host
        ),
        other => {
            format!("the certificate of the broker at {broker} is not good ({other}); have it made anew")
        }
    }
}
