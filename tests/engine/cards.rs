//! Transactions through the engine: verdicts from the first on, outcomes that come days later, and what is known of a
//! terminal over all partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plant::{self, SECOND_NS, START_NS};
use eddy::config::plan::{Aggregate, AlarmPlan, FieldPath, ModelPlan, Plan, Shape};
use eddy::engine::{Engine, Env, Judged, Outputs};
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{
    AlertState, Arrival, Decision, EPOCH_NS, EventTime, PARTITIONS, PartitionId, Position, RecordRef,
    StreamId, key_hash,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STREAM: StreamId = StreamId(0);
const HOUR_NS: i64 = 3_600 * SECOND_NS;
const DAY_NS: i64 = 24 * HOUR_NS;
const CARDS: usize = 60;
const BAD: u32 = 40;

/// A payment, or what an earlier one turned out to be.
#[derive(Clone, Debug)]
struct Event {
    card: String,
    time_ns: i64,
    amount: f32,
    terminal: u32,
    outcome: Option<bool>,
}

impl Event {
    fn values(&self) -> [f32; 2] {
        [self.amount, self.terminal as f32]
    }

    fn record<'a>(&'a self, values: &'a [f32; 2], position: u64) -> RecordRef<'a> {
        RecordRef {
            stream: STREAM,
            key: self.card.as_bytes(),
            key_hash: key_hash(self.card.as_bytes()),
            partition: PartitionId::of(key_hash(self.card.as_bytes())),
            time: EventTime(self.time_ns),
            arrival: Arrival(self.time_ns),
            position: Position(position),
            row: 0,
            values,
            outcome: self.outcome,
            content_hash: u64::from(values[0].to_bits()) << 32 | u64::from(values[1].to_bits()),
        }
    }
}

fn plan(shards: usize) -> Plan {
    let mut plan = plant::plan(shards);
    let stream = &mut plan.streams[0];
    stream.columns.truncate(2);
    for (column, (name, aggregate)) in
        stream.columns.iter_mut().zip([("amount", Aggregate::Mean), ("terminal", Aggregate::Risk)])
    {
        (column.name, column.aggregate) = (name.to_owned(), aggregate);
    }
    stream.outcome = Some(FieldPath::Json(vec!["fraud".into()]));
    let window = &mut stream.window;
    (window.shape, window.every) = (Shape::Sliding, Duration::ZERO);
    (window.size, window.grid) = (Duration::from_secs(3_600), Duration::from_secs(3_600));
    (window.disorder, window.lateness) = (Duration::from_secs(30), Duration::from_secs(30));
    stream.model = ModelPlan::Transactions { amount: "amount".into() };
    plan
}

fn payment(card: usize, time_ns: i64, amount: f32, terminal: u32) -> Event {
    Event { card: format!("card-{card}"), time_ns, amount, terminal, outcome: None }
}

/// Payments of some days, with outcomes a day after what turned out to be fraud: all at one terminal, which begins on the
/// third day. Some messages come twice.
fn events(seed: u64, days: i64) -> Vec<Event> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut timed: Vec<(i64, Event)> = Vec::new();
    for card in 0..CARDS {
        let usual = rng.random_range(10.0..60.0f32);
        for slot in 0..days * 6 {
            let time_ns = START_NS + slot * 4 * HOUR_NS + rng.random_range(0..4 * HOUR_NS);
            let begun = time_ns > START_NS + 3 * DAY_NS;
            let terminal = if begun && rng.random_bool(0.05) { BAD } else { rng.random_range(0..BAD) };
            let amount = usual * rng.random_range(0.6..1.4f32);
            let one = payment(card, time_ns, amount, terminal);
            if terminal == BAD {
                timed.push((time_ns + DAY_NS, Event { outcome: Some(true), ..one.clone() }));
            } else if rng.random_bool(0.02) {
                timed.push((time_ns + DAY_NS, Event { outcome: Some(false), ..one.clone() }));
            }
            timed.push((time_ns, one));
        }
    }
    let twice: Vec<_> = timed.iter().step_by(37).map(|(at, event)| (at + SECOND_NS, event.clone())).collect();
    timed.extend(twice);
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().map(|(_, event)| event).collect()
}

