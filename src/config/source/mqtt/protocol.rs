//! Which version of MQTT, and what only version 5 has.

use std::time::Duration;

use super::super::super::field::Field;
use super::super::super::mqtt::version;
use super::super::super::plan::{Protocol, Version};
use super::super::super::section::Section;

const SESSION_EXPIRY_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(3650 * 86_400);
/// All packet ids there are: the source has room for each, and the log sets the pace.
const RECEIVE_MAXIMUM_DEFAULT: u16 = u16::MAX;

/// The keys `protocol`, `session_expiry` and `receive_maximum`. `None`: a problem was recorded.
pub fn protocol(section: &mut Section<'_>) -> Option<Protocol> {
    let version = section.or("protocol", Version::V3, |field| version(&field));
    let session_expiry = section.maybe("session_expiry", |field| session_expiry(&field));
    let receive_maximum = section.maybe("receive_maximum", |field| field.integer(1..=i64::from(u16::MAX)));
    let (version, session_expiry, receive_maximum) = (version?, session_expiry?, receive_maximum?);
    if version == Version::V5 {
        return Some(Protocol::V5 {
            session_expiry: session_expiry.unwrap_or(SESSION_EXPIRY_DEFAULT),
            receive_maximum: receive_maximum.map_or(RECEIVE_MAXIMUM_DEFAULT, |messages| messages as u16),
        });
    }
    let given =
        [("session_expiry", session_expiry.is_some()), ("receive_maximum", receive_maximum.is_some())];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        let remedy = format!("Add `protocol = \"5\"`, or remove `{key}`.");
        section.here().locate(key).problem("MQTT 3.1.1 does not have it", remedy);
    }
    Some(Protocol::V3)
}

/// MQTT carries it in whole seconds.
fn session_expiry(field: &Field<'_>) -> Option<Duration> {
    let expiry = field.duration(Duration::from_secs(1)..=SESSION_EXPIRY_MAX)?;
    if expiry.subsec_nanos() != 0 {
        field.problem("MQTT counts the expiry in seconds", "Write whole seconds, such as \"7d\".");
        return None;
    }
    Some(expiry)
}
