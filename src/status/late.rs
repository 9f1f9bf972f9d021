//! Rows of a stream that came too late, against all that came.

use std::sync::atomic::Ordering::Relaxed;

use super::PartitionStatus;
use crate::config::plan::{FieldPath, Plan, SourceKind, StreamPlan, TimePlan};

/// One row in so many may be too late unmentioned: the page counts them all the same.
const SHARE_MAX: u64 = 100;

/// Over all partitions, since the start and without what was read back: both only grow, whatever partitions come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateRows {
    pub late: u64,
    /// With the late ones.
    pub rows: u64,
}

impl LateRows {
    pub fn of(partitions: &[PartitionStatus]) -> LateRows {
        let mut sum = LateRows::default();
        for partition in partitions {
            sum.late += partition.live_late_total.load(Relaxed);
            sum.rows += partition.live_rows_total.load(Relaxed);
        }
        sum
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(self, before: LateRows) -> LateRows {
        LateRows { late: self.late - before.late, rows: self.rows - before.rows }
    }

    /// Those that were not late.
    pub fn taken(self) -> u64 {
        self.rows.saturating_sub(self.late)
    }

    /// More than of a sender's hiccups.
    pub fn are_most(self) -> bool {
        2 * self.late > self.rows
    }

    pub fn are_nearly_all(self) -> bool {
        10 * self.late > 9 * self.rows
    }

    /// So many that somebody should know.
    pub fn are_many(self) -> bool {
        self.late * SHARE_MAX > self.rows
    }
}

/// What to do about them. Where most of a stream's rows are late its data is in another order, and no `lateness` would do.
pub fn remedy(plan: &Plan, stream: &StreamPlan, rows: LateRows) -> String {
    let of = &stream.name;
    let longer = format!("give [stream.{of}] window a longer `disorder` or `lateness`");
    if !rows.are_most() {
        return format!(
            "{}{}, or sort a file by its time, oldest first",
            longer[..1].to_uppercase(),
            &longer[1..]
        );
    }
    let files = plan.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Replay(replay) if stream.from.contains(&source.name) => Some(&replay.path),
        _ => None,
    });
    let files: Vec<String> = files.map(|path| path.display().to_string()).collect();
    let first = match &files[..] {
        [] => "Send what is older first, and of all keys together: a file is sorted by its time".to_owned(),
        [file] => format!("{file} is not in order of time: sort it by {}, oldest first", time(stream)),
        files => {
            format!(
                "{} are not in order of time: sort each by {}, oldest first, and make one of those of a time",
                files.join(" and "),
                time(stream)
            )
        }
    };
    format!("{first}. If rows are late by little, {longer}")
}

/// As the stream's config names it.
fn time(stream: &StreamPlan) -> String {
    match &stream.time {
        TimePlan::Field { path: FieldPath::Json(path), .. } => path.join("."),
        _ => "its time".to_owned(),
    }
}
