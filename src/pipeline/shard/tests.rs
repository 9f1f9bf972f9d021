use super::*;
use crate::types::{Arrival, EventTime, HeldBack, RecordRef, key_hash};

const STREAM: StreamId = StreamId(0);
const PARTITION: PartitionId = PartitionId(5);
const SECOND_NS: i64 = 1_000_000_000;

/// What a shard hands on goes nowhere here.
struct Ends {
    work: mpsc::Sender<Work>,
    status: Arc<Status>,
    _alerts: mpsc::Receiver<Outgoing>,
    _dead: mpsc::Receiver<Dead>,
}

fn shard(tells_once: bool) -> (Shard, Ends) {
    let text = "[source.a]\ntype = \"http\"\n[stream.s]\nfrom = \"a\"\nkey = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
                window = { type = \"tumbling\", size = \"10s\" }\n";
    let plan = crate::config::parse(text, "", &Default::default());
    let plan = Arc::new(plan.unwrap_or_else(|problems| panic!("{problems}")));
    let status = Arc::new(Status::new(&plan, 0));
    let ((work_to, work), (alerts, alerts_end)) = (mpsc::channel(64), mpsc::channel(64));
    let ((dead, dead_end), (points, _)) = (mpsc::channel(64), mpsc::channel(64));
    let shard = Shard {
        engine: Engine::new(&plan),
        work,
        spare: mpsc::channel(1).0,
        alerts,
        dead,
        points,
        status: status.clone(),
        plan,
        watch: Arc::new(Watch::new(1)),
        clock: Clock::start(),
        tells_once,
    };
    (shard, Ends { work: work_to, status, _alerts: alerts_end, _dead: dead_end })
}

/// Rows of one key; the first is far ahead of all others, which therefore come too late.
fn rows(positions: std::ops::Range<u64>) -> Slot {
    let mut slot = Slot::default();
    for position in positions {
        let at_ns = if position == 0 { 100_000 } else { position as i64 } * SECOND_NS;
        slot.push(RecordRef {
            stream: STREAM,
            key: b"k",
            key_hash: key_hash(b"k"),
            partition: PARTITION,
            time: EventTime(at_ns),
            arrival: Arrival(at_ns),
            position: Position(position),
            row: 0,
            values: &[1.0],
            outcome: None,
            content_hash: position,
        });
    }
    slot
}

#[test]
fn what_is_restored_read_back_or_moved_in_is_not_counted_as_come_since_the_start() {
    let (mut shard, ends) = shard(false);
    shard.engine.step(&rows(0..10), &Env::SIMULATED, &mut Outputs::default());
    let mut state = Vec::new();
    assert!(shard.engine.save(STREAM, PARTITION, &mut state));
    let (answer, answers) = std::sync::mpsc::channel();
    let (stream, partition, position) = (STREAM, PARTITION, Position(10));
    let work = |positions, recovered| Work::Rows {
        slot: rows(positions),
        stamps: Stamps { recovered, ..Stamps::default() },
    };
    let all = [
        work(10..20, true),
        work(20..25, false),
        Work::Errand(Errand::Forget(PARTITION)),
        Work::Errand(Errand::Restore { stream, partition, position, state, models: [].into(), answer }),
        work(10..30, true),
        work(30..33, false),
    ];
    all.into_iter().for_each(|work| assert!(ends.work.try_send(work).is_ok()));
    let Ends { work, status, .. } = ends;
    drop(work);
    shard.run(&Latency::new());
    assert!(answers.recv().is_ok_and(|restored| restored.is_ok()));
    let of = status.partition(STREAM, PARTITION.0 as usize);
    assert_eq!((of.late_total.load(Relaxed), of.taken_total()), (32, 1), "the partition's own");
    assert_eq!((of.live_late_total.load(Relaxed), of.live_rows_total.load(Relaxed)), (8, 8));
}

/// A partition that goes, comes back and is read again from a snapshot on.
#[test]
fn what_several_eddys_hold_back_counts_where_it_is_judged_first() {
    for (tells_once, counted) in [(true, [1, 0]), (false, [2, 0])] {
        let (mut shard, ends) = shard(tells_once);
        for recovered in [false, true] {
            let held_back = vec![(STREAM, EventTime(7 * SECOND_NS), HeldBack::Rule)];
            let mut out = Outputs { held_back, ..Outputs::default() };
            shard.hand_on(&mut out, Stamps { recovered, ..Stamps::default() }, 0);
        }
        assert_eq!(ends.status.held_back(STREAM).day(8 * SECOND_NS), counted, "tells once: {tells_once}");
    }
}
