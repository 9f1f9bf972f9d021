//! The report in the terminal.

use std::fmt::Write as _;

use super::facts::{Facts, LevelFacts};
use super::page::table;
use super::words::{codes, duration, likelihood, number, odds, percent, time, value};

/// The report as lines; control characters of names do not get through.
pub fn text(facts: &Facts) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, what: &str| {
        let plain: String = what.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let _ = writeln!(lines, "{name:<12} {plain}");
    };
    for (name, what) in table(facts).iter().filter(|(name, _)| !["model", "took"].contains(name)) {
        line(name, what);
    }
    for (at, level) in facts.levels.iter().enumerate() {
        line(&format!("level {}", at + 1), &level_line(level));
        if facts.data.seed.is_some() {
            line(&format!("tuned {}", at + 1), &tuned_line(level));
        }
    }
    for threshold in &facts.surprise.thresholds {
        let own = if threshold.configured { ", the stream's p_value" } else { "" };
        let (p, beyond) = (percent(threshold.p), number(threshold.beyond, "training window"));
        line("threshold", &format!("{p} beyond {} nats ({beyond}){own}", value(threshold.surprise)));
    }
    for window in &facts.oddest {
        let shares = window.traces.iter().filter_map(|trace| Some((trace, trace.expected?.share)));
        let blamed: Vec<String> =
            shares.take(3).map(|(trace, share)| format!("{} {}", trace.column, percent(share))).collect();
        let (key, at) = (&window.key, time(window.end_ns));
        line("oddest", &format!("{key} until {at}: {}, {}", odds(window.p_value), blamed.join(", ")));
    }
    for remark in &facts.remarks {
        line("note", &format!("{} {}", remark.what, remark.remedy));
    }
    for (name, what) in table(facts).iter().filter(|(name, _)| ["model", "took"].contains(name)) {
        line(name, what);
    }
    lines
}

/// By density, closed form to fine-tuned.
fn tuned_line(level: &LevelFacts) -> String {
    if level.tuned.is_empty() {
        return "no: too few windows without gaps".to_owned();
    }
    let said = level.tuned.iter().enumerate().map(|(at, of)| {
        format!(
            "{} {} to {} in {} ({})",
            codes(if at == 0 { 1 } else { level.codes }),
            likelihood(of.held_back_closed_form),
            likelihood(of.held_back_tuned),
            number(of.steps, "step"),
            if of.kept { "kept" } else { "not kept" }
        )
    });
    said.collect::<Vec<String>>().join(", ")
}

fn level_line(level: &LevelFacts) -> String {
    let tried: Vec<String> = level
        .candidates
        .iter()
        .map(|candidate| format!("{} {}", candidate.codes, likelihood(candidate.held_back_log_likelihood)))
        .collect();
    format!(
        "{}, {}: {} (held back, nats a dimension, by codes: {})",
        duration(level.looks_back_ns),
        number(level.dimension, "dimension"),
        codes(level.codes),
        tried.join(", ")
    )
}
