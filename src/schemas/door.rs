//! Between a source whose messages need schemas and whoever asks its registry.
//!
//! The source asks which way a message goes. What it waits for is fetched meanwhile, and becomes known only when the source
//! says so: it knows which of its messages lie before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashSet;
use tokio::sync::Notify;

use super::{Schema, Schemas};
use crate::types::Message;

/// For so long a registry is not asked again for an id that it does not know.
const ABSENT_MAX: Duration = Duration::from_secs(30);
/// Of those, so many are remembered, the newest.
const ABSENT_IDS_MAX: usize = 65_536;
/// A disk that is full is tried again after that.
const KEEP_AGAIN: Duration = Duration::from_secs(1);

/// Id of the schema that a message is to be read by.
pub type Needs = Box<dyn Fn(&Message) -> Option<i32> + Send + Sync>;
/// Makes a schema durable, then known.
pub type Keep = Box<dyn Fn(&Schema) -> Result<(), String> + Send + Sync>;

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its schema is known, or it needs none.
    Open,
    /// The registry has no such schema.
    Unknown,
    /// It waits, and what comes behind it in its partition.
    Shut,
}

pub struct Door {
    source: Arc<str>,
    schemas: Arc<Schemas>,
    needs: Needs,
    keep: Keep,
    inner: Mutex<Inner>,
    asked: Notify,
}

#[derive(Default)]
struct Inner {
    /// Not known yet, and why not if that was said.
    open: BTreeMap<i32, Open>,
    /// Of those, what is to be asked for.
    new: Vec<i32>,
    /// Somebody asks for these, waited for or not.
    asking: BTreeSet<i32>,
    absent: Absent,
    /// Came from the registry.
    arrived: VecDeque<Schema>,
    /// Why the first of them was not kept, and when.
    unkept: Option<(String, Instant)>,
}

#[derive(Default)]
struct Open {
    /// Messages were read by it: it must be there.
    must: bool,
    reason: Option<String>,
}

/// Ids that the registry did not know, and when.
#[derive(Default)]
struct Absent {
    since: BTreeMap<i32, Instant>,
    /// The same, the oldest first.
    order: VecDeque<(i32, Instant)>,
}

impl Absent {
    fn note(&mut self, id: i32, now: Instant) {
        self.since.insert(id, now);
        self.order.push_back((id, now));
        while self.order.front().is_some_and(|(_, at)| {
            self.order.len() > ABSENT_IDS_MAX || now.saturating_duration_since(*at) > ABSENT_MAX
        }) {
            let oldest = self.order.pop_front();
            // Noted anew since: that one counts.
            if let Some((id, at)) = oldest.filter(|(id, at)| self.since.get(id) == Some(at)) {
                debug_assert!(at <= now);
                self.since.remove(&id);
            }
        }
    }

    fn holds(&self, id: i32, now: Instant) -> bool {
        self.since.get(&id).is_some_and(|since| now.saturating_duration_since(*since) <= ABSENT_MAX)
    }
}

