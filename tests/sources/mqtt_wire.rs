//! The MQTT source byte by byte, against a broker played by the test: what Mosquitto cannot be made to do.

use std::time::Duration;

use crate::support::{self, Rig, STEP_MAX, read, texts};
use eddy::config::plan::{MqttPlan, SourceKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const CONNECT: u8 = 0x10;
const SUBSCRIBE: u8 = 0x82;
const PUBACK: u8 = 0x40;

struct Connection(TcpStream);

impl Connection {
    /// Accepts and answers CONNECT.
    async fn accept(listener: &TcpListener, session_present: u8, code: u8) -> Self {
        let (socket, _) = timeout(STEP_MAX, listener.accept()).await.expect("it connects").unwrap();
        let mut connection = Connection(socket);
        let (kind, body) = connection.packet().await;
        assert_eq!(kind, CONNECT);
        assert_eq!(body[7] & 0x02, 0, "clean session must be off");
        connection.0.write_all(&[0x20, 2, session_present, code]).await.unwrap();
        connection
    }

    /// Answers SUBSCRIBE with one code a filter.
    async fn subscribed(&mut self, codes: &[u8]) {
        let (kind, body) = self.packet().await;
        assert_eq!(kind, SUBSCRIBE);
        let mut suback = vec![0x90, 2 + codes.len() as u8, body[0], body[1]];
        suback.extend(codes);
        self.0.write_all(&suback).await.unwrap();
    }

    async fn publish(&mut self, qos: u8, pkid: u8, payload: &str) {
        let mut packet = vec![0x30 | qos << 1, 0, 0, 1, b'p'];
        if qos > 0 {
            packet.extend([0, pkid]);
        }
        packet.extend(payload.as_bytes());
        packet[1] = packet.len() as u8 - 2;
        self.0.write_all(&packet).await.unwrap();
    }

    async fn packet(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        timeout(STEP_MAX, self.0.read_exact(&mut head)).await.expect("a packet in time").unwrap();
        assert!(head[1] < 128, "short packets only");
        let mut body = vec![0; head[1] as usize];
        self.0.read_exact(&mut body).await.unwrap();
        (head[0], body)
    }

    async fn acked(&mut self) -> u8 {
        let (kind, body) = self.packet().await;
        assert_eq!(kind, PUBACK);
        body[1]
    }

    async fn is_silent(&mut self) {
        let mut byte = [0];
        let read = timeout(Duration::from_millis(400), self.0.read(&mut byte)).await;
        assert!(read.is_err(), "a packet came: {byte:?} {read:?}");
    }
}

async fn rig(topics: &[&str]) -> (Rig, support::FakeLog, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (rig, log) = Rig::new(SourceKind::Mqtt(MqttPlan {
        topics: topics.iter().map(|t| t.to_string()).collect(),
        keep_alive: Duration::from_secs(60),
        ..support::mqtt_plan(listener.local_addr().unwrap().port())
    }));
    (rig, log, listener)
}

#[tokio::test]
async fn acks_follow_the_log_in_receive_order() {
    let (rig, mut log, listener) = rig(&["p"]).await;
    let task = rig.spawn();
    let mut broker = Connection::accept(&listener, 0, 0).await;
    broker.subscribed(&[1]).await;
    broker.publish(1, 9, "a").await;
    let first = log.next().await;
    broker.publish(1, 3, "b").await;
    let second = log.next().await;
    // The second is durable first: its ack still waits for the first.
    let _ = second.logged.send(Ok(()));
    broker.is_silent().await;
    let _ = first.logged.send(Ok(()));
    assert_eq!([broker.acked().await, broker.acked().await], [9, 3]);
    task.abort();
}

#[tokio::test]
async fn an_ack_of_an_earlier_connection_is_never_sent_on_a_later_one() {
    let (rig, mut log, listener) = rig(&["p"]).await;
    let task = rig.spawn();
    let mut broker = Connection::accept(&listener, 0, 0).await;
    broker.subscribed(&[1]).await;
    broker.publish(1, 7, "old").await;
    let old = log.next().await;
    drop(broker);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _ = old.logged.send(Ok(()));
    let mut broker = Connection::accept(&listener, 1, 0).await;
    broker.is_silent().await;
    // The same packet id for another message: only this one's log may acknowledge it.
    broker.publish(1, 7, "new").await;
    let new = log.next().await;
    assert_eq!(texts(&new.messages), ["new"]);
    broker.is_silent().await;
    let _ = new.logged.send(Ok(()));
    assert_eq!(broker.acked().await, 7);
    task.abort();
}

#[tokio::test]
async fn after_a_refusal_nothing_later_is_acked() {
    let (rig, mut log, listener) = rig(&["p"]).await;
    let task = rig.spawn();
    let mut broker = Connection::accept(&listener, 0, 0).await;
    broker.subscribed(&[1]).await;
    broker.publish(1, 1, "refused").await;
    let first = log.next().await;
    broker.publish(1, 2, "kept").await;
    let second = log.next().await;
    let _ = second.logged.send(Ok(()));
    let _ = first.logged.send(Err(eddy::stage::NotSafe));
    let mut rest = Vec::new();
    timeout(STEP_MAX, broker.0.read_to_end(&mut rest)).await.expect("it disconnects").ok();
    assert!(!rest.contains(&PUBACK), "{rest:?}");
    Connection::accept(&listener, 1, 0).await.is_silent().await;
    assert_eq!(read(&rig.status().acked_total), 0);
    task.abort();
}

#[tokio::test]
async fn qos_0_read_in_the_burst_that_breaks_is_logged() {
    let (rig, mut log, listener) = rig(&["p"]).await;
    let task = rig.spawn();
    let mut broker = Connection::accept(&listener, 0, 0).await;
    broker.subscribed(&[1]).await;
    rig.until_connected().await;
    let mut burst = Vec::new();
    for payload in [b'a', b'b', b'c'] {
        burst.extend([0x30, 4, 0, 1, b'p', payload]);
    }
    broker.0.write_all(&burst).await.unwrap();
    drop(broker);
    assert_eq!(texts(&log.accept(3).await), ["a", "b", "c"]);
    task.abort();
}

#[tokio::test]
async fn qos_0_beyond_the_byte_budget_waits_in_the_socket() {
    const BYTES: usize = 100_000;
    const COUNT: usize = 1_000;
    let (rig, mut log, listener) = rig(&["p"]).await;
    let task = rig.spawn();
    let mut broker = Connection::accept(&listener, 0, 0).await;
    broker.subscribed(&[1]).await;
    let flood = tokio::spawn(async move {
        // QoS 0, remaining length 100,003 in three bytes, topic "p".
        let mut packet = vec![0x30, 0xa3, 0x8d, 0x06, 0, 1, b'p'];
        packet.resize(7 + BYTES, 0);
        for n in 0..COUNT as u32 {
            packet[7..11].copy_from_slice(&n.to_be_bytes());
            broker.0.write_all(&packet).await.unwrap();
        }
        broker
    });
    let held = log.next().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!flood.is_finished(), "100 MB were taken while the log stood still");
    let mut messages = held.messages;
    let _ = held.logged.send(Ok(()));
    messages.extend(log.accept(COUNT - messages.len()).await);
    let numbers: Vec<u32> =
        messages.iter().map(|m| u32::from_be_bytes(m.payload[..4].try_into().unwrap())).collect();
    assert_eq!(numbers, (0..COUNT as u32).collect::<Vec<_>>());
    assert!(messages.iter().all(|m| m.payload.len() == BYTES));
    drop(flood.await);
    task.abort();
}

#[tokio::test]
async fn refused_topics_and_logins_are_told_with_their_remedy() {
    let (rig, _log, listener) = rig(&["p", "secret"]).await;
    let task = rig.spawn();
    let mut broker = Connection::accept(&listener, 0, 0).await;
    broker.subscribed(&[1, 0x80]).await;
    rig.until_told("refused to subscribe secret; allow client \"eddy-test\"").await;
    rig.until_connected().await;
    drop(broker);
    let mut broker = Connection::accept(&listener, 0, 0).await;
    broker.subscribed(&[0x80, 0x80]).await;
    rig.until_told("refused to subscribe p, secret").await;
    rig.until("not connected", |s| !s.connected.load(std::sync::atomic::Ordering::Relaxed)).await;
    // It tries again by itself.
    Connection::accept(&listener, 0, 5).await;
    rig.until_told("correct `username` and `password`").await;
    let mut broker = Connection::accept(&listener, 0, 0).await;
    broker.subscribed(&[1, 1]).await;
    rig.until_connected().await;
    assert_eq!(*rig.status().last_error.lock().unwrap(), None);
    task.abort();
}
