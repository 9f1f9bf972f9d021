use super::*;
use proptest::prelude::*;

proptest! {
    /// Several keys that are quiet and come back, their rings going round among them.
    #[test]
    fn who_has_which_ring_shows_in_no_window(
        steps in proptest::collection::vec((0u32..4, 0i64..9, any::<bool>()), 1..80),
    ) {
        let mut grid = Grid::new(5, 7, 1);
        (0..4).for_each(|_| grid.add_key());
        let mut oracle = std::collections::BTreeMap::new();
        let mut now = 50;
        for (i, (key, step, rests)) in steps.into_iter().enumerate() {
            now += step;
            grid.write(key, now, &[i as f32], 0);
            oracle.insert((key, now), i as f32);
            if rests {
                (0..4).for_each(|key| grid.rest(key, now - 7));
            }
            for (key, last) in (0..4).flat_map(|key| (now - 2..=now + 1).map(move |last| (key, last))) {
                let mut out = Vec::new();
                grid.gather(key, last, &mut out);
                let expected: Vec<f32> = (last - 4..=last)
                    .map(|cell| oracle.get(&(key, cell)).copied().unwrap_or(f32::NAN))
                    .collect();
                let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&out), bits(&expected));
            }
        }
        let used = grid.rings.iter().filter(|ring| **ring != NONE).count();
        prop_assert_eq!(used + grid.free.len(), grid.values.len() / 7, "every ring is somebody's or free");
    }
}

#[test]
fn missing_cells_stay_missing() {
    let mut grid = Grid::new(4, 4, 1);
    grid.add_key();
    grid.write(0, 10, &[1.0], 5);
    grid.write(0, 12, &[3.0], 6);
    let mut out = Vec::new();
    grid.gather(0, 13, &mut out);
    let shown: Vec<String> = out.iter().map(|v| v.to_string()).collect();
    assert_eq!(shown, ["1", "NaN", "3", "NaN"]);
    assert!(grid.active(0, 15));
    assert!(!grid.active(0, 16));
}

proptest! {
    #[test]
    fn windows_of_the_past_show_what_late_rows_changed(
        steps in proptest::collection::vec((1i64..4, 0i64..7), 1..60), back in 0i64..=6,
    ) {
        let mut grid = Grid::new(5, 11, 1);
        grid.add_key();
        let mut oracle = std::collections::BTreeMap::new();
        let mut newest = 100;
        for (i, (step, late)) in steps.iter().enumerate() {
            newest += step;
            grid.write(0, newest, &[i as f32], 0);
            oracle.insert(newest, i as f32);
            let cell = newest - late.min(&6);
            grid.rewrite(0, cell, &[-(i as f32)], 0);
            oracle.insert(cell, -(i as f32));
        }
        let last = newest - back;
        let mut out = Vec::new();
        grid.gather(0, last, &mut out);
        let expected: Vec<f32> =
            (last - 4..=last).map(|c| oracle.get(&c).copied().unwrap_or(f32::NAN)).collect();
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&out), bits(&expected));
    }

    #[test]
    fn gather_equals_a_map_of_cells(steps in proptest::collection::vec(1i64..9, 1..40), ahead in 0i64..6) {
        let mut grid = Grid::new(5, 5, 2);
        grid.add_key();
        let mut oracle = std::collections::BTreeMap::new();
        let mut cell = -7;
        for (i, step) in steps.iter().enumerate() {
            cell += step;
            let values = [i as f32, -(i as f32)];
            grid.write(0, cell, &values, 0);
            oracle.insert(cell, values);
        }
        let last = cell + ahead;
        let mut out = Vec::new();
        grid.gather(0, last, &mut out);
        let expected: Vec<f32> =
            (last - 4..=last).flat_map(|c| oracle.get(&c).copied().unwrap_or([f32::NAN; 2])).collect();
        let bits = |v: &[f32]| v.iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() ^ 1 }).collect::<Vec<_>>();
        prop_assert_eq!(bits(&out), bits(&expected));
    }
}

#[test]
fn what_changes_besides_newer_cells_is_told_of() {
    let mut grid = Grid::new(2, 4, 1);
    (0..2).for_each(|_| grid.add_key());
    grid.write(0, 10, &[1.0], 0);
    let first = grid.place(0);
    grid.write(0, 12, &[2.0], 0);
    let newer = grid.place(0);
    assert_eq!((newer.newest, newer.changes), (12, first.changes));
    grid.rewrite(0, 11, &[3.0], 0);
    let late = grid.place(0);
    assert!(late.newest == 12 && late.changes != first.changes);
    grid.rest(0, 20);
    grid.write(1, 20, &[4.0], 0);
    let other = grid.place(1);
    assert!(other.ring == late.ring && other.changes != late.changes);
}
