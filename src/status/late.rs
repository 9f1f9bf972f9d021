//! Rows of a stream that came too late, against all that came.

use std::sync::atomic::Ordering::Relaxed;

use super::PartitionStatus;

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

    /// So many that somebody should know.
    pub fn are_many(self) -> bool {
        self.late * SHARE_MAX > self.rows
    }
}

/// What to do about them.
pub fn remedy(stream: &str) -> String {
    format!(
        "Give [stream.{stream}] window a longer `disorder` or `lateness`, or sort a file by its time, oldest first"
    )
}
