//! Messages and rows that became nothing.

use super::{Problem, grouped};
use crate::config::plan::{Plan, SourceKind, StreamPlan};
use crate::dashboard::snapshot::{Snapshot, StreamView};
use crate::status::{LateRows, late_remedy};

/// One row in so many may be refused unmentioned: the page counts them all the same.
const LEFT_OUT_SHARE_MAX: u64 = 100;

/// Nothing that came has become an event: a config that does not fit its senders.
pub(super) fn all_refused(snapshot: &Snapshot, plan: &Plan) -> Option<Problem> {
    let refused = refused(snapshot);
    let none = refused > 0 && snapshot.totals.rows_total == 0;
    none.then(|| Problem {
        what: format!("Nothing of {} messages has become an event: {}", grouped(refused), reasons(snapshot)),
        effect: "Nothing is judged; the messages are in the log".to_owned(),
        remedy: where_it_says_why(plan),
    })
}

/// Many became none while others did.
pub(super) fn many_refused(snapshot: &Snapshot, plan: &Plan) -> Option<Problem> {
    let refused = refused(snapshot);
    let taken = snapshot.totals.rows_total;
    let many = taken > 0 && refused * LEFT_OUT_SHARE_MAX > taken;
    many.then(|| Problem {
        what: format!("{} rows or messages were refused: {}", grouped(refused), reasons(snapshot)),
        effect: format!("They are in no window; {} rows were taken", grouped(taken)),
        remedy: where_it_says_why(plan),
    })
}

/// Late rows were understood, and are spoken of by stream.
fn refused(snapshot: &Snapshot) -> u64 {
    let by_reason = snapshot.dead_letters.iter().filter(|(reason, _)| **reason != "late");
    by_reason.map(|(_, total)| total).sum()
}

fn reasons(snapshot: &Snapshot) -> String {
    let by_reason = snapshot.dead_letters.iter().filter(|(reason, total)| **reason != "late" && **total > 0);
    by_reason.map(|(reason, total)| format!("{} {reason}", grouped(*total))).collect::<Vec<_>>().join(", ")
}

fn where_it_says_why(plan: &Plan) -> String {
    let file = plan.durable.path.join("dead-letters.ndjson");
    let topics = plan.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Kafka(kafka) => kafka.dead_letters.as_deref(),
        _ => None,
    });
    let topics: String = topics.map(|topic| format!(" or the topic {topic}")).collect();
    format!("{}{topics} says of each why, and what to do", file.display())
}

/// A file in the wrong order, or senders that hold back more than was thought.
pub(super) fn late(streams: &[StreamView], plan: &Plan) -> Vec<Problem> {
    let rows = |stream: &StreamView| LateRows {
        late: stream.late_total,
        rows: stream.events_total + stream.duplicates_total + stream.late_total,
    };
    let note = |(stream, of): (&StreamView, &StreamPlan)| Problem {
        what: format!(
            "{} rows of stream {} came too late, {} did not",
            grouped(stream.late_total),
            stream.name,
            grouped(stream.events_total)
        ),
        effect: "They changed no verdict; they are dead letters".to_owned(),
        remedy: late_remedy(plan, of, rows(stream)),
    };
    streams.iter().zip(&plan.streams).filter(|(stream, _)| rows(stream).are_many()).map(note).collect()
}
