//! Every key that was met since the start or restored at it, to be looked for by name.
//!
//! Shards name a key once, when they first meet it, and never wait; the names are put in order here, on the side of
//! whoever reads. A key stays listed when a partition goes to another process.

use std::sync::{Mutex, RwLock};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::types::StreamId;
use crate::watch::{Met, Watch};

/// Fewer new names than this, and than a sixteenth of a stream's, wait until somebody looks for one.
const WAITING_MAX: usize = 4_096;

/// What is looked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Letters that stand in the name, or at its beginning.
    pub text: &'a str,
    pub begins: bool,
    /// Go on behind this name.
    pub after: Option<&'a str>,
    pub limit: usize,
}

/// A page of names, in order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub names: Vec<String>,
    /// Names that fit, on all pages.
    pub total: usize,
    /// There are more behind `names`.
    pub more: bool,
}

pub struct Roster {
    incoming: Mutex<Incoming>,
    /// By stream.
    names: RwLock<Vec<Names>>,
}

struct Incoming {
    met: Option<UnboundedReceiver<Met>>,
    /// By stream, not in order yet.
    waiting: Vec<Vec<Box<[u8]>>>,
}

/// Names in order, one behind the other: eight bytes beside the letters of each.
#[derive(Clone, Default)]
struct Names {
    letters: Vec<u8>,
    ends: Vec<usize>,
}

impl Roster {
    pub fn new(watch: &Watch, streams: usize) -> Self {
        let incoming = Incoming { met: watch.names(), waiting: vec![Vec::new(); streams] };
        Roster { incoming: Mutex::new(incoming), names: RwLock::new(vec![Names::default(); streams]) }
    }

    /// Takes in what the shards have named. Blocks while another reader does.
    pub fn take_in(&self) {
        self.gather(|waiting, known| waiting.len() > WAITING_MAX.max(known / 16));
    }

    /// Names of a stream that fit. Blocks: reads every name unless it is by their beginning.
    pub fn find(&self, stream: StreamId, wanted: Wanted<'_>) -> Found {
        self.gather(|waiting, _| !waiting.is_empty());
        let names = self.names.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        names.get(stream.0 as usize).map_or_else(Found::default, |names| names.find(wanted))
    }

    /// How many names of a stream fit. Blocks: reads every one.
    pub fn count(&self, stream: StreamId, fits: impl Fn(&str) -> bool) -> usize {
        self.gather(|waiting, _| !waiting.is_empty());
        let names = self.names.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(names) = names.get(stream.0 as usize) else { return 0 };
        (0..names.len()).filter(|&i| fits(&String::from_utf8_lossy(names.get(i)))).count()
    }

    /// Puts a stream's waiting names in order where `due` says so.
    fn gather(&self, due: impl Fn(&[Box<[u8]>], usize) -> bool) {
        let mut incoming = self.incoming.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Incoming { met, waiting } = &mut *incoming;
        while let Some(Ok((stream, key))) = met.as_mut().map(UnboundedReceiver::try_recv) {
            waiting[stream.0 as usize].push(key);
        }
        for (stream, waiting) in waiting.iter_mut().enumerate() {
            let known = self.names.read().unwrap_or_else(|poisoned| poisoned.into_inner())[stream].len();
            if due(waiting, known) {
                let fresh = std::mem::take(waiting);
                let mut names = self.names.write().unwrap_or_else(|poisoned| poisoned.into_inner());
                names[stream] = names[stream].with(fresh);
            }
        }
    }
}

