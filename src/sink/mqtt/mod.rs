//! MQTT 3.1.1 and 5: an alert is a message of QoS 1, and is told once the broker has acknowledged just this message.
//!
//! *Connection.* It is made when there is something to send and kept open from then on, by a task of its own (the
//! [`courier`]) that also answers for keep-alive. A client and event loop are made anew for every connection, as in the
//! source: nothing of an earlier one is acknowledged or sent again behind the outbox's back, which alone decides what
//! is sent again, under the same id and with the same bytes.
//!
//! *Acknowledged.* Packet ids are given by the library, in the order in which it was asked to publish: see
//! [`flights`]. A PUBACK of MQTT 5 that says that nobody was subscribed is no success, unless the broker keeps the message
//! (`retain`): most likely it has let go of it. MQTT 3.1.1 has no words for that.

mod courier;
mod flights;
mod refusals;
mod v3;
mod v5;
mod wire;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::{Answer, Outgoing, SinkType};
use crate::config::plan::MqttSinkPlan;
use crate::mqtt::GOODBYE_MAX;
use crate::mqtt::rivals::Rivals;
use crate::status::Rival;
use courier::{Ask, Courier, Errand};

pub const TYPE: SinkType = SinkType {
    name: "mqtt",
    summary: "published at an MQTT broker with QoS 1, retried over three days",
    example: "[sink.plant]\ntype = \"mqtt\"\nurl = \"mqtt://broker.plant.local\"\ntopic = \"alerts/eddy\"\n",
};

/// Messages under way at once.
pub const WIDTH: usize = 8;

/// One topic at one broker. Has no `Debug`: its plan holds a password.
pub struct MqttSink {
    errands: mpsc::Sender<Errand>,
    plan: MqttSinkPlan,
}

impl MqttSink {
    /// Must be called within the runtime: connections are made and kept by a task.
    pub fn start(sink: &str, plan: &MqttSinkPlan, rival: Rival) -> Self {
        let (errands, queue) = mpsc::channel(WIDTH);
        let rivals = Rivals::new(rival);
        tokio::spawn(Courier { sink: sink.to_owned(), plan: plan.clone(), errands: queue, rivals }.run());
        MqttSink { errands, plan: plan.clone() }
    }

    /// One attempt, at most the timeout long.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.plan.timeout;
        let ask = Ask { outgoing: outgoing.clone(), deadline, answer };
        let answer = match self.errands.send(Errand::Tell(ask)).await {
            Ok(()) => answered.await.ok(),
            Err(_) => None,
        };
        answer.unwrap_or_else(|| Answer::unsent("the task that speaks to the broker has ended"))
    }

    /// Says goodbye to the broker, if it is connected.
    pub(super) async fn close(&self) {
        let (left, gone) = oneshot::channel();
        if self.errands.send(Errand::Leave(left)).await.is_ok() {
            let _ = timeout(2 * GOODBYE_MAX, gone).await;
        }
    }
}