/// Entries of the control log: each acts before the event of that number.
type Entries = Vec<(usize, Vec<(u32, u16)>)>;

#[derive(Default)]
struct Outcome {
    decisions: Vec<Decision>,
    judged: Vec<Judged>,
    digests: BTreeMap<u8, u64>,
    outcomes: u64,
    duplicates: u64,
    late: usize,
}

#[derive(Clone, Copy)]
struct How {
    batch: usize,
    shards: usize,
    restart: bool,
    alarm: AlarmPlan,
}

const PLAIN: How = How { batch: 64, shards: 1, restart: false, alarm: AlarmPlan::PValue(0.02) };

/// Runs events, with the entries that an earlier run had written down; without them, writes them down.
fn run(events: &[Event], how: How, entries: &mut Option<Entries>) -> Outcome {
    let mut plan = plan(how.shards);
    plan.streams[0].alarm = how.alarm;
    let mut engines: Vec<Engine> = (0..how.shards).map(|_| Engine::new(&plan)).collect();
    let mut out = Outputs { judged: Some(Vec::new()), ..Outputs::default() };
    let mut written = Entries::new();
    let mut slots: Vec<Slot> = (0..how.shards).map(|_| Slot::default()).collect();
    for (i, event) in events.iter().enumerate() {
        let due: Vec<_> =
            entries.iter().flatten().filter(|(at, _)| *at == i).map(|(_, risks)| risks).collect();
        if i % how.batch == 0 || !due.is_empty() {
            step(&mut engines, &mut slots, &mut out);
            due.iter()
                .for_each(|risks| engines.iter_mut().for_each(|engine| engine.set_risks(STREAM, risks)));
            if entries.is_none() {
                let risks = engines[0].risks_due(STREAM);
                if !risks.is_empty() {
                    engines[0].set_risks(STREAM, &risks);
                    written.push((i, risks));
                }
            }
            if how.restart && (how.batch == 1 || i % (how.batch * 7) == 0) {
                let before = entries.as_deref().expect("a second run").iter().filter(|(at, _)| *at <= i);
                engines = engines.iter().map(|engine| restored(engine, &plan, i, before.clone())).collect();
            }
        }
        let values = event.values();
        let record = event.record(&values, i as u64);
        slots[PartitionId::of(record.key_hash).shard(how.shards)].push(record);
    }
    step(&mut engines, &mut slots, &mut out);
    let mut outcome = Outcome { late: out.late.len(), ..Outcome::default() };
    for engine in &mut engines {
        engine.end_of_input(STREAM, Position(u64::MAX), &Env::SIMULATED, &mut out);
        engine.changed(|_, partition, counts, _| {
            outcome.digests.insert(partition.0, counts.digest);
            outcome.outcomes += counts.outcomes;
            outcome.duplicates += counts.duplicates;
        });
    }
    outcome.decisions = out.raised.into_iter().map(|raised| raised.decision).collect();
    outcome.decisions.sort_by(|a, b| a.key.cmp(&b.key));
    outcome.judged = out.judged.unwrap_or_default();
    entries.get_or_insert(written);
    outcome
}

fn step(engines: &mut [Engine], slots: &mut [Slot], out: &mut Outputs) {
    for (engine, slot) in engines.iter_mut().zip(slots) {
        engine.step(slot, &Env::SIMULATED, out);
        slot.clear();
    }
}

/// As a start does it: from snapshots, and every entry of before.
fn restored<'a>(
    before: &Engine,
    plan: &Plan,
    next: usize,
    entries: impl Iterator<Item = &'a (usize, Vec<(u32, u16)>)>,
) -> Engine {
    let mut after = Engine::new(plan);
    for id in (0..PARTITIONS as u8).map(PartitionId) {
        let mut state = Vec::new();
        if before.save(STREAM, id, &mut state) {
            let state = StateReader::new(&state);
            let restored =
                after.restore(STREAM, id, Position(next as u64), state, &|_| None, &Env::SIMULATED);
            restored.expect("its own state");
        }
    }
    entries.for_each(|(_, risks)| after.set_risks(STREAM, risks));
    after
}

