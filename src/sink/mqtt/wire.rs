//! The seam between the protocol versions: what a connection of the sink does and says, whichever of them it speaks.

use rumqttc::v5::mqttbytes::v5::PubAckReason;

use super::{WIDTH, v3, v5};
use crate::config::plan::{MqttSinkPlan, Version};
use crate::mqtt::link::{Client, Link, open_v3, open_v5};
use crate::mqtt::{Full, transport};
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

/// No session outlives the connection.
///
/// # Errors
/// As [`transport`].
pub(super) async fn open(plan: &MqttSinkPlan) -> Result<(Client, Link), String> {
    let transport = transport(&plan.broker).await?;
    Ok(match plan.version {
        Version::V3 => open_v3(v3::options(plan, transport), v3::network(plan), REQUESTS_MAX),
        Version::V5 => open_v5(v5::options(plan, transport), REQUESTS_MAX),
    })
}

/// Bytes of the whole packet; `kind` is the type of what it tells.
pub(super) fn packet_bytes(plan: &MqttSinkPlan, outgoing: &Outgoing, kind: &str) -> usize {
    match plan.version {
        Version::V3 => v3::packet_bytes(plan, outgoing),
        Version::V5 => v5::packet_bytes(plan, outgoing, kind),
    }
}

pub(super) fn publish(
    client: &Client,
    plan: &MqttSinkPlan,
    outgoing: &Outgoing,
    kind: &str,
) -> Result<(), Full> {
    match client {
        Client::V3(client) => v3::publish(client, plan, outgoing),
        Client::V5(client) => v5::publish(client, plan, outgoing, kind),
    }
}
