//! Where traces and metrics are sent.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use url::Url;

#[derive(Clone)]
pub struct TelemetryPlan {
    /// Of OTLP over HTTP, below which `v1/traces` and `v1/metrics` lie.
    pub endpoint: Url,
    /// Sent with each request; values are secrets.
    pub headers: BTreeMap<String, String>,
    /// From one sending of metrics to the next.
    pub every: Duration,
    /// What the process says of itself, beside what it knows.
    pub resource: BTreeMap<String, String>,
}

/// A variable of the environment that cannot be followed, and stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub variable: String,
    /// What is wrong, without a full stop. Neither holds a secret.
    pub fault: String,
    /// What to do about it, in whole sentences.
    pub remedy: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment {}: {}. {}", self.variable, self.fault, self.remedy)
    }
}

/// The path of an endpoint may hold a token, so only its host is shown.
impl fmt::Debug for TelemetryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TelemetryPlan { endpoint, headers, every, resource } = self;
        f.debug_struct("TelemetryPlan")
            .field("host", &endpoint.host_str())
            .field("headers", &headers.keys())
            .field("every", every)
            .field("resource", resource)
            .finish()
    }
}
