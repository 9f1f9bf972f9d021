//! One visit to the outbox.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Attempt, Counts, Due, Outbox, OutboxError, Waiting, Worker, record_latency};
use crate::config::plan::GroupPlan;
use crate::latency::Latency;
use crate::status::Status;
use crate::types::Silence;

/// What is due is held against the silences in lots of this many at least.
const LOT: usize = 256;

/// What the worker brings, and wants to know.
struct Visit {
    receiver: String,
    target: String,
    attach: bool,
    finished: Vec<Attempt>,
    set_back_ns: i64,
    latency: Latency,
    delivered_ns: Vec<i64>,
    limit: usize,
    /// One message is to ask whether the receiver takes anything again; what has asked before.
    probe: Option<HashSet<String>>,
    /// It takes messages again: what it did not take so far of those it was asked for since.
    asked_again: Option<HashSet<String>>,
    status: Arc<Status>,
    /// Of the sink in `status`.
    index: usize,
    group: Option<GroupPlan>,
    gather_at_ns: i64,
    /// Alerts and incidents of which something is under way, or was until now.
    under_way: HashSet<String>,
}

/// What one look at the outbox gives.
#[derive(Default)]
pub(super) struct Look {
    /// When the outbox was looked at.
    pub now_ns: i64,
    pub due: Vec<Due>,
    /// There is one, and nothing else: it has waited longest, and is sent also before its time. It asks for all that wait while the
    /// breaker is open, or once somebody wants it to.
    pub is_longest: bool,
    /// Why the last of what waits failed, before this start.
    pub failed: Option<String>,
    pub next_due_at_ns: Option<i64>,
    pub waiting: Option<Waiting>,
    /// When alerts are next put together.
    pub gather_at_ns: i64,
    pub counts: Counts,
}

impl Worker {
    /// What finished is written down before anything is taken out.
    pub(super) async fn look(&mut self, room: usize) -> Result<Look, OutboxError> {
        let asks = (self.breaker.is_open() || self.asked_now) && room > 0 && self.under_way.is_empty();
        // What finished is recorded by this visit, before it is held against silences.
        let is_recorded = |id: &String| self.unrecorded.iter().any(|attempt| attempt.id == *id);
        let visit = Visit {
            receiver: self.delivery.sink.name.clone(),
            target: self.target.clone(),
            attach: !self.attached,
            finished: self.unrecorded.clone(),
            set_back_ns: self.watch.untold_ns,
            latency: self.delivery.latency.clone(),
            delivered_ns: self.delivered_ns.clone(),
            // What is under way is still due in the outbox and comes first, so ask for that much more.
            limit: if room == 0 { 0 } else { room + self.under_way.len() },
            probe: asks.then(|| self.breaker.probed().clone()),
            asked_again: self.breaker.asked_again().filter(|_| room > 0),
            status: self.delivery.status.clone(),
            index: self.delivery.index,
            group: self.delivery.sink.group.clone(),
            gather_at_ns: self.gather_at_ns,
            under_way: self.held.iter().filter(|id| !is_recorded(id)).cloned().collect(),
        };
        let clock = self.delivery.clock;
        // Read while the outbox is locked: what others stored while this waited must not lie ahead of it.
        let look = self.delivery.outbox.run(move |outbox| visit.pay(outbox, clock.now_ns())).await?;
        self.attached = true;
        self.watch.untold_ns = 0;
        self.gather_at_ns = look.gather_at_ns;
        let first = look.due.first().map(|due| due.id.as_str());
        if asks {
            self.asked_now = false;
            self.breaker.probes(first.filter(|_| look.is_longest));
        } else if room > 0 && (look.is_longest || look.due.is_empty()) {
            self.breaker.asks_again(first);
        }
        if look.failed.is_some() {
            self.breaker.something_waits();
            self.show_error(look.failed.clone());
        }
        Ok(look)
    }
}