fn top(decision: &Decision) -> (&str, f64, f64) {
    let column = decision.columns().iter().max_by(|a, b| a.share.total_cmp(&b.share)).expect("columns");
    (&column.column, column.share, column.value.expect("a value"))
}

#[test]
fn batches_shards_and_restarts_do_not_matter() {
    for seed in plant::seeds(2) {
        let events = events(seed, 10);
        let mut entries = None;
        let one = run(&events, PLAIN, &mut entries);
        let written = entries.as_ref().map_or(0, Vec::len);
        assert!((1..200).contains(&written), "{written} entries of {} messages", events.len());
        let terminals = one.decisions.iter().filter(|decision| top(decision).0 == "terminal").count();
        assert!(terminals > 20, "{terminals} of {} decisions, EDDY_SEED={seed}", one.decisions.len());
        assert!(one.outcomes > 100 && one.duplicates > 50 && one.late == 0);
        for (batch, shards, restart) in [(1, 1, false), (500, 4, false), (13, 2, true), (200, 3, true)] {
            let other = run(&events, How { batch, shards, restart, ..PLAIN }, &mut entries);
            let how = format!("EDDY_SEED={seed}, batch {batch}, {shards} shards, restart {restart}");
            assert_eq!(other.decisions, one.decisions, "{how}");
            assert_eq!(other.digests, one.digests, "{how}");
            assert_eq!((other.outcomes, other.duplicates), (one.outcomes, one.duplicates), "{how}");
        }
    }
}

const OF_TOPIC: u64 = 4;

/// As members of a group run it: partitions of the topic are judged each by itself, in an engine that has these alone.
fn run_shared(events: &[Event], of: &[u8], batch: usize, restart: bool) -> Outcome {
    let mut plan = plan(1);
    plan.streams[0].alarm = PLAIN.alarm;
    let begin = || {
        let mut engine = Engine::new(&plan);
        engine.share_among(OF_TOPIC);
        engine
    };
    let (mut engine, mut slot, mut out) = (begin(), Slot::default(), Outputs::default());
    for (i, event) in events.iter().enumerate() {
        if i % batch == 0 {
            engine.step(&slot, &Env::SIMULATED, &mut out);
            slot.clear();
            if restart && i % (batch * 7) == 0 {
                let mut after = begin();
                for id in of.iter().map(|id| PartitionId(*id)) {
                    let mut state = Vec::new();
                    if engine.save(STREAM, id, &mut state) {
                        let state = StateReader::new(&state);
                        let position = Position(i as u64);
                        let restored = after.restore(STREAM, id, position, state, &|_| None, &Env::SIMULATED);
                        restored.expect("its own state");
                    }
                }
                engine = after;
            }
        }
        let (values, id) = (event.values(), (key_hash(event.card.as_bytes()) % OF_TOPIC) as u8);
        if of.contains(&id) {
            slot.push(RecordRef { partition: PartitionId(id), ..event.record(&values, i as u64) });
        }
    }
    engine.step(&slot, &Env::SIMULATED, &mut out);
    let mut outcome = Outcome::default();
    engine.changed(|_, partition, counts, _| {
        outcome.digests.insert(partition.0, counts.digest);
    });
    outcome.decisions = out.raised.into_iter().map(|raised| raised.decision).collect();
    outcome.decisions.sort_by(|a, b| a.key.cmp(&b.key));
    outcome
}

/// What a terminal comes to is each partition's own, and goes with its state: whoever has which others decides the same.
#[test]
fn of_a_shared_topic_each_partition_knows_its_own_second_keys() {
    for seed in plant::seeds(2) {
        let events = events(seed, 10);
        let one = run_shared(&events, &[0, 1, 2, 3], 64, false);
        let terminals = one.decisions.iter().filter(|decision| top(decision).0 == "terminal").count();
        assert!(terminals > 20, "{terminals} of {} decisions, EDDY_SEED={seed}", one.decisions.len());
        let mut members = Outcome::default();
        for (of, batch, restart) in [(&[0, 2][..], 13, true), (&[1], 500, false), (&[3], 1, false)] {
            let member = run_shared(&events, of, batch, restart);
            members.digests.extend(member.digests);
            members.decisions.extend(member.decisions);
        }
        members.decisions.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(members.digests, one.digests, "EDDY_SEED={seed}");
        assert_eq!(members.decisions, one.decisions, "EDDY_SEED={seed}");
    }
}

