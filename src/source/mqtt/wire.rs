//! The seam between the protocol versions: what a connection does and says, whichever of them it speaks.

use bytes::Bytes;
use rumqttc::{AsyncClient, EventLoop, v5 as library_v5};

use super::{v3, v5};
use crate::config::plan::{MqttPlan, Protocol, TlsProblem};
use crate::mqtt::{self, Fault, Full, network, transport};

/// Acks of every packet id, a subscription and a disconnect: a request always fits.
const REQUESTS_MAX: usize = u16::MAX as usize + 16;

/// What the broker says, and what has gone out to it.
pub(super) enum Event {
    Connected {
        session_present: bool,
    },
    Message(Delivery),
    /// For each filter the QoS granted; `None`: refused.
    Subscribed(Vec<Option<u8>>),
    Acked,
    Other,
}

/// One PUBLISH.
pub(super) struct Delivery {
    /// 0 for QoS 0, which has none.
    pub pkid: u16,
    pub retain: bool,
    pub topic: Box<str>,
    pub payload: Bytes,
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

/// A connection that is made by the first poll.
pub(super) fn open(plan: &MqttPlan) -> Result<(Client, Link), TlsProblem> {
    let transport = transport(&plan.broker)?;
    Ok(match plan.protocol {
        Protocol::V3 => {
            let (client, mut link) = AsyncClient::new(v3::options(plan, transport), REQUESTS_MAX);
            link.set_network_options(network());
            (Client::V3(client), Link::V3(Box::new(link)))
        }
        Protocol::V5 { session_expiry, receive_maximum } => {
            let mut options = v5::options(plan, transport, session_expiry, receive_maximum);
            options.set_network_options(network());
            let (client, link) = library_v5::AsyncClient::new(options, REQUESTS_MAX);
            (Client::V5(client), Link::V5(Box::new(link)))
        }
    })
}

impl Client {
    pub fn subscribe(&self, plan: &MqttPlan) -> Result<(), Full> {
        match self {
            Client::V3(client) => client.try_subscribe_many(v3::filters(plan)).map_err(|_| Full),
            Client::V5(client) => client.try_subscribe_many(v5::filters(plan)).map_err(|_| Full),
        }
    }

    pub fn ack(&self, pkid: u16) -> Result<(), Full> {
        match self {
            Client::V3(client) => client.try_ack(&v3::acknowledged(pkid)).map_err(|_| Full),
            Client::V5(client) => client.try_ack(&v5::acknowledged(pkid)).map_err(|_| Full),
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

    /// Whether the next poll reads from the socket. The library reads packets in bursts.
    pub fn burst_begins(&self) -> bool {
        match self {
            Link::V3(link) => link.state.events.is_empty(),
            Link::V5(link) => link.state.events.is_empty(),
        }
    }
}
