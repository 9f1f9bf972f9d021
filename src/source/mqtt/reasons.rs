//! Why nothing is received, in words that name the remedy.

use std::io;

use rustls::{AlertDescription, CertificateError};

use super::wire::Fault;
use crate::config::plan::{MqttPlan, Protocol, TlsProblem};
use crate::stage::NotSafe;

/// What went wrong and what to do.
pub(super) fn explain(plan: &MqttPlan, fault: &Fault) -> String {
    let (broker, id) = (format!("{}:{}", plan.host, plan.port), &plan.client_id);
    match fault {
        Fault::Unreachable(e) => {
            format!("cannot reach the broker at {broker} ({e}); start it, or correct the source's address")
        }
        Fault::Broken(e) => tls_reason(plan, &broker, e)
            .unwrap_or_else(|| format!("the connection to {broker} failed ({e}); see the broker's log")),
        Fault::Tls(e) => format!("TLS to {broker} failed ({e}); correct `url`"),
        Fault::Silent => {
            format!("the broker at {broker} does not answer; check the network and the broker")
        }
        Fault::Login => {
            format!("the broker at {broker} refused the login; correct `username` and `password`")
        }
        Fault::ClientId => {
            format!("the broker at {broker} refused client id {id:?}; choose another `client_id`")
        }
        Fault::Version => {
            let other = if plan.protocol == Protocol::V3 { "5" } else { "3.1.1" };
            format!(
                "the broker at {broker} does not speak this version of MQTT; write `protocol = \"{other}\"`"
            )
        }
        Fault::Refused(code) => {
            format!("the broker at {broker} refused the connection ({code}); see the broker's log")
        }
        Fault::Closed => format!(
            "the broker at {broker} closed the connection; if it goes on, look for a second client with \
             client id {id:?}"
        ),
        Fault::TakenOver => {
            format!(
                "a second client with client id {id:?} connected to {broker}; give each its own `client_id`"
            )
        }
        Fault::Other(e) => format!("the connection to {broker} failed ({e}); see the broker's log"),
    }
}

/// The same before the connection was made: a broker that knows only 3.1.1 answers MQTT 5 in a way that
/// cannot be read, or not at all.
pub(super) fn explain_connect(plan: &MqttPlan, fault: &Fault) -> String {
    let reason = explain(plan, fault);
    let unread = matches!(fault, Fault::Closed | Fault::Silent | Fault::Other(_));
    if plan.protocol == Protocol::V3 || !unread {
        return reason;
    }
    format!("{reason}; if the broker does not know MQTT 5, write `protocol = \"3.1.1\"`")
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
fn tls_reason(plan: &MqttPlan, broker: &str, io: &io::Error) -> Option<String> {
    plan.tls.as_ref()?;
    let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Some(cut_off(plan, broker, io));
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
fn cut_off(plan: &MqttPlan, broker: &str, error: &io::Error) -> String {
    let remedy = if no_certificate(plan) {
        "and it asks for a client certificate, name one in `cert` and `key`"
    } else {
        "check that this port speaks TLS and that its authority signed `cert`"
    };
    format!("the broker at {broker} broke off TLS ({error}); if it goes on, {remedy}")
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
