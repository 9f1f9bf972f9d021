//! What a sliding window's columns cost an event, by the rows in the window: gathered anew from all of them, as
//! Eddy does, and kept up to date by two stacks, which take rows in order of time only. `cargo bench --bench window`

use std::collections::VecDeque;
use std::time::Instant;

use eddy::config::plan::Aggregate;
use eddy::window::cell::fold_column;
use eddy::window::rows::{KeyRows, RowTime};

const COLUMNS: [Aggregate; 4] = [Aggregate::Count, Aggregate::Sum, Aggregate::Max, Aggregate::Min];
/// Keys in turn, so that each finds its rows out of the cache, as among many keys.
const ROWS_IN_ALL: usize = 4_000_000;
const EVENTS: usize = 200_000;
/// ns
const STEP: i64 = 1_000;

fn values(event: usize) -> [f32; 4] {
    let value = (event.wrapping_mul(2_654_435_761) >> 7) as u16 as f32;
    [1.0, value, value, value]
}

fn rescan(width: usize, keys: usize) -> f64 {
    let mut windows = vec![KeyRows::default(); keys];
    let mut sum = 0.0;
    let mut turn = |event: usize, sum: &mut f64| {
        let (rows, time) = (&mut windows[event % keys], (event / keys) as i64 * STEP);
        rows.insert(RowTime { time, content_hash: event as u64, arrival: time }, &values(event));
        rows.drop_until(time - width as i64 * STEP, COLUMNS.len());
        let values = rows.values(rows.between(time - width as i64 * STEP, time), COLUMNS.len());
        let column =
            |at: usize| fold_column(COLUMNS[at], values[at..].iter().step_by(COLUMNS.len()).copied());
        *sum += (0..COLUMNS.len()).map(|at| f64::from(column(at))).sum::<f64>();
    };
    timed(width, keys, &mut turn, &mut sum)
}

/// Count, sum, largest, smallest.
type Part = (f64, f64, f32, f32);

fn join(a: Part, b: Part) -> Part {
    (a.0 + b.0, a.1 + b.1, a.2.max(b.2), a.3.min(b.3))
}

const NOTHING: Part = (0.0, 0.0, f32::NEG_INFINITY, f32::INFINITY);

/// A queue whose fold is known: what leaves is folded back to front once, what comes is folded as it comes.
#[derive(Clone)]
struct TwoStacks {
    /// Time, and the fold of it and all newer ones of this stack; the oldest last.
    front: Vec<(i64, Part)>,
    back: VecDeque<(i64, Part)>,
    folded: Part,
}

impl TwoStacks {
    fn push(&mut self, time: i64, part: Part) {
        self.back.push_back((time, part));
        self.folded = join(self.folded, part);
    }

    fn drop_until(&mut self, until: i64) {
        loop {
            if self.front.is_empty() {
                let mut fold = NOTHING;
                while let Some((time, part)) = self.back.pop_back() {
                    fold = join(fold, part);
                    self.front.push((time, fold));
                }
                self.folded = NOTHING;
            }
            match self.front.last() {
                Some((time, _)) if *time <= until => self.front.pop(),
                _ => return,
            };
        }
    }

    fn fold(&self) -> Part {
        join(self.front.last().map_or(NOTHING, |(_, part)| *part), self.folded)
    }
}

fn two_stacks(width: usize, keys: usize) -> f64 {
    let mut windows = vec![TwoStacks { front: Vec::new(), back: VecDeque::new(), folded: NOTHING }; keys];
    let mut sum = 0.0;
    let mut turn = |event: usize, sum: &mut f64| {
        let (window, time) = (&mut windows[event % keys], (event / keys) as i64 * STEP);
        let value = values(event);
        window.push(time, (1.0, f64::from(value[1]), value[2], value[3]));
        window.drop_until(time - width as i64 * STEP);
        let (count, total, largest, smallest) = window.fold();
        *sum += count + total + f64::from(largest) + f64::from(smallest);
    };
    timed(width, keys, &mut turn, &mut sum)
}

/// Median of five, ns an event, once every window is full.
fn timed(width: usize, keys: usize, turn: &mut dyn FnMut(usize, &mut f64), sum: &mut f64) -> f64 {
    let filled = width * keys;
    (0..filled).for_each(|event| turn(event, sum));
    let mut taken: Vec<f64> = (0..5)
        .map(|run| {
            let began = Instant::now();
            let from = filled + run * EVENTS;
            (from..from + EVENTS).for_each(|event| turn(event, sum));
            began.elapsed().as_nanos() as f64 / EVENTS as f64
        })
        .collect();
    std::hint::black_box(sum);
    taken.sort_by(f64::total_cmp);
    taken[2]
}

fn main() {
    println!("| rows in the window | rescan, ns an event | two stacks, ns an event |\n|---|---|---|");
    for width in [1, 4, 16, 64, 256, 1024, 4096] {
        let keys = (ROWS_IN_ALL / width).clamp(1, 100_000);
        println!("| {width} | {:.0} | {:.0} |", rescan(width, keys), two_stacks(width, keys));
    }
}
