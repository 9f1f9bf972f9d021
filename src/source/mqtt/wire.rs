//! The seam between the protocol versions: what a connection does and says, whichever of them it speaks.

use bytes::Bytes;

use super::{v3, v5};
use crate::config::plan::{MqttPlan, Protocol};
use crate::mqtt::link::{Client, Link, open_v3, open_v5};
use crate::mqtt::{Full, network, transport};

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

/// A connection that is made by the first poll.
///
/// # Errors
/// As [`transport`].
pub(super) async fn open(plan: &MqttPlan) -> Result<(Client, Link), String> {
    let transport = transport(&plan.broker).await?;
    Ok(match plan.protocol {
        Protocol::V3 => open_v3(v3::options(plan, transport), network(), REQUESTS_MAX),
        Protocol::V5 { session_expiry, receive_maximum } => {
            open_v5(v5::options(plan, transport, session_expiry, receive_maximum), REQUESTS_MAX)
        }
    })
}

pub(super) fn subscribe(client: &Client, plan: &MqttPlan) -> Result<(), Full> {
    match client {
        Client::V3(client) => client.try_subscribe_many(v3::filters(plan)).map_err(|_| Full),
        Client::V5(client) => client.try_subscribe_many(v5::filters(plan)).map_err(|_| Full),
    }
}

pub(super) fn ack(client: &Client, pkid: u16) -> Result<(), Full> {
    match client {
        Client::V3(client) => client.try_ack(&v3::acknowledged(pkid)).map_err(|_| Full),
        Client::V5(client) => client.try_ack(&v5::acknowledged(pkid)).map_err(|_| Full),
    }
}
