//! An MQTT 3.1.1 publisher at QoS 1 that keeps every message until the broker has acknowledged it, and
//! sends what was not acknowledged again, in order, after a lost connection.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Sent and not acknowledged by the broker, at most.
const IN_FLIGHT_MAX: usize = 100;
/// Messages the publisher may be ahead of Eddy. Mosquitto 2.0.11 was seen to have 900 unacknowledged at
/// a subscriber with `max_inflight_messages 100`: without a limit here there is none to how far back
/// redelivered messages lie, and those beyond twice the lateness are no longer known as duplicates. As many
/// again may come on top: Eddy counts a duplicate as an event until its cell is final.
const AHEAD_MAX: u64 = 500;
const READ_MAX: Duration = Duration::from_secs(30);

pub struct Publisher {
    port: u16,
    socket: TcpStream,
    next_id: u16,
    in_flight: VecDeque<(u16, Vec<u8>)>,
    /// Acknowledged by the broker so far.
    pub acked: Arc<AtomicUsize>,
    pub gate: Gate,
    sent: u64,
    pub reconnects: usize,
    pub resent: usize,
}

/// How many messages may have been sent; without limit until it is first set.
#[derive(Clone)]
pub struct Gate(Arc<AtomicU64>);

impl Default for Gate {
    fn default() -> Self {
        Gate(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Gate {
    /// Lets the publisher go on as far as it may with so many events taken in by Eddy.
    pub fn follow(&self, events: u64) {
        self.0.store(events + AHEAD_MAX, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.0.store(u64::MAX, Ordering::SeqCst);
    }
}

impl Publisher {
    pub fn connect(port: u16) -> Self {
        let socket = connect(port).expect("the broker answers");
        let (in_flight, acked) = (VecDeque::new(), Arc::default());
        Publisher {
            port,
            socket,
            next_id: 1,
            in_flight,
            acked,
            gate: Gate::default(),
            sent: 0,
            reconnects: 0,
            resent: 0,
        }
    }

    /// Returns once the message is sent; waits while too many are in flight.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) {
        super::poll(|| (self.sent < self.gate.0.load(Ordering::SeqCst)).then_some(())).expect("Eddy gets on");
        self.sent += 1;
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            self.take_ack();
        }
        let packet = publish_packet(topic, self.next_id, payload);
        self.in_flight.push_back((self.next_id, packet));
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let (_, packet) = self.in_flight.back().expect("just put in");
        if self.socket.write_all(packet).is_err() {
            self.reconnect();
        }
    }

    /// Returns once everything is acknowledged.
    pub fn settle(&mut self) {
        while !self.in_flight.is_empty() {
            self.take_ack();
        }
    }

    fn take_ack(&mut self) {
        let mut ack = [0; 4];
        if self.socket.read_exact(&mut ack).is_err() {
            return self.reconnect();
        }
        assert_eq!(ack[..2], [0x40, 2], "a PUBACK");
        let id = u16::from_be_bytes([ack[2], ack[3]]);
        let at = self.in_flight.iter().position(|(sent, _)| *sent == id).expect("an id that is in flight");
        self.in_flight.remove(at);
        self.acked.fetch_add(1, Ordering::SeqCst);
    }

    fn reconnect(&mut self) {
        self.reconnects += 1;
        'connection: loop {
            self.socket = super::poll(|| connect(self.port).ok()).expect("the broker comes back");
            for (_, packet) in &mut self.in_flight {
                packet[0] |= 0x08; // DUP
                self.resent += 1;
                if self.socket.write_all(packet).is_err() {
                    continue 'connection;
                }
            }
            return;
        }
    }
}

/// CONNECT with a clean session and no keep-alive, CONNACK.
fn connect(port: u16) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(READ_MAX))?;
    socket.write_all(b"\x10\x12\x00\x04MQTT\x04\x02\x00\x00\x00\x06device")?;
    let mut connack = [0; 4];
    socket.read_exact(&mut connack)?;
    if connack == [0x20, 2, 0, 0] { Ok(socket) } else { Err(io::Error::other("refused")) }
}

fn publish_packet(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x32];
    let mut left = 2 + topic.len() + 2 + payload.len();
    while left >= 128 {
        packet.push(left as u8 | 0x80);
        left >>= 7;
    }
    packet.push(left as u8);
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(payload);
    packet
}
