//! How much of a stream's windows its rows fill: a window with too many empty cells is never judged.

use std::fmt::Write;
use std::time::Duration;

use crate::config::plan::{Layout, ModelPlan, Shape, StreamPlan, WindowPlan};
use crate::config::show_duration;
use crate::engine::footprint::Demand;

/// Of a window's cells, for a verdict to act on, and for a fit to use the window.
const JUDGED: f64 = 0.5;
const FITTED: f64 = 0.8;

/// Rows that come more rarely than cells.
pub struct Filling {
    /// From one value of a column of a key to the next.
    pub interval: Duration,
    /// Of the cells, that get a value.
    pub share: f64,
    is_fitted: bool,
    is_loaded: bool,
    window: WindowPlan,
}

impl Filling {
    /// `None` where every cell gets its value, and where windows have no cells but their rows.
    pub fn of(stream: &StreamPlan, demand: &Demand) -> Option<Filling> {
        let window = stream.window;
        let has_grid = match window.shape {
            Shape::Grid => true,
            Shape::Sliding => window.cells() > 1,
            Shape::Session { .. } | Shape::Count { .. } => false,
        };
        let rows_a_value = match stream.layout {
            Layout::Wide { .. } => 1,
            Layout::Long { .. } => stream.columns.len(),
        };
        let interval_s = demand.keys as f64 * rows_a_value as f64 / demand.rows_per_s;
        let share = window.grid.as_secs_f64() / interval_s;
        let is_fitted = matches!(stream.model, ModelPlan::Fit { .. });
        let is_loaded = matches!(stream.model, ModelPlan::Load { .. });
        (has_grid && share < 1.0).then(|| Filling {
            interval: shown(interval_s),
            share,
            is_fitted,
            is_loaded,
            window,
        })
    }

    pub fn is_enough(&self) -> bool {
        self.share >= if self.is_fitted { FITTED } else { JUDGED }
    }

    /// The line of it below its stream's.
    pub fn describe(&self, text: &mut String) -> std::fmt::Result {
        let [interval, grid] = [self.interval, self.window.grid].map(show_duration);
        // Never all of them: what comes is in some cell.
        let missing = ((1.0 - self.share) * 100.0).min(99.9);
        write!(
            text,
            "  cells: {missing:.1} % are missing, since a key has a value of a column every {interval} and `grid` is {grid}: "
        )?;
        match () {
            () if self.is_enough() => writeln!(text, "enough to be judged"),
            () if self.share >= JUDGED => {
                writeln!(
                    text,
                    "NOT ENOUGH: a model is fitted on windows that have 80 % of them; {}",
                    self.remedy()
                )
            }
            () => {
                writeln!(text, "NOT ENOUGH: no window is judged that has not half of them; {}", self.remedy())
            }
        }
    }

    fn remedy(&self) -> String {
        let coarser = self.coarser().map(|grid| format!("`grid = \"{}\"` in `window`", show_duration(grid)));
        let longer = || {
            let interval = show_duration(self.interval);
            format!("windows must be longer, of cells (`grid`) of {interval} at least")
        };
        // Of other windows than it was trained on it is refused, or judges wrong.
        match (coarser, self.is_loaded) {
            (Some(grid), false) => format!("write {grid}"),
            (Some(grid), true) => format!("train the model with {grid}, then write that here"),
            (None, false) => longer(),
            (None, true) => format!("{}; train the model with such windows", longer()),
        }
    }

    /// The finest grid of these windows in whose cells a value comes.
    fn coarser(&self) -> Option<Duration> {
        let WindowPlan { shape, size, every, .. } = self.window;
        let whole_ms = if shape == Shape::Grid { every } else { size }.as_millis() as u64;
        // Fewer than cells, since the interval is longer than one.
        let cells = whole_ms / self.interval.as_millis() as u64;
        let cells = (1..=cells).rev().find(|cells| whole_ms.is_multiple_of(*cells))?;
        Some(Duration::from_millis(whole_ms / cells))
    }
}

/// As people say it: from ten seconds on to the second, and never shorter than it is.
fn shown(seconds: f64) -> Duration {
    let unit_ms = if seconds < 10.0 { 1.0 } else { 1e3 };
    // A rate is known to no more digits, and what is whole stays whole.
    Duration::from_millis(((seconds * 1e3 / unit_ms - 1e-6).ceil() * unit_ms) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line about 100 keys, if there is one, and whether it is enough.
    fn said(window: &str, rows_per_s: f64) -> Option<(String, bool)> {
        let text = format!(
            "[source.a]\ntype = \"http\"\nlisten = \"127.0.0.1:1\"\n[stream.s]\nfrom = \"a\"\nkey = \"id\"\n\
             time = {{ path = \"t\", unit = \"ms\" }}\ncolumns.x = \"x\"\ncolumns.y = \"y\"\n{window}\n"
        );
        let plan = crate::config::parse(&text, "", &Default::default());
        let plan = plan.unwrap_or_else(|problems| panic!("{problems}"));
        let demand = Demand { keys: 100, rows_per_s, key_bytes: 16 };
        let filling = Filling::of(&plan.streams[0], &demand)?;
        let mut text = String::new();
        filling.describe(&mut text).unwrap();
        Some((text, filling.is_enough()))
    }

    #[test]
    fn rows_that_come_more_rarely_than_cells_are_told_with_a_grid_that_they_fill() {
        let minute = "window = { type = \"tumbling\", size = \"1m\", grid = \"10s\" }";
        assert_eq!(said(minute, 10.0), None, "a row a cell");
        let (told, enough) = said(minute, 9.0).unwrap();
        assert!(told.contains("10.0 % are missing, since a key has a value of a column every 12s"), "{told}");
        assert!(enough && told.contains("`grid` is 10s: enough"), "{told}");
        let (told, enough) = said(minute, 7.0).unwrap();
        assert!(!enough && told.contains("30.0 % are missing") && told.contains("80 % of them"), "{told}");
        let (told, enough) = said(minute, 2.5).unwrap();
        assert!(!enough && told.contains("75.0 % are missing") && told.contains("half of them"), "{told}");
        assert!(told.contains("write `grid = \"1m\"`"), "40 s cut no minute: {told}");
        let (told, _) = said(minute, 0.5).unwrap();
        assert!(told.contains("windows must be longer, of cells (`grid`) of 200s at least"), "{told}");
    }

    #[test]
    fn a_loaded_model_judges_windows_of_which_half_is_there() {
        let window = "model = { type = \"load\", path = \"m\" }\nwindow = { type = \"tumbling\", size = \"1m\", grid = \"10s\" }";
        let enough = |rows_per_s| said(window, rows_per_s).is_none_or(|(_, enough)| enough);
        assert_eq!([7.0, 5.0, 4.9].map(enough), [true, true, false]);
        let (told, _) = said(window, 2.5).unwrap();
        assert!(
            told.contains("; train the model with `grid = \"1m\"` in `window`, then write that here"),
            "{told}"
        );
        let (told, _) = said(window, 0.5).unwrap();
        assert!(told.contains("(`grid`) of 200s at least; train the model with such windows"), "{told}");
    }

    #[test]
    fn one_number_a_row_comes_once_for_every_column() {
        let long =
            "value = \"v\"\ncolumn = \"m\"\nwindow = { type = \"tumbling\", size = \"1m\", grid = \"10s\" }";
        let (told, _) = said(long, 10.0).expect("two rows a cell are needed");
        assert!(told.contains("50.0 % are missing"), "{told}");
        let events = "window = { type = \"count\", size = 16, every = 4 }";
        assert_eq!(said(events, 0.001), None, "its rows are its cells");
    }
}