impl Door {
    pub fn new(source: &str, schemas: Arc<Schemas>, needs: Needs, keep: Keep) -> Self {
        Door { source: source.into(), schemas, needs, keep, inner: Mutex::default(), asked: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Asks for the schema if it is not known. One that messages were read by `must` be there.
    fn way(&self, id: i32, must: bool) -> Way {
        if self.schemas.holds(&self.source, id) {
            return Way::Open;
        }
        let mut inner = self.inner();
        if !must && inner.absent.holds(id, Instant::now()) {
            return Way::Unknown;
        }
        let is_new = !inner.open.contains_key(&id) && inner.arrived.iter().all(|schema| schema.id != id);
        if is_new {
            inner.open.insert(id, Open { must, reason: None });
            self.begin(&mut inner, id);
        }
        Way::Shut
    }

    /// One asks at a time.
    fn begin(&self, inner: &mut Inner, id: i32) {
        if inner.open.contains_key(&id) && inner.asking.insert(id) {
            inner.new.push(id);
            self.asked.notify_one();
        }
    }

    /// Whoever asked for it has ended.
    pub fn end(&self, id: i32) {
        let mut inner = self.inner();
        inner.asking.remove(&id);
        self.begin(&mut inner, id);
    }

    /// Nobody waits for others any more.
    pub fn keep_only(&self, ids: &BTreeSet<i32>) {
        self.inner().open.retain(|id, _| ids.contains(id));
    }

    /// Makes what has arrived known: messages from this position of the log on are read by it. What cannot be kept is
    /// tried again a while later.
    pub fn take_in(&self, from: u64) {
        while let Some(schema) = self.next_arrived() {
            let kept = (self.keep)(&Schema { from, ..schema });
            let mut inner = self.inner();
            inner.unkept = kept.err().map(|reason| (reason, Instant::now()));
            if inner.unkept.is_none() {
                inner.arrived.pop_front();
            }
        }
    }

    fn next_arrived(&self) -> Option<Schema> {
        let inner = self.inner();
        let failed = inner.unkept.as_ref().is_some_and(|(_, at)| at.elapsed() < KEEP_AGAIN);
        inner.arrived.front().filter(|_| !failed).cloned()
    }

    pub fn has_arrived(&self) -> bool {
        self.next_arrived().is_some()
    }

    /// Ids to ask for, each until it is told to be at an [end](Door::end), once there are some; and whether each must be
    /// there.
    pub async fn asked(&self) -> Vec<(i32, bool)> {
        loop {
            let asked = self.asked.notified();
            {
                let Inner { new, open, .. } = &mut *self.inner();
                let of = |id: i32| (id, open.get(&id).is_some_and(|open| open.must));
                let wanted: Vec<(i32, bool)> = new.drain(..).map(of).collect();
                if !wanted.is_empty() {
                    return wanted;
                }
            }
            asked.await;
        }
    }

    /// Whether messages wait for it still.
    pub fn waits_for(&self, id: i32) -> bool {
        self.inner().open.contains_key(&id)
    }

    /// The registry's answer.
    pub fn answer(&self, id: i32, found: Option<Schema>) {
        let mut inner = self.inner();
        if inner.open.remove(&id).is_none() {
            return;
        }
        match found {
            Some(schema) => inner.arrived.push_back(schema),
            None => inner.absent.note(id, Instant::now()),
        }
    }

    /// Why the registry has not answered yet.
    pub fn note(&self, id: i32, reason: &str) {
        if let Some(open) = self.inner().open.get_mut(&id) {
            open.reason = Some(reason.to_owned());
        }
    }

    /// A schema that is waited for longer than an answer takes, and why.
    pub fn trouble(&self) -> Option<(i32, String)> {
        let inner = self.inner();
        let unkept = inner.arrived.front().zip(inner.unkept.as_ref());
        let unkept = unkept.map(|(schema, (reason, _))| (schema.id, reason.clone()));
        unkept.or_else(|| inner.open.iter().find_map(|(id, open)| Some((*id, open.reason.clone()?))))
    }
}

/// A source's own end of a door: it asks once for what it has found open.
#[derive(Default)]
pub struct Passage {
    door: Option<Arc<Door>>,
    known: HashSet<i32>,
}

impl Passage {
    /// `None`: no message needs a schema.
    pub fn through(door: Option<Arc<Door>>) -> Self {
        Passage { door, known: HashSet::new() }
    }

    /// These messages wait, and no others: those were dropped, and will be read again.
    pub fn keep_only<'m>(&self, waiting: impl Iterator<Item = &'m Message>) {
        let ids = waiting.filter_map(|message| self.id(message)).collect();
        self.door.iter().for_each(|door| door.keep_only(&ids));
    }

    pub fn has_arrived(&self) -> bool {
        self.door.as_ref().is_some_and(|door| door.has_arrived())
    }

    /// Makes what has arrived known, from this position on.
    pub fn take_in(&self, from: u64) {
        self.door.iter().for_each(|door| door.take_in(from));
    }

    /// Numbers that no registry gives are passed on, to be refused.
    pub fn id(&self, message: &Message) -> Option<i32> {
        (self.door.as_ref()?.needs)(message).filter(|id| *id > 0)
    }

    pub fn way(&mut self, id: i32, must: bool) -> Way {
        let Some(door) = self.door.as_ref().filter(|_| !self.known.contains(&id)) else { return Way::Open };
        let way = door.way(id, must);
        if way == Way::Open {
            self.known.insert(id);
        }
        way
    }

    /// Of a message, whatever it needs.
    pub fn way_of(&mut self, message: Option<&Message>) -> Way {
        message.and_then(|message| self.id(message)).map_or(Way::Open, |id| self.way(id, false))
    }
}

#[cfg(test)]
mod tests;
