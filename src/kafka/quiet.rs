//! Clients that say nothing of their own: what goes wrong is told where it matters.

use std::error::Error;

use rdkafka::admin::AdminClient;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};

use super::client::connection;
use super::token::{Tokens, with_token};
use crate::config::plan::ClusterPlan;

pub(crate) struct Quiet<T = ()> {
    pub tokens: Tokens,
    /// For what the client's user has to do with what comes back.
    pub kept: T,
}

impl<T: Default> Quiet<T> {
    pub fn of(cluster: &ClusterPlan) -> Self {
        Quiet { tokens: Tokens::of(cluster), kept: T::default() }
    }
}

impl<T: Send + Sync> ClientContext for Quiet<T> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(facility, "{text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.tokens.fetch()
    }
}

impl ConsumerContext for Quiet {}

pub(crate) fn admin(cluster: &ClusterPlan) -> KafkaResult<AdminClient<Quiet>> {
    AdminClient::from_config_and_context(&connection(cluster), Quiet::of(cluster))
}

/// Knows topics and where partitions end, whether it is committed or not. In no group.
pub(crate) fn asking(cluster: &ClusterPlan, member: &str) -> KafkaResult<BaseConsumer<Quiet>> {
    let mut config = connection(cluster);
    config.set("client.id", member);
    config.set("isolation.level", "read_uncommitted");
    with_token(BaseConsumer::from_config_and_context(&config, Quiet::of(cluster))?)
}
