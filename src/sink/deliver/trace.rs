//! When an attempt may begin, and what it is called in the trace of its alert.

use super::{Due, Worker};
use crate::telemetry::{Attempt, TraceId, attempt_id, of_attempt, traceparent};

impl Worker {
    /// No attempt before the receiver's spacing from one that started then.
    pub(super) fn space(&mut self, started_at_ns: i64) {
        let spacing_ns = self.receiver.spacing().as_nanos() as i64;
        if spacing_ns > 0 {
            self.pace.space(started_at_ns + spacing_ns);
        }
    }

    /// The header of the attempt that starts now. The trace is the same over attempts, restarts and replays, whether
    /// anybody records it or not.
    pub(super) fn traceparent(&self, due: &Due, started_at_ns: i64) -> String {
        let span = attempt_id(&due.message_id, &self.delivery.sink.name, due.attempts + 1, started_at_ns);
        traceparent(TraceId::of(&due.id), span, self.delivery.tracer.is_on())
    }

    /// Leaves what an attempt came to.
    pub(super) fn trace(
        &self,
        due: &Due,
        (started_at_ns, finished_at_ns): (i64, i64),
        status: Option<u16>,
        error: Option<&str>,
    ) {
        let sink = &self.delivery.sink;
        let attempt = Attempt {
            id: &due.id,
            revision: due.revision,
            is_incident: due.incident.is_some(),
            message_id: &due.message_id,
            sink: &sink.name,
            sink_kind: sink.kind.as_str(),
            number: due.attempts + 1,
            started_at_ns,
            finished_at_ns,
            status,
            error,
        };
        self.delivery.tracer.tell(|| vec![of_attempt(&attempt)]);
    }
}
