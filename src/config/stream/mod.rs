//! `[stream.NAME]`: what to take from which source, how to read it, and how to judge it.

mod alarm;
mod deviation;
mod format;
mod layout;
pub mod model;
mod no_data;
mod onsets;
mod origin;
mod standing;
mod time;
mod transactions;
pub mod window;

use std::time::Duration;

use super::field::Field;
use super::path::{self, Allowed};
use super::plan::{ColumnPlan, FieldPath, Layout, ModelPlan, Shape, StreamPlan, WindowPlan};
use super::section::Section;
use super::source::Source;
use super::units::show_duration;

const MAX_FUTURE_DEFAULT: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);
/// Most numbers in one window: each key keeps one.
const WINDOW_VALUES_MAX: usize = 4096;

const OF_WINDOW: &str = "Write it in the `window` of this stream.";
const OF_MODEL: &str = "Write it in the `model` of this stream.";

/// What is written under a stream and belongs a table deeper.
const HINTS: &[(&str, &str)] = &[
    ("lateness", OF_WINDOW),
    ("disorder", OF_WINDOW),
    ("size", OF_WINDOW),
    ("every", OF_WINDOW),
    ("grid", OF_WINDOW),
    ("gap", OF_WINDOW),
    ("path", OF_MODEL),
];

pub fn parse(name: &str, field: &Field<'_>, sources: &[Source<'_>]) -> Option<StreamPlan> {
    let plan = parse_whole(name, field, sources)?;
    origin::check_fields(field, &plan, sources);
    format::check(field, &plan, sources);
    Some(plan)
}

fn parse_whole(name: &str, field: &Field<'_>, sources: &[Source<'_>]) -> Option<StreamPlan> {
    let mut section = field.section()?;
    let from = origin::from(&mut section, sources);
    let topics = origin::topics(&mut section, from.as_deref(), sources);
    let key = section.required("key", "\"topic.3\"").and_then(|field| path::parse(&field, Allowed::Any));
    let format = format::parse(&mut section);
    let time =
        section.required("time", "{ path = \"ts\", unit = \"ms\" }").and_then(|field| time::parse(&field));
    let outcome = section.maybe("outcome", |field| path::parse(&field, Allowed::Message));
    let (layout, columns) = layout::parse(&mut section);
    let window = section
        .required("window", "{ type = \"hopping\", size = \"64s\", every = \"1s\" }")
        .and_then(|field| window::parse(&field));
    let model = section.or("model", model::DEFAULT, |field| model::parse(&field));
    let alarm = alarm::parse(&mut section);
    let standing = section.maybe("standing", |field| standing::parse(&field));
    let max_future = section.or("max_future", Some(MAX_FUTURE_DEFAULT), |field| max_future(&field));
    let no_data = section.or("no_data", no_data::DEFAULT, |field| no_data::parse(&field));
    let idle_after = section.or("idle_after", no_data::IDLE_DEFAULT, |field| no_data::idle_after(&field));
    let onsets = section.maybe("onsets", |field| Some((field.boolean()?, field)));
    let onsets = onsets.map(|asked| onsets::of(asked, window));

    check_levels(&section, from.as_deref(), &topics, key.as_ref(), layout.as_ref(), sources);
    let fits = check_window(&section, window, model.as_ref(), columns.as_deref())
        & transactions::check(
            &section,
            &transactions::Parts {
                model: model.as_ref(),
                outcome: outcome.as_ref().and_then(Option::as_ref),
                columns: columns.as_deref(),
                window,
                layout: layout.as_ref(),
                time: time.as_ref(),
            },
        );
    let standing = standing::resolve(&section, standing, window, model.as_ref());
    section.hint(HINTS);
    section.finish();
    fits.then_some(())?;
    Some(StreamPlan {
        name: name.to_string(),
        from: from?,
        topics: topics?,
        format: format?,
        key: key?,
        time: time?,
        layout: layout?,
        outcome: outcome?,
        columns: columns?,
        window: window?,
        model: model?,
        alarm: alarm?,
        standing: standing?,
        max_future: max_future?,
        no_data: no_data?,
        idle_after: idle_after?,
        onsets: onsets?,
    })
}

/// `"none"` lifts the limit.
fn max_future(field: &Field<'_>) -> Option<Option<Duration>> {
    if field.is_text() && field.text() == Some("none") {
        return Some(None);
    }
    field.duration(Duration::from_secs(1)..=365 * DAY).map(Some)
}

/// A topic level that no topic of a source has would send every message to the dead letters.
fn check_levels(
    section: &Section<'_>,
    from: Option<&[String]>,
    topics: &Option<Option<String>>,
    key: Option<&FieldPath>,
    layout: Option<&Layout>,
    sources: &[Source<'_>],
) {
    let column = match layout {
        Some(Layout::Long { column, .. }) => Some(column),
        _ => None,
    };
    let Some(topics) = topics else { return };
    for (name, path) in [("key", key), ("column", column)] {
        let Some(FieldPath::Topic(level)) = path else { continue };
        for source in sources.iter().filter(|s| from.is_some_and(|from| from.iter().any(|f| f == s.name))) {
            let Some(levels) = origin::topic_levels(source, topics.as_deref()) else { continue };
            if *level > levels {
                section.here().locate(name).problem(
                    format!(
                        "topics of source {:?} have {levels} level(s), so there is no topic.{level}",
                        source.name
                    ),
                    "Levels count from 1. Use a smaller one, or a field of the document.",
                );
            }
        }
    }
}

fn check_window(
    section: &Section<'_>,
    window: Option<WindowPlan>,
    model: Option<&ModelPlan>,
    columns: Option<&[ColumnPlan]>,
) -> bool {
    let Some(window) = window else { return true };
    let mut fits = check_aggregates(section, window.shape, columns.unwrap_or_default());
    if let Some(columns) = columns.map(<[ColumnPlan]>::len)
        && window.cells() * columns > WINDOW_VALUES_MAX
    {
        let cells = window.cells();
        section.here().locate("window").problem(
            format!("{cells} cells of {columns} columns are {} numbers a window", cells * columns),
            format!(
                "Keep it to {WINDOW_VALUES_MAX}: choose a coarser grid, a shorter size, or fewer columns."
            ),
        );
        fits = false;
    }
    // A session may last as long as `max`, but few do.
    if let Some(ModelPlan::Fit { warmup }) = model
        && !matches!(window.shape, Shape::Session { .. })
        && *warmup < window.size
    {
        let size = show_duration(window.size);
        section.here().locate("model").problem(
            format!("a warm-up of {} is shorter than one window of {size}", show_duration(*warmup)),
            format!("Give it at least {size}; many windows are better."),
        );
        fits = false;
    }
    fits
}

/// Aggregates that look back on a key's events need windows of events.
fn check_aggregates(section: &Section<'_>, shape: Shape, columns: &[ColumnPlan]) -> bool {
    let mut fits = true;
    for column in columns.iter().filter(|column| column.aggregate.needs_events()) {
        if shape == Shape::Grid {
            section.here().locate("columns").locate(&column.name).locate("aggregate").problem(
                format!("{:?} needs windows of events", column.aggregate.as_str()),
                "Use window type \"sliding\", \"session\" or \"count\", or another aggregate.",
            );
            fits = false;
        }
    }
    fits
}
