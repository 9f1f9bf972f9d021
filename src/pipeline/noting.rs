//! What the decoder counted beside events and dead letters, as the page and the metrics show it; what no counter
//! explains is said once.

mod evolution;

use std::sync::atomic::Ordering::Relaxed;

use crate::config::plan::{ColumnPlan, Plan, StreamPlan};
use crate::config::suggest;
use crate::decode::{Decoder, Noted};
use crate::status::{RowStatus, Status};
use crate::types::StreamId;

/// Of fields seen, so many are listed.
const FIELDS_LISTED: usize = 10;

pub fn note_rows(decoder: &mut Decoder, status: &Status, plan: &Plan) {
    for (stream, plan) in (0..).map(StreamId).zip(&plan.streams) {
        let shown = status.rows(stream);
        decoder.schema_changes(stream).for_each(|event| evolution::note(&plan.name, &event, shown));
        let noted = decoder.noted(stream);
        shown.ignored_total.store(noted.rows_ignored, Relaxed);
        let before = shown.before_2000_total.swap(noted.rows_before_2000, Relaxed);
        if before == 0 && noted.rows_before_2000 > 0 {
            tracing::warn!(
                stream = plan.name,
                "rows lie before the year 2000: check the senders' clocks (a count since a start-up is no time), and \
                 the `unit` of the stream's `time`"
            );
        }
        note_columns(noted, shown, plan);
    }
}

fn note_columns(noted: &Noted, shown: &RowStatus, plan: &StreamPlan) {
    for ((shown, absent), with) in shown.with_total.iter().zip(&shown.absent_total).zip(&noted.rows_with) {
        shown.store(*with, Relaxed);
        absent.store(noted.rows_read - with, Relaxed);
    }
    shown.read_total.store(noted.rows_read, Relaxed);
    if !noted.is_sure() || shown.looked.swap(true, Relaxed) {
        return;
    }
    let mut missed = vec![None; plan.columns.len()];
    for column in noted.absent() {
        let remedy = remedy(&plan.columns[column], &noted.fields);
        let (stream, name) = (&plan.name, &plan.columns[column].name);
        tracing::warn!(
            stream,
            column = name,
            rows = noted.rows_read,
            remedy,
            "the column was in none of the first rows"
        );
        missed[column] = Some(remedy);
    }
    shown.set_missed(missed);
}

fn remedy(column: &ColumnPlan, fields: &[String]) -> String {
    let path = column.path.to_string();
    let near = suggest::nearest(&path, fields.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    let listed = fields[..fields.len().min(FIELDS_LISTED)].join(", ");
    let more = if fields.len() > FIELDS_LISTED { ", ..." } else { "" };
    let seen = if fields.is_empty() { String::new() } else { format!("Fields seen: {listed}{more}. ") };
    format!("Its path is {path}; {near}{seen}Correct the path and restart, or see to what should send it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::FieldPath;

    #[test]
    fn a_remedy_names_the_field_that_was_meant() {
        let path = FieldPath::Json(vec!["vib".into(), "rsm".into()]);
        let column =
            ColumnPlan { name: "v".into(), path, unit: None, aggregate: Default::default(), deviation: None };
        let fields: Vec<String> = ["temp", "ts", "vib.rms"].map(str::to_owned).into();
        let said = remedy(&column, &fields);
        assert!(
            said.starts_with("Its path is vib.rsm; did you mean vib.rms? Fields seen: temp, ts, vib.rms. "),
            "{said}"
        );
        assert!(remedy(&column, &[]).starts_with("Its path is vib.rsm; Correct"));
        let many: Vec<String> = (0..11).map(|i| format!("field_{i}")).collect();
        let said = remedy(&column, &many);
        assert!(said.contains("field_9, .... ") && !said.contains("field_10"), "{said}");
    }
}
