//! An MQTT broker inside the process, so that `eddy demo` needs nothing else installed.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rumqttd::{Config, ConnectionSettings, RouterConfig, ServerSettings};

use super::SourceError;

/// For a log filter: the broker tells of every connection, and calls ordinary ends errors.
pub const LOG_DIRECTIVE: &str = "rumqttd=off";

/// Two processes may pick the same free port at the same moment.
const PORTS_TRIED_MAX: usize = 5;
const ANSWER_CHECKS_MAX: usize = 100;
const ANSWER_CHECK: Duration = Duration::from_millis(20);

/// A running broker on a free loopback port, MQTT 3.1.1, no login.
///
/// For demonstrations only. It keeps nothing on disk: sessions and queued messages end with the process.
/// It acknowledges a publisher once a message is in memory, and drops its oldest segment of messages
/// when a topic has more of them than fit (10 segments of 16 MiB), whether delivered or not. It cannot
/// be stopped; its threads end with the process. A plant uses Mosquitto or another broker of its own.
#[derive(Debug)]
pub struct Broker {
    pub port: u16,
}

/// Starts a broker and waits until it accepts connections, at most 10 s. Blocks: not for async code
/// without `spawn_blocking`.
///
/// # Errors
/// When no thread can be started or no port be had.
pub fn start() -> Result<Broker, SourceError> {
    let mut last = String::new();
    for _ in 0..PORTS_TRIED_MAX {
        let port = free_port().map_err(|e| SourceError::Broker(e.to_string()))?;
        match start_on(port) {
            Ok(()) => return Ok(Broker { port }),
            Err(error) => last = error,
        }
    }
    Err(SourceError::Broker(last))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn start_on(port: u16) -> Result<(), String> {
    let config = config(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let broker = thread::Builder::new()
        .name("demo-broker".to_owned())
        .spawn(move || rumqttd::Broker::new(config).start().map_err(|e| e.to_string()))
        .map_err(|e| e.to_string())?;
    for _ in 0..ANSWER_CHECKS_MAX {
        thread::sleep(ANSWER_CHECK);
        // It ends at once when it cannot listen; somebody else would then answer on the port.
        if broker.is_finished() {
            return Err(format!("port {port} was taken by another process"));
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
    }
    Err(format!("no answer on port {port}"))
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 60_000,
        max_payload_size: 1 << 20,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "demo-broker-v4".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        max_connections: 100,
        max_outgoing_packet_count: 200,
        max_segment_size: 16 << 20,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    Config { router, v4: Some(HashMap::from([("demo".to_owned(), server)])), ..Config::default() }
}
