//! Why there is no connection, in words that name the remedy.

use std::io;

use rustls::{AlertDescription, CertificateError};

use super::Fault;
use crate::config::plan::{BrokerPlan, TlsProblem, Version};

const ANOTHER_ID: &str = "each puts the other out; write another `client_id` here, or in the other's config (a second Eddy with \
                          this config has the same)";

/// What went wrong and what to do.
pub fn explain(plan: &BrokerPlan, version: Version, fault: &Fault) -> String {
    let (broker, id) = (plan.address(), &plan.client_id);
    match fault {
        Fault::Unreachable(e) => {
            format!("cannot reach the broker at {broker} ({e}); start it, or correct `url`")
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
            let other = if version == Version::V3 { "5" } else { "3.1.1" };
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
            format!("a second client with client id {id:?} connected to {broker}, and {ANOTHER_ID}")
        }
        Fault::Dismissed(code) => {
            format!("the broker at {broker} ended the connection ({code}); see the broker's log")
        }
        Fault::Other(e) => format!("the connection to {broker} failed ({e}); see the broker's log"),
    }
}

/// What a broker of 3.1.1 does not say.
pub(super) fn rival(plan: &BrokerPlan) -> String {
    format!(
        "the broker at {} takes client id {:?} and closes the connection again and again: most likely a second client has this \
         id, and {ANOTHER_ID}. If there is none, the broker's log says what it does not allow",
        plan.address(),
        plan.client_id
    )
}

/// The same before the connection was made: a broker that knows only 3.1.1 answers MQTT 5 in a way that
/// cannot be read, or not at all.
pub fn explain_connect(plan: &BrokerPlan, version: Version, fault: &Fault) -> String {
    let reason = explain(plan, version, fault);
    let unread = matches!(fault, Fault::Closed | Fault::Silent | Fault::Other(_));
    if version == Version::V3 || !unread {
        return reason;
    }
    format!("{reason}; if the broker does not know MQTT 5, write `protocol = \"3.1.1\"`")
}

/// A file of the plan that was good at the start and is not now.
pub(super) fn unusable(problem: &TlsProblem) -> String {
    format!("`{}`: {}; {}", problem.key, problem.fault, problem.remedy)
}

/// What TLS has to say of it, if anything.
fn tls_reason(plan: &BrokerPlan, broker: &str, io: &io::Error) -> Option<String> {
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

fn no_certificate(plan: &BrokerPlan) -> bool {
    plan.tls.as_ref().is_some_and(|tls| tls.client.is_none())
}

/// The connection went before the alert that says why could be read.
fn cut_off(plan: &BrokerPlan, broker: &str, error: &io::Error) -> String {
    let remedy = if no_certificate(plan) {
        "and it asks for a client certificate, name one in `cert` and `key`"
    } else {
        "check that this port speaks TLS and that its authority signed `cert`"
    };
    format!("the broker at {broker} broke off TLS ({error}); if it goes on, {remedy}")
}

fn certificate_reason(plan: &BrokerPlan, broker: &str, fault: &CertificateError) -> String {
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
