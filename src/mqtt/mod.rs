//! What a source and a sink of MQTT have in common: how a broker is connected to, and why that failed, in words that
//! name the remedy.

pub mod link;
pub mod reasons;
pub mod rivals;
pub mod v3;
pub mod v5;

use std::io;
use std::time::Duration;

use rumqttc::{NetworkOptions, Transport};
use tokio::task::spawn_blocking;

use crate::config::plan::BrokerPlan;

/// How long the broker may take to close the connection after our DISCONNECT.
pub const GOODBYE_MAX: Duration = Duration::from_secs(2);
/// The protocol's own limit. A lower one would make a large message that is received a poison pill: the connection
/// fails, the broker redelivers it, without end. Decoding dead-letters what is too large.
pub const PACKET_BYTES_MAX: u32 = 268_435_455;
/// Of a sink; a source has it in its config.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Why a connection ended or did not come to be.
pub enum Fault {
    Unreachable(io::Error),
    /// Bytes stopped flowing, or TLS could not be agreed on.
    Broken(io::Error),
    Tls(String),
    Silent,
    Login,
    ClientId,
    /// The broker does not speak this version.
    Version,
    Refused(String),
    Closed,
    /// Another client has connected with our id.
    TakenOver,
    /// The broker ended it, and said why.
    Dismissed(String),
    Other(String),
}

/// The request channel is full.
pub struct Full;

/// # Errors
/// If files of the broker's `tls` cannot be used; the text names the remedy.
pub async fn transport(broker: &BrokerPlan) -> Result<Transport, String> {
    let Some(tls) = broker.tls.clone() else { return Ok(Transport::tcp()) };
    // It reads files.
    let config =
        spawn_blocking(move || tls.client_config().map_err(|problem| reasons::unusable(&problem))).await;
    Ok(Transport::tls_with_config(config.map_err(|error| error.to_string())??.into()))
}

/// Small packets go out at once.
pub fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network
}

/// As the library wants it. It joins host and port with a colon, but compares a certificate with the
/// host alone.
fn host(broker: &BrokerPlan) -> String {
    let brackets = broker.host.contains(':') && broker.tls.is_none();
    if brackets { format!("[{}]", broker.host) } else { broker.host.clone() }
}
