//! The demo's cards through the engine, without broker and clock: what is found, by what, and what charge-backs have to do
//! with it.

use std::path::Path;

use eddy::config;
use eddy::config::plan::Plan;
use eddy::demo::cards::frauds::Kind;
use eddy::demo::cards::ledger::Ledger;
use eddy::demo::cards::report::{BURSTS, CARDS, CardReport, Facts};
use eddy::demo::cards::shop::{Shop, Told};
use eddy::demo::cards::{CARDS_START, DAY_NS, FALSE_ALERTS_MAX, holders::card_name};
use eddy::demo::receiver::Received;
use eddy::demo::settings;
use eddy::engine::{Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{Arrival, EventTime, PartitionId, Position, Receipt, RecordRef, StreamId, key_hash};

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
const DAYS: i64 = 30;
/// What the demo sends in the five seconds from one sum of risks to the next.
const RISKS_EVERY: usize = 1_400;

/// `configs/demo.toml` without the pumps.
fn plan() -> Plan {
    let environment =
        settings::environment(1, "http://127.0.0.1:9/", &[7; 32], Path::new("d"), Path::new("m"));
    let mut plan =
        config::parse(settings::CONFIG, "configs/demo.toml", &environment).expect("a sound config");
    plan.streams.retain(|stream| stream.name != settings::PUMPS);
    plan
}

/// Of the stream of that name: its rows hold a payment as its columns want it.
fn push(slot: &mut Slot, stream: StreamId, name: &str, told: &Told, position: u64) {
    let card = card_name(told.payment.card);
    let amount = told.payment.cents as f32 / 100.0;
    let second = if name == CARDS { told.payment.terminal as f32 } else { amount };
    let values = [amount, second];
    slot.push(RecordRef {
        stream,
        key: card.as_bytes(),
        key_hash: key_hash(card.as_bytes()),
        partition: PartitionId::of(key_hash(card.as_bytes())),
        time: told.payment.time,
        arrival: Arrival(told.at.0),
        position: Position(position),
        row: 0,
        values: &values,
        outcome: told.charge_back.then_some(true),
        content_hash: u64::from(amount.to_bits()) << 32 | told.payment.terminal as u64,
    });
}

fn run(seed: u64, charge_backs: bool) -> CardReport {
    let plan = plan();
    let id = |name: &str| {
        StreamId(plan.streams.iter().position(|stream| stream.name == name).expect("a stream") as u16)
    };
    let (cards, bursts) = (id(CARDS), id(BURSTS));
    let mut engine = Engine::new(&plan);
    let (mut shop, mut out, mut position) = (Shop::new(seed, DAYS), Outputs::default(), 0);
    while shop.day() < DAYS {
        for told in shop.next_day().iter().filter(|told| charge_backs || !told.charge_back) {
            let mut slot = Slot::default();
            push(&mut slot, cards, CARDS, told, position);
            if !told.charge_back {
                push(&mut slot, bursts, BURSTS, told, position);
            }
            engine.step(&slot, &Env::SIMULATED, &mut out);
            position += 1;
            if position.is_multiple_of(RISKS_EVERY as u64) {
                let risks = engine.risks_due(cards);
                engine.set_risks(cards, &risks);
            }
        }
    }
    let received: Vec<Received> =
        out.raised.into_iter().filter_map(|raised| received(raised.decision)).collect();
    let reached = EventTime(CARDS_START.0 + DAYS * DAY_NS);
    CardReport::new(Facts::default(), &mut Ledger::new(seed, DAYS), reached, &received)
}

fn received(decision: eddy::types::Decision) -> Option<Received> {
    let (start, end) = decision.span()?;
    Some(Received { at_s: 0.0, decision, start, end, receipt: Receipt::default() })
}

#[test]
fn each_kind_of_fraud_is_found_by_what_is_there_for_it() {
    let reports: Vec<CardReport> = SEEDS.iter().map(|seed| run(*seed, true)).collect();
    reports.iter().for_each(|report| println!("{report}"));
    let sum = |of: &dyn Fn(&CardReport) -> usize| reports.iter().map(of).sum::<usize>();
    let kind = |kind: Kind| move |report: &CardReport| report.kinds[kind as usize].clone();
    let (takeover, drain, terminal) =
        (kind(Kind::Takeover), kind(Kind::TestThenDrain), kind(Kind::TerminalCompromise));
    let drains = sum(&|r| drain(r).injected);
    assert_eq!((sum(&|r| takeover(r).injected), sum(&|r| terminal(r).injected)), (20, 10));
    assert!(drains >= 20);
    let found = sum(&|r| takeover(r).found_by_cards);
    assert!(found >= 16, "takeovers by their amounts: {found} of 20");
    let found = sum(&|r| drain(r).found_by_bursts);
    assert!(found * 10 >= drains * 7, "test, then drain by what came within minutes: {found} of {drains}");
    assert!(sum(&|r| drain(r).found_by_cards) <= 6, "one by one they are usual");
    let found = sum(&|r| terminal(r).found_by_cards);
    assert!(found >= 8, "terminals by their charge-backs: {found} of 10");
    for report in &reports {
        let (alerts, payments) = (report.alerts_false, report.payments);
        assert!(alerts < FALSE_ALERTS_MAX, "{alerts} false alerts on {payments} payments");
        assert!(report.found_by_amount_alone * 2 < report.injected);
    }
}

#[test]
fn without_charge_backs_no_terminal_is_found() {
    for seed in &SEEDS[..2] {
        let report = run(*seed, false);
        let terminal = &report.kinds[Kind::TerminalCompromise as usize];
        assert_eq!((terminal.injected, terminal.found), (2, 0), "{report}");
        assert!(report.kinds[Kind::Takeover as usize].found >= 3, "all else is as before: {report}");
    }
}
