//! What a folder's events were judged under.

use std::time::Duration;

use crate::config::plan::{
    AlarmPlan, ColumnPlan, FormatPlan, ModelPlan, Plan, Shape, SourceKind, StreamPlan, WindowPlan,
};

/// Everything of a stream's config that its decisions depend on, but for the model's bytes.
pub fn fingerprint(plan: &Plan, stream: &StreamPlan) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let model = match &stream.model {
        ModelPlan::Fit { warmup } => format!("fit {}", warmup.as_nanos()),
        ModelPlan::Load { .. } => "load".to_owned(),
        ModelPlan::Transactions { amount } => format!("transactions {amount:?} {:?}", stream.outcome),
    };
    let text = format!(
        "2|{}|{:?}|{:?}|{:?}|{:?}|{:?}|[{}]|{}|{model}|{}|{:?}|{:?}{}{}{}{}",
        plan.deployment,
        stream.from,
        stream.topics,
        stream.key,
        stream.time,
        stream.layout,
        stream.columns.iter().map(column_text).collect::<Vec<_>>().join(", "),
        window_text(&stream.window),
        alarm_text(stream.alarm),
        stream.max_future,
        stream.no_data,
        standing_text(stream),
        onsets_text(stream),
        partitions_text(plan, stream),
        format_text(plan, stream),
    );
    Sha256::digest(text).into()
}

/// A threshold as folders of the release before have it.
fn alarm_text(alarm: AlarmPlan) -> String {
    match alarm {
        AlarmPlan::PValue(p_value) => format!("{p_value:?}"),
        AlarmPlan::Budget { per_day } => format!("budget {per_day:?}"),
    }
}

/// As folders of the release before have it for columns without a rule.
fn column_text(column: &ColumnPlan) -> String {
    let ColumnPlan { name, path, unit, aggregate, deviation } = column;
    let rule = deviation.map_or(String::new(), |rule| format!(", deviation: {rule:?}"));
    format!("ColumnPlan {{ name: {name:?}, path: {path:?}, unit: {unit:?}, aggregate: {aggregate:?}{rule} }}")
}

/// Nothing for what a stream has unless told otherwise, as in folders of the release before.
fn standing_text(stream: &StreamPlan) -> String {
    let usual = Duration::from_secs(7 * 86_400).max(stream.window.size);
    if stream.standing == Some(usual) { String::new() } else { format!("|standing {:?}", stream.standing) }
}

/// The same.
fn onsets_text(stream: &StreamPlan) -> &'static str {
    if stream.onsets.is_none() && stream.window.shape == Shape::Grid { "|no onsets" } else { "" }
}

/// The same: whether a key's partition is Kafka's, and arrival what Kafka says.
fn partitions_text(plan: &Plan, stream: &StreamPlan) -> &'static str {
    if plan.shared().is_some() {
        return "|kafka shared";
    }
    let mut named = plan.sources.iter().filter(|source| stream.from.contains(&source.name));
    if named.any(|source| matches!(source.kind, SourceKind::Kafka(_))) { "|kafka" } else { "" }
}

/// Nothing for JSON, as in folders of the release before; of an id each registry makes something else.
fn format_text(plan: &Plan, stream: &StreamPlan) -> String {
    if stream.format == FormatPlan::Json {
        return String::new();
    }
    let named = plan.sources.iter().filter(|source| stream.from.contains(&source.name));
    let registries: Vec<&str> = named
        .filter_map(|source| match &source.kind {
            SourceKind::Kafka(kafka) => Some(kafka.registry.as_ref()?.url.as_str()),
            _ => None,
        })
        .filter(|_| stream.format.needs_registry())
        .collect();
    format!("|{:?} {registries:?}", stream.format)
}

/// As folders of the release before have it for windows on a grid.
fn window_text(window: &WindowPlan) -> String {
    let WindowPlan { shape, size, every, grid, disorder, lateness } = window;
    let shape = match shape {
        Shape::Grid => String::new(),
        other => format!(" shape: {other:?},"),
    };
    format!(
        "WindowPlan {{{shape} size: {size:?}, every: {every:?}, grid: {grid:?}, disorder: {disorder:?}, lateness: {lateness:?} }}"
    )
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
