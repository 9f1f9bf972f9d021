//! A real Mosquitto for a test: its own port, config and data folder, stopped by process id.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

const CHECKS_MAX: usize = 1_200;
const CHECK: Duration = Duration::from_millis(50);
const PORT_MIN: u16 = 20_000;
const PORTS: u16 = 12_000;

pub struct Mosquitto {
    pub port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker on a free loopback port: persistence on, no login, no limit to its queues.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With further lines of `mosquitto.conf`.
    pub fn start_with(config_lines: &str) -> Self {
        Self::start_logging("all", config_lines)
    }

    /// Without a line of log for each packet: for runs of more messages than a log should have.
    pub fn start_quiet() -> Self {
        Self::start_logging("information", "")
    }

    fn start_logging(log_type: &str, config_lines: &str) -> Self {
        let port = free_port();
        let folder = TempDir::new().expect("a temporary folder");
        let data = folder.path().display();
        // Started as root it would become user `mosquitto`, who may not write into the folder.
        let config = format!(
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {data}/\nmax_queued_messages 0\nset_tcp_nodelay true\n\
             log_dest file {data}/mosquitto.log\nlog_type {log_type}\n{config_lines}\n"
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).expect("the config is written");
        let mut broker = Mosquitto { port, folder, process: None };
        broker.launch();
        broker
    }

    /// Stops it in order: sessions and queues are saved.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let status = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
            assert!(status.is_ok_and(|s| s.success()), "mosquitto was gone before it was stopped");
            process.wait().expect("mosquitto ends");
        }
    }

    /// SIGKILL: what it has not written to disk is gone, sessions as well.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("it was alive until now");
        process.wait().expect("it ends");
    }

    /// Starts it again on the same port and data.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "stop it first");
        let config = self.folder.path().join("mosquitto.conf");
        let mut command = Command::new(binary());
        command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let starts = self.starts() + 1;
        let mut process = command.spawn().expect("mosquitto is started");
        for _ in 0..CHECKS_MAX {
            // An answer alone could come from somebody else on this port.
            if self.starts() == starts && answers(self.port) {
                self.process = Some(process);
                return;
            }
            if let Ok(Some(status)) = process.try_wait() {
                panic!("mosquitto ended on port {} ({status}):\n{}", self.port, self.log());
            }
            std::thread::sleep(CHECK);
        }
        self.process = Some(process);
        panic!("mosquitto does not answer on port {}", self.port);
    }

    /// How often it came up, as its log tells.
    fn starts(&self) -> usize {
        self.log().matches(" running\n").count()
    }

    /// Removes what a stopped broker saved: it will not know any session.
    pub fn forget(&self) {
        assert!(self.process.is_none(), "stop it first");
        std::fs::remove_file(self.folder.path().join("mosquitto.db")).expect("a saved database");
    }

    /// Its log so far: every packet in and out.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("mosquitto.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Publishes one QoS `qos` message a line through `mosquitto_pub`; returns when all are taken.
    pub fn publish_lines(&self, topic: &str, qos: u8, lines: &[String]) {
        let (port, qos) = (self.port.to_string(), qos.to_string());
        let mut publisher = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-t", topic, "-q", &qos, "-l"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("mosquitto_pub is installed by scripts/setup");
        let mut input = publisher.stdin.take().expect("a pipe");
        input.write_all((lines.join("\n") + "\n").as_bytes()).expect("lines are written");
        drop(input);
        assert!(publisher.wait().expect("mosquitto_pub ends").success());
    }

    /// Publishes one retained message.
    pub fn publish_retained(&self, topic: &str, payload: &str) {
        let port = self.port.to_string();
        let status = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-t", topic, "-q", "1", "-r", "-m", payload])
            .status();
        assert!(status.expect("mosquitto_pub is installed by scripts/setup").success());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of mosquitto's log:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// A port nobody listens on just now, each one given out once. Below the range from which the kernel
/// takes ports for outgoing connections, or a client could have it before the server binds.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16;
    for _ in 0..PORTS {
        let offset = first.wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = PORT_MIN + offset;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {PORT_MIN} on");
}

fn binary() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&on_path).chain([PathBuf::from("/usr/sbin")]);
    let found = places.map(|folder| folder.join("mosquitto")).find(|file| file.is_file());
    found.expect("mosquitto is not installed: run scripts/setup")
}

/// A whole CONNECT and CONNACK: an open port alone does not mean that it serves.
fn answers(port: u16) -> bool {
    let try_once = || -> std::io::Result<[u8; 4]> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        // MQTT 3.1.1, clean session, keep-alive 5 s, client id "ready".
        socket.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x05\x00\x05ready")?;
        let mut connack = [0; 4];
        socket.read_exact(&mut connack)?;
        socket.write_all(b"\xe0\x00")?;
        Ok(connack)
    };
    try_once().is_ok_and(|connack| connack == [0x20, 0x02, 0x00, 0x00])
}
