//! `window`: how event time is cut up.

mod events;

use std::time::Duration;

use super::super::field::Field;
use super::super::kind::{Kind, choose};
use super::super::plan::{Shape, WindowPlan};
use super::super::section::Section;
use super::super::units::show_duration;

/// Reads the keys of one `type`.
pub type Parse = fn(&mut Section<'_>) -> Option<WindowPlan>;

pub const KINDS: &[Kind<Parse>] = &[
    Kind {
        name: "tumbling",
        summary: "one after the other: each event is in one window",
        example: r#"window = { type = "tumbling", size = "1m" }"#,
        parse: |section| {
            let size = size(section);
            grid(section, size.map(|size| (size, size)))
        },
    },
    Kind {
        name: "hopping",
        summary: "a window of `size` every `every`: verdicts come sooner",
        example: r#"window = { type = "hopping", size = "64s", every = "1s", grid = "1s", lateness = "10s" }"#,
        parse: |section| {
            let lengths = hopping(section);
            grid(section, lengths)
        },
    },
    Kind {
        name: "sliding",
        summary: "a window of `size` behind every event: a verdict on each, at once",
        example: r#"window = { type = "sliding", size = "10m", lateness = "1m" }"#,
        parse: events::sliding,
    },
    Kind {
        name: "session",
        summary: "what a key does without a pause of `gap`: a verdict when it ends",
        example: r#"window = { type = "session", gap = "5m", max = "2h", lateness = "10s" }"#,
        parse: events::session,
    },
    Kind {
        name: "count",
        summary: "the last `size` events of a key, after each `every` of them",
        example: r#"window = { type = "count", size = 16, every = 4, lateness = "10s" }"#,
        parse: events::count,
    },
];

const SHORTEST: Duration = Duration::from_millis(1);
const SIZE_MAX: Duration = Duration::from_secs(31 * 86_400);
const LATENESS_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Devices disagree by seconds and networks reorder: less than this loses events on most sites.
const LATENESS_DEFAULT: Duration = Duration::from_secs(10);
const CELLS_MAX: usize = 1024;
/// Cells that may wait for the watermark; each partition keeps a bucket for each.
const LATENESS_CELLS_MAX: u128 = 10_000;
/// What a default grid aims at: fine enough for a shape, coarse enough for a small model.
const CELLS_DEFAULT_MAX: u128 = 64;
/// Steps people think in, ms.
const STEPS_MS: [u64; 23] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000,
    300_000, 600_000, 900_000, 1_800_000, 3_600_000, 21_600_000,
];

pub fn parse(field: &Field<'_>) -> Option<WindowPlan> {
    let mut section = field.section()?;
    let kind = choose(&mut section, KINDS)?;
    let plan = (kind.parse)(&mut section);
    section.finish();
    plan
}

/// The rest of a window on a grid, given its `size` and `every`.
fn grid(section: &mut Section<'_>, lengths: Option<(Duration, Duration)>) -> Option<WindowPlan> {
    let grid = section.maybe("grid", |field| field.duration(SHORTEST..=SIZE_MAX));
    let lateness = section.maybe("lateness", |field| field.duration(Duration::ZERO..=LATENESS_MAX));
    let disorder = section.maybe("disorder", |field| field.duration(Duration::ZERO..=LATENESS_MAX));
    let (size, every) = lengths?;
    let grid = grid?.unwrap_or_else(|| grid_default(size, every));
    let (disorder, lateness) = (disorder?, lateness?);
    let lateness =
        lateness.unwrap_or_else(|| round_up(LATENESS_DEFAULT.max(disorder.unwrap_or_default()), grid));
    let disorder = disorder.unwrap_or(lateness);
    let plan = WindowPlan { shape: Shape::Grid, size, every, grid, disorder, lateness };
    check(section.here(), &plan).then_some(plan)
}

fn size(section: &mut Section<'_>) -> Option<Duration> {
    section.required("size", "\"64s\"")?.duration(SHORTEST..=SIZE_MAX)
}

fn hopping(section: &mut Section<'_>) -> Option<(Duration, Duration)> {
    let size = size(section);
    let every = section.required("every", "\"1s\"").and_then(|field| field.duration(SHORTEST..=SIZE_MAX));
    let (size, every) = (size?, every?);
    if is_multiple(size, every) {
        return Some((size, every));
    }
    section.here().locate("every").problem(
        format!("\"{}\" does not divide size {}", show_duration(every), show_duration(size)),
        format!("Use {}, or make size a multiple.", divisors_near(size, every)),
    );
    None
}

/// `every` for hopping windows: each verdict brings one new cell. Else the finest usual step that cuts
/// the window into at most 64 cells.
fn grid_default(size: Duration, every: Duration) -> Duration {
    if every < size {
        return every;
    }
    STEPS_MS
        .into_iter()
        .map(Duration::from_millis)
        .find(|step| is_multiple(size, *step) && size.as_nanos() / step.as_nanos() <= CELLS_DEFAULT_MAX)
        .unwrap_or(size)
}

