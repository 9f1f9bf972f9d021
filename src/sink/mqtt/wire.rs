//! The seam between the protocol versions: what a connection of the sink does and says, whichever of them it speaks.

use rumqttc::v5::mqttbytes::v5::PubAckReason;
use rumqttc::{AsyncClient, EventLoop, v5 as library_v5};
use tokio::task::spawn_blocking;

use super::{WIDTH, v3, v5};
use crate::config::plan::{MqttSinkPlan, Version};
use crate::mqtt::reasons::unusable;
use crate::mqtt::{self, Fault, Full, transport};
use crate::sink::Outgoing;

/// All that is under way, and a disconnect: a request always fits.
const REQUESTS_MAX: usize = WIDTH + 8;
/// The library keeps a slot for each packet id it gives, and gives them in turn, as many as the broker takes at once (MQTT 5's
/// receive maximum) and this many at most. An id whose turn comes before it was acknowledged, by a broker that acknowledges in
/// another order, holds up its message and those behind ([`Event::Held`]).
pub(super) const IN_FLIGHT_MAX: u16 = 64;

/// What the broker says, and what has gone out to it.
pub(super) enum Event {
    Connected(Limits),
    Sent {
        pkid: u16,
    },
    /// A message waits for this id, which another one has.
    Held {
        pkid: u16,
    },
    Acked {
        pkid: u16,
        receipt: Receipt,
    },
    Other,
}

/// What the broker will not take, as it said when it was connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub packet_bytes_max: u32,
    pub is_qos_0_only: bool,
    pub retains: bool,
}

/// What it made of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    Taken,
    /// Nobody was subscribed.
    Nobody,
    Refused {
        reason: PubAckReason,
        said: Option<String>,
    },
}

/// The sending half of one connection. None of its calls waits.
pub(super) enum Client {
    V3(AsyncClient),
    V5(library_v5::AsyncClient),
}

/// The half that is polled.
pub(super) enum Link {
    V3(Box<EventLoop>),
    V5(Box<library_v5::EventLoop>),
}

/// A connection that is made by the first poll. No session outlives it.
pub(super) async fn open(plan: &MqttSinkPlan) -> Result<(Client, Link), String> {
    let broker = plan.broker.clone();
    // It reads files.
    let transport = spawn_blocking(move || transport(&broker).map_err(|problem| unusable(&problem))).await;
    let transport = transport.map_err(|error| error.to_string())??;
    Ok(match plan.version {
        Version::V3 => {
            let (client, mut link) = AsyncClient::new(v3::options(plan, transport), REQUESTS_MAX);
            link.set_network_options(v3::network(plan));
            (Client::V3(client), Link::V3(Box::new(link)))
        }
        Version::V5 => {
            let (client, link) = library_v5::AsyncClient::new(v5::options(plan, transport), REQUESTS_MAX);
            (Client::V5(client), Link::V5(Box::new(link)))
        }
    })
}

/// Bytes of the whole packet; `kind` is the type of what it tells.
pub(super) fn packet_bytes(plan: &MqttSinkPlan, outgoing: &Outgoing, kind: &str) -> usize {
    match plan.version {
        Version::V3 => v3::packet_bytes(plan, outgoing),
        Version::V5 => v5::packet_bytes(plan, outgoing, kind),
    }
}

impl Client {
    pub fn publish(&self, plan: &MqttSinkPlan, outgoing: &Outgoing, kind: &str) -> Result<(), Full> {
        match self {
            Client::V3(client) => v3::publish(client, plan, outgoing),
            Client::V5(client) => v5::publish(client, plan, outgoing, kind),
        }
    }

    pub fn disconnect(&self) {
        // Full only when the connection stands still; then it is dropped without a goodbye.
        let _ = match self {
            Client::V3(client) => client.try_disconnect().map_err(|_| Full),
            Client::V5(client) => client.try_disconnect().map_err(|_| Full),
        };
    }
}

impl Link {
    pub async fn poll(&mut self) -> Result<Event, Fault> {
        match self {
            Link::V3(link) => link.poll().await.map(v3::event).map_err(mqtt::v3::fault),
            Link::V5(link) => link.poll().await.map(v5::event).map_err(mqtt::v5::fault),
        }
    }

    /// An event that was read before the connection broke.
    pub fn leftover(&mut self) -> Option<Event> {
        match self {
            Link::V3(link) => link.state.events.pop_front().map(v3::event),
            Link::V5(link) => link.state.events.pop_front().map(v5::event),
        }
    }
}
