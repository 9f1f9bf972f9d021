use std::time::Duration;

use super::*;

const SECOND: i64 = 1_000_000_000;

/// Fed like a partition's: one key after another within a cell.
fn onsets(keys: usize, columns: usize, cells: u32, span_s: u64) -> Onsets {
    let plan = OnsetPlan { cells, span: Duration::from_secs(span_s) };
    let mut onsets = Onsets::new(Some(plan), SECOND, columns);
    (0..keys).for_each(|_| onsets.add_key());
    onsets
}

/// Between 0 and 1, and both of them among the first few.
fn value(cell: i64) -> f32 {
    match cell % 50 {
        0 => 0.0,
        1 => 1.0,
        n => n as f32 * 0.618_034 % 1.0,
    }
}

/// What was told, as (cell, revision, ended).
fn told(onsets: &mut Onsets) -> Vec<(i64, u32, Option<i64>)> {
    let told = onsets.turns.drain(..).filter(|turn| turn.does != Does::GoesOn);
    told.map(|turn| (turn.open.cell, turn.open.revision, turn.ended())).collect()
}

#[test]
fn a_range_is_of_enough_cells_and_of_enough_time() {
    // Cells, span, and from one cell with data to the next; the first cell that may be told of.
    for (cells, span_s, every, first) in
        [(100, 500, 1, 500), (100, 50, 1, 100), (100, 900, 10, 1000), (500, 100, 3, 1500)]
    {
        for (wild, is_told) in [(first - every, false), (first, true)] {
            let mut onsets = onsets(1, 1, cells, span_s);
            for cell in (0..=wild).step_by(every as usize) {
                onsets.take(
                    0,
                    cell,
                    &[if cell == wild { 9.0 } else { value(cell) }],
                    &[],
                    &Tolerances::default(),
                );
            }
            let expected = if is_told { vec![(wild, 1, None)] } else { vec![] };
            assert_eq!(told(&mut onsets), expected, "{cells} cells, {span_s} s, every {every} s");
        }
    }
}

#[test]
fn an_onset_is_raised_grows_and_ends_when_its_quiet_time_does() {
    let mut onsets = onsets(2, 1, 100, 0);
    let spikes = [(200, 3.0), (210, 3.1), (220, 30.0)];
    let mut seen = Vec::new();
    for cell in 0..300 {
        let spike = spikes.iter().find(|(at, _)| *at == cell).map(|(_, height)| *height);
        onsets.take(0, cell, &[spike.unwrap_or(value(cell))], &[], &Tolerances::default());
        onsets.take(1, cell, &[value(cell)], &[], &Tolerances::default());
        seen.extend(told(&mut onsets));
    }
    // The quiet time is 40 cells. What is not twice as strong is part of it.
    assert_eq!(seen, [(200, 1, None), (220, 2, None), (220, 3, Some(260))]);
    assert!(onsets.open.is_empty());
}

#[test]
fn a_flag_has_no_range_from_when_it_is_known() {
    for known in [false, true] {
        let mut onsets = onsets(1, 2, 100, 0);
        for cell in 0..200 {
            onsets.take(0, cell, &[value(cell), 0.0], &[], &Tolerances::default());
        }
        let flags = [false, known];
        onsets.forget(&flags);
        onsets.take(0, 200, &[value(200), 1.0], &flags, &Tolerances::default());
        assert_eq!(told(&mut onsets).len(), usize::from(!known));
        // Of two columns one has chances: a record must go as far as if it were alone.
        onsets.take(0, 260, &[1.04, 1.0], &flags, &Tolerances::default());
        assert_eq!(
            told(&mut onsets).len(),
            usize::from(known),
            "a record of 0.04 widths, in an age of 2 warm-ups"
        );
    }
}

#[test]
fn switched_off_nothing_is_kept() {
    let mut onsets = Onsets::new(None, SECOND, 1);
    onsets.add_key();
    (0..900).for_each(|cell| onsets.take(0, cell, &[cell as f32 * cell as f32], &[], &Tolerances::default()));
    assert!(told(&mut onsets).is_empty() && onsets.own.is_empty() && onsets.records.is_empty());
}

#[test]
fn a_budget_asks_for_rarer_records() {
    let wild = |nats: f64| {
        let mut onsets = onsets(1, 1, 100, 0);
        onsets.nats = nats;
        (0..100).for_each(|cell| onsets.take(0, cell, &[value(cell)], &[], &Tolerances::default()));
        onsets.take(0, 100, &[1.5], &[], &Tolerances::default());
        told(&mut onsets).len()
    };
    // H of 100 is 5.19: half a width is as rare as 2.6 nats.
    assert_eq!([wild(0.0), wild(2.5), wild(2.7)], [1, 1, 0]);
}