/// Holds the plan to what is promised on [`WindowPlan`].
fn check(here: &Field<'_>, plan: &WindowPlan) -> bool {
    let grid = show_duration(plan.grid);
    let mut fits = cuts(here, plan.size, plan.grid);
    let whole = fits;
    let mut refuse = |key: &str, fault: String, remedy: String| {
        here.locate(key).problem(fault, remedy);
        fits = false;
    };
    if whole && !is_multiple(plan.every, plan.grid) {
        let every = show_duration(plan.every);
        let remedy = format!("Use {}, or make every a multiple.", divisors_near(plan.every, plan.grid));
        refuse("grid", format!("\"{grid}\" does not divide every {every}"), remedy);
    }
    if !is_multiple(plan.lateness, plan.grid) {
        let near = show_duration(round_up(plan.lateness, plan.grid));
        let fault = format!("\"{}\" is not a multiple of grid {grid}", show_duration(plan.lateness));
        refuse("lateness", fault, format!("Use \"{near}\"."));
    } else if plan.lateness.as_nanos() / plan.grid.as_nanos() > LATENESS_CELLS_MAX {
        let fault =
            format!("\"{}\" is more than {LATENESS_CELLS_MAX} cells of {grid}", show_duration(plan.lateness));
        refuse(
            "lateness",
            fault,
            "Use a coarser grid or less lateness: every cell is held in memory.".to_owned(),
        );
    }
    if plan.disorder > plan.lateness {
        let lateness = show_duration(plan.lateness);
        let fault = format!("\"{}\" is more than lateness {lateness}", show_duration(plan.disorder));
        refuse("disorder", fault, format!("Use at most \"{lateness}\", or raise lateness."));
    } else if plan.disorder < plan.lateness && !is_multiple(plan.disorder, plan.grid) {
        let near = show_duration(round_up(plan.disorder, plan.grid));
        let fault = format!("\"{}\" is not a multiple of grid {grid}", show_duration(plan.disorder));
        refuse("disorder", fault, format!("Use \"{near}\"."));
    }
    fits
}

/// Whether the grid cuts a window into whole cells, and no more than a model takes.
fn cuts(here: &Field<'_>, size: Duration, grid: Duration) -> bool {
    let cells = size.as_nanos() / grid.as_nanos();
    let (size_shown, grid_shown) = (show_duration(size), show_duration(grid));
    let (fault, remedy) = if !is_multiple(size, grid) {
        let remedy = format!("Use {}, or make size a multiple.", divisors_near(size, grid));
        (format!("\"{grid_shown}\" does not divide size {size_shown}"), remedy)
    } else if cells > CELLS_MAX as u128 {
        let remedy = format!("Keep it to {CELLS_MAX}: use a coarser grid or a shorter size.");
        (format!("cuts a window of {size_shown} into {cells} cells"), remedy)
    } else {
        return true;
    };
    here.locate("grid").problem(fault, remedy);
    false
}

fn is_multiple(length: Duration, step: Duration) -> bool {
    length.as_nanos().is_multiple_of(step.as_nanos())
}

fn round_up(length: Duration, step: Duration) -> Duration {
    let steps = length.as_nanos().div_ceil(step.as_nanos());
    // Both are bounded to days, so the product fits.
    Duration::from_nanos((steps * step.as_nanos()) as u64)
}

/// The two lengths next to `wish` that divide `size`: whole seconds where both are, else whole ms.
fn divisors_near(size: Duration, wish: Duration) -> String {
    let unit_ms = if size.subsec_nanos() == 0 && wish.subsec_nanos() == 0 { 1000 } else { 1 };
    let (whole, wish) = (size.as_millis() as u64 / unit_ms, wish.as_millis() as u64 / unit_ms);
    let small = (1..=whole.isqrt()).filter(|divisor| whole.is_multiple_of(*divisor));
    let (mut below, mut above) = (1, whole);
    for divisor in small.flat_map(|divisor| [divisor, whole / divisor]) {
        if divisor <= wish {
            below = below.max(divisor);
        } else {
            above = above.min(divisor);
        }
    }
    let show = |length: u64| format!("\"{}\"", show_duration(Duration::from_millis(length * unit_ms)));
    if below == above { show(below) } else { format!("{} or {}", show(below), show(above)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn default_grids() {
        assert_eq!(grid_default(seconds(64), seconds(1)), seconds(1));
        assert_eq!(grid_default(seconds(600), seconds(60)), seconds(60));
        assert_eq!(grid_default(seconds(64), seconds(64)), seconds(1));
        assert_eq!(grid_default(seconds(600), seconds(600)), seconds(10));
        assert_eq!(grid_default(seconds(3600), seconds(3600)), seconds(60));
        // 67 s is prime: no usual step divides it into few cells.
        assert_eq!(grid_default(seconds(67), seconds(67)), seconds(67));
    }

    #[test]
    fn nearest_divisors() {
        assert_eq!(divisors_near(seconds(64), seconds(3)), "\"2s\" or \"4s\"");
        assert_eq!(divisors_near(seconds(10), Duration::from_millis(300)), "\"250ms\" or \"400ms\"");
        assert_eq!(divisors_near(seconds(60), seconds(90)), "\"1m\"");
    }

    #[test]
    fn lateness_is_rounded_up_to_the_grid() {
        assert_eq!(round_up(seconds(10), seconds(60)), seconds(60));
        assert_eq!(round_up(seconds(10), seconds(3)), seconds(12));
        assert_eq!(round_up(seconds(0), seconds(3)), seconds(0));
    }
}