#[test]
fn the_evidence_names_the_cause() {
    let events = events(5, 10);
    let found = run(&events, PLAIN, &mut None);
    let raised = || found.decisions.iter().filter(|decision| decision.state == AlertState::Raised);
    let of_terminal: Vec<_> = raised().filter(|decision| top(decision).0 == "terminal").collect();
    assert!(of_terminal.len() > 20);
    for decision in of_terminal {
        let (_, share, risk) = top(decision);
        assert!(share > 0.5 && risk > 0.3, "{decision:?}");
        let end = decision.window().expect("a window").window_end.0 - 1;
        let paid = events.iter().find(|event| event.time_ns == end && event.card == decision.key);
        assert_eq!(
            paid.expect("the payment").terminal,
            BAD,
            "the alert is about the payment at that terminal"
        );
        assert_eq!(decision.window().expect("a window").model, "transactions");
        let shares: f64 = decision.columns().iter().map(|column| column.share).sum();
        assert!((shares - 1.0).abs() < 1e-5);
    }
    let mut events = events;
    let last = events.last().expect("events").time_ns;
    let card = events[0].card.clone();
    events.push(Event {
        amount: 900.0,
        terminal: 1,
        card: card.clone(),
        time_ns: last + HOUR_NS,
        outcome: None,
    });
    let found = run(&events, PLAIN, &mut None);
    let of_amount = found.decisions.iter().rfind(|decision| decision.key == card).expect("an alert");
    let (column, share, value) = top(of_amount);
    assert_eq!((column, value), ("amount", 900.0));
    assert!(share > 0.9, "{share}");
    let expected = of_amount.columns()[0].clone();
    assert!(expected.expected < 100.0 && expected.expected_high > expected.expected, "{expected:?}");
}

/// The surprise of each final window of a card, by its end.
fn surprises(found: &Outcome, card: &str) -> BTreeMap<i64, [u32; 2]> {
    let own = found.judged.iter().filter(|judged| &*judged.key == card.as_bytes());
    own.map(|judged| (judged.end.0, judged.surprise.map(f32::to_bits))).collect()
}

#[test]
fn a_first_payment_is_judged_and_an_outcome_acts_from_the_next_epoch_on() {
    // Alone in its partition, a payment each ten seconds.
    let pay = |i: i64, amount| payment(0, START_NS + i * 10 * SECOND_NS, amount, 3);
    let payments: Vec<Event> = (0..60).map(|i| pay(i, if i % 2 == 1 { 30.0 } else { 20.0 })).collect();
    let mut plain = None;
    let without = run(&payments, How { batch: 1, ..PLAIN }, &mut plain);
    assert!(without.judged.iter().all(|judged| judged.verdict.confident), "from the first on");
    assert_eq!(without.judged.len(), payments.len());
    let at = 21;
    let mut told = payments.clone();
    told.insert(at, Event { outcome: Some(true), ..payments[3].clone() });
    // No entry: what the card's own outcome does to it.
    let with = run(&told, How { batch: 1, ..PLAIN }, &mut Some(Entries::new()));
    assert_eq!((with.outcomes, with.late), (1, 0), "days behind, and not late");
    assert_eq!(with.judged.len(), payments.len(), "an outcome opens no window");
    let (before, after) = (surprises(&without, "card-0"), surprises(&with, "card-0"));
    let changed: Vec<i64> = before.iter().filter(|(end, s)| after[end] != **s).map(|(end, _)| *end).collect();
    let first = *changed.first().expect("it acts");
    // The watermark is 30 s behind: some payments of the running epoch are still to become final.
    let watermark = payments[at - 1].time_ns - 30 * SECOND_NS;
    let running = watermark.div_euclid(EPOCH_NS);
    assert!(payments.iter().any(|p| p.time_ns >= watermark && p.time_ns.div_euclid(EPOCH_NS) == running));
    assert_eq!(first.div_euclid(EPOCH_NS), running + 1);
}

