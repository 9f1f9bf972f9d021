//! A subscriber of MQTT 5 that keeps what it is sent, and comes back when its broker does.
#![allow(dead_code)] // each test binary uses a part

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// No single step of a test takes longer.
const STEP_MAX: Duration = Duration::from_secs(90);

/// Subscribes with QoS 0, so that a broker that is killed owes it nothing. Until dropped.
pub struct Subscriber {
    received: Arc<Mutex<Vec<Publish>>>,
    subscribed: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Subscriber {
    /// Returns once the broker has the subscription.
    pub async fn start(port: u16, client_id: &str, filter: &str) -> Self {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
        options.set_clean_start(true);
        let (client, mut link) = AsyncClient::new(options, 16);
        let (granted, subscribed) = watch::channel(0);
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, filter) = (received.clone(), filter.to_owned());
        let task = tokio::spawn(async move {
            loop {
                match link.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        client.try_subscribe(&filter, QoS::AtMostOnce).expect("a filter");
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => granted.send_modify(|times| *times += 1),
                    Ok(Event::Incoming(Packet::Publish(publish))) => kept.lock().unwrap().push(publish),
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        let mut subscriber = Subscriber { received, subscribed, task };
        subscriber.has_subscribed(1).await;
        subscriber
    }

    /// Waits until it has subscribed so many times.
    pub async fn has_subscribed(&mut self, times: usize) {
        let subscribed = self.subscribed.wait_for(|granted| *granted >= times);
        let _ = tokio::time::timeout(STEP_MAX, subscribed).await.expect("a SUBACK in time");
    }

    pub fn received(&self) -> Vec<Publish> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until `count` messages have come.
    pub async fn wait_for(&self, count: usize) -> Vec<Publish> {
        let deadline = Instant::now() + STEP_MAX;
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(Instant::now() < deadline, "{} of {count} messages", received.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}
