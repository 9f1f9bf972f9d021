//! How messages are written.

use std::fmt;
use std::path::PathBuf;

use super::{REDACTED, TlsPlan};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatPlan {
    Json,
    /// Lines of cells, of these names in order.
    Csv {
        header: Vec<String>,
    },
    Avro,
    Protobuf,
}

/// A schema registry that speaks Confluent's API, beside a Kafka cluster.
#[derive(Clone, Debug)]
pub struct RegistryPlan {
    /// What `/schemas/ids/ID` is appended to.
    pub url: String,
    pub access: RegistryAccess,
    /// `None`: the system's authorities, where the URL is of TLS.
    pub tls: Option<TlsPlan>,
}

#[derive(Clone)]
pub enum RegistryAccess {
    Open,
    Basic { username: String, password: String },
    Bearer { token: String },
}

impl FormatPlan {
    /// As it is written in a config.
    pub fn name(&self) -> &'static str {
        match self {
            FormatPlan::Json => "json",
            FormatPlan::Csv { .. } => "csv",
            FormatPlan::Avro => "avro",
            FormatPlan::Protobuf => "protobuf",
        }
    }

    pub fn needs_registry(&self) -> bool {
        matches!(self, FormatPlan::Avro | FormatPlan::Protobuf)
    }
}

impl RegistryPlan {
    /// Folder of the data folder where the schemas of a source are kept: an id of one registry says nothing of another's.
    pub fn folder(&self, source: &str) -> PathBuf {
        let of_url = xxhash_rust::xxh3::xxh3_64(self.url.as_bytes());
        PathBuf::from("schemas").join(format!("{source}-{of_url:016x}"))
    }
}

impl fmt::Debug for RegistryAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryAccess::Open => f.write_str("Open"),
            RegistryAccess::Basic { username, password: _ } => {
                f.debug_struct("Basic").field("username", username).field("password", &REDACTED).finish()
            }
            RegistryAccess::Bearer { token: _ } => {
                f.debug_struct("Bearer").field("token", &REDACTED).finish()
            }
        }
    }
}
