//! Why a cluster is not reached, in words that name the remedy.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::config::plan::ClusterPlan;

/// How the client library says that there is no token.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

/// Why a broker cannot be used; `None`: the error is about something else. `of`: what has the keys to correct, `source` or
/// `sink`.
pub(crate) fn unreached(cluster: &ClusterPlan, of: &str, code: Code, detail: &str) -> Option<String> {
    let brokers = cluster.brokers.join(", ");
    match code {
        Code::SSL => Some(format!(
            "no TLS with {brokers}: {detail}; let `tls.ca` name the authority that signed the brokers' certificates, \
             and `brokers` the hosts they were made for"
        )),
        Code::Authentication if detail.contains(NO_TOKEN) => Some(format!(
            "{detail}; start the server that gives tokens, or correct `token_url`, `client_id`, `client_secret` or `scope` in this \
             {of}'s `sasl`"
        )),
        Code::Authentication | Code::SaslAuthenticationFailed => Some(format!(
            "the broker refuses {} ({detail}); correct `sasl` in this {of}, or the user at the broker",
            user(cluster)
        )),
        Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut => Some(away(cluster, detail)),
        _ => None,
    }
}

pub(crate) fn away(cluster: &ClusterPlan, detail: &str) -> String {
    let brokers = cluster.brokers.join(", ");
    format!(
        "no broker is reached at {brokers}: {detail}; start it, or correct `brokers`, or `tls` if it wants TLS"
    )
}

/// As whom the brokers know Eddy.
pub(crate) fn user(cluster: &ClusterPlan) -> String {
    match (&cluster.sasl, &cluster.tls) {
        (Some(sasl), _) => format!("user {:?}", sasl.user()),
        (None, Some(tls)) if tls.client.is_some() => "this client's certificate".to_owned(),
        _ => "a client without a name".to_owned(),
    }
}
