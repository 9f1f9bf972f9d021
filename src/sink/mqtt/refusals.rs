//! Why a message was not taken, in words that name the remedy.

use rumqttc::v5::mqttbytes::v5::PubAckReason;

use super::wire::{Limits, Receipt};
use crate::config::plan::MqttSinkPlan;
use crate::mqtt::Fault;
use crate::sink::Answer;

/// What an acknowledgement comes to (MQTT 5, section 3.4.2.1).
pub(super) fn answer(plan: &MqttSinkPlan, receipt: Receipt) -> Answer {
    match receipt {
        Receipt::Taken => Answer::Accepted { status: None },
        // It is kept for who comes later.
        Receipt::Nobody if plan.retain => Answer::Accepted { status: None },
        Receipt::Nobody => Answer::unsent(&format!(
            "the broker at {} took it, and nobody is subscribed to {:?} (0x10 no matching subscribers); have the \
             receiver subscribe with a persistent session, for which the broker keeps what comes while it is away; \
             where a rule or a bridge of the broker takes it, which is no subscriber, write `retain = true`",
            plan.broker.address(),
            plan.topic
        )),
        Receipt::Refused { reason, said } => Answer::Failed {
            status: None,
            reason: refused(plan, reason, said.as_deref()),
            busy: reason == PubAckReason::QuotaExceeded,
            retry_after: None,
        },
    }
}

fn refused(plan: &MqttSinkPlan, reason: PubAckReason, said: Option<&str>) -> String {
    let (broker, topic, id) = (plan.broker.address(), &plan.topic, &plan.broker.client_id);
    let (name, remedy) = match reason {
        PubAckReason::NotAuthorized => (
            "0x87 not authorized",
            format!(
                "allow client {id:?} to publish to {topic:?} in the broker's access list, or correct `topic`"
            ),
        ),
        PubAckReason::TopicNameInvalid => {
            ("0x90 topic name invalid", format!("the broker has no topic {topic:?}; correct `topic`"))
        }
        PubAckReason::QuotaExceeded => {
            ("0x97 quota exceeded", "raise the broker's limit, or see what fills it".to_owned())
        }
        PubAckReason::PayloadFormatInvalid => (
            "0x99 payload format invalid",
            format!("the broker wants something else than JSON in {topic:?}; see its rules for it"),
        ),
        PubAckReason::PacketIdentifierInUse => {
            ("0x91 packet identifier in use", "see the broker's log, or update it".to_owned())
        }
        PubAckReason::ImplementationSpecificError => {
            ("0x83 implementation specific error", "see the broker's log".to_owned())
        }
        _ => ("0x80 unspecified error", "see the broker's log".to_owned()),
    };
    let said = said.map(|said| format!(", {said:?}")).unwrap_or_default();
    format!("the broker at {broker} refused it ({name}{said}); {remedy}")
}

/// What the broker would not take, known before it is sent.
pub(super) fn beyond(plan: &MqttSinkPlan, limits: Limits, packet_bytes: usize) -> Option<String> {
    let broker = plan.broker.address();
    if limits.is_qos_0_only {
        return Some(format!(
            "the broker at {broker} takes QoS 0 only, and never says that it took a message; allow QoS 1 there"
        ));
    }
    if plan.retain && !limits.retains {
        return Some(format!("the broker at {broker} keeps no messages; remove `retain`, or allow it there"));
    }
    let bytes_max = limits.packet_bytes_max;
    (packet_bytes > bytes_max as usize).then(|| {
        format!(
            "the message has {packet_bytes} bytes, and the broker at {broker} takes packets of {bytes_max} at most; \
             raise its limit (of Mosquitto: `max_packet_size`)"
        )
    })
}

/// The connection is gone. Mosquitto 2.0.11 was seen to close it behind the PUBACK that refuses, and with other messages on
/// their way that PUBACK may be lost.
pub(super) fn lost(plan: &MqttSinkPlan, fault: &Fault, reason: String) -> String {
    match fault {
        Fault::Closed => format!("{reason}, and in the broker's log for {:?}", plan.topic),
        _ => reason,
    }
}

/// The broker refused a message while another one waited for its packet id, which the library then never sends.
pub(super) fn stuck(plan: &MqttSinkPlan) -> String {
    format!(
        "it waited for a packet id, of which the broker at {} refused the message, and goes out on a new connection; see why \
         the broker refuses, or raise how many messages it takes at once (of Mosquitto: `max_inflight_messages`)",
        plan.broker.address()
    )
}

/// It was sent, and nothing was heard.
pub(super) fn silent(plan: &MqttSinkPlan) -> String {
    format!(
        "the broker at {} did not acknowledge within {:?} what it was sent; see its log, and check the network",
        plan.broker.address(),
        plan.timeout
    )
}
