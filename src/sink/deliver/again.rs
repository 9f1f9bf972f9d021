//! Telling a receiver that forgets what it was told before.

use std::sync::Arc;

use super::Delivery;
use crate::sink::alertmanager::ENDED_AGAIN;
use crate::sink::{Answer, Receiver};

/// Alerts a request.
const LOT: usize = 256;

impl Delivery {
    /// Runs until `shutdown`; at once over for receivers that forget nothing. A round that fails is made up by the next.
    pub(super) async fn say_again(self, receiver: Arc<Receiver>) {
        let Receiver::Alertmanager(alertmanager) = &*receiver else { return };
        let (name, ended_ns) = (self.sink.name.clone(), ENDED_AGAIN.as_nanos() as i64);
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.again) => {}
                () = self.shutdown.cancelled() => return,
            }
            let (of, since_ns) = (name.clone(), self.clock.now_ns().saturating_sub(ended_ns));
            let Ok(told) = self.outbox.run(move |outbox| outbox.told(&of, since_ns)).await else { continue };
            for lot in told.chunks(LOT) {
                if let Answer::Failed { reason, .. } =
                    alertmanager.push(lot.iter().map(|body| &body[..])).await
                {
                    tracing::debug!(sink = name, reason, "what fires was not said again");
                    break;
                }
            }
        }
    }
}