impl Visit {
    fn pay(&self, outbox: &mut Outbox, now_ns: i64) -> Result<Look, OutboxError> {
        let Visit { receiver, target, .. } = self;
        let mut failed = None;
        if self.attach {
            outbox.attach(receiver, target, now_ns)?;
            failed = outbox.last_failure(receiver)?;
        }
        let given_up = outbox.record_attempts(receiver, target, &self.finished)?;
        self.status.sinks[self.index].failed_total.fetch_add(given_up, Ordering::Relaxed);
        if self.set_back_ns > 0 {
            outbox.set_back(receiver, self.set_back_ns)?;
        }
        // Asked for while the outbox is locked: a silence that is ended from here on lets go of what this visit holds back.
        let silences = self.status.said.active(now_ns);
        let is_apart = outbox.hold_back_messages(receiver, now_ns, &silences, &self.under_way)?;
        let gather_at_ns = if is_apart { now_ns } else { self.gather_at_ns };
        let mut look = Look { now_ns, gather_at_ns, failed, ..Look::default() };
        match &self.group {
            Some(group) => self.gather(outbox, group, &silences, &mut look)?,
            None => {
                outbox.hold_back(receiver, now_ns, &silences, LOT.max(self.limit))?;
                look.due = outbox.due(receiver, now_ns, self.limit)?;
            }
        }
        self.probe(outbox, &silences, &mut look)?;
        self.ask_again(outbox, &silences, &mut look)?;
        look.next_due_at_ns = outbox.next_due_at(receiver, now_ns)?;
        look.counts = outbox.counts(receiver)?;
        look.waiting = outbox.waiting(receiver, self.group.is_some())?;
        if self.group.is_some() && look.counts.pending + look.counts.silenced > 0 {
            let gather_ns = look.gather_at_ns;
            look.next_due_at_ns = Some(look.next_due_at_ns.map_or(gather_ns, |due_ns| due_ns.min(gather_ns)));
        }
        record_latency(&self.latency, &self.delivered_ns);
        Ok(look)
    }

    /// While the breaker is open, or somebody wants it asked, what has waited longest is sent in place of what is due.
    fn probe(
        &self,
        outbox: &mut Outbox,
        silences: &[Arc<Silence>],
        look: &mut Look,
    ) -> Result<(), OutboxError> {
        let Some(asked) = &self.probe else { return Ok(()) };
        let mut probe = outbox.longest_waiting(&self.receiver, look.now_ns, silences, asked)?;
        if probe.is_none() && look.due.is_empty() {
            probe = outbox.longest_waiting(&self.receiver, look.now_ns, silences, &HashSet::new())?;
        }
        if let Some(probe) = probe {
            (look.due, look.is_longest) = (vec![probe], true);
        }
        Ok(())
    }

    /// Once nothing is due, the receiver that takes messages again is asked for what has waited longest.
    fn ask_again(
        &self,
        outbox: &mut Outbox,
        silences: &[Arc<Silence>],
        look: &mut Look,
    ) -> Result<(), OutboxError> {
        let Some(asked) = self.asked_again.as_ref().filter(|_| look.due.is_empty()) else { return Ok(()) };
        let asked: HashSet<String> = asked.union(&self.under_way).cloned().collect();
        if let Some(waits) = outbox.longest_waiting(&self.receiver, look.now_ns, silences, &asked)? {
            (look.due, look.is_longest) = (vec![waits], true);
        }
        Ok(())
    }

