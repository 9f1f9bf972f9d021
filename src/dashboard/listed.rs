//! Stored alerts, each once: the revision that raised it, since that one has the evidence, and how it ended.

use serde::Serialize;

use super::Parts;
use super::alerts::{AlertEntry, AlertQuery, AlertRow, Resolution};
use super::api::ApiError;
use crate::status::Said;

/// Which alerts are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Firing,
    Ended,
    /// Firing ones first.
    All,
}

impl Which {
    pub fn as_str(self) -> &'static str {
        match self {
            Which::Firing => "firing",
            Which::Ended => "ended",
            Which::All => "all",
        }
    }

    /// # Errors
    /// With those that there are, if this is none of them.
    pub fn named(name: &str) -> Result<Self, ApiError> {
        let found =
            [Which::Firing, Which::Ended, Which::All].into_iter().find(|which| which.as_str() == name);
        found.ok_or_else(|| ApiError::bad("no such state", "write state=firing, state=ended or state=all"))
    }
}

#[derive(Clone, Debug)]
pub struct Wanted {
    pub which: Which,
    pub stream: Option<String>,
    pub key: Option<String>,
    /// Firing ones to pass over, earliest onset first.
    pub offset: usize,
    /// Ended ones stored before this [`AlertRow::seq`], newest first.
    pub before: Option<i64>,
    pub limit: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Listed {
    /// How many of the stream and key fire, on all pages.
    pub open: usize,
    pub rows: Vec<AlertEntry>,
    /// Where the next page of firing ones goes on; `null` behind the last.
    pub next_offset: Option<usize>,
    /// Where the next page of ended ones goes on; `null` behind the last.
    pub next_before: Option<i64>,
}

/// Reads a page of alerts. Blocks.
///
/// # Errors
/// What the outbox says, for an operator.
pub fn list(parts: &Parts, wanted: &Wanted) -> Result<Listed, String> {
    let fits = |row: &AlertRow| {
        let decision = &row.alert.decision;
        wanted.stream.as_ref().is_none_or(|stream| *stream == decision.stream)
            && wanted.key.as_ref().is_none_or(|key| *key == decision.key)
    };
    let mut open = (parts.alerts.page)(AlertQuery::Open)?;
    open.retain(fits);
    let mut listed = Listed { open: open.len(), ..Listed::default() };
    // Of all of them, those that fire stand on the pages before the first one that goes on from an ended one.
    if wanted.which == Which::Firing || wanted.which == Which::All && wanted.before.is_none() {
        let end = wanted.offset.saturating_add(wanted.limit);
        listed.next_offset = (end < open.len()).then_some(end);
        let page = open.into_iter().skip(wanted.offset).take(wanted.limit).collect();
        listed.rows.extend(entries(page, &parts.status.said));
    }
    if wanted.which != Which::Firing && listed.next_offset.is_none() {
        add_ended(parts, wanted, &mut listed)?;
    }
    Ok(listed)
}

fn add_ended(parts: &Parts, wanted: &Wanted, listed: &mut Listed) -> Result<(), String> {
    let mut before = wanted.before;
    loop {
        let (stream, key) = (wanted.stream.clone(), wanted.key.clone());
        let rows = (parts.alerts.page)(AlertQuery::Page { before, limit: wanted.limit, stream, key })?;
        for row in &rows {
            if listed.rows.len() == wanted.limit {
                // Those that fire may have filled the page.
                listed.next_before = Some(before.unwrap_or(row.seq + 1));
                return Ok(());
            }
            before = Some(row.seq);
            if row.alert.decision.state.is_firing() {
                continue;
            }
            let all = (parts.alerts.page)(AlertQuery::One { id: row.alert.decision.id.clone() })?;
            // An alert that went on, or ended anew, is listed by its newest revision.
            if all.last().is_some_and(|last| last.seq == row.seq) {
                let (at, mut entries) = of_one(all, &parts.status.said);
                listed.rows.push(entries.swap_remove(at));
            }
        }
        if rows.len() < wanted.limit {
            return Ok(());
        }
    }
}

/// The rows, with who has seen the alert.
pub fn entries(rows: Vec<AlertRow>, said: &Said) -> Vec<AlertEntry> {
    let mut entries: Vec<AlertEntry> = rows.into_iter().map(AlertEntry::from).collect();
    entries.iter_mut().for_each(|entry| entry.see(said));
    entries
}

/// Every revision of one alert, first to last, and the place of the last that raised it: that one says how it ended.
/// `rows` is not empty.
pub fn of_one(rows: Vec<AlertRow>, said: &Said) -> (usize, Vec<AlertEntry>) {
    let end = rows.last().filter(|last| !last.alert.decision.state.is_firing()).map(Resolution::from);
    let raised = rows.iter().rposition(|row| row.alert.decision.state.is_firing());
    let at = raised.unwrap_or(rows.len() - 1);
    let mut entries = entries(rows, said);
    entries[at].resolved = end;
    (at, entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing::{self, S, Scene};

    fn wanted(which: Which, limit: usize) -> Wanted {
        Wanted { which, stream: None, key: None, offset: 0, before: None, limit }
    }

    fn keys(listed: &Listed) -> Vec<&str> {
        listed.rows.iter().map(|entry| entry.row.alert.decision.key.as_str()).collect()
    }

    #[test]
    fn each_alert_is_listed_once_with_its_evidence_and_its_end() {
        let parts = testing::parts(Scene::Trouble, 1_000_000 * S);
        let all = list(&parts, &wanted(Which::All, 50)).unwrap();
        assert_eq!((keys(&all), all.open), (vec!["pump-17", "pump-09", "pump-04"], 2));
        assert!(all.rows[2].row.alert.decision.state.is_firing(), "the evidence is the alarm's");
        assert_eq!(all.rows[2].resolved.as_ref().map(|end| end.revision), Some(2));
        assert_eq!(keys(&list(&parts, &wanted(Which::Ended, 50)).unwrap()), ["pump-04"]);
        let own = Wanted { key: Some("pump-09".to_owned()), ..wanted(Which::All, 50) };
        let own = list(&parts, &own).unwrap();
        assert_eq!((keys(&own), own.open), (vec!["pump-09"], 1));
    }

    #[test]
    fn five_hundred_firing_ones_are_reached_page_by_page() {
        let parts = testing::parts(Scene::Crowd, 1_000_000 * S);
        let (mut offset, mut ids) = (Some(0), Vec::new());
        while let Some(at) = offset {
            let page = list(&parts, &Wanted { offset: at, ..wanted(Which::Firing, 50) }).unwrap();
            assert_eq!((page.open, page.rows.len()), (500, 50));
            ids.extend(page.rows.iter().map(|entry| entry.row.alert.decision.id.clone()));
            offset = page.next_offset;
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 500);
    }

    #[test]
    fn ended_ones_are_reached_page_by_page_and_one_that_goes_on_is_none() {
        let mut rows = Vec::new();
        let mut parts = testing::parts(Scene::Calm, 1_000_000 * S);
        let pattern =
            (parts.alerts.page)(AlertQuery::Page { before: None, limit: 9, stream: None, key: None });
        let [resolved, raised] = &pattern.unwrap()[..] else { panic!("raised and resolved") };
        for i in 0..45i64 {
            for (k, row) in
                [raised, resolved, raised].into_iter().enumerate().take(if i % 3 == 0 { 3 } else { 2 })
            {
                let mut row = AlertRow { seq: 3 * i + k as i64, ..row.clone() };
                row.alert.decision.id = format!("{i:02}");
                row.alert.decision.revision = k as u32 + 1;
                rows.push(row);
            }
        }
        parts.alerts = testing::stored(rows);
        let (mut before, mut ids) = (None, Vec::new());
        loop {
            let page = list(&parts, &Wanted { before, ..wanted(Which::Ended, 7) }).unwrap();
            ids.extend(page.rows.iter().map(|entry| entry.row.alert.decision.id.parse::<i64>().unwrap()));
            before = page.next_before;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(ids, (0..45).rev().filter(|i| i % 3 != 0).collect::<Vec<_>>());
    }
}
