//! The MQTT sink byte by byte, against a broker played by the test: what Mosquitto cannot be made to do.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use eddy::alert::outbox::DeliveryState;
use eddy::config::plan::{MqttSinkPlan, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::delivery::{PATIENT, Rig, SHORT, STEP_MAX, alert, file};
use crate::mqtt::{fails, mqtt, plan};

const CONNECT: u8 = 0x10;
const PUBLISH_QOS_1: u8 = 0x32;
const DISCONNECT: u8 = 0xe0;

pub struct Connection(TcpStream);

/// A PUBLISH: its packet id, and the id of the alert.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    pub pkid: u16,
    pub id: String,
}

impl Connection {
    /// Accepts and answers CONNECT of MQTT 5 with these properties.
    pub async fn accept(listener: &TcpListener, properties: &[u8]) -> Self {
        let mut connection = Self::accept_silently(listener).await;
        let mut connack = vec![0x20, 3 + properties.len() as u8, 0, 0, properties.len() as u8];
        connack.extend(properties);
        connection.write(&connack).await;
        connection
    }

    /// Accepts, reads CONNECT and says nothing.
    pub async fn accept_silently(listener: &TcpListener) -> Self {
        let (socket, _) = timeout(STEP_MAX, listener.accept()).await.expect("it connects").unwrap();
        let mut connection = Connection(socket);
        let (kind, body) = connection.packet().await;
        assert_eq!((kind, body[6], body[7] & 0x02), (CONNECT, 5, 0x02), "MQTT 5, clean start");
        connection
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub async fn packet(&mut self) -> (u8, Vec<u8>) {
        let kind = timeout(STEP_MAX, self.0.read_u8()).await.expect("a packet in time").unwrap();
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.0.read_u8().await.unwrap();
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        (kind, body)
    }

    pub async fn published(&mut self) -> Published {
        let (kind, body) = self.packet().await;
        assert_eq!(kind, PUBLISH_QOS_1, "QoS 1, neither retained nor sent before");
        let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let text = String::from_utf8_lossy(&body);
        let id = text.split("\"id\":\"").nth(1).expect("an id").split('"').next().unwrap();
        Published { pkid: u16::from_be_bytes([body[at], body[at + 1]]), id: id.to_owned() }
    }

    pub async fn acknowledge(&mut self, pkid: u16, reason: u8) {
        let [high, low] = pkid.to_be_bytes();
        self.write(&[0x40, 3, high, low, reason]).await;
    }

    /// Nothing comes for a while.
    pub async fn is_silent(&mut self) {
        let read = timeout(Duration::from_millis(400), self.0.read_u8()).await;
        assert!(read.is_err(), "a packet came: {read:?}");
    }

    /// What comes until the other end has closed it.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        timeout(STEP_MAX, self.0.read_to_end(&mut rest)).await.expect("it is closed").ok();
        rest
    }

    /// The other end has closed it.
    pub async fn is_closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "it went on: {rest:?}");
    }
}

pub async fn broker(timeout: Duration) -> (TcpListener, MqttSinkPlan) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, MqttSinkPlan { timeout, ..plan(port, Version::V5) })
}

pub const LONG: Duration = Duration::from_secs(15);
const BRIEF: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_broker_that_hangs_fails_the_attempt_in_time_and_the_next_finds_one_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(BRIEF).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &SHORT);
    let began = Instant::now();
    rig.store(&[alert("a1", 1)]);
    let mut mute = Connection::accept_silently(&listener).await;
    fails(
        &rig,
        "a1",
        "does not answer; check the network and the broker; if the broker does not know MQTT 5",
    )
    .await;
    assert!((BRIEF..8 * BRIEF).contains(&began.elapsed()), "{:?}", began.elapsed());
    mute.is_closed().await;
    let mut deaf = Connection::accept(&listener, &[]).await;
    let first = deaf.published().await;
    let told = rig.delivery("a1", 1);
    assert_eq!((told.state, told.attempts), (DeliveryState::Pending, 1), "sent is not told");
    fails(&rig, "a1", "did not acknowledge within 2s what it was sent").await;
    deaf.rest().await;
    let mut well = Connection::accept(&listener, &[]).await;
    let again = well.published().await;
    assert_eq!(again, first, "the same message on a new connection, with ids from the beginning");
    assert_eq!(rig.status.sinks[0].delivered_total.load(Ordering::Relaxed), 0);
    well.acknowledge(again.pkid, 0).await;
    let told = rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert!((3..=4).contains(&told.attempts), "one more at most on the connection that was deaf: {told:?}");
    let stopped = tokio::spawn(rig.stop());
    assert_eq!(well.packet().await.0, DISCONNECT);
    drop(well);
    stopped.await.unwrap();
}

#[tokio::test]
async fn what_waits_for_a_broker_that_does_not_answer_finds_out_together() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(BRIEF).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1), alert("a2", 1), alert("a3", 1)]);
    let _mute = Connection::accept_silently(&listener).await;
    for id in ["a1", "a2", "a3"] {
        fails(&rig, id, "does not answer").await;
    }
    let another = timeout(2 * BRIEF, listener.accept()).await;
    assert!(another.is_err(), "none of them asks for itself");
    rig.stop().await;
}

