//! Windows that events make: sliding, session, count.

use std::time::Duration;

use super::super::super::plan::{Shape, WindowPlan};
use super::super::super::section::Section;
use super::super::super::units::show_duration;
use super::{
    CELLS_MAX, LATENESS_DEFAULT, LATENESS_MAX, SHORTEST, SIZE_MAX, divisors_near, is_multiple, size,
};

pub(super) fn sliding(section: &mut Section<'_>) -> Option<WindowPlan> {
    let size = size(section);
    let grid = section.maybe("grid", |field| field.duration(SHORTEST..=SIZE_MAX));
    let lateness = lateness(section);
    let (size, grid) = (size?, grid?);
    let grid = grid.unwrap_or(size);
    let cells = size.as_nanos() / grid.as_nanos();
    if !is_multiple(size, grid) || cells == 0 {
        section.here().locate("grid").problem(
            format!("\"{}\" does not divide size {}", show_duration(grid), show_duration(size)),
            format!("Use {}, or make size a multiple.", divisors_near(size, grid)),
        );
        return None;
    }
    if cells > CELLS_MAX as u128 {
        section.here().locate("grid").problem(
            format!("cuts a window of {} into {cells} cells", show_duration(size)),
            format!("Keep it to {CELLS_MAX}: use a coarser grid or a shorter size."),
        );
        return None;
    }
    plan(Shape::Sliding, size, grid, lateness?)
}

pub(super) fn session(section: &mut Section<'_>) -> Option<WindowPlan> {
    let gap = section.required("gap", "\"5m\"").and_then(|field| field.duration(SHORTEST..=SIZE_MAX));
    let longest = section.required("max", "\"2h\"").and_then(|field| field.duration(SHORTEST..=SIZE_MAX));
    let lateness = lateness(section);
    let (gap, longest) = (gap?, longest?);
    if longest < gap {
        section.here().locate("max").problem(
            format!("\"{}\" is less than gap {}", show_duration(longest), show_duration(gap)),
            format!("Use at least \"{}\".", show_duration(gap)),
        );
        return None;
    }
    plan(Shape::Session { gap }, longest, longest, lateness?)
}

pub(super) fn count(section: &mut Section<'_>) -> Option<WindowPlan> {
    let events = section.required("size", "16").and_then(|field| field.integer(1..=CELLS_MAX as i64));
    let every = section.or("every", 1, |field| field.integer(1..=CELLS_MAX as i64));
    let lateness = lateness(section);
    let (events, every) = (events?, every?);
    if every > events {
        section.here().locate("every").problem(
            format!("{every} is more than size {events}: events between two windows would be in none"),
            format!("Use at most {events}."),
        );
        return None;
    }
    let shape = Shape::Count { events: events as u32, every: every as u32 };
    plan(shape, Duration::ZERO, Duration::ZERO, lateness?)
}

fn lateness(section: &mut Section<'_>) -> Option<Duration> {
    section.or("lateness", LATENESS_DEFAULT, |field| field.duration(Duration::ZERO..=LATENESS_MAX))
}

fn plan(shape: Shape, size: Duration, grid: Duration, lateness: Duration) -> Option<WindowPlan> {
    Some(WindowPlan { shape, size, every: Duration::ZERO, grid, disorder: lateness, lateness })
}
