//! Watches for partitions that nothing comes to, and has it written down when one should go on without.
//!
//! What it reads may be out of date; that costs an entry that changes nothing, and at most one a stream in
//! each `idle_after`. Partitions say from when on an entry would change something, so a plant that is dead
//! and told of writes none. Of a source that is not connected nothing is known: the page and the metrics say
//! so, and what waits on the other side must not find its windows closed. The same goes for a topic of Kafka that is not
//! read to its end: a partition may be silent only because others are read first.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::config::plan::{Plan, SourceKind, SourcePlan, StreamPlan};
use crate::stage::{Intake, Notice};
use crate::status::Status;
use crate::types::{Arrival, Idle, StreamId};

/// How often is looked, at most; a short `idle_after` is looked at more often.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 4;

/// A stream whose partitions may be idle.
struct Watched {
    stream: StreamId,
    name: Arc<str>,
    after_ns: i64,
    /// Its sources that do not end, as in [`Status::sources`].
    live: Vec<usize>,
    /// Nothing is written before, ns: not so soon after the last time, the start or a reconnect, when there may
    /// be much on its way that was sent meanwhile.
    next: i64,
}

/// Runs for ever.
pub async fn watch(plan: &Plan, status: &Status, intake: &Intake) -> ! {
    let began = intake.clock.now_ns();
    let watched = |(id, stream): (usize, &StreamPlan)| {
        let after = stream.idle_after?;
        let after_ns = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
        let live = |source: &&SourcePlan| {
            stream.from.contains(&source.name) && !matches!(source.kind, SourceKind::Replay(_))
        };
        Some(Watched {
            stream: StreamId(id as u16),
            name: stream.name.as_str().into(),
            live: (0..plan.sources.len()).filter(|&s| live(&&plan.sources[s])).collect(),
            after_ns,
            next: began.saturating_add(after_ns),
        })
    };
    let mut watched: Vec<Watched> = plan.streams.iter().enumerate().filter_map(watched).collect();
    let shortest = plan.streams.iter().filter_map(|stream| stream.idle_after).min();
    let mut look = tokio::time::interval(shortest.map_or(LOOK, |after| LOOK.min(after / LOOKS)));
    loop {
        look.tick().await;
        for watched in &mut watched {
            let Some(idle) = watched.due(status, intake.clock.now_ns()) else { continue };
            let notice = Notice::Idle { stream: watched.name.clone(), idle };
            // Refused by a full disk, it is tried again in its time.
            if let Ok(logged) = intake.notice(notice).await {
                let _ = logged.await;
            }
        }
    }
}

impl Watched {
    /// What is to be written now, if anything is.
    fn due(&mut self, status: &Status, now_ns: i64) -> Option<Idle> {
        let acts = |partition: &crate::status::PartitionStatus| {
            now_ns >= partition.idle_acts.load(Relaxed)
                && now_ns - partition.heard.load(Relaxed) >= self.after_ns
        };
        let is_heard = |source: &crate::status::SourceStatus| {
            source.connected.load(Relaxed) && !source.kafka.behind.load(Relaxed)
        };
        if !self.live.iter().all(|&source| is_heard(&status.sources[source])) {
            self.next = now_ns.saturating_add(self.after_ns);
        }
        if now_ns < self.next || !status.stream(self.stream).iter().any(acts) {
            return None;
        }
        self.next = now_ns.saturating_add(self.after_ns);
        Some(Idle { at: Arrival(now_ns), after_ns: self.after_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KAFKA: &str = "[source.a]\ntype = \"kafka\"\nbrokers = \"b:9092\"\ntopics = \"t\"\n[stream.s]\nfrom = \"a\"\n\
                         key = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
                         window = { type = \"tumbling\", size = \"1m\" }\n";

    #[test]
    fn a_partition_is_not_idle_while_its_topic_is_not_read_to_its_end() {
        let plan = crate::config::parse(KAFKA, "", &Default::default());
        let status = Status::new(&plan.unwrap_or_else(|problems| panic!("{problems}")), 0);
        let (source, partition) = (&status.sources[0], status.partition(StreamId(0), 3));
        partition.idle_acts.store(0, Relaxed);
        let due = |now_ns: i64| {
            let name = "s".into();
            Watched { stream: StreamId(0), name, after_ns: 60, live: vec![0], next: 0 }.due(&status, now_ns)
        };
        assert_eq!(due(1000), None, "nothing is known of it");
        source.connected.store(true, Relaxed);
        source.kafka.behind.store(true, Relaxed);
        assert_eq!(due(1000), None, "its rows may yet come");
        source.kafka.behind.store(false, Relaxed);
        assert_eq!(due(1000), Some(Idle { at: Arrival(1000), after_ns: 60 }));
    }
}
