//! The MQTT sink where a broker is late, small or acknowledges out of order, byte by byte.

use std::time::Duration;

use eddy::alert::outbox::DeliveryState;
use tokio::time::sleep;

use crate::delivery::{PATIENT, Rig, SHORT, alert, file};
use crate::mqtt::{fails, mqtt};
use crate::mqtt_wire::{Connection, LONG, broker};

const SLOW: Duration = Duration::from_secs(4);
const LATE: &str = "did not acknowledge within 4s what it was sent";

#[tokio::test]
async fn one_message_that_is_late_does_not_take_the_connection_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(SLOW).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1), alert("a2", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let [late, prompt] = [connection.published().await, connection.published().await];
    sleep(SLOW * 6 / 10).await;
    connection.acknowledge(prompt.pkid, 0).await;
    rig.wait_for_state(&prompt.id, 1, DeliveryState::Delivered).await;
    fails(&rig, &late.id, LATE).await;
    rig.store(&[alert("a3", 1)]);
    let next = connection.published().await;
    assert!(next.id == "a3" && next.pkid != late.pkid, "{next:?} beside {late:?}");
    connection.acknowledge(late.pkid, 0).await;
    connection.acknowledge(next.pkid, 0).await;
    rig.wait_for_state("a3", 1, DeliveryState::Delivered).await;
    let told = rig.delivery(&late.id, 1);
    assert_eq!((told.state, told.attempts), (DeliveryState::Pending, 1), "it was answered before");
    drop(connection);
    rig.stop().await;
}

#[tokio::test]
async fn how_long_connecting_took_is_not_held_against_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(SLOW).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &SHORT);
    rig.store(&[alert("a1", 1)]);
    let mut connection = Connection::accept_silently(&listener).await;
    sleep(SLOW * 7 / 10).await;
    connection.write(&[0x20, 3, 0, 0, 0]).await;
    let late = connection.published().await;
    fails(&rig, "a1", LATE).await;
    let again = connection.published().await;
    assert_eq!(again.id, "a1", "on the same connection");
    connection.acknowledge(late.pkid, 0).await;
    connection.acknowledge(again.pkid, 0).await;
    let told = rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert_eq!(told.attempts, 2);
    drop(connection);
    rig.stop().await;
}

#[tokio::test]
async fn what_waits_for_the_packet_id_of_a_refused_message_is_not_held_back() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1), alert("a2", 1), alert("a3", 1)]);
    // Receive maximum 2.
    let mut connection = Connection::accept(&listener, &[0x21, 0, 2]).await;
    let [first, second] = [connection.published().await, connection.published().await];
    // There is room for the third, and its turn is the first one's id.
    connection.acknowledge(second.pkid, 0).await;
    connection.is_silent().await;
    connection.acknowledge(first.pkid, 0x99).await;
    let third = ["a1", "a2", "a3"].into_iter().find(|id| ![&first.id, &second.id].contains(&&id.to_string()));
    fails(&rig, third.expect("three"), "it waited for a packet id, of which the broker at 127.0.0.1:").await;
    fails(&rig, &first.id, "(0x99 payload format invalid)").await;
    connection.is_closed().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_packet_as_large_as_the_broker_takes_is_sent_and_no_larger_one() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let (_, body) = connection.packet().await;
    // Before the body are its type and, at this length, two bytes of length.
    assert!((128..16_384).contains(&body.len()));
    let packet_bytes = body.len() as u32 + 3;
    drop(connection);
    rig.stop().await;
    for beyond in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let (listener, plan) = broker(LONG).await;
        let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
        rig.store(&[alert("a1", 1)]);
        let [a, b, c, d] = (packet_bytes - beyond).to_be_bytes();
        let mut connection = Connection::accept(&listener, &[0x27, a, b, c, d]).await;
        if beyond == 0 {
            let whole = connection.published().await;
            connection.acknowledge(whole.pkid, 0).await;
            rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
        } else {
            fails(&rig, "a1", &format!("the message has {packet_bytes} bytes, and the broker")).await;
            connection.is_silent().await;
        }
        drop(connection);
        rig.stop().await;
    }
}
