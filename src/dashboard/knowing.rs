//! Whether a word on an alert can act: only on what the engine still knows of it, and only on what went somewhere.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use super::Parts;
use super::alerts::{AlertQuery, AlertRow};
use crate::types::{Decision, LASTS_NS, StreamId, UNSAID_MAX, Word};

/// Revisions of a key that are looked at for later alerts.
const REVISIONS_MAX: usize = 8 * UNSAID_MAX;

/// Of an alert that nothing is said of yet, by its revisions: why the word will not act, with the remedy behind the last
/// colon. What is decided in the same minute may change it.
///
/// # Errors
/// If alerts cannot be read.
pub fn hindrance(parts: &Parts, of: &[AlertRow], word: Word) -> Result<Option<String>, String> {
    let Some(decision) = of.last().map(|row| &row.alert.decision) else { return Ok(None) };
    if decision.key.contains(char::REPLACEMENT_CHARACTER) {
        return Ok(Some(label("the key is no UTF-8, and cannot be found by its name")));
    }
    if word == Word::Expected && !of.iter().any(|row| went_out(&row.alert.decision)) {
        let why = "no column left the band of what was expected of it, so there is nothing to tolerate";
        return Ok(Some(label(why)));
    }
    if newest_ns(parts, &decision.stream).saturating_sub(decision.onset.0) > LASTS_NS {
        return Ok(Some(label("the alert is older than thirty days, and how far it went is forgotten")));
    }
    if later_alerts(parts, decision)? >= UNSAID_MAX {
        let why = format!("how far it went is forgotten, since the key had {UNSAID_MAX} alerts after it");
        return Ok(Some(label(&why)));
    }
    Ok(None)
}

fn label(why: &str) -> String {
    format!("{why}, so this is a label and nothing more: say it of a newer alert, or silence the key")
}

/// A column of a window that has more than half of an equal part of the surprise lies outside its band.
fn went_out(decision: &Decision) -> bool {
    let columns = decision.columns();
    decision.window().is_none()
        || columns.iter().any(|of| {
            let is_out = |value: f64| value < of.expected_low || value > of.expected_high;
            of.share * 2.0 * columns.len() as f64 > 1.0 && of.value.is_some_and(is_out)
        })
}

/// Event time of a stream's partition that is furthest, ns.
fn newest_ns(parts: &Parts, stream: &str) -> i64 {
    let at = parts.plan.streams.iter().position(|plan| plan.name == stream);
    let partitions = at.map_or(&[][..], |at| parts.status.stream(StreamId(at as u16)));
    partitions.iter().map(|of| of.watermark.load(Relaxed)).max().unwrap_or(i64::MIN)
}

fn later_alerts(parts: &Parts, decision: &Decision) -> Result<usize, String> {
    let (stream, key) = (Some(decision.stream.clone()), Some(decision.key.clone()));
    let rows = (parts.alerts.page)(AlertQuery::Page { before: None, limit: REVISIONS_MAX, stream, key })?;
    let is_later = |of: &&Decision| of.onset > decision.onset && of.silence().is_none();
    let later = rows.iter().map(|row| &row.alert.decision).filter(is_later);
    let unsaid = later.filter(|of| parts.status.said.feedback(&of.id).is_none());
    Ok(unsaid.map(|of| of.id.as_str()).collect::<BTreeSet<_>>().len())
}
