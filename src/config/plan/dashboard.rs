//! Where the page answers.

use std::net::SocketAddr;

use super::ServerTlsPlan;

#[derive(Clone, Debug)]
pub struct DashboardPlan {
    pub enabled: bool,
    /// Loopback until there are tokens; the start looks.
    pub listen: SocketAddr,
    /// `None`: in clear.
    pub tls: Option<ServerTlsPlan>,
    /// How browsers reach the page: what links in alerts begin with. `None`: alerts have none.
    pub url: Option<url::Url>,
}

impl DashboardPlan {
    /// What an address of the page begins with.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}
