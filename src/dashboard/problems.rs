//! What an operator must look at, each with its remedy. An empty list is what "healthy" means.

use serde::Serialize;

use super::snapshot::{SinkState, Snapshot};
use crate::config::plan::{Plan, SourceKind};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub what: String,
    pub effect: String,
    pub remedy: String,
}

/// The gravest first.
pub fn find(snapshot: &Snapshot, plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !snapshot.log_safe {
        problems.push(Problem {
            what: "The log cannot be written".to_owned(),
            effect: "Nothing new is acknowledged; senders keep their messages".to_owned(),
            remedy: format!("Free disk space under {}; it recovers by itself", plan.durable.path.display()),
        });
    }
    if let Some(error) = &snapshot.alerts.error {
        problems.push(Problem {
            what: "Stored alerts cannot be read".to_owned(),
            effect: format!("This page lists none: {error}"),
            remedy: "Look at the outbox file; deliveries are shown under Receivers".to_owned(),
        });
    }
    problems.extend(silent_sources(snapshot, plan));
    problems.extend(failing_sinks(snapshot));
    problems
}

fn silent_sources(snapshot: &Snapshot, plan: &Plan) -> Vec<Problem> {
    let away = snapshot.sources.iter().zip(&plan.sources).filter(|(source, _)| !source.connected);
    away.filter_map(|(source, plan)| {
        let (what, remedy) = match &plan.kind {
            SourceKind::Mqtt(mqtt) => (
                "is not connected",
                format!("Check the broker at {}:{}; Eddy reconnects by itself", mqtt.host, mqtt.port),
            ),
            SourceKind::Http(http) => {
                ("does not listen", format!("Check that {} is free, then restart", http.listen))
            }
            // A file that was read to its end is done, not broken.
            SourceKind::Replay(_) => return None,
        };
        Some(Problem {
            what: format!("Source {} {what}", source.name),
            effect: "Nothing arrives from it".to_owned(),
            // The source knows more than this page does.
            remedy: source.last_error.clone().unwrap_or(remedy),
        })
    })
    .collect()
}

/// How long a refused request is spoken of.
const REFUSED_NS: i64 = 10 * 60 * 1_000_000_000;

/// The client was told why, but it may be a gateway that nobody looks at: to the appliance it is as if nothing came. It may
/// be a stranger, too, so that it is no problem of the box.
pub fn refusals(snapshot: &Snapshot) -> Vec<Problem> {
    let lately = snapshot.sources.iter().filter_map(|source| {
        let why = source.last_refused.as_ref().filter(|_| source.last_refused_age_ns < Some(REFUSED_NS))?;
        Some(Problem {
            what: format!(
                "Source {} has refused requests, {} since the start",
                source.name, source.refused_total
            ),
            effect: "Nothing of them was taken".to_owned(),
            remedy: format!("The last one: {why}"),
        })
    });
    lately.collect()
}

fn failing_sinks(snapshot: &Snapshot) -> Vec<Problem> {
    let broken = snapshot.sinks.iter().filter_map(|sink| match sink.state {
        SinkState::Disabled => Some(Problem {
            what: format!("Receiver {} said 410 Gone", sink.name),
            effect: format!("It is told nothing more; {} wait", sink.queued),
            remedy: format!("Give [sink.{}] a living address and restart", sink.name),
        }),
        SinkState::Retrying => Some(Problem {
            what: format!(
                "Receiver {} fails: {}",
                sink.name,
                sink.last_error.as_deref().unwrap_or("no answer")
            ),
            effect: format!("{} alerts wait for it", sink.queued),
            remedy: "Check the receiver; Eddy keeps trying with growing pauses".to_owned(),
        }),
        SinkState::Idle | SinkState::Ok => None,
    });
    broken.collect()
}
