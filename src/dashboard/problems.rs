//! What an operator must look at, each with its remedy. An empty list is what "healthy" means.

pub mod ends;
mod rivals;
mod rows;

use serde::Serialize;

use super::format::grouped;
use super::snapshot::{SinkState, Snapshot, SourceView, StreamView};
use crate::config::plan::{Plan, SourceKind, StreamPlan};
use crate::status::{Missed, Status};
use crate::types::StreamId;

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
    problems.extend(rivals::rivals(snapshot));
    problems.extend(silent_sources(snapshot, plan));
    problems.extend(rows::all_refused(snapshot, plan));
    problems.extend(waiting_for_schemas(snapshot));
    problems.extend(words_unread(snapshot));
    problems.extend(failing_sinks(snapshot));
    problems
}

/// Columns that were in none of a stream's rows: a path that is misspelt, or a sensor that is not there.
pub fn missed(status: &Status, plan: &Plan) -> Vec<Problem> {
    let streams = (0..).map(StreamId).zip(&plan.streams);
    let of_stream = |(id, stream): (StreamId, &StreamPlan)| {
        let problem = |missed: Missed| Problem {
            what: format!(
                "Column {} of stream {} has not come in {} rows",
                stream.columns[missed.column].name,
                stream.name,
                grouped(missed.rows)
            ),
            effect: "It is judged by the others alone: missing is not zero".to_owned(),
            remedy: missed.remedy,
        };
        status.rows(id).missed().into_iter().map(problem).collect::<Vec<_>>()
    };
    streams.flat_map(of_stream).collect()
}

