//! An MQTT broker, and who Eddy is to it.

use std::fmt;

use super::{REDACTED, TlsPlan, host};

/// Of a source or of a sink: each is a client of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerPlan {
    pub host: String,
    pub port: u16,
    /// `None`: in clear.
    pub tls: Option<TlsPlan>,
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<String>,
}

/// Of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V3,
    V5,
}

impl BrokerPlan {
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "mqtts" } else { "mqtt" }
    }

    /// Whoever is on the way can read it.
    pub fn shows_its_password(&self) -> bool {
        self.tls.is_none() && self.password.is_some()
    }

    /// Whether both are one broker, as far as their names tell.
    pub fn is_of(&self, other: &BrokerPlan) -> bool {
        self.is_beside(other) && self.port == other.port
    }

    /// Whether both are on one host.
    pub fn is_beside(&self, other: &BrokerPlan) -> bool {
        host::is_same(&self.host, &other.host)
    }

    /// Its host and port, as messages name it.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for BrokerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart in full, so that a new field cannot be forgotten here.
        let BrokerPlan { host, port, tls, client_id, username, password } = self;
        f.debug_struct("BrokerPlan")
            .field("host", host)
            .field("port", port)
            .field("tls", tls)
            .field("client_id", client_id)
            .field("username", username)
            .field("password", &password.as_ref().map(|_| REDACTED))
            .finish()
    }
}
