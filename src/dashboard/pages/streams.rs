//! `/streams`: what each stream is made of and how it goes, partition by partition.

use askama::Template;
use axum::extract::State;
use serde_json::json;

use super::html;
use crate::dashboard::AppState;
use crate::dashboard::api::{Answer, blocking};
use crate::dashboard::doc::Doc;
use crate::dashboard::format::clock;
use crate::dashboard::shell::{Shell, status_doc};
use crate::dashboard::snapshot::Snapshot;

#[derive(Template)]
#[template(path = "streams.html")]
struct Page<'a> {
    shell: Shell<'a>,
    status: &'a Doc<'a>,
    partitions: &'a Doc<'a>,
    snapshot: &'a Snapshot,
    /// Partitions of each stream.
    rows: Vec<Vec<Row>>,
}

struct Row {
    at: String,
    partition: usize,
    firing: bool,
    watermark: String,
}

pub async fn show(State(state): State<AppState>) -> Answer {
    blocking(move || {
        let frame = state.frames.newest();
        let (status, snapshot) = (status_doc(&frame), &frame.snapshot);
        let json = json!({"seq": snapshot.seq, "partitions": snapshot.partitions});
        let url = format!("/api/v1/partitions?seq={}", snapshot.seq);
        let partitions = Doc { root: "partitions", url, json: &json };
        html(&Page {
            shell: Shell::of(&state, snapshot, &status, "/streams", "Streams"),
            status: &status,
            partitions: &partitions,
            snapshot,
            rows: rows(&state, snapshot),
        })
    })
    .await
}

fn rows(state: &AppState, snapshot: &Snapshot) -> Vec<Vec<Row>> {
    let all = || snapshot.partitions.iter().enumerate();
    let of = |name: &str| {
        let own = all().filter(|(_, partition)| partition.stream == name);
        let row = |(i, partition): (usize, &crate::dashboard::snapshot::PartitionView)| Row {
            at: format!("partitions[{i}]"),
            partition: partition.partition,
            firing: partition.alerts_open > 0,
            watermark: partition
                .watermark_ns
                .map_or_else(String::new, |ns| clock(ns, snapshot.time_ns, &state.parts.zone)),
        };
        own.map(row).collect()
    };
    snapshot.streams.iter().map(|stream| of(&stream.name)).collect()
}
