//! What receivers and the collector do not do, and nobody's alerts are lost by.

use jiff::tz::{Offset, TimeZone};

use super::{Problem, grouped};
use crate::config::plan::{Plan, Warning};
use crate::dashboard::format::clock;
use crate::dashboard::snapshot::Snapshot;

pub fn notes(snapshot: &Snapshot, plan: &Plan) -> Vec<Problem> {
    [unanswered(snapshot), untaken(snapshot), unfollowed(plan)].concat()
}

/// What the environment wants of everybody, and Eddy cannot do.
fn unfollowed(plan: &Plan) -> Vec<Problem> {
    let note = |warning: &Warning| Problem {
        what: format!("{} in the environment {}", warning.variable, warning.fault),
        effect: plan.without_warned().to_owned(),
        remedy: format!("{} Or set OTEL_SDK_DISABLED=true for Eddy alone", warning.remedy),
    };
    plan.warnings.iter().map(note).collect()
}

/// Receivers of CloudEvents that never said that they want any.
fn unanswered(snapshot: &Snapshot) -> Vec<Problem> {
    let silent = snapshot.sinks.iter().filter_map(|sink| {
        let rate = sink.rate.as_ref().filter(|rate| !rate.permitted)?;
        Some(Problem {
            what: format!("Receiver {} has not agreed in the handshake of CloudEvents", sink.name),
            effect: format!(
                "It is sent {} messages a minute at most; {} alerts wait",
                rate.per_minute.unwrap_or_default(),
                grouped(sink.queued)
            ),
            remedy: "Let it answer OPTIONS with WebHook-Allowed-Origin (* or the name of this deployment), and with \
                     WebHook-Allowed-Rate if it wants a limit of its own"
                .to_owned(),
        })
    });
    silent.collect()
}

/// The collector is down, or refuses.
fn untaken(snapshot: &Snapshot) -> Vec<Problem> {
    let Some(telemetry) = &snapshot.telemetry else { return Vec::new() };
    let zone = Offset::from_seconds(snapshot.utc_offset_s).map_or(TimeZone::UTC, TimeZone::fixed);
    let note = |failing: &crate::dashboard::snapshot::FailingView| Problem {
        what: format!(
            "The collector has not taken all {} since {}",
            failing.signal,
            clock(failing.since_ns, snapshot.time_ns, &zone)
        ),
        effect: match failing.signal {
            "traces" => format!(
                "{} alerts and attempts have no trace since the start; nothing else waits for it",
                grouped(telemetry.dropped_total)
            ),
            _ => "It has not the newest figures; /metrics has them, and nothing waits for it".to_owned(),
        },
        remedy: format!("{}: look at the collector, and at `[telemetry]`", failing.reason),
    };
    telemetry.failing.iter().map(note).collect()
}
