//! Windows that events make: sliding, session, count.

use std::time::Duration;

use super::super::super::plan::{Shape, WindowPlan};
use super::super::super::section::Section;
use super::super::super::units::show_duration;
use super::{CELLS_MAX, LATENESS_DEFAULT, LATENESS_MAX, SHORTEST, SIZE_MAX, cuts, size};

pub(super) fn sliding(section: &mut Section<'_>) -> Option<WindowPlan> {
    let size = size(section);
    let grid = section.maybe("grid", |field| field.duration(SHORTEST..=SIZE_MAX));
    let lateness = lateness(section);
    let (size, grid) = (size?, grid?);
    let grid = grid.unwrap_or(size);
    if !cuts(section.here(), size, grid) {
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
