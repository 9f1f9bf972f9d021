//! Partitions that come and go: of a topic that several processes share, this one has some for a while.

use super::{Engine, Env, Outputs};
use crate::engine::state::place;
use crate::types::{Idle, PARTITIONS, PartitionId, Position, StreamId};

impl Engine {
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Every stream lies in so many partitions, all alike: what a partition takes for its share of an alert budget,
    /// since nobody tells it of the others' keys.
    pub fn share_among(&mut self, partitions: u64) {
        self.streams.iter_mut().for_each(|stream| stream.partitions = Some(partitions));
    }

    /// A stream begins at this message of the partition, without a past; rows and entries before it are passed over.
    pub fn begin(&mut self, stream: StreamId, partition: PartitionId, position: Position) {
        let place = place(stream, partition);
        self.partitions[place] = None;
        self.applied[place] = position;
    }

    /// Another process has it from here on.
    pub fn forget(&mut self, partition: PartitionId) {
        for stream in 0..self.streams.len() {
            let place = stream * PARTITIONS + partition.0 as usize;
            self.partitions[place] = None;
            self.applied[place] = Position(0);
        }
        self.touched.retain(|(_, touched)| *touched != partition);
    }

    /// As [`Engine::idle`], of one partition: each has positions of its own.
    pub fn idle_in(
        &mut self,
        (stream, partition): (StreamId, PartitionId),
        before: Position,
        idle: Idle,
        env: &Env<'_>,
        out: &mut Outputs,
    ) {
        self.each_of(
            stream,
            partition.0 as usize..partition.0 as usize + 1,
            before,
            |partition, setup, scratch| partition.idle(idle, setup, scratch, env, out),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Plan;
    use crate::ring::Slot;
    use crate::state::StateReader;
    use crate::types::{Arrival, EventTime, RecordRef, key_hash};

    const STREAM: StreamId = StreamId(0);
    const SECOND_NS: i64 = 1_000_000_000;

    fn plan() -> Plan {
        let text = "[source.a]\ntype = \"http\"\n[stream.s]\nfrom = \"a\"\nkey = \"id\"\ntime = \"arrival\"\n\
                    columns.x = \"x\"\nwindow = { type = \"tumbling\", size = \"10s\" }\nalert_budget = \"1/day\"\n\
                    [sink.o]\ntype = \"stdout\"\n";
        crate::config::parse(text, "", &Default::default()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn row(position: u64, partition: u8) -> RecordRef<'static> {
        RecordRef {
            stream: STREAM,
            key: b"k",
            key_hash: key_hash(b"k"),
            partition: PartitionId(partition),
            time: EventTime(position as i64 * SECOND_NS),
            arrival: Arrival(position as i64 * SECOND_NS),
            position: Position(position),
            row: 0,
            values: &[1.0],
            outcome: None,
            content_hash: position,
        }
    }

    /// A row a second in each of these partitions, all at the positions given.
    fn step(engine: &mut Engine, partitions: &[u8], positions: std::ops::Range<u64>) {
        let mut slot = Slot::default();
        for position in positions {
            for partition in partitions {
                slot.push(row(position, *partition));
            }
        }
        engine.step(&slot, &Env::SIMULATED, &mut Outputs::default());
    }

    /// Events and watermark of those that changed.
    fn changed(engine: &mut Engine) -> Vec<(u8, u64, i64)> {
        let mut all = Vec::new();
        engine.changed(|_, id, counts, _| all.push((id.0, counts.events, counts.watermark / SECOND_NS)));
        all.sort();
        all
    }

    #[test]
    fn a_partition_goes_and_comes_and_the_others_stay() {
        let mut engine = Engine::new(&plan());
        step(&mut engine, &[1, 2], 0..20);
        engine.forget(PartitionId(1));
        let left: Vec<_> = changed(&mut engine).iter().map(|(id, events, _)| (*id, *events)).collect();
        assert_eq!(left, [(2, 20)], "nothing is told of what went");
        let mut state = Vec::new();
        assert!(
            !engine.save(STREAM, PartitionId(1), &mut state)
                && engine.save(STREAM, PartitionId(2), &mut state)
        );
        engine.begin(STREAM, PartitionId(1), Position(30));
        step(&mut engine, &[1, 2], 20..40);
        let both: Vec<_> = changed(&mut engine).iter().map(|(id, events, _)| (*id, *events)).collect();
        assert_eq!(both, [(1, 10), (2, 40)], "what lies before its beginning is passed over");
    }

    #[test]
    fn a_key_is_named_when_it_is_met_and_when_its_partition_comes_back() {
        let met = std::cell::RefCell::new(Vec::new());
        let meets = |stream: StreamId, hash: u64, key: &[u8]| {
            met.borrow_mut().push((stream, hash, String::from_utf8_lossy(key).into_owned()));
        };
        let env = Env { meets: &meets, ..Env::SIMULATED };
        let mut engine = Engine::new(&plan());
        for position in 0..2 {
            let mut slot = Slot::default();
            slot.push(row(position, 1));
            engine.step(&slot, &env, &mut Outputs::default());
        }
        let known = (STREAM, key_hash(b"k"), "k".to_owned());
        assert_eq!(*met.borrow(), std::slice::from_ref(&known));
        let mut state = Vec::new();
        assert!(engine.save(STREAM, PartitionId(1), &mut state));
        let (from, position) = (StateReader::new(&state), Position(2));
        let mut fresh = Engine::new(&plan());
        fresh.restore(STREAM, PartitionId(1), position, from, &|_| None, &env).unwrap();
        assert_eq!(*met.borrow(), [known.clone(), known]);
    }

    #[test]
    fn time_passes_for_one_partition_alone() {
        let mut engine = Engine::new(&plan());
        step(&mut engine, &[1, 2], 0..20);
        let before = changed(&mut engine);
        let idle = Idle { at: Arrival(100 * SECOND_NS), after_ns: 5 * SECOND_NS };
        let mut out = Outputs::default();
        engine.idle_in((STREAM, PartitionId(2)), Position(20), idle, &Env::SIMULATED, &mut out);
        let after = changed(&mut engine);
        assert_eq!((after.len(), after[0].0, after[0].2 - before[1].2), (1, 2, 81));
    }

    #[test]
    fn each_takes_itself_for_one_of_as_many_alike() {
        let mut engine = Engine::new(&plan());
        assert_eq!(engine.streams[0].terms(1.0, 5).keys, 0, "not told yet");
        engine.share_among(8);
        assert_eq!((engine.streams[0].terms(1.0, 5).keys, engine.streams[0].terms(1.0, 0).keys), (40, 8));
    }
}
