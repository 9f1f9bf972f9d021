//! The same where rows come late.

use super::*;

#[test]
fn late_rows_leave_what_is_told_of_it_consistent() {
    let rows = stepped(1000, &[200]);
    for seed in plant::seeds(4) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut late: Vec<(i64, &Row)> =
            rows.iter().map(|row| (row.time_ns + rng.random_range(0..8 * SECOND_NS - 1), row)).collect();
        late.sort_by_key(|(at, _)| *at);
        let late: Vec<Row> = late.into_iter().map(|(_, row)| row.clone()).collect();
        let reference = run(&late, Way { disorder_s: 2, ..PLAIN });
        let outcome = run(&late, Way { disorder_s: 2, batch: 1, ..PLAIN });
        assert_eq!(outcome.decisions, reference.decisions, "EDDY_SEED={seed}");
        let mut last: BTreeMap<&str, &Decision> = BTreeMap::new();
        for decision in &outcome.decisions {
            let before = last.insert(&decision.id, decision);
            assert_eq!(before.map_or(0, |before| before.revision) + 1, decision.revision, "EDDY_SEED={seed}");
        }
        let ends: Vec<_> = last.values().filter(|decision| decision.state != Retracted).collect();
        assert_eq!(ends.len(), 1, "EDDY_SEED={seed}: {ends:?}");
        let window = ends[0].window().expect("of the window rule");
        assert_eq!(
            (ends[0].state, window.resolution),
            (Resolved, Some(Resolution::Standing)),
            "EDDY_SEED={seed}"
        );
        assert_eq!(outcome.partitions.values().map(|(open, _)| open).sum::<u64>(), 0, "EDDY_SEED={seed}");
    }
}

/// Rows in the order in which they arrive, each so many seconds late.
fn delayed(rows: Vec<Row>, late_s: impl Fn(&Row) -> i64) -> Vec<Row> {
    let mut late: Vec<(i64, Row)> =
        rows.into_iter().map(|row| (row.time_ns + late_s(&row) * SECOND_NS, row)).collect();
    late.sort_by_key(|(at, _)| *at);
    late.into_iter().map(|(_, row)| row).collect()
}

/// Windows of the first pump that were judged anew.
fn judged_again(outcome: &Outcome) -> usize {
    let mut ends: Vec<i64> = Vec::new();
    let of_first = outcome.judged.iter().filter(|judged| &judged.key[..] == b"pump-0");
    of_first
        .filter(|judged| {
            let again = ends.contains(&judged.end.0);
            ends.push(judged.end.0);
            again
        })
        .count()
}

/// A pump whose readings come fourteen seconds late around the time at which its alert has stood. Another pump of its partition
/// is in time, so that its windows are judged without them first: that it stood, late readings show.
#[test]
fn readings_that_come_late_end_it_once_and_are_learnt() {
    let mut rows = stepped(1000, &[200]);
    joined(&mut rows);
    let is_late = |row: &Row| row.key == "pump-0" && (480..640).contains(&second(row.time_ns));
    let late = delayed(rows, |row| if is_late(row) { 14 } else { 0 });
    let outcome = run(&late, Way { disorder_s: 1, lateness_s: 16, ..PLAIN });
    assert!(judged_again(&outcome) > 50, "{}", judged_again(&outcome));
    let told = story(&outcome);
    let resolved: Vec<_> = told.iter().filter(|(state, ..)| *state == Resolved).collect();
    assert!(told.iter().filter(|(state, ..)| *state == Raised).count() == 1, "{told:?}");
    assert!(resolved.len() == 1 && resolved[0].1 == Some(Resolution::Standing), "{told:?}");
    // It is told of the first window that holds a late reading.
    assert!((480..506).contains(&resolved[0].2), "{told:?}");
}

/// It has stood with the 536th second; readings that come after that show that it was calm just then, and until the epoch
/// ends with the 540th. So nothing is forgotten, and it ends with the next window that is not calm.
#[test]
fn what_late_readings_take_back_is_not_learnt_anew() {
    let (rows, normal) = (stepped(900, &[230]), stepped(900, &[]));
    let calm = normal.iter().filter(|row| row.key == "pump-0" && (514..541).contains(&second(row.time_ns)));
    // So many that the mean of a cell is that of these.
    let copies = calm.flat_map(|row| (1..200).map(|i| Row { time_ns: row.time_ns + i, ..row.clone() }));
    let all: Vec<Row> = rows.iter().cloned().chain(copies).collect();
    let is_late = |row: &Row| row.time_ns % 1_000_000 != 0 && second(row.time_ns) < 530;
    let late = delayed(all, |row| if is_late(row) { 539 - second(row.time_ns) } else { 0 });
    let told = story(&run(&late, Way { disorder_s: 2, lateness_s: 30, ..PLAIN }));
    println!("{told:?}");
    let standing = Some(Resolution::Standing);
    let kinds: Vec<_> = told.iter().map(|(state, resolution, _)| (*state, *resolution)).collect();
    assert_eq!(
        kinds,
        [(Raised, None), (Resolved, standing), (Revised, None), (Resolved, standing)],
        "{told:?}"
    );
    assert!((530..540).contains(&told[1].2) && (541..550).contains(&told[3].2), "{told:?}");
}
