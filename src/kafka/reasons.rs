//! Why a cluster is not reached, in words that name the remedy.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::words::{TRUST, bare, cause};
use crate::config::plan::ClusterPlan;

const AWAY: &str = "start it, or correct `brokers`, or `tls` if it wants TLS";

/// How the client library says that there is no token.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

/// Why a broker cannot be used; `None`: the error is about something else. `of`: what has the keys to correct, `source` or
/// `sink`.
pub(crate) fn unreached(cluster: &ClusterPlan, of: &str, code: Code, detail: &str) -> Option<String> {
    let brokers = cluster.brokers.join(", ");
    let told = |what: &str, else_remedy: &str| match cause(detail) {
        Some(cause) => format!("{what} {brokers}: {}; {}", cause.beside(&cluster.brokers), cause.remedy),
        None => format!("{what} {brokers}: {}; {else_remedy}", bare(detail)),
    };
    match code {
        Code::SSL => Some(told("no TLS with", TRUST)),
        Code::Authentication if detail.contains(NO_TOKEN) => Some(format!(
            "no token for {brokers}{}; start the server that gives tokens, or correct `token_url`, `client_id`, `client_secret` or \
             `scope` in this {of}'s `sasl`",
            detail.split_once(NO_TOKEN).map_or("", |(_, why)| why)
        )),
        Code::Authentication | Code::SaslAuthenticationFailed => Some(format!(
            "the broker refuses {} ({}); correct `sasl` in this {of}, or the user at the broker",
            user(cluster),
            bare(detail)
        )),
        Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut => {
            Some(told("no broker is reached at", AWAY))
        }
        _ => None,
    }
}

pub(crate) fn away(cluster: &ClusterPlan, why: &str) -> String {
    format!("no broker is reached at {}: {why}; {AWAY}", cluster.brokers.join(", "))
}

/// As whom the brokers know Eddy.
pub(crate) fn user(cluster: &ClusterPlan) -> String {
    match (&cluster.sasl, &cluster.tls) {
        (Some(sasl), _) => format!("user {:?}", sasl.user()),
        (None, Some(tls)) if tls.client.is_some() => "this client's certificate".to_owned(),
        _ => "a client without a name".to_owned(),
    }
}
