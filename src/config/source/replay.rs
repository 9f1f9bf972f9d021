//! `type = "replay"`: a recorded CSV or Parquet file.

use super::super::field::Field;
use super::super::kind::{Kind, Naming};
use super::super::plan::{ReplayPlan, SourceKind};
use super::super::section::Section;
use super::Parse;

pub const KIND: Kind<Parse> = Kind {
    name: "replay",
    summary: "read a recorded CSV or Parquet file",
    example: r#"
type = "replay"
path = "recorded/pumps.csv.gz"
speed = 60.0
time_column = "ts"
"#,
    parse,
};

fn parse(section: &mut Section<'_>, _naming: &Naming<'_>) -> Option<SourceKind> {
    let path = section.required("path", "\"recorded/pumps.csv\"").and_then(|field| field.file_path());
    let speed = section.or("speed", None, |field| speed(&field));
    let time_column = section.maybe("time_column", |field| column(&field));
    if matches!((speed, &time_column), (Some(Some(_)), Some(None))) {
        section.here().locate("speed").problem(
            "a speed needs to know which column holds the time",
            "Add `time_column = \"…\"`, or write `speed = \"max\"`.",
        );
        return None;
    }
    Some(SourceKind::Replay(ReplayPlan { path: path?, speed: speed?, time_column: time_column? }))
}

/// Times as fast as recorded; `None` for as fast as it goes.
fn speed(field: &Field<'_>) -> Option<Option<f64>> {
    if !field.is_text() {
        return field.number(0.001..=1_000_000.0).map(Some);
    }
    let text = field.text()?;
    if text != "max" {
        field.problem(format!("{text:?} is not a speed"), "Write a number (1.0 is as recorded) or \"max\".");
        return None;
    }
    Some(None)
}

fn column(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if text.is_empty() {
        field.problem("is empty", "Write the name in the file's first line.");
        return None;
    }
    Some(text.to_string())
}
