//! What the client library says, in words for whoever has to act on it. Its own are in the log at level `debug`.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What a broker's connection failed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// `HOST:PORT` of the broker, which may be another than the config names.
    pub at: Option<String>,
    pub what: &'static str,
    pub remedy: &'static str,
}

impl Cause {
    /// Beside what names these brokers.
    pub fn beside(&self, brokers: &[String]) -> String {
        match &self.at {
            Some(at) if brokers != std::slice::from_ref(at) => format!("{at}: {}", self.what),
            _ => self.what.to_owned(),
        }
    }
}

const UNTRUSTED: &str =
    "its certificate is of no authority that is known here, not made out to this name, or expired";
pub(super) const TRUST: &str = "let `tls.ca` name the authority that signed the brokers' certificates, and `brokers` the hosts they \
                                were made for";

/// Parts of what the library says of a connection (librdkafka's rdkafka_broker.c and rdkafka_ssl.c; of the system and of
/// OpenSSL behind them), what they come of, and what to do. The first that is found.
const CAUSES: [(&str, &str, &str); 16] = [
    ("Connection refused", "nothing listens there", "start it, or correct `brokers`"),
    (
        "Failed to resolve",
        "its name is not known to DNS",
        "correct `brokers`; if it stands right there, the broker calls itself so (advertised.listeners), and the name must be \
         known here",
    ),
    ("No route to host", "there is no way to it", "correct `brokers`, or see to the network"),
    ("Network is unreachable", "there is no way to it", "correct `brokers`, or see to the network"),
    (
        "setup timed out",
        "it does not answer",
        "start it, or correct `brokers`, or see what is between (a firewall)",
    ),
    (
        "connecting to a SSL listener",
        "it closes the connection at once, as one that takes TLS only",
        "correct `brokers`, or `tls` if it wants TLS",
    ),
    (
        "connecting to a PLAINTEXT broker listener",
        "it breaks TLS off, as one that does not speak it at this port",
        "correct the port in `brokers`, or remove `tls`; if it asks for a client certificate, name one in `tls`",
    ),
    (
        "wrong version number",
        "it does not speak TLS at this port",
        "correct the port in `brokers`, or remove `tls`",
    ),
    (
        "might require SASL authentication",
        "it closes the connection, as one that wants a login",
        "give it in `sasl`, or correct the port in `brokers`",
    ),
    ("certificate has expired", "its certificate has expired", "renew it, or correct this machine's clock"),
    ("certificate could not be verified", UNTRUSTED, TRUST),
    ("certificate verify failed", UNTRUSTED, TRUST),
    (
        "client SSL authentication might be required",
        "it asks for a client certificate",
        "name one in `tls.cert` and `tls.key`",
    ),
    ("certificate required", "it asks for a client certificate", "name one in `tls.cert` and `tls.key`"),
    (
        " alert ",
        "it refuses TLS with this client",
        "see the broker's log; a client certificate is named in `tls`",
    ),
    (
        "Disconnected",
        "it closed the connection",
        "see the broker's log, and that `tls` and `sasl` are what it wants",
    ),
];

/// Of a connection; `None`: the library's words are better than none.
pub(crate) fn cause(detail: &str) -> Option<Cause> {
    let (_, what, remedy) = CAUSES.into_iter().find(|(part, ..)| detail.contains(part))?;
    Some(Cause { at: address(detail).map(str::to_owned), what, remedy })
}

/// Which broker it is about: `ssl://HOST:PORT/ID: …`, of which the scheme and the id are the library's own.
fn address(detail: &str) -> Option<&str> {
    // It stands at the beginning, behind the role of the broker at most.
    let name = detail.split(": ").take_while(|part| !part.contains(' ')).find(|part| part.contains(':'))?;
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    let name = name.split_once('/').map_or(name, |(name, _)| name);
    let (host, port) = name.rsplit_once(':')?;
    (!host.is_empty() && !host.contains(' ') && port.parse::<u16>().is_ok()).then_some(name)
}

/// Without what stands around the reason: the broker's name, how long it took, how often it was.
pub(crate) fn bare(detail: &str) -> &str {
    let behind = |address: &str| {
        let (_, rest) = detail.split_once(address)?;
        // There may be an id still.
        Some(rest.split_once(": ").map_or(rest, |(_, rest)| rest))
    };
    let reason = address(detail).and_then(behind).unwrap_or(detail);
    let reason = reason.rsplit_once(" (after ").map_or(reason, |(reason, _)| reason);
    reason.strip_prefix("SASL authentication error: ").unwrap_or(reason)
}

/// Which topic of those subscribed it is about.
pub(crate) fn topic(detail: &str) -> Option<&str> {
    let (_, rest) = detail.split_once("Subscribed topic not available: ")?;
    Some(rest.split_once(": ").map_or(rest, |(topic, _)| topic))
}

