//! `columns`, and how a message holds them: a row of many (wide) or one a message (long).

use super::super::field::Field;
use super::super::path::{self, Allowed};
use super::super::plan::{Aggregate, ColumnPlan, FieldPath, Layout};
use super::super::section::Section;
use super::super::suggest;
use super::deviation;

const COLUMNS_MAX: usize = 64;
const UNIT_BYTES_MAX: usize = 32;
/// `value = "payload"`: the message itself is the number.
const PAYLOAD: &str = "payload";

pub fn parse(section: &mut Section<'_>) -> (Option<Layout>, Option<Vec<ColumnPlan>>) {
    let points = section.maybe("points", |field| path::parse(&field, Allowed::Document));
    let column = section.get("column");
    let value = section.get("value");
    let long = column.is_some() || value.is_some();
    let columns =
        section.required("columns", "{ temperature = \"temp\" }").and_then(|field| columns(&field, long));
    let layout = if long {
        let here = section.here();
        (column.is_none()).then(|| {
            here.locate("column").problem(
                "is missing: `value` alone does not say which column it belongs to",
                "Add `column = \"topic.4\"` or where the name stands in the document.",
            )
        });
        (value.is_none()).then(|| {
            here.locate("value").problem(
                "is missing: `column` alone does not say where the number is",
                "Add `value = \"v\"`, or `value = \"payload\"` when the message is a bare number.",
            )
        });
        let column = column.and_then(|field| path::parse(&field, Allowed::Varying));
        let value = value.and_then(|field| number_path(&field));
        match (column, value, points) {
            (Some(column), Some(value), Some(points)) => Some(Layout::Long { column, value, points }),
            _ => None,
        }
    } else {
        points.map(|points| Layout::Wide { points })
    };
    (layout, columns)
}

fn number_path(field: &Field<'_>) -> Option<FieldPath> {
    if field.is_text() && field.text() == Some(PAYLOAD) {
        return Some(FieldPath::Json(Vec::new()));
    }
    path::parse(field, Allowed::Message)
}

fn columns(field: &Field<'_>, long: bool) -> Option<Vec<ColumnPlan>> {
    let entries: Vec<_> = field.section()?.entries().collect();
    if entries.is_empty() || entries.len() > COLUMNS_MAX {
        let fault = format!("has {} columns", entries.len());
        field.problem(fault, format!("Name 1 to {COLUMNS_MAX}, such as `columns.temperature = \"temp\"`."));
        return None;
    }
    let columns: Vec<_> = entries.iter().map(|(name, field)| column(name, field, long)).collect();
    for (index, column) in columns.iter().enumerate() {
        let Some(column) = column else { continue };
        // A message that names its column fills one; a field of a document may be looked at in several ways.
        let same = |earlier: &&ColumnPlan| {
            earlier.path == column.path && (long || earlier.aggregate == column.aggregate)
        };
        if let Some(twin) = columns[..index].iter().flatten().find(same) {
            let fault = format!("reads the same as column {:?}", twin.name);
            let remedy = "Point it elsewhere, give it another aggregate, or remove one of the two.";
            let remedy_long = "Point it elsewhere, or remove one of the two.";
            entries[index].1.problem(fault, if long { remedy_long } else { remedy });
        }
    }
    columns.into_iter().collect()
}

/// A string is short for a table with only that path (wide) or name (long).
fn column(name: &str, field: &Field<'_>, long: bool) -> Option<ColumnPlan> {
    let named = field.check_name(name);
    let (path, unit, aggregate, deviation) = if field.is_table() {
        let mut section = field.section()?;
        let path = if long {
            section.or("name", FieldPath::Json(vec![name.to_string()]), |field| message_name(&field))
        } else {
            section.required("path", "\"vib.rms\"").and_then(|field| path::parse(&field, Allowed::Message))
        };
        let unit = section.maybe("unit", |field| unit(&field));
        let aggregate = section.or("aggregate", Aggregate::Mean, |field| aggregate(&field));
        let deviation = deviation::parse(&mut section, aggregate);
        section.finish();
        (path, unit, aggregate, deviation)
    } else {
        let path = if long { message_name(field) } else { path::parse(field, Allowed::Message) };
        (path, Some(None), Some(Aggregate::Mean), Some(None))
    };
    let (path, unit, aggregate) = (path?, unit?, aggregate?);
    let column = ColumnPlan { name: name.to_string(), path, unit, aggregate, deviation: deviation? };
    named.then_some(column)
}

fn aggregate(field: &Field<'_>) -> Option<Aggregate> {
    let text = field.text()?;
    let found = Aggregate::ALL.iter().find(|(name, _)| *name == text).map(|(_, aggregate)| *aggregate);
    if found.is_none() {
        let names = suggest::list(Aggregate::ALL.iter().map(|(name, _)| *name));
        field.problem(format!("there is no aggregate {text:?}"), format!("Use {names}."));
    }
    found
}

/// A name as it stands in the message, dots and all.
fn message_name(field: &Field<'_>) -> Option<FieldPath> {
    let text = field.text()?;
    if text.is_empty() {
        field.problem("is empty", "Write the name that messages use for this column.");
        return None;
    }
    Some(FieldPath::Json(vec![text.to_string()]))
}

fn unit(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let fits = (1..=UNIT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if !fits {
        let remedy = format!("Write 1 to {UNIT_BYTES_MAX} bytes such as \"mm/s\", or leave it out.");
        field.problem("is not a usable unit", remedy);
    }
    fits.then(|| text.to_string())
}
