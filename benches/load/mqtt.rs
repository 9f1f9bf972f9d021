//! An MQTT 3.1.1 publisher that costs little: one event a message, written in runs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::appliance::Appliance;
use crate::fleet;
use crate::http::Load;

/// Messages written at once.
const RUN: u64 = 64;
/// QoS 1 messages without a PUBACK.
const IN_FLIGHT_MAX: u64 = 2_000;
/// Messages the broker may hold for eddy: published less scored.
const AHEAD_MAX: u64 = 20_000;
pub const TOPIC: &str = "plant/north/pumps/telemetry";
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Publishes the fleet's rows from `first_row` on for `run_for`, never more than [`AHEAD_MAX`] ahead of
/// eddy. Gives how many.
pub fn publish(port: u16, qos: u8, load: Load, appliance: &Appliance) -> u64 {
    let Load { keys, first_row, run_for, .. } = load;
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the broker listens");
    socket.set_nodelay(true).expect("a TCP socket");
    // Clean session, no keep-alive, client id "bench".
    socket.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05bench").expect("the broker reads");
    let mut connack = [0; 4];
    socket.read_exact(&mut connack).expect("the broker answers");
    assert_eq!(connack, [0x20, 0x02, 0x00, 0x00]);
    let (acked, scored) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    let mut sent = 0;
    std::thread::scope(|scope| {
        let mut answers = socket.try_clone().expect("a TCP socket");
        let acked = &acked;
        scope.spawn(move || count_pubacks(&mut answers, acked));
        let mut packets = Vec::new();
        let mut looked = Instant::now();
        while start.elapsed() < run_for {
            if looked.elapsed() > LOOK_EVERY {
                looked = Instant::now();
                scored.store(appliance.totals().events - first_row, Ordering::Relaxed);
            }
            let unacked = if qos == 0 { 0 } else { sent - acked.load(Ordering::Relaxed) };
            if sent - scored.load(Ordering::Relaxed) > AHEAD_MAX || unacked > IN_FLIGHT_MAX {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            packets.clear();
            let rows = first_row + sent..first_row + sent + RUN;
            rows.for_each(|row| push_publish(&mut packets, qos, keys, row));
            socket.write_all(&packets).expect("the broker reads on");
            sent += RUN;
        }
        while qos > 0 && acked.load(Ordering::Relaxed) < sent {
            std::thread::sleep(Duration::from_millis(1));
        }
        // DISCONNECT; the broker then closes, and the reader ends.
        socket.write_all(b"\xe0\x00").expect("the broker reads on");
    });
    sent
}

fn push_publish(out: &mut Vec<u8>, qos: u8, keys: u64, row: u64) {
    let start = out.len();
    // Type and flags, then a remaining length of two bytes: a message is longer than 127 bytes here.
    out.extend_from_slice(&[0x30 | qos << 1, 0, 0, 0, TOPIC.len() as u8]);
    out.extend_from_slice(TOPIC.as_bytes());
    if qos > 0 {
        out.extend_from_slice(&((row % 65_535) as u16 + 1).to_be_bytes());
    }
    fleet::push_json(out, row % keys, row / keys);
    let remaining = out.len() - start - 3;
    assert!((128..16_384).contains(&remaining), "the length takes two bytes");
    out[start + 1] = (remaining % 128) as u8 | 0x80;
    out[start + 2] = (remaining / 128) as u8;
}

/// Counts PUBACKs (four bytes each; nothing else comes) until the broker closes.
fn count_pubacks(socket: &mut TcpStream, acked: &AtomicU64) {
    let mut buffer = [0; 4096];
    let mut bytes = 0;
    while let Ok(read @ 1..) = socket.read(&mut buffer) {
        bytes += read as u64;
        acked.store(bytes / 4, Ordering::Relaxed);
    }
}
