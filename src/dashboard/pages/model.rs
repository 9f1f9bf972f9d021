//! `/model`: what scores each stream, since when, and how far it can be believed.

use askama::Template;
use axum::extract::State;
use serde_json::Value;

use super::html;
use crate::config::plan::{ModelPlan, StreamPlan};
use crate::dashboard::AppState;
use crate::dashboard::api::{Answer, blocking};
use crate::dashboard::doc::Doc;
use crate::dashboard::format::clock;
use crate::dashboard::key::form;
use crate::dashboard::key_part::sampled;
use crate::dashboard::models::{history, read_card};
use crate::dashboard::shell::{Shell, status_doc};
use crate::dashboard::snapshot::Snapshot;
use crate::stage::Wish;
use crate::types::{Activation, StreamId};

#[derive(Template)]
#[template(path = "model.html")]
struct Page<'a> {
    shell: Shell<'a>,
    status: &'a Doc<'a>,
    snapshot: &'a Snapshot,
    parts: Vec<Part<'a>>,
}

/// Of one stream.
struct Part<'a> {
    kind: &'static str,
    history: Doc<'a>,
    /// Newest first: its place, when it was activated, by whom.
    versions: Vec<(String, String, &'static str)>,
    /// Why there are none.
    no_versions: String,
    card: Doc<'a>,
    no_card: String,
    /// Columns of a sample of normal, and their pictures.
    sampled: Vec<(String, String)>,
    next_refit: String,
}

/// Versions and card of a stream, or why there are none.
struct Read {
    versions: Result<Vec<Activation>, String>,
    json: Value,
    card: Result<Value, String>,
}

pub async fn show(State(state): State<AppState>) -> Answer {
    let mut versions = Vec::new();
    for stream in &state.parts.plan.streams {
        versions.push(match &stream.model {
            ModelPlan::Load { .. } => {
                history(&state, stream.name.clone(), Wish::List).await.map_err(|error| error.to_string())
            }
            ModelPlan::Fit { .. } | ModelPlan::Transactions { .. } => Err(String::new()),
        });
    }
    blocking(move || {
        let streams = &state.parts.plan.streams;
        let read = |(versions, stream): (Result<Vec<Activation>, String>, &StreamPlan)| Read {
            json: serde_json::to_value(versions.as_deref().unwrap_or_default()).unwrap_or_default(),
            card: read_card(&stream.model),
            versions,
        };
        let read: Vec<Read> = versions.into_iter().zip(streams).map(read).collect();
        let frame = state.frames.newest();
        let (status, snapshot) = (status_doc(&frame), &frame.snapshot);
        html(&Page {
            shell: Shell::of(&state, snapshot, &status, "/model", "Model"),
            status: &status,
            snapshot,
            parts: read.iter().enumerate().map(|(i, read)| part(&state, snapshot, i, read)).collect(),
        })
    })
    .await
}

fn part<'a>(state: &AppState, snapshot: &Snapshot, i: usize, read: &'a Read) -> Part<'a> {
    let plan = &state.parts.plan.streams[i];
    let query = form(&[("stream", &plan.name)]);
    let clock = |ns| clock(ns, snapshot.time_ns, &state.parts.zone);
    let version = |(i, version): (usize, &Activation)| {
        (format!("[{i}]"), version.at.map_or_else(String::new, |at| clock(at.0)), version.by.as_str())
    };
    let versions = read.versions.as_deref().unwrap_or_default();
    Part {
        kind: match &plan.model {
            ModelPlan::Fit { .. } => "fitted by each partition on what it sees",
            ModelPlan::Load { refit: None, .. } => "loaded from a file",
            ModelPlan::Load { refit: Some(_), .. } => "loaded from a file, and fitted anew as time goes on",
            ModelPlan::Transactions { .. } => "causes of frauds, nothing is fitted",
        },
        versions: versions.iter().enumerate().rev().map(version).collect(),
        no_versions: read.versions.as_ref().err().cloned().unwrap_or_default(),
        history: Doc { root: "models", url: format!("/api/v1/models?{query}"), json: &read.json },
        no_card: read.card.as_ref().err().cloned().unwrap_or_default(),
        card: Doc {
            root: "card",
            url: format!("/api/v1/models/card?{query}"),
            json: read.card.as_ref().unwrap_or(&Value::Null),
        },
        sampled: sampled(state, StreamId(i as u16)),
        next_refit: snapshot.streams[i].next_refit_ns.map_or_else(String::new, clock),
    }
}

#[cfg(test)]
mod tests;