#[test]
fn an_outcome_moves_no_watermark_and_comes_once() {
    let payments: Vec<Event> = (0..30).map(|i| payment(0, START_NS + i * 90 * SECOND_NS, 20.0, 3)).collect();
    let mut engine = Engine::new(&plan(1));
    let mut out = Outputs::default();
    let mut position = 0;
    let mut push = |event: &Event| {
        let mut slot = Slot::default();
        let values = event.values();
        slot.push(event.record(&values, position));
        position += 1;
        engine.step(&slot, &Env::SIMULATED, &mut out);
        let mut last = None;
        engine.changed(|_, _, counts, _| last = Some(*counts));
        last.expect("its partition changed")
    };
    let before = payments.iter().map(&mut push).last().expect("payments");
    let future = Event { outcome: Some(true), time_ns: START_NS + 9 * DAY_NS, ..payments[0].clone() };
    let after = push(&future);
    assert_eq!(after.outcomes, 1);
    assert_eq!(
        (after.watermark, after.windows, after.events),
        (before.watermark, before.windows, before.events)
    );
    assert_eq!(after.digest, before.digest);
    let again = push(&future);
    assert_eq!((again.outcomes, again.duplicates), (1, before.duplicates + 1), "a redelivery");
    let other = push(&Event { outcome: Some(false), ..future.clone() });
    assert_eq!((other.outcomes, other.duplicates), (2, before.duplicates + 1), "another outcome");
    let stranger = push(&Event { card: "never-seen".into(), ..future });
    assert_eq!((stranger.outcomes, stranger.keys), (1, 0), "of a card without a payment, in its partition");
    let next = push(&payment(0, START_NS + 30 * 90 * SECOND_NS, 20.0, 3));
    assert_eq!((next.late, next.events), (0, before.events + 1), "nobody was made late");
}

/// What one card's payments showed of a terminal warns the next card, in another partition.
#[test]
fn a_terminal_is_known_over_all_partitions() {
    let mut payments = Vec::new();
    for i in 0..400 {
        payments.push(payment(
            i % CARDS,
            START_NS + i as i64 * 300 * SECOND_NS,
            20.0,
            [BAD, 1, 2, 3, 4, 5, 6, 7, 8, 9][i % 10],
        ));
    }
    let at_bad: Vec<Event> = payments.iter().filter(|event| event.terminal == BAD).cloned().collect();
    let outcomes = at_bad.iter().map(|event| Event { outcome: Some(true), ..event.clone() });
    payments.extend(outcomes);
    let last = START_NS + 400 * 300 * SECOND_NS;
    // Every partition ends an epoch, then another; then a card that never was there pays.
    for minute in [0, 5, 10] {
        payments.extend((0..CARDS).map(|card| payment(card, last + minute * 60 * SECOND_NS, 20.0, 1)));
    }
    let stranger = (0..CARDS).find(|card| at_bad.iter().all(|event| event.card != format!("card-{card}")));
    let stranger = stranger.expect("a card that was never there");
    // The second one lets an epoch begin, and the third is judged in it: what was known is in the snapshot between them.
    for (second, terminal) in [(1200, 1), (1235, 1), (1240, BAD)] {
        payments.push(payment(stranger, last + second * SECOND_NS, 20.0, terminal));
    }
    payments.push(payment(stranger, last + 1500 * SECOND_NS, 20.0, 2));
    let mut entries = None;
    let found = run(&payments, How { batch: 1, ..PLAIN }, &mut entries);
    let [decision, resolved] = &found.decisions[..] else {
        panic!("{:#?}\n{:#?}", found.decisions, found.judged.iter().rev().take(3).collect::<Vec<_>>())
    };
    assert_eq!((&resolved.id, resolved.revision), (&decision.id, 2), "by the card's next sound payment");
    let (column, share, risk) = top(decision);
    assert_eq!((&*decision.key, column), (&*format!("card-{stranger}"), "terminal"));
    assert!(share > 0.9 && risk > 0.8, "{share} {risk}");
    let again = run(&payments, How { batch: 1, shards: 2, restart: true, ..PLAIN }, &mut entries);
    assert_eq!(again.decisions, found.decisions, "with a restart at every message");
    assert_eq!(again.digests, found.digests);
}

