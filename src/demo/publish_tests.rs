use std::collections::HashSet;

use rumqttc::Packet;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, PubAck};
use rumqttc::mqttbytes::{self};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::super::history::DEMO_START;
use super::super::plant::PUMPS;
use super::*;
use crate::types::EventTime;

const STEPS: i64 = 40;

/// What a broker saw.
#[derive(Default)]
struct Seen {
    topics: HashSet<String>,
    published: u64,
    disconnected: bool,
}

/// Speaks just enough MQTT 3.1.1: accepts, acknowledges, and hangs up once after `hang_up_after` messages.
async fn broker(listener: TcpListener, hang_up_after: Option<u64>) -> Seen {
    let mut seen = Seen::default();
    let mut hang_up_after = hang_up_after;
    while !seen.disconnected {
        let (socket, _) = listener.accept().await.unwrap();
        let resumed = seen.published > 0;
        serve(socket, resumed, hang_up_after.take(), &mut seen).await;
    }
    seen
}

async fn serve(mut socket: TcpStream, resumed: bool, hang_up_after: Option<u64>, seen: &mut Seen) {
    let mut bytes = bytes::BytesMut::new();
    loop {
        let mut answer = bytes::BytesMut::new();
        match Packet::read(&mut bytes, 1 << 16) {
            Ok(Packet::Connect(connect)) => {
                ConnAck::new(ConnectReturnCode::Success, resumed && !connect.clean_session)
                    .write(&mut answer)
                    .unwrap();
            }
            Ok(Packet::Publish(publish)) => {
                if hang_up_after == Some(seen.published) {
                    return;
                }
                seen.published += 1;
                seen.topics.insert(publish.topic.clone());
                PubAck::new(publish.pkid).write(&mut answer).unwrap();
            }
            Ok(Packet::Disconnect) => {
                seen.disconnected = true;
                return;
            }
            Ok(_) => {}
            Err(mqttbytes::Error::InsufficientBytes(_)) => {
                if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            Err(error) => panic!("not MQTT: {error}"),
        }
        // A publisher that has gone is noticed by the next read.
        let _ = socket.write_all(&answer).await;
    }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn publisher(port: u16, steps: i64, speed: u32) -> Publisher {
    let (plant, delivery) = (Plant::new(1, DEMO_START), Delivery::new(1));
    Publisher { port, plant, delivery, steps, speed, progress: Arc::default() }
}

fn totals(progress: &Progress) -> (u64, u64) {
    (progress.published_total.load(Ordering::Relaxed), progress.acked_total.load(Ordering::Relaxed))
}

#[tokio::test]
async fn every_message_is_acknowledged_before_the_clean_end() {
    let (listener, port) = listener().await;
    let broker = tokio::spawn(broker(listener, None));
    let publisher = publisher(port, STEPS, 1_000);
    let progress = publisher.progress.clone();
    publisher.run(CancellationToken::new()).await.unwrap();
    let seen = broker.await.unwrap();
    let (published, acked) = totals(&progress);
    assert!(published > (STEPS - 2) as u64 * PUMPS as u64, "{published}");
    assert_eq!((acked, seen.published), (published, published));
    assert_eq!(seen.topics.len(), PUMPS);
    assert_eq!(progress.event_time.load(Ordering::Relaxed), DEMO_START.0 + (STEPS - 1) * 1_000_000_000);
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_again_and_nothing_is_lost() {
    let (listener, port) = listener().await;
    let broker = tokio::spawn(broker(listener, Some(100)));
    let publisher = publisher(port, STEPS, 1_000);
    let progress = publisher.progress.clone();
    publisher.run(CancellationToken::new()).await.unwrap();
    let seen = broker.await.unwrap();
    let (published, acked) = totals(&progress);
    assert_eq!(acked, published);
    assert!(seen.published >= published, "{} of {published}", seen.published);
}

#[tokio::test]
async fn event_time_keeps_its_pace_and_a_stop_ends_it_early() {
    let (listener, port) = listener().await;
    let broker = tokio::spawn(broker(listener, None));
    let publisher = publisher(port, 2_000, 100);
    let (progress, stop) = (publisher.progress.clone(), CancellationToken::new());
    let start = Instant::now();
    let run = tokio::spawn(publisher.run(stop.clone()));
    let event_s = || (progress.event_time.load(Ordering::Relaxed) - DEMO_START.0) as f64 / 1e9;
    while event_s() <= 25.0 {
        assert!(start.elapsed() < Duration::from_secs(60), "{} s of event time", event_s());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    run.await.unwrap().unwrap();
    let (event_s, elapsed_s) = (event_s(), start.elapsed().as_secs_f64());
    assert!(event_s < 1_999.0, "not stopped");
    assert!(event_s <= 100.0 * elapsed_s, "{event_s} s of event time in {elapsed_s} s");
    let (published, acked) = totals(&progress);
    assert_eq!(acked, published);
    assert!(broker.await.unwrap().disconnected);
}

#[test]
fn payload_is_the_documents_shape_and_leaves_out_what_is_missing() {
    let time = EventTime(1_767_225_600_123_000_000);
    let whole = Sample { pump: 0, time, values: [2.31, 61.2, 4.1, 12.0] };
    let json: serde_json::Value = serde_json::from_str(&payload(&whole)).unwrap();
    let expected = serde_json::json!({
        "ts": 1_767_225_600_123_i64, "vib": {"rms": 2.31}, "temp": 61.2, "press": 4.1, "flow": 12
    });
    assert_eq!(json, expected);
    let holed = Sample { values: [f32::NAN, 61.2, f32::NAN, 12.5], ..whole };
    assert_eq!(payload(&holed), r#"{"ts":1767225600123,"temp":61.2,"flow":12.5}"#);
    assert_eq!(topic(0), "plant/demo/pump/pump-01/telemetry");
}