impl Names {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.letters[start..self.ends[i]]
    }

    fn push(&mut self, name: &[u8]) {
        // A partition that came back names its keys again.
        if self.len() > 0 && self.get(self.len() - 1) == name {
            return;
        }
        self.letters.extend_from_slice(name);
        self.ends.push(self.letters.len());
    }

    fn with(&self, mut fresh: Vec<Box<[u8]>>) -> Names {
        fresh.sort_unstable();
        let letters = self.letters.len() + fresh.iter().map(|name| name.len()).sum::<usize>();
        let mut all = Names {
            letters: Vec::with_capacity(letters),
            ends: Vec::with_capacity(self.len() + fresh.len()),
        };
        let mut fresh = fresh.iter().peekable();
        for known in (0..self.len()).map(|i| self.get(i)) {
            while let Some(name) = fresh.next_if(|name| ***name < *known) {
                all.push(name);
            }
            all.push(known);
        }
        fresh.for_each(|name| all.push(name));
        all
    }

    /// The first name that is not before `name`.
    fn place(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(self.get(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn find(&self, wanted: Wanted<'_>) -> Found {
        let text = wanted.text.as_bytes();
        let start = wanted.after.map_or(0, |after| self.place(|name| name <= after.as_bytes()));
        let readable = |i: usize| String::from_utf8_lossy(self.get(i)).into_owned();
        if wanted.begins || text.is_empty() {
            let first = self.place(|name| name < text);
            let end = self.place(|name| name < text || name.starts_with(text));
            let from = start.clamp(first, end);
            let to = end.min(from.saturating_add(wanted.limit));
            return Found { names: (from..to).map(readable).collect(), total: end - first, more: to < end };
        }
        let mut found = Found::default();
        for i in 0..self.len() {
            let name = self.get(i);
            if name.len() < text.len() || !name.windows(text.len()).any(|letters| letters == text) {
                continue;
            }
            found.total += 1;
            if i >= start {
                if found.names.len() < wanted.limit {
                    found.names.push(readable(i));
                } else {
                    found.more = true;
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::key_hash;

    const PUMPS: StreamId = StreamId(0);

    fn roster(watch: &Watch, keys: impl Iterator<Item = String>) -> Roster {
        keys.for_each(|key| watch.offer(PUMPS, key_hash(key.as_bytes()), key.as_bytes()));
        Roster::new(watch, 2)
    }

    fn pages(roster: &Roster, wanted: Wanted<'_>) -> Vec<String> {
        let (mut all, mut after) = (Vec::<String>::new(), None::<String>);
        loop {
            let found = roster.find(PUMPS, Wanted { after: after.as_deref(), ..wanted });
            assert!(found.names.len() <= wanted.limit);
            after = found.names.last().cloned();
            all.extend(found.names);
            if !found.more {
                assert_eq!(found.total, all.len());
                return all;
            }
        }
    }

    #[test]
    fn every_key_is_found_by_its_letters_a_page_at_a_time() {
        let watch = Watch::new(2);
        let names = |i: u32| format!("pump-{:05}", i.wrapping_mul(2_654_435_761) % 20_000);
        let roster = roster(&watch, (0..10_000).map(names));
        let mut all: Vec<String> = (0..10_000).map(names).collect();
        // Met later, some of them again.
        (5_000..12_000).for_each(|i| watch.offer(PUMPS, 0, names(i).as_bytes()));
        all.extend((10_000..12_000).map(names));
        all.sort();
        all.dedup();
        let every = Wanted { limit: 700, ..Wanted::default() };
        assert_eq!(pages(&roster, every), all);
        let with =
            |fits: &dyn Fn(&String) -> bool| all.iter().filter(|n| fits(n)).cloned().collect::<Vec<_>>();
        assert_eq!(pages(&roster, Wanted { text: "17", ..every }), with(&|name| name.contains("17")));
        let beginning = Wanted { text: "pump-017", begins: true, ..every };
        assert_eq!(pages(&roster, beginning), with(&|name| name.starts_with("pump-017")));
        assert_eq!(pages(&roster, Wanted { text: "ump", begins: true, ..every }), Vec::<String>::new());
        assert_eq!(roster.find(StreamId(1), every), Found::default());
    }

    #[test]
    fn a_million_keys_are_searched_within_a_blink() {
        let watch = Watch::new(1);
        let roster = roster(&watch, (0..1_000_000).map(|i| format!("card-{i:07}")));
        roster.take_in();
        let begun = std::time::Instant::now();
        let found = roster.find(PUMPS, Wanted { text: "99999", limit: 50, ..Wanted::default() });
        let took = begun.elapsed();
        println!("a search of a million keys took {took:?}");
        assert_eq!((found.total, found.names.len()), (19, 19));
        // Generous: other work shares the machine.
        assert!(took.as_millis() < 1_000, "{took:?}");
    }
}
