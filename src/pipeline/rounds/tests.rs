//! Turns, failed saves and what is told of partitions.

use super::*;

const LEDGER: Due = Due::Ledger { whole: true };

fn of(restored: &[Option<u64>], every_ns: u64) -> Rounds {
    let begun = |at: &Option<u64>| Begun { restored: at.map(Position), ..Begun::default() };
    Rounds::new(Duration::from_nanos(every_ns), 0, &restored.iter().map(begun).collect::<Vec<_>>())
}

/// Runs one round of 300 ns with two partitions; what was due, and when.
fn round(rounds: &mut Rounds, from: i64, position: u64, done: bool) -> Vec<(i64, Due)> {
    let mut all = Vec::new();
    for now in from + 1..=from + 300 {
        if let Some((due, turn)) = rounds.due(now, Position(position)) {
            all.push((now - from, due));
            if done {
                turn.done();
            }
        }
    }
    all
}

#[test]
fn changed_partitions_have_their_turns_spread_over_the_interval() {
    let mut rounds = of(&[None, None], 300);
    rounds.row(0, Position(3));
    rounds.row(1, Position(4));
    let all = [(100, Due::Partition(0)), (200, Due::Partition(1)), (300, LEDGER)];
    assert_eq!(round(&mut rounds, 0, 5, true), all);
    assert_eq!(rounds.standings(), [Standing::SavedAt(Position(5)); 2]);
    rounds.row(1, Position(5));
    // The first is unchanged, but has one snapshot only.
    assert_eq!(round(&mut rounds, 300, 6, true), all);
    rounds.row(1, Position(6));
    assert_eq!(round(&mut rounds, 600, 7, true), all[1..]);
    assert_eq!(rounds.standings(), [6, 7].map(|at| Standing::SavedAt(Position(at))));
    assert_eq!(round(&mut rounds, 900, 7, true), [], "nothing has come since");
}

#[test]
fn what_was_not_written_is_due_again_and_not_called_saved() {
    let mut rounds = of(&[Some(1), None, None], 400);
    rounds.row(0, Position(3));
    rounds.row(2, Position(4));
    let (due, turn) = rounds.due(100, Position(5)).expect("the first");
    assert_eq!(due, Due::Partition(0));
    drop(turn);
    rounds.due(300, Position(5)).expect("the third").1.done();
    rounds.row(2, Position(5));
    let (due, turn) = rounds.due(400, Position(6)).expect("the ledger");
    assert_eq!(due, Due::Ledger { whole: false });
    let [of_0, of_4] = [0, 4].map(|first| Standing::Changed { first: Position(first) });
    assert_eq!(rounds.standings(), [of_0, Standing::Empty, of_4]);
    turn.done();
    let (due, turn) = rounds.due(500, Position(6)).expect("the first again");
    assert_eq!(due, Due::Partition(0));
    turn.done();
    assert_eq!(rounds.standings()[0], Standing::SavedAt(Position(6)));
}

#[test]
fn one_that_waited_for_room_is_due_again_at_once() {
    let mut rounds = of(&[None, None], 300);
    rounds.row(0, Position(3));
    rounds.due(100, Position(4)).expect("the partition").1.make_room(1 << 21);
    while rounds.busy() {
        std::thread::yield_now();
    }
    let (due, turn) = rounds.due(101, Position(4)).expect("the same");
    assert_eq!(due, Due::Partition(0));
    turn.give_back(turn.buffer(1 << 21).expect("room was made"));
    turn.done();
    let (due, turn) = rounds.due(300, Position(4)).expect("the ledger");
    assert_eq!(due, LEDGER);
    turn.give_back(vec![0; 100]);
    turn.done();
    rounds.row(0, Position(4));
    let (_, turn) = rounds.due(400, Position(5)).expect("the partition");
    assert!(turn.buffer(1 << 21).is_some(), "the ledger's has not taken its place");
}

#[test]
fn what_lies_before_a_reset_is_no_part_of_the_stream() {
    let mut begun = [Begun::default(); 2 * PARTITIONS];
    begun[PARTITIONS..].fill(Begun { restored: None, beginning: Position(10) });
    let rounds = Rounds::new(Duration::from_nanos(200), 0, &begun);
    let gone = |stream, position| rounds.is_gone(StreamId(stream), Position(position));
    assert_eq!([gone(0, 0), gone(1, 9), gone(1, 10)], [false, true, false]);
}

#[test]
fn a_clock_set_back_begins_a_new_interval() {
    let mut rounds = Rounds::new(Duration::from_nanos(300), 1_000, &[Begun::default(); 2]);
    rounds.row(0, Position(3));
    assert!(rounds.due(500, Position(4)).is_none());
    let due = rounds.due(600, Position(4)).map(|(due, _)| due);
    assert_eq!(due, Some(Due::Partition(0)));
}

#[test]
fn at_a_stop_what_failed_is_due_again_at_once() {
    let mut rounds = of(&[None, None], 3_600_000_000_000);
    rounds.row(0, Position(3));
    rounds.hurry();
    drop(rounds.due(1, Position(4)).expect("the partition").1);
    drop(rounds.due(1, Position(4)).expect("the ledger").1);
    assert!(rounds.unsaved(Position(4)));
    rounds.hurry();
    let (due, turn) = rounds.due(1, Position(4)).expect("the partition again");
    assert_eq!(due, Due::Partition(0));
    turn.done();
    assert!(rounds.unsaved(Position(4)), "the ledger");
    let (due, turn) = rounds.due(1, Position(4)).expect("the ledger again");
    assert_eq!(due, LEDGER);
    turn.done();
    assert!(!rounds.unsaved(Position(4)));
    assert_eq!(rounds.standings()[0], Standing::SavedAt(Position(4)));
}

#[test]
fn one_save_is_under_way_at_a_time() {
    let mut rounds = of(&[None, None], 300);
    rounds.row(0, Position(3));
    rounds.row(1, Position(3));
    let first = rounds.due(300, Position(4)).unwrap();
    assert!(rounds.due(300, Position(4)).is_none());
    drop(first);
    assert_eq!(rounds.due(300, Position(4)).unwrap().0, Due::Partition(1));
}
