//! Says in the log that rows come too late: whoever hands in a file in the wrong order sees no alert, and no reason.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sorting;
use crate::config::plan::{Plan, StreamPlan};
use crate::status::{LateRows, Status};
use crate::types::StreamId;

/// It is looked at so many rows of a stream at a time, or more.
const STRETCH: u64 = 1_000;
const LOOK: Duration = Duration::from_secs(1);

/// Of one stream.
#[derive(Default)]
struct Watched {
    seen: LateRows,
    /// Most rows are late, and it was said.
    told: bool,
}

impl Watched {
    /// The stretch that has just ended, if most of it came too late and that is news.
    fn look(&mut self, now: LateRows) -> Option<LateRows> {
        let stretch = now.since(self.seen);
        if stretch.rows < STRETCH {
            return None;
        }
        self.seen = now;
        let most = stretch.are_most();
        let news = most && !self.told;
        // What is about a half would be said again and again.
        self.told = most || self.told && stretch.are_many();
        news.then_some(stretch)
    }
}

/// What is said of a stream's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// Of those that came last.
    Lately(LateRows),
    /// Of all since the start, when it is over.
    InAll(LateRows),
}

/// Into the log.
pub(super) fn warn(plan: &Plan, stream: &StreamPlan, what: Late) {
    let (Late::Lately(rows) | Late::InAll(rows)) = what;
    let (remedy, stream) = (sorting::remedy(plan, stream, rows), &stream.name);
    match what {
        Late::Lately(LateRows { late, rows }) => tracing::warn!(
            stream,
            remedy,
            "{late} of the last {rows} rows came too late: they are in no window and raise no alert"
        ),
        Late::InAll(LateRows { late, rows }) => tracing::warn!(
            stream,
            remedy,
            "{late} of all {rows} rows since the start came too late: they are in no window and raised no alert"
        ),
    }
}

/// Looks until `stop`, by when every row is counted, and sums up then.
pub(super) async fn watch(
    plan: Arc<Plan>,
    status: Arc<Status>,
    stop: CancellationToken,
    say: impl Fn(&Plan, &StreamPlan, Late),
) {
    let mut watched: Vec<Watched> = plan.streams.iter().map(|_| Watched::default()).collect();
    let mut second = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = second.tick() => {}
            () = stop.cancelled() => break,
        }
        for (watched, (stream, now)) in watched.iter_mut().zip(counted(&plan, &status)) {
            if let Some(stretch) = watched.look(now) {
                say(&plan, stream, Late::Lately(stretch));
            }
        }
    }
    counted(&plan, &status)
        .filter(|(_, all)| all.are_many())
        .for_each(|(stream, all)| say(&plan, stream, Late::InAll(all)));
}

fn counted<'a>(plan: &'a Plan, status: &'a Status) -> impl Iterator<Item = (&'a StreamPlan, LateRows)> {
    let streams = (0..).map(StreamId).zip(&plan.streams);
    streams.map(|(id, stream)| (stream, LateRows::of(status.stream(id))))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::engine::Counts;
    use crate::pipeline::publish::publish;

    #[test]
    fn a_stretch_of_which_most_is_late_is_said_once_until_few_are() {
        let (mut watched, mut now) = (Watched::default(), LateRows::default());
        let mut come = |late, rows| {
            now = LateRows { late: now.late + late, rows: now.rows + rows };
            watched.look(now)
        };
        assert_eq!(come(900, 999), None, "too few to say anything");
        assert_eq!(come(1, 1), Some(LateRows { late: 901, rows: 1_000 }));
        assert_eq!(come(800, 1_000), None, "it was said");
        assert_eq!(come(500, 1_000), None, "half of them are not most");
        assert_eq!(come(501, 1_000), None, "they have been many all along");
        assert_eq!(come(10, 1_000), None, "one in a hundred");
        assert_eq!(come(501, 1_000), Some(LateRows { late: 501, rows: 1_000 }));
    }

    #[tokio::test]
    async fn it_is_said_once_of_what_comes_and_not_of_what_is_read_back_or_moves_in() {
        let text = "[source.a]\ntype = \"http\"\n[stream.s]\nfrom = \"a\"\nkey = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
                    window = { type = \"tumbling\", size = \"1m\" }\n";
        let plan = crate::config::parse(text, "", &Default::default())
            .unwrap_or_else(|problems| panic!("{problems}"));
        let (plan, stop) = (Arc::new(plan), CancellationToken::new());
        let status = Arc::new(Status::new(&plan, 0));
        let [first, second] = [3, 9].map(|partition| status.partition(StreamId(0), partition));
        let counts = |late, events| Counts { late, events, ..Counts::default() };
        let said = Mutex::new(Vec::new());
        let say = |_: &Plan, stream: &StreamPlan, late| {
            said.lock().unwrap().push((stream.name.clone(), late));
        };
        let rows = async {
            // A quick start: read back within the first second, and by shards that were behind the decoder.
            status.recovering.store(false, Relaxed);
            tokio::time::sleep(LOOK / 2).await;
            publish(first, &counts(1_000_000, 0), false);
            publish(second, &counts(1_000_000, 0), false);
            tokio::time::sleep(LOOK).await;
            // A partition goes, and what comes to the other is seen at once for all that.
            publish(first, &Counts::default(), false);
            publish(second, &counts(1_000_700, 300), true);
            let end = tokio::time::Instant::now() + 60 * LOOK;
            while said.lock().unwrap().is_empty() && tokio::time::Instant::now() < end {
                tokio::time::sleep(LOOK / 100).await;
            }
            publish(first, &counts(2_000_000, 0), false);
            publish(first, &counts(2_000_000, 4_000), true);
            tokio::time::sleep(LOOK).await;
            stop.cancel();
        };
        tokio::join!(watch(plan.clone(), status.clone(), stop.clone(), say), rows);
        let said = said.into_inner().unwrap();
        let (lately, all) = (LateRows { late: 700, rows: 1_000 }, LateRows { late: 700, rows: 5_000 });
        assert_eq!(said, [("s".to_owned(), Late::Lately(lately)), ("s".to_owned(), Late::InAll(all))]);
    }
}
