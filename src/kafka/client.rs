//! How the client library reaches a cluster, from the plan.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::plan::{ClusterPlan, SaslPlan, TlsPlan};

/// Whatever the client is for.
pub(crate) fn connection(cluster: &ClusterPlan) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.brokers.join(","));
    config.set("reconnect.backoff.max.ms", "5000");
    config.set("security.protocol", protocol(cluster));
    if let Some(tls) = &cluster.tls {
        set_tls(&mut config, tls);
    }
    if let Some(sasl) = &cluster.sasl {
        config.set("sasl.mechanisms", sasl.mechanism());
        if let SaslPlan::Password { username, password, .. } = sasl {
            config.set("sasl.username", username);
            config.set("sasl.password", password);
        }
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

fn protocol(cluster: &ClusterPlan) -> &'static str {
    match (&cluster.tls, &cluster.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

/// Without a `ca`, the usual places of the system's certificates are tried.
fn set_tls(config: &mut ClientConfig, tls: &TlsPlan) {
    let ca = tls.ca.as_ref().map_or("probe".into(), |path| path.to_string_lossy());
    config.set("ssl.ca.location", ca);
    if let Some(client) = &tls.client {
        config.set("ssl.certificate.location", client.cert.to_string_lossy());
        config.set("ssl.key.location", client.key.to_string_lossy());
    }
}
