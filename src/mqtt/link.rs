//! One connection, whichever version of the protocol it speaks.

use rumqttc::{AsyncClient, EventLoop, MqttOptions, NetworkOptions, v5 as library_v5};

use super::{Fault, Full, v3, v5};

/// The sending half. None of its calls waits.
pub enum Client {
    V3(AsyncClient),
    V5(library_v5::AsyncClient),
}

/// The half that is polled. The connection is made by the first poll.
pub enum Link {
    V3(Box<EventLoop>),
    V5(Box<library_v5::EventLoop>),
}

pub fn open_v3(options: MqttOptions, network: NetworkOptions, requests_max: usize) -> (Client, Link) {
    let (client, mut link) = AsyncClient::new(options, requests_max);
    link.set_network_options(network);
    (Client::V3(client), Link::V3(Box::new(link)))
}

pub fn open_v5(options: library_v5::MqttOptions, requests_max: usize) -> (Client, Link) {
    let (client, link) = library_v5::AsyncClient::new(options, requests_max);
    (Client::V5(client), Link::V5(Box::new(link)))
}

impl Client {
    pub fn disconnect(&self) {
        // Full only when the connection stands still; then it is dropped without a goodbye.
        let _ = match self {
            Client::V3(client) => client.try_disconnect().map_err(|_| Full),
            Client::V5(client) => client.try_disconnect().map_err(|_| Full),
        };
    }
}

impl Link {
    /// What came, or has gone out.
    pub async fn poll<E>(&mut self) -> Result<E, Fault>
    where
        E: From<rumqttc::Event> + From<library_v5::Event>,
    {
        match self {
            Link::V3(link) => link.poll().await.map(E::from).map_err(v3::fault),
            Link::V5(link) => link.poll().await.map(E::from).map_err(v5::fault),
        }
    }

    /// What was read before the connection broke.
    pub fn leftover<E>(&mut self) -> Option<E>
    where
        E: From<rumqttc::Event> + From<library_v5::Event>,
    {
        match self {
            Link::V3(link) => link.state.events.pop_front().map(E::from),
            Link::V5(link) => link.state.events.pop_front().map(E::from),
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
