//! `format`, and what a format needs beside itself.

use super::super::field::Field;
use super::super::plan::{FieldPath, FormatPlan, KafkaPlan, Layout, SourceKind, StreamPlan, TimePlan};
use super::super::section::Section;
use super::super::source::Source;
use super::super::suggest;

const NAMES: [&str; 4] = ["json", "csv", "avro", "protobuf"];
/// As many as a line may have cells.
const HEADER_MAX: usize = 4096;

pub fn parse(section: &mut Section<'_>) -> Option<FormatPlan> {
    let name = section.or("format", "json", |field| name(&field));
    let header = section.maybe("header", |field| header(&field));
    let (name, header) = (name?, header?);
    if header.is_some() && name != "csv" {
        section.here().locate("header").problem(
            format!("names the cells of CSV, and the format is {name:?}"),
            "Write `format = \"csv\"`, or remove `header`.",
        );
        return None;
    }
    match (name, header) {
        ("csv", Some(header)) => Some(FormatPlan::Csv { header }),
        ("csv", None) => {
            section.here().locate("header").problem(
                "is missing: lines of CSV do not say what their cells are",
                "Add `header = [\"ts\", \"pump\", \"temp\"]`, every cell of a line in order.",
            );
            None
        }
        ("avro", _) => Some(FormatPlan::Avro),
        ("protobuf", _) => Some(FormatPlan::Protobuf),
        _ => Some(FormatPlan::Json),
    }
}

fn name<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text()?;
    if NAMES.contains(&text) {
        return Some(text);
    }
    let remedy = format!("Use {}.", suggest::list(NAMES.into_iter()));
    field.problem(format!("there is no format {text:?}"), remedy);
    None
}

fn header(field: &Field<'_>) -> Option<Vec<String>> {
    let fields = field.one_or_many();
    let names: Option<Vec<String>> = fields.iter().map(|field| field.text().map(str::to_owned)).collect();
    let names = names?;
    if names.is_empty() || names.len() > HEADER_MAX {
        field.problem(format!("names {} cells", names.len()), format!("Name 1 to {HEADER_MAX}, in order."));
        return None;
    }
    for (index, name) in names.iter().enumerate() {
        if !name.is_empty() && names[..index].contains(name) {
            fields[index]
                .problem("the same cell is named twice", "Give each a name of its own, or none (\"\").");
            return None;
        }
    }
    Some(names)
}

/// What the stream's sources and paths must be for its format.
pub fn check(stream: &Field<'_>, plan: &StreamPlan, sources: &[Source<'_>]) {
    match &plan.format {
        FormatPlan::Json => {}
        FormatPlan::Csv { header } => {
            check_sources(stream, plan, sources, |kind| match kind {
                SourceKind::Replay(_) => Some((
                    "is a file whose rows are read by its own header",
                    "Leave `format` and `header` out: fields are named as the file names its columns.",
                )),
                _ => None,
            });
            check_paths(stream, plan, header);
        }
        FormatPlan::Avro | FormatPlan::Protobuf => check_sources(stream, plan, sources, |kind| match kind {
            SourceKind::Kafka(KafkaPlan { registry: Some(_), .. }) => None,
            SourceKind::Kafka(_) => Some((
                "has no registry, where the schemas are",
                "Add `registry = { url = \"https://…:8081\" }` to the source.",
            )),
            _ => Some((
                "is not of type \"kafka\", where a registry stands beside the messages",
                "Send JSON, or bring the messages to Kafka.",
            )),
        }),
    }
}

fn check_sources(
    stream: &Field<'_>,
    plan: &StreamPlan,
    sources: &[Source<'_>],
    fault: impl Fn(&SourceKind) -> Option<(&'static str, &'static str)>,
) {
    for source in sources.iter().filter(|source| plan.from.iter().any(|from| from == source.name)) {
        if let Some((fault, remedy)) = source.plan.as_ref().and_then(|plan| fault(&plan.kind)) {
            let name = source.name;
            stream
                .locate("format")
                .problem(format!("is {:?}, and source {name:?} {fault}", plan.format.name()), remedy);
        }
    }
}

/// A path to a cell that is not there would find nothing in any line.
fn check_paths(stream: &Field<'_>, plan: &StreamPlan, header: &[String]) {
    let (column, value, points) = match &plan.layout {
        Layout::Long { column, value, points } => (Some(column), Some(value), points),
        Layout::Wide { points } => (None, None, points),
    };
    if points.is_some() {
        stream
            .locate("points")
            .problem("lines of CSV hold no arrays", "Remove `points`: each line is a row.");
    }
    let time = match &plan.time {
        TimePlan::Field { path, .. } => Some(path),
        TimePlan::Arrival => None,
    };
    let parts = [
        ("key", Some(&plan.key)),
        ("time", time),
        ("outcome", plan.outcome.as_ref()),
        ("column", column),
        ("value", value),
    ];
    for (name, path) in parts {
        check_path(&stream.locate(name), path, header);
    }
    if column.is_none() {
        for column in &plan.columns {
            check_path(&stream.locate("columns").locate(&column.name), Some(&column.path), header);
        }
    }
}

fn check_path(field: &Field<'_>, path: Option<&FieldPath>, header: &[String]) {
    let Some(FieldPath::Json(path) | FieldPath::Root(path)) = path else { return };
    if !matches!(&path[..], [name] if header.contains(name)) {
        field.problem(
            format!("{:?} is no cell of `header`", path.join(".")),
            format!("Use one of {}.", suggest::list(header.iter().map(String::as_str))),
        );
    }
}