#[tokio::test]
async fn what_is_under_way_at_the_stop_is_waited_for_and_a_broker_that_hangs_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan.clone()), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let under_way = connection.published().await;
    let outbox = rig.outbox.clone();
    let stopped = tokio::spawn(rig.stop());
    connection.is_silent().await;
    connection.acknowledge(under_way.pkid, 0).await;
    assert_eq!(connection.packet().await.0, DISCONNECT);
    drop(connection);
    stopped.await.unwrap();
    let told = outbox.reader().unwrap().alert("a1").unwrap().remove(0).deliveries.remove(0);
    assert_eq!((told.state, told.attempts), (DeliveryState::Delivered, 1));
    drop(outbox);

    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a2", 1)]);
    let _mute = Connection::accept_silently(&listener).await;
    let began = Instant::now();
    rig.stop().await;
    // Three seconds for what is under way.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn acks_belong_to_their_packet_ids_in_whatever_order_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1), alert("a2", 1), alert("a3", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let [first, second, third] =
        [connection.published().await, connection.published().await, connection.published().await];
    connection.acknowledge(third.pkid, 0).await;
    rig.wait_for_state(&third.id, 1, DeliveryState::Delivered).await;
    for waits in [&first, &second] {
        assert_eq!(rig.delivery(&waits.id, 1).state, DeliveryState::Pending);
    }
    connection.acknowledge(second.pkid, 0x99).await;
    fails(&rig, &second.id, "(0x99 payload format invalid)").await;
    connection.acknowledge(first.pkid, 0).await;
    rig.wait_for_state(&first.id, 1, DeliveryState::Delivered).await;
    drop(connection);
    rig.stop().await;
}

#[tokio::test]
async fn nothing_of_an_earlier_connection_is_acked_or_sent_again_on_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let lost = connection.published().await;
    drop(connection);
    fails(&rig, "a1", "client id \"eddy-alerts\", and in the broker's log for \"alerts/eddy\"").await;
    // It is not tried again for an hour; another one makes a connection, of which the ids begin anew.
    rig.store(&[alert("a2", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let other = connection.published().await;
    assert_eq!(other, Published { pkid: lost.pkid, id: "a2".into() });
    connection.is_silent().await;
    connection.acknowledge(other.pkid, 0).await;
    rig.wait_for_state("a2", 1, DeliveryState::Delivered).await;
    let told = rig.delivery("a1", 1);
    assert_eq!((told.state, told.attempts), (DeliveryState::Pending, 1), "nobody acknowledged it");
    drop(connection);
    rig.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_in_the_burst_that_breaks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1), alert("a2", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let [first, second] = [connection.published().await, connection.published().await];
    // PUBACK of the first, then DISCONNECT: the session was taken over.
    connection.write(&[0x40, 2, 0, first.pkid as u8, DISCONNECT, 2, 0x8e, 0]).await;
    rig.wait_for_state(&first.id, 1, DeliveryState::Delivered).await;
    fails(&rig, &second.id, "a second client with client id \"eddy-alerts\" connected to 127.0.0.1:").await;
    let rival = rig.status.sinks[0].rival.lately().expect("it is shown");
    assert!(rival.contains("another `client_id`"), "{rival}");
    rig.stop().await;
}

#[tokio::test]
async fn what_a_broker_does_not_take_is_told_before_it_is_sent() {
    // Maximum packet size 100; maximum QoS 0; no retained messages: sections 3.2.2.3.4 to 6.
    let cases: [(&[u8], bool, &str); 3] = [
        (&[0x27, 0, 0, 0, 100], false, "takes packets of 100 at most; raise its limit"),
        (&[0x24, 0], false, "takes QoS 0 only, and never says that it took a message; allow QoS 1 there"),
        (&[0x25, 0], true, "keeps no messages; remove `retain`"),
    ];
    for (properties, retain, words) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (listener, plan) = broker(LONG).await;
        let rig = Rig::start_sink(&file(&folder), mqtt(MqttSinkPlan { retain, ..plan }), &PATIENT);
        rig.store(&[alert("a1", 1)]);
        let mut connection = Connection::accept(&listener, properties).await;
        fails(&rig, "a1", words).await;
        connection.is_silent().await;
        drop(connection);
        rig.stop().await;
    }
}

#[tokio::test]
async fn no_more_is_on_its_way_than_the_broker_wants() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1), alert("a2", 1), alert("a3", 1)]);
    // Receive maximum 2.
    let mut connection = Connection::accept(&listener, &[0x21, 0, 2]).await;
    let [first, second] = [connection.published().await, connection.published().await];
    connection.is_silent().await;
    connection.acknowledge(first.pkid, 0).await;
    let third = connection.published().await;
    connection.acknowledge(second.pkid, 0).await;
    connection.acknowledge(third.pkid, 0).await;
    for id in ["a1", "a2", "a3"] {
        rig.wait_for_state(id, 1, DeliveryState::Delivered).await;
    }
    drop(connection);
    rig.stop().await;
}

#[tokio::test]
async fn a_broker_that_is_full_is_gone_easy_on() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let full = connection.published().await;
    connection.acknowledge(full.pkid, 0x97).await;
    fails(&rig, "a1", "(0x97 quota exceeded); raise the broker's limit").await;
    rig.store(&[alert("a2", 1), alert("a3", 1)]);
    let one = connection.published().await;
    connection.is_silent().await;
    connection.acknowledge(one.pkid, 0).await;
    let other = connection.published().await;
    connection.acknowledge(other.pkid, 0).await;
    for id in ["a2", "a3"] {
        rig.wait_for_state(id, 1, DeliveryState::Delivered).await;
    }
    drop(connection);
    rig.stop().await;
}
