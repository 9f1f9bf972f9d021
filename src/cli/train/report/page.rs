//! The report as one HTML page: no script, no request, both themes.

use askama::Template;

use super::columns::{ColumnFacts, Role};
use super::facts::{Facts, LevelFacts};
use super::svg::{self, Svg};
use super::windows::{Expected, Trace, WindowFacts};
use super::words::{self, codes, count, duration, likelihood, number, odds, percent, value, with_unit};
use crate::dashboard::format::NONE;
use crate::model::CohortCard;
use crate::model::pyramid::{Candidate, Tuned};

#[derive(Template)]
#[template(path = "train_report.html")]
struct Page<'a> {
    facts: &'a Facts,
    table: Vec<(&'static str, String)>,
    version: &'static str,
}

/// The page, whole.
pub fn page(facts: &Facts) -> String {
    let page = Page { facts, table: table(facts), version: env!("CARGO_PKG_VERSION") };
    page.render().unwrap_or_else(|error| unreachable!("the template writes to a text: {error}"))
}

/// Cohorts that are told one by one.
const COHORTS_NAMED: usize = 6;

/// What was looked at, and what came of it.
pub(super) fn table(facts: &Facts) -> Vec<(&'static str, String)> {
    let data = &facts.data;
    let seen = data.seen;
    let files: Vec<String> = data.files.iter().map(|path| path.display().to_string()).collect();
    let mut table = vec![
        ("stream", facts.stream.clone()),
        ("data", files.join(", ")),
        ("rows", format!("{} read, {} refused", count(data.rows), count(data.refused))),
        ("keys", count(seen.keys)),
        (
            "events",
            format!(
                "{} ({} late, {} duplicate)",
                count(seen.events),
                count(seen.late),
                count(seen.duplicates)
            ),
        ),
        (
            "window",
            format!(
                "{} of {} cells of {}",
                duration(facts.window_ns),
                count(facts.cells),
                duration(facts.grid_ns)
            ),
        ),
        (
            "windows",
            format!(
                "{} seen, {} kept, {} fitted on",
                count(seen.windows),
                count(facts.windows_given),
                count(facts.windows_fitted)
            ),
        ),
        ("seed", seed(data.seed)),
        ("model", format!("{} ({}), made on {}", data.model.display(), data.checksum, data.made_on)),
        ("took", duration(data.took.as_nanos() as i64)),
    ];
    if !data.cohorts.is_empty() {
        let at = table.iter().position(|(name, _)| *name == "keys").map_or(0, |at| at + 1);
        table.insert(at, ("cohorts", cohorts(&data.cohorts)));
    }
    table
}

fn seed(of: Option<u64>) -> String {
    match of {
        None => "none: the fit draws no random number, so the same data gives the same model".to_owned(),
        Some(seed) => format!("{seed}, of the order in which fine-tuning took the windows"),
    }
}

/// The largest first.
fn cohorts(cohorts: &[CohortCard]) -> String {
    let mut sorted: Vec<&CohortCard> = cohorts.iter().collect();
    sorted.sort_by_key(|cohort| std::cmp::Reverse((cohort.keys, cohort.training_rows)));
    let one = |of: &&CohortCard| {
        let (keys, windows) = (number(of.keys, "key"), count(of.training_rows));
        format!(
            "{keys} on {windows} windows ({:+.3}, {})",
            of.held_back_gain,
            percent(of.held_back_separation)
        )
    };
    let named: Vec<String> = sorted.iter().take(COHORTS_NAMED).map(one).collect();
    let more = if sorted.len() > named.len() { ", and more" } else { "" };
    let (all, named) = (sorted.len(), named.join(", "));
    format!(
        "{all} have models of their own: {named}{more} (on held-back windows: nats a number over all keys' model, chance to tell them from other keys')"
    )
}

impl Page<'_> {
    fn candidates(&self, at: &usize, level: &LevelFacts) -> Svg {
        svg::candidates(*at, level)
    }

    fn histogram(&self) -> Svg {
        svg::histogram(&self.facts.surprise)
    }

    fn trace(&self, kind: &str, window: &usize, at: &usize, trace: &Trace) -> Svg {
        svg::trace(&format!("{kind}-{}-{}", window + 1, at + 1), trace)
    }

    fn role(&self, column: &ColumnFacts) -> &'static str {
        match column.role {
            Role::Scored => "scored",
            Role::Flag => "flag (0/1): carried, not scored",
        }
    }

    fn still(&self, column: &ColumnFacts) -> String {
        let unit = column.unit.as_deref();
        column.still_below.map_or(NONE.to_owned(), |below| format!("steps under {}", with_unit(below, unit)))
    }

    fn looks_at(&self, level: &LevelFacts) -> String {
        let means = if level.pool > 1 { format!(", as means of {}", level.pool) } else { String::new() };
        format!("{} ({}{means})", duration(level.looks_back_ns), number(level.cells, "cell"))
    }

    fn likelihood(&self, candidate: &Candidate) -> String {
        likelihood(candidate.held_back_log_likelihood)
    }

    fn density(&self, at: &usize, level: &LevelFacts) -> String {
        codes(if *at == 0 { 1 } else { level.codes })
    }

    fn closed_form(&self, of: &Tuned) -> String {
        likelihood(of.held_back_closed_form)
    }

    fn fine_tuned(&self, of: &Tuned) -> String {
        likelihood(of.held_back_tuned)
    }

    fn last(&self, trace: &Trace) -> String {
        with_unit(trace.last(), trace.unit.as_deref())
    }

    fn expected(&self, trace: &Trace) -> String {
        let to = |e: Expected| format!("{} to {}", value(e.low), with_unit(e.high, trace.unit.as_deref()));
        trace.expected.map_or(NONE.to_owned(), to)
    }

    fn share(&self, trace: &Trace) -> String {
        trace.expected.map_or(NONE.to_owned(), |e| percent(e.share))
    }

    fn rarity(&self, window: &WindowFacts) -> String {
        odds(window.p_value)
    }
}