/// Three of ten payments are at terminals where six of ten turn out to be fraud, a day later.
fn mostly_fraud(seed: u64) -> Vec<Event> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut timed: Vec<(i64, Event)> = Vec::new();
    for card in 0..CARDS {
        for slot in 0..12 * 6 {
            let time_ns = START_NS + slot * 4 * HOUR_NS + rng.random_range(0..4 * HOUR_NS);
            let bad = rng.random_bool(0.3);
            let terminal = if bad { BAD + rng.random_range(0..10) } else { rng.random_range(0..BAD) };
            let one = payment(card, time_ns, 20.0 * rng.random_range(0.8..1.2f32), terminal);
            if bad && rng.random_bool(0.6) {
                timed.push((time_ns + DAY_NS, Event { outcome: Some(true), ..one.clone() }));
            }
            timed.push((time_ns, one));
        }
    }
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().map(|(_, event)| event).collect()
}

#[test]
fn a_budget_with_room_tells_what_outcomes_call_fraud_rather_than_not_however_common() {
    let events = mostly_fraud(3);
    let common = |alarm| {
        let found = run(&events, How { alarm, ..PLAIN }, &mut None);
        let raised = found.decisions.into_iter().filter(|decision| decision.state == AlertState::Raised);
        let beyond = |decision: &Decision| {
            let window = decision.window().expect("a window");
            window.p_value >= window.threshold
        };
        raised.filter(beyond).collect::<Vec<Decision>>()
    };
    let told = common(AlarmPlan::Budget { per_day: 10_000.0 });
    assert!(told.len() > 50, "{}", told.len());
    for decision in &told {
        let (column, _, risk) = top(decision);
        assert!(column == "terminal" && risk >= 0.5, "{decision:#?}");
        assert_eq!(decision.window().expect("a window").threshold, 0.05, "there is room");
    }
    assert_eq!(common(AlarmPlan::Budget { per_day: 0.1 }), [], "there is none");
    assert_eq!(common(AlarmPlan::PValue(0.05)), [], "who gives a p-value gets what is below it");
}

#[test]
fn further_odd_payments_on_a_card_are_told_of_as_revisions() {
    let mut events: Vec<Event> =
        (0..200).map(|i| payment(0, START_NS + i * HOUR_NS, [20.0, 30.0, 25.0][i as usize % 3], 1)).collect();
    let begun = START_NS + 200 * HOUR_NS;
    // Five payments, ten minutes from each other; sixteen within a minute; one as ever.
    let slow = (0..5).map(|i| (begun + i * 600 * SECOND_NS, 900.0 + i as f32));
    let fast = (0..16).map(|i| (begun + (3600 + 3 * i) * SECOND_NS, 910.0 + i as f32));
    let sound = [(begun + 2 * HOUR_NS, 25.0)];
    for (time_ns, amount) in slow.chain(fast).chain(sound) {
        events.push(payment(0, time_ns, amount, 1));
    }
    // A row behind it makes the last ones final.
    events.push(payment(0, begun + 3 * HOUR_NS, 25.0, 1));
    let mut entries = None;
    let found = run(&events, How { batch: 1, ..PLAIN }, &mut entries);
    let told: Vec<(AlertState, u32, Option<u32>, f64)> = found
        .decisions
        .iter()
        .map(|decision| {
            let of = decision.window().expect("a window").transactions_anomalous;
            (decision.state, decision.revision, of, decision.columns()[0].value.expect("an amount"))
        })
        .collect();
    use AlertState::{Raised, Resolved, Revised};
    let slow = [
        (Raised, 1, Some(1), 900.0),
        (Revised, 2, Some(2), 901.0),
        (Revised, 3, Some(3), 902.0),
        (Revised, 4, Some(4), 903.0),
        (Revised, 5, Some(5), 904.0),
    ];
    assert_eq!(told[..5], slow);
    // The first of the burst, and the tenth as twice as many as five and one ... until all is well.
    assert_eq!(told[5], (Revised, 6, Some(6), 910.0));
    assert_eq!(told[6..], [(Revised, 7, Some(12), 916.0), (Resolved, 8, Some(21), 25.0)]);
    let again = run(&events, How { batch: 7, restart: true, ..PLAIN }, &mut entries);
    assert_eq!(again.decisions, found.decisions);
}