    fn gather(
        &self,
        outbox: &mut Outbox,
        group: &GroupPlan,
        silences: &[Arc<Silence>],
        look: &mut Look,
    ) -> Result<(), OutboxError> {
        let (receiver, now_ns) = (&self.receiver, look.now_ns);
        if look.gather_at_ns <= now_ns {
            let next_ns = outbox.gather(receiver, group, now_ns, silences, &self.under_way)?;
            // What comes in between waits for as long at least.
            let wait = Duration::min(group.wait, group.interval);
            let later_ns = now_ns.saturating_add(wait.as_nanos() as i64);
            look.gather_at_ns = next_ns.map_or(later_ns, |next_ns| next_ns.min(later_ns));
        }
        look.due = outbox.due_incidents(receiver, now_ns, self.limit)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{
        About, Alert, AlertState, Decision, EventTime, NoDataEvidence, Receipt, SilenceDraft,
    };

    const CONFIG: &str = "[source.a]\ntype = \"kafka\"\nbrokers = \"b:9092\"\ntopics = \"t\"\n[stream.s]\nfrom = \"a\"\n\
                          key = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
                          window = { type = \"tumbling\", size = \"1m\" }\n[sink.out]\ntype = \"stdout\"\n";

    fn alert(id: &str) -> Alert {
        let (last_seen, due) = (EventTime(1), EventTime(2));
        let about = About::NoData(NoDataEvidence { last_seen, expected_every_ns: 1, due, resumed: None });
        let (id, stream, key) = (id.into(), "s".into(), format!("key of {id}"));
        let (state, rule, onset) = (AlertState::Raised, "no_data".into(), EventTime(1));
        let decision = Decision { id, revision: 1, state, stream, key, rule, onset, about };
        Alert { decision, receipt: Receipt::default() }
    }

    fn visit(status: &Arc<Status>, group: Option<GroupPlan>) -> Visit {
        Visit {
            receiver: "out".into(),
            target: "t".into(),
            attach: true,
            finished: vec![],
            set_back_ns: 0,
            latency: Latency::new(),
            delivered_ns: vec![],
            limit: 9,
            probe: None,
            asked_again: None,
            status: status.clone(),
            index: 0,
            group,
            gather_at_ns: i64::MIN,
            under_way: HashSet::new(),
        }
    }

    /// From 10 on.
    fn silence(matcher: &str) -> Silence {
        let draft = SilenceDraft {
            matchers: vec![matcher.into()],
            starts_at_ns: None,
            ends_at_ns: 1_000_000,
            author: "ann".into(),
            comment: String::new(),
        };
        Silence::new(&draft, 10).unwrap()
    }

    fn started() -> (Arc<Status>, tempfile::TempDir, Outbox) {
        let plan = crate::config::parse(CONFIG, "", &Default::default());
        let status = Arc::new(Status::new(&plan.unwrap_or_else(|problems| panic!("{problems}")), 0));
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(&folder.path().join("outbox.db"), &["out".to_owned()]).unwrap();
        outbox.store(&[alert("a1")], 10).unwrap();
        (status, folder, outbox)
    }

    #[test]
    fn a_silence_that_is_ended_on_the_way_to_the_outbox_holds_nothing_back() {
        let (status, _folder, mut outbox) = started();
        let silence = silence("stream=s");
        status.said.silence(silence.clone());
        // The visit has its time, and waits for the outbox: whoever ends the silence had it first.
        let visit = visit(&status, None);
        status.said.end_silence(&silence.id, 20);
        outbox.end_silence(&silence.id, 20).unwrap();
        let look = visit.pay(&mut outbox, 20).unwrap();
        assert_eq!((look.due.len(), look.counts.silenced), (1, 0));
    }

    #[test]
    fn a_message_that_was_put_together_is_held_back_by_a_silence_begun_since_unless_it_is_under_way() {
        let (status, _folder, mut outbox) = started();
        let short = Duration::from_nanos(1);
        let group = Some(GroupPlan { by: vec![], wait: short, interval: Duration::from_secs(1) });
        let first = visit(&status, group.clone()).pay(&mut outbox, 20).unwrap();
        assert_eq!(first.due.len(), 1);
        status.said.silence(silence("stream=s"));
        let under_way = first.due.iter().map(|due| due.id.clone()).collect();
        let busy = Visit { under_way, ..visit(&status, group.clone()) };
        let look = busy.pay(&mut outbox, 30).unwrap();
        assert_eq!((&look.due, look.counts.silenced), (&first.due, 0));
        let look = visit(&status, group).pay(&mut outbox, 40).unwrap();
        assert_eq!((look.due.len(), look.counts.silenced, look.counts.in_messages), (0, 1, 0));
    }

    #[test]
    fn what_is_left_of_a_message_that_is_taken_apart_is_put_together_at_once() {
        let (status, _folder, mut outbox) = started();
        outbox.store(&[alert("b1")], 10).unwrap();
        let short = Duration::from_nanos(1);
        let group = Some(GroupPlan { by: vec![], wait: short, interval: Duration::from_secs(1) });
        assert_eq!(visit(&status, group.clone()).pay(&mut outbox, 20).unwrap().due.len(), 1);
        status.said.silence(silence("key=key of a1"));
        // Alerts are put together again much later.
        let look = Visit { gather_at_ns: i64::MAX, ..visit(&status, group) }.pay(&mut outbox, 30).unwrap();
        assert_eq!((look.due.len(), look.counts.silenced, look.counts.in_messages), (1, 1, 1));
    }
}