/// Why something was not done.
pub(crate) fn plainly(error: &KafkaError) -> String {
    // Eddy's own: the library has not come back.
    if matches!(error, KafkaError::Canceled) {
        return "the group's coordinator does not answer".to_owned();
    }
    match error.rdkafka_error_code().and_then(of_code) {
        Some(words) => words.to_owned(),
        None => error.to_string(),
    }
}

/// What a code means, with the remedy; `None` where its name says as much.
pub(crate) fn of_code(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve => {
            "no broker is reached; start them, or correct `brokers`, `tls` and `sasl`"
        }
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::NetworkException => {
            "the brokers did not answer in time; see that all of them run and can be reached"
        }
        Code::SSL => "TLS with the brokers failed; see `tls`",
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "the brokers refuse the login; correct `sasl`"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            "there is no such topic or partition; make it"
        }
        Code::TopicAuthorizationFailed => "this user may not; allow it for that topic (kafka-acls)",
        Code::GroupAuthorizationFailed => {
            "this user may not be in the group; allow it to Read it (kafka-acls)"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "this user may not write transactions; allow it to Write its transactional ids (kafka-acls)"
        }
        Code::ClusterAuthorizationFailed => "this user may not; allow it at the cluster (kafka-acls)",
        Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::NotCoordinator
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::WaitingForCoordinator => "the brokers are about to agree on who leads; that passes",
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than min.insync.replicas; start the brokers that are down"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As librdkafka 2.x was seen to say it.
    #[test]
    fn what_the_library_says_of_a_connection_is_told_with_the_broker_and_a_remedy() {
        let cases = [
            (
                "localhost:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)",
                ("localhost:9: nothing listens there", "start it, or correct `brokers`"),
            ),
            (
                "ssl://nohost.invalid:9092/bootstrap: Failed to resolve 'nohost.invalid:9092': Name or service not known (after \
                 12ms in state CONNECT, 1 identical error(s) suppressed)",
                ("nohost.invalid:9092: its name is not known to DNS", "advertised.listeners"),
            ),
            (
                "[::1]:9093/1: Disconnected: requesting ApiVersion: might be caused by incorrect security.protocol configuration \
                 (connecting to a SSL listener?) or broker version is < 0.10 (see api.version.request) (after 4ms in state \
                 APIVERSION_QUERY)",
                (
                    "[::1]:9093: it closes the connection at once, as one that takes TLS only",
                    "`tls` if it wants TLS",
                ),
            ),
            (
                "sasl_ssl://b:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker \
                 certificate could not be verified, verify that ssl.ca.location is correctly configured",
                ("b:9093: its certificate is of no authority", "`tls.ca`"),
            ),
            (
                "ssl://b:9092/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener? (after 3ms in \
                 state SSL_HANDSHAKE)",
                ("b:9092: it breaks TLS off", "remove `tls`"),
            ),
            (
                "GroupCoordinator: kafka-2:9092: Connection setup timed out in state CONNECT (after 30029ms in state CONNECT)",
                ("kafka-2:9092: it does not answer", "firewall"),
            ),
        ];
        for (detail, (what, remedy)) in cases {
            let cause = cause(detail).unwrap_or_else(|| panic!("{detail}"));
            assert!(cause.beside(&[]).starts_with(what) && cause.remedy.contains(remedy), "{cause:?}");
            assert_eq!(cause.beside(&[cause.at.clone().unwrap()]), cause.what, "it is named once");
        }
        assert_eq!(cause("b:1/1: Something else"), None);
    }

    #[test]
    fn what_stands_around_a_reason_is_left_out() {
        let detail = "sasl_ssl://localhost:1/bootstrap: SASL authentication error: Authentication failed: Invalid username or password \
                      (after 302ms in state AUTH_REQ)";
        assert_eq!(bare(detail), "Authentication failed: Invalid username or password");
        let token = "Failed to acquire SASL OAUTHBEARER token: http://h:1/token: answered 503";
        assert_eq!([bare("no answer"), bare(token)], ["no answer", token], "no broker's address");
        assert_eq!(
            topic("Subscribed topic not available: a.b: Broker: Unknown topic or partition"),
            Some("a.b")
        );
        assert_eq!(topic("Fetch from broker 1 failed: Broker: Topic authorization failed"), None);
    }

    #[test]
    fn errors_that_users_meet_have_no_names_of_the_library() {
        let fetch = |code| plainly(&KafkaError::MetadataFetch(code));
        for code in [
            Code::BrokerTransportFailure,
            Code::AllBrokersDown,
            Code::Resolve,
            Code::OperationTimedOut,
            Code::SSL,
            Code::Authentication,
            Code::UnknownTopicOrPartition,
            Code::TopicAuthorizationFailed,
        ] {
            let said = fetch(code);
            assert!(!said.contains("Local:") && !said.contains("Broker:") && said.contains(';'), "{said}");
            assert!(!said.contains(&format!("{code:?}")), "{said}");
        }
        assert!(fetch(Code::InvalidConfig).contains("InvalidConfig"), "better than nothing");
    }
}
