//! How far the model can be trusted: what the figures say against it, and what helps.

use super::columns::Role;
use super::facts::{Facts, LevelFacts};
use super::words::{count, number, odds, percent};

/// Windows a dimension of a level needs: below, expectations lean on smoothing more than on the data.
const WINDOWS_PER_DIMENSION: usize = 2;
/// Shares beyond which rows, cells or windows that are not there matter.
const LATE_SHARE: f64 = 0.01;
const REFUSED_SHARE: f64 = 0.01;
const MISSING_SHARE: f64 = 0.2;
const LEFT_OUT_SHARE: f64 = 0.1;
/// Times as many training windows beyond the threshold as chance has there: then the history holds something.
const BEYOND_FACTOR: f64 = 5.0;
const BEYOND_MIN: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub what: String,
    pub remedy: String,
}

fn remark(what: String, remedy: impl Into<String>) -> Remark {
    Remark { what, remedy: remedy.into() }
}

pub(super) fn of(facts: &Facts) -> Vec<Remark> {
    let levels = facts.levels.iter().enumerate();
    let mut remarks: Vec<Remark> =
        levels.filter_map(|(at, level)| thin(at, level, facts.windows_fitted)).collect();
    remarks.extend(left_out_level(facts));
    remarks.extend(threshold(facts));
    remarks.extend(beyond(facts));
    remarks.extend(left_out(facts));
    remarks.extend(rows(facts));
    remarks.extend(columns(facts));
    remarks
}

fn thin(at: usize, level: &LevelFacts, windows: usize) -> Option<Remark> {
    let needed = WINDOWS_PER_DIMENSION * level.dimension;
    (windows < needed).then(|| {
        remark(
            format!(
                "Level {} has {} dimensions and only {} to learn them from, fewer than two for each: what it \
                 expects is smoothed more than learnt.",
                at + 1,
                count(level.dimension),
                number(windows, "window")
            ),
            format!(
                "Give history of at least {} windows, {} times as much as now; or use fewer columns.",
                count(needed),
                needed.div_ceil(windows.max(1))
            ),
        )
    })
}

fn left_out_level(facts: &Facts) -> Option<Remark> {
    let (cells, dimension, needed) = *facts.left_out.iter().max_by_key(|(_, dimension, _)| *dimension)?;
    Some(remark(
        format!(
            "The model does not look back {} cells, which it could: that takes {} dimensions, and {} cannot teach them.",
            count(cells),
            count(dimension),
            number(facts.windows_fitted, "window")
        ),
        format!("Give history of at least {} windows; or use fewer columns.", count(needed)),
    ))
}

/// The chance a window is held to, against how rare a thing so many windows can show.
fn threshold(facts: &Facts) -> Option<Remark> {
    let configured = facts.surprise.thresholds.iter().find(|t| t.configured)?;
    let seen = facts.surprise.references;
    ((seen as f64) < 1.0 / configured.p).then(|| {
        remark(
            format!(
                "The stream's p_value, {}, is rarer than anything {} can show: where it lies is read off the tail \
                 of the distribution.",
                odds(configured.p),
                number(seen, "reference window")
            ),
            "Count the first alerts against what you expect, and move p_value if they are too many or too few.",
        )
    })
}

fn beyond(facts: &Facts) -> Option<Remark> {
    let configured = facts.surprise.thresholds.iter().find(|t| t.configured)?;
    let by_chance = configured.p * facts.windows_given as f64;
    let many = configured.beyond >= BEYOND_MIN && configured.beyond as f64 > BEYOND_FACTOR * by_chance;
    many.then(|| {
        remark(
            format!(
                "{} are rarer than the stream's p_value, {}, where chance alone has {:.1}.",
                number(configured.beyond, "training window"),
                odds(configured.p),
                by_chance
            ),
            "Look at the oddest windows: if one shows a fault, leave its time out of the data and train again.",
        )
    })
}

fn left_out(facts: &Facts) -> Option<Remark> {
    let (given, fitted) = (facts.windows_given, facts.windows_fitted);
    let share = (given - fitted.min(given)) as f64 / given.max(1) as f64;
    (share > LEFT_OUT_SHARE).then(|| {
        remark(
            format!(
                "{} of the windows were left out: less than 80 % of their cells have a value.",
                percent(share)
            ),
            "Use a coarser grid, or leave out columns that seldom come.",
        )
    })
}

fn rows(facts: &Facts) -> Vec<Remark> {
    let (seen, data) = (facts.data.seen, &facts.data);
    let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
    let mut found = Vec::new();
    let refused = share(data.refused, data.rows);
    if refused > REFUSED_SHARE {
        let what = format!("{} of the rows are no events of the stream and were not used.", percent(refused));
        found.push(remark(
            what,
            "The first of each file and its reason were printed while reading; correct them.",
        ));
    }
    let late = share(seen.late, seen.events + seen.late);
    if late > LATE_SHARE {
        let what =
            format!("{} of the events came too late for their windows and were not used.", percent(late));
        found
            .push(remark(what, "Give the files in order of time, the oldest rows first, and merge those that cover the same time."));
    }
    found
}

fn columns(facts: &Facts) -> Vec<Remark> {
    let list = |names: Vec<&str>| names.join(", ");
    let name = |of: &dyn Fn(&super::columns::ColumnFacts) -> bool| -> Vec<&str> {
        facts.columns.iter().filter(|column| of(column)).map(|column| column.name.as_str()).collect()
    };
    let mut found = Vec::new();
    let gaps = name(&|column| column.missing > MISSING_SHARE);
    if !gaps.is_empty() {
        let what = format!("More than a fifth of the cells have no value: {}.", list(gaps));
        found.push(remark(what, "Use a grid no finer than the values come."));
    }
    let constant = name(&|column| column.sd == 0.0 && column.role == Role::Scored);
    if !constant.is_empty() {
        let what = format!("These columns never change, so that any change will be odd: {}.", list(constant));
        found.push(remark(what, "Leave them out, or give history in which they move."));
    }
    found
}