fn silent_sources(snapshot: &Snapshot, plan: &Plan) -> Vec<Problem> {
    // One that is put out of its broker comes and goes, and is told of already; unless it is by now away for another reason.
    let is_put_out = |source: &SourceView| source.rival.is_some() && source.rival == source.last_error;
    let is_away = |source: &SourceView| !source.connected && !is_put_out(source);
    let away = snapshot.sources.iter().zip(&plan.sources).filter(|(source, _)| is_away(source));
    away.filter_map(|(source, plan)| {
        let (what, remedy) = match &plan.kind {
            SourceKind::Mqtt(mqtt) => (
                "is not connected",
                format!("Check the broker at {}; Eddy reconnects by itself", mqtt.broker.address()),
            ),
            SourceKind::Kafka(kafka) => (
                "is not connected",
                format!("Check the brokers {}; Eddy reconnects by itself", kafka.cluster.brokers.join(", ")),
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

/// Connected, and yet not all of it goes on.
fn waiting_for_schemas(snapshot: &Snapshot) -> Vec<Problem> {
    let waiting = snapshot.sources.iter().filter_map(|source| {
        let kafka = source.kafka.as_ref()?;
        let reason = kafka.registry_error.clone()?;
        Some(Problem {
            what: format!("Source {} waits for its schema registry", source.name),
            effect: format!(
                "{} of its {} partitions stand; nothing is lost, their messages stay in Kafka",
                kafka.partitions_waiting, kafka.partitions
            ),
            remedy: format!("{reason}. Eddy asks again by itself"),
        })
    });
    waiting.collect()
}

/// Of several Eddys. Before it is one of them it has other troubles.
fn words_unread(snapshot: &Snapshot) -> Vec<Problem> {
    let unread = snapshot.sources.iter().filter(|_| !snapshot.recovering).filter_map(|source| {
        let reason = source.kafka.as_ref()?.words_error.clone()?;
        Some(Problem {
            what: "What the group silences and acknowledges is not read".to_owned(),
            effect: "New silences and acknowledgements are refused here, and those that others take are not known; after a \
                     start nothing is sent until they are"
                .to_owned(),
            remedy: format!("{reason}. Eddy goes on trying by itself"),
        })
    });
    unread.collect()
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

/// What comes in and nobody judges, or not as was meant.
pub fn of_streams(snapshot: &Snapshot, plan: &Plan) -> Vec<Problem> {
    let streams = &snapshot.streams[..];
    let refused: Vec<Problem> = rows::many_refused(snapshot, plan).into_iter().collect();
    [
        refused,
        unsure(streams),
        ignored(streams),
        rows::late(streams, plan),
        before_2000(streams),
        unmatched(streams),
    ]
    .concat()
}

/// A plant may well publish more than is looked at. It is said all the same: a metric that is misspelt looks just so.
fn ignored(streams: &[StreamView]) -> Vec<Problem> {
    let note = |stream: &StreamView| Problem {
        what: format!(
            "{} rows of stream {} name metrics that are none of its columns",
            stream.rows_ignored_total, stream.name
        ),
        effect: format!("They are left out; {} events were taken", stream.events_total),
        remedy: "If that is not meant, compare the names that devices send with the stream's columns"
            .to_owned(),
    };
    streams.iter().filter(|stream| stream.rows_ignored_total > 0).map(note).collect()
}

fn before_2000(streams: &[StreamView]) -> Vec<Problem> {
    let note = |stream: &StreamView| {
        Problem {
        what: format!(
            "{} rows of stream {} lie before the year 2000",
            stream.rows_before_2000_total, stream.name
        ),
        effect: "They are judged at a time at which they were not taken, and are late themselves where a key of their \
                 partition has the right time"
            .to_owned(),
        remedy: format!(
            "Check the senders' clocks (a count since a start-up is no time), and the unit of [stream.{}] time",
            stream.name
        ),
    }
    };
    streams.iter().filter(|stream| stream.rows_before_2000_total > 0).map(note).collect()
}

/// Senders have changed their schema, or the config never fitted it.
fn unmatched(streams: &[StreamView]) -> Vec<Problem> {
    let note = |stream: &StreamView| {
        let (schema, fields) = stream.fields_missing.as_ref()?;
        Some(Problem {
            what: format!("Schema {schema} of stream {} has no field {fields}", stream.name),
            effect: "What is read from there is missing; the rest is judged".to_owned(),
            remedy: format!(
                "If it has another name now, give the schema an alias with the old one, or correct the paths of \
                 [stream.{}] and let the stream begin anew",
                stream.name
            ),
        })
    };
    streams.iter().filter_map(note).collect()
}

/// Verdicts of which nothing is known.
const VERDICTS_MIN: u64 = 100;

/// Most of a stream is not judged: a field that is named otherwise, a sensor that is dead, a grid finer than readings come.
fn unsure(streams: &[StreamView]) -> Vec<Problem> {
    let most = |stream: &&StreamView| {
        stream.windows_total >= VERDICTS_MIN && 2 * stream.windows_unsure_total > stream.windows_total
    };
    let note = |stream: &StreamView| {
        Problem {
        what: format!(
            "{} of {} verdicts of stream {} could not be acted on",
            stream.windows_unsure_total, stream.windows_total, stream.name
        ),
        effect: "What is odd in them raises no alert".to_owned(),
        remedy: "Look at a key's charts for a column that does not come or has another name; choose a grid no finer than \
                 readings come"
            .to_owned(),
    }
    };
    streams.iter().filter(most).map(note).collect()
}

fn failing_sinks(snapshot: &Snapshot) -> Vec<Problem> {
    let broken = snapshot.sinks.iter().filter_map(|sink| match sink.state {
        SinkState::Disabled => Some(Problem {
            what: format!("Receiver {} said 410 Gone", sink.name),
            effect: format!("It is told nothing more; {} deliveries to it were given up", sink.failed),
            remedy: format!(
                "Replay one of them, which takes it up again, or give [sink.{}] a living address and restart",
                sink.name
            ),
        }),
        SinkState::Retrying => Some(Problem {
            what: format!(
                "Receiver {} fails: {}",
                sink.name,
                sink.last_error.as_deref().unwrap_or("no answer")
            ),
            effect: match sink.queued {
                1 => "1 alert waits for it".to_owned(),
                queued => format!("{queued} alerts wait for it"),
            },
            remedy: "Check the receiver; Eddy keeps trying with growing pauses".to_owned(),
        }),
        SinkState::Blocked => Some(Problem {
            what: format!("Nobody reads what receiver {} prints", sink.name),
            effect: format!("{} alerts wait; one has been on its way for more than a minute", sink.queued),
            remedy: "Let the program at the other end of Eddy's standard output read on, or restart Eddy with another; what \
                     waits is then printed at once"
                .to_owned(),
        }),
        SinkState::Closed => Some(Problem {
            what: format!("Who read what receiver {} prints has closed it", sink.name),
            effect: format!("It prints nothing more; {} alerts wait", sink.queued),
            remedy: "Restart Eddy with a program that reads on: what waits is then printed at once".to_owned(),
        }),
        SinkState::Idle | SinkState::Ok => None,
    });
    broken.collect()
}

#[cfg(test)]
mod tests;
