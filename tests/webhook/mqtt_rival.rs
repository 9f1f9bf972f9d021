//! The MQTT sink and whether another client has its id, byte by byte: what is such a client's doing, and what is not.

use std::time::{Duration, Instant};

use eddy::alert::outbox::DeliveryState;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::delivery::{PATIENT, Rig, STEP_MAX, alert, file};
use crate::mqtt::{fails, mqtt};
use crate::mqtt_wire::{Connection, LONG, broker};

const BRIEF: Duration = Duration::from_secs(2);

/// The broker closes a connection right after it was made, as it does for another client of the same id.
async fn put_out(rig: &Rig, listener: &TcpListener, id: &str) {
    rig.store(&[alert(id, 1)]);
    let mut connection = Connection::accept(listener, &[]).await;
    connection.published().await;
    drop(connection);
    fails(rig, id, "127.0.0.1:").await;
}

#[tokio::test]
async fn a_connection_that_falls_silent_in_between_is_no_other_clients_doing() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(BRIEF).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    let rival = || rig.status.sinks[0].rival.lately();
    put_out(&rig, &listener, "a1").await;
    put_out(&rig, &listener, "a2").await;
    rig.store(&[alert("silent", 1)]);
    let mut deaf = Connection::accept(&listener, &[]).await;
    deaf.published().await;
    fails(&rig, "silent", "did not acknowledge within 2s").await;
    deaf.is_closed().await;
    put_out(&rig, &listener, "a3").await;
    put_out(&rig, &listener, "a4").await;
    assert_eq!(rival(), None, "two in a row");
    put_out(&rig, &listener, "a5").await;
    assert!(rival().is_some_and(|told| told.contains("another `client_id`")), "three in a row");
    rig.store(&[alert("taken", 1)]);
    let mut connection = Connection::accept(&listener, &[]).await;
    let published = connection.published().await;
    connection.acknowledge(published.pkid, 0).await;
    rig.wait_for_state("taken", 1, DeliveryState::Delivered).await;
    assert!(rival().is_some(), "the other one may come back");
    let is_told_in_a_minute =
        || rig.status.sinks[0].rival.at(Instant::now() + Duration::from_secs(60)).is_some();
    assert!(!is_told_in_a_minute(), "if this one stands, it is gone");
    drop(connection);
    let deadline = Instant::now() + STEP_MAX;
    while !is_told_in_a_minute() {
        assert!(Instant::now() < deadline, "it has come back");
        sleep(Duration::from_millis(5)).await;
    }
    // Nobody takes the place at a broker that is away.
    drop(listener);
    rig.store(&[alert("away", 1)]);
    fails(&rig, "away", "cannot reach the broker").await;
    assert_eq!(rival(), None);
    rig.stop().await;
}

#[tokio::test]
async fn nor_is_one_that_is_given_up_for_a_packet_id() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, plan) = broker(LONG).await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan), &PATIENT);
    put_out(&rig, &listener, "a1").await;
    put_out(&rig, &listener, "a2").await;
    rig.store(&[alert("b1", 1), alert("b2", 1), alert("b3", 1)]);
    // Receive maximum 2: the turn of the third is the first one's id, which is then refused.
    let mut connection = Connection::accept(&listener, &[0x21, 0, 2]).await;
    let [first, second] = [connection.published().await, connection.published().await];
    connection.acknowledge(second.pkid, 0).await;
    connection.is_silent().await;
    connection.acknowledge(first.pkid, 0x99).await;
    connection.is_closed().await;
    put_out(&rig, &listener, "a3").await;
    put_out(&rig, &listener, "a4").await;
    assert_eq!(rig.status.sinks[0].rival.lately(), None, "two in a row");
    rig.stop().await;
}
