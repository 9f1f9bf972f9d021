//! Schemas on their way from the registry to the decoder.
//!
//! A source whose messages need schemas hands them to a gate instead of the log. The gate lets messages through once every
//! schema they name is on the disk, or the registry has said that there is none. So what is in the log can be read without
//! a registry, now and at every start; and while the registry is away, the source waits as it does for a full disk:
//! nothing is lost, nothing becomes a dead letter.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hashbrown::{HashMap, HashSet};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::common::Common;
use crate::config::plan::{KafkaPlan, Plan, RegistryPlan, SourceKind};
use crate::decode::Framed;
use crate::durable::{RealDisk, read_blob, store_blob};
use crate::schemas::{Schema, Schemas};
use crate::source::kafka::registry::{Found, Registry};
use crate::stage::{Intake, Submission};
use crate::status::Status;
use crate::types::Message;

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A registry of several servers may know a new id here and not yet there.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// For so long a registry is not asked again for an id that it does not know.
const UNKNOWN_MAX: Duration = Duration::from_secs(30);
const UNKNOWN_IDS_MAX: usize = 10_000;

/// Every schema that the data folder holds for the sources of the plan.
///
/// # Errors
/// If a file cannot be read; the text names the remedy.
pub(super) fn load(plan: &Plan) -> Result<Arc<Schemas>> {
    let schemas = Schemas::default();
    for (name, registry) in plan.sources.iter().filter_map(registry_of) {
        let folder = plan.durable.path.join(registry.folder(name));
        if !folder.is_dir() {
            continue;
        }
        let entries = std::fs::read_dir(&folder).with_context(|| unreadable(&folder))?;
        for entry in entries {
            let file = entry.with_context(|| unreadable(&folder))?.file_name().to_string_lossy().into_owned();
            // Beside them lies what a crash left half written.
            if !file.ends_with(".json") {
                continue;
            }
            let bytes = read_blob(&RealDisk::new(), &folder, &file)?;
            schemas
                .add(name, serde_json::from_slice(&bytes).with_context(|| unreadable(&folder.join(&file)))?);
        }
    }
    Ok(Arc::new(schemas))
}

fn unreadable(path: &Path) -> String {
    format!("{} cannot be read: restore the data folder from a backup", path.display())
}

fn registry_of(source: &crate::config::plan::SourcePlan) -> Option<(&str, &RegistryPlan)> {
    match &source.kind {
        SourceKind::Kafka(KafkaPlan { registry: Some(registry), .. }) => Some((&source.name, registry)),
        _ => None,
    }
}

/// Where source `index` of the plan hands its messages to: a gate, or the log itself if it needs none.
///
/// # Errors
/// If the registry's client cannot be made; the text names the remedy.
pub(super) fn gate(
    common: &Common,
    index: usize,
    schemas: &Arc<Schemas>,
    intake: &Intake,
    shutdown: &CancellationToken,
) -> Result<Intake> {
    let source = &common.plan.sources[index];
    let (Some((name, registry)), Some(framed)) = (registry_of(source), Framed::new(&common.plan)) else {
        return Ok(intake.clone());
    };
    let asked = Registry::new(registry)
        .map_err(|reason| anyhow::anyhow!("the registry of source {name} cannot be asked: {reason}"))?;
    let gate = Gate {
        registry: asked,
        framed,
        folder: common.plan.durable.path.join(registry.folder(name)),
        schemas: schemas.clone(),
        source: name.into(),
        index,
        status: common.status.clone(),
        shutdown: shutdown.clone(),
        known: HashSet::new(),
        unknown: HashMap::new(),
        told: None,
    };
    // Its source has one submission on its way, and so has the gate.
    let (sender, submissions) = mpsc::channel(1);
    tokio::spawn(gate.run(submissions, intake.sender.clone()));
    Ok(Intake { sender, clock: intake.clock })
}

struct Gate {
    registry: Registry,
    framed: Framed,
    folder: PathBuf,
    schemas: Arc<Schemas>,
    source: Arc<str>,
    index: usize,
    status: Arc<Status>,
    shutdown: CancellationToken,
    /// Those that are on the disk.
    known: HashSet<i32>,
    /// Since when the registry is known not to have them.
    unknown: HashMap<i32, Instant>,
    /// Why nothing goes on, as it was said.
    told: Option<String>,
}

impl Gate {
    /// Until the source has hung up.
    async fn run(mut self, mut submissions: mpsc::Receiver<Submission>, log: mpsc::Sender<Submission>) {
        let shutdown = self.shutdown.clone();
        while let Some(submission) = submissions.recv().await {
            tokio::select! {
                biased;
                () = self.prepare(&submission.messages) => {}
                // Not logged and not acknowledged: it comes again.
                () = shutdown.cancelled() => continue,
            }
            if log.send(submission).await.is_err() {
                return;
            }
        }
    }

    /// Returns once every message can be read, or never will be.
    async fn prepare(&mut self, messages: &[Message]) {
        let mut ids: Vec<i32> = messages
            .iter()
            .filter_map(|message| self.framed.schema_id(message))
            .filter(|id| *id > 0)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| self.is_open(*id));
        if ids.is_empty() {
            return;
        }
        let mut absent = self.fetch(&ids).await;
        if !absent.is_empty() {
            tokio::time::sleep(ASK_AGAIN).await;
            absent = self.fetch(&absent).await;
        }
        if self.unknown.len() + absent.len() > UNKNOWN_IDS_MAX {
            self.unknown.clear();
        }
        for id in absent {
            tracing::warn!(
                source = &*self.source,
                schema = id,
                "the registry does not know this schema: messages that name it are dead letters"
            );
            self.unknown.insert(id, Instant::now());
        }
    }

    fn is_open(&mut self, id: i32) -> bool {
        if self.known.contains(&id) {
            return false;
        }
        if self.schemas.holds(&self.source, id) {
            self.known.insert(id);
            return false;
        }
        self.unknown.get(&id).is_none_or(|since| since.elapsed() > UNKNOWN_MAX)
    }

    /// Asks until the registry has answered for each; gives those it does not have.
    async fn fetch(&mut self, ids: &[i32]) -> Vec<i32> {
        let mut absent = Vec::new();
        for id in ids {
            let mut backoff = BACKOFF_MIN;
            loop {
                let fetched = match self.registry.schema(*id).await {
                    Ok(Some(found)) => self.keep(*id, found),
                    Ok(None) => {
                        absent.push(*id);
                        Ok(())
                    }
                    Err(reason) => Err(reason),
                };
                let Err(reason) = fetched else { break };
                self.tell(Some(reason));
                tokio::time::sleep(backoff.mul_f64(rand::random_range(0.5..1.0))).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
        self.tell(None);
        absent
    }

    /// Makes a schema durable, then known: what is read by it must be read by it after a crash, too.
    fn keep(&mut self, id: i32, found: Found) -> Result<(), String> {
        let Found { kind, text, references } = found;
        // The source has had an answer for all it sent before: of that nothing lies behind this position.
        let from = self.status.log_next.load(Relaxed);
        let schema = Schema { id, kind, text, references, from };
        let bytes = serde_json::to_vec(&schema).map_err(|error| error.to_string())?;
        store_blob(&mut RealDisk::new(), &self.folder, &format!("{id}.json"), &bytes)
            .map_err(|error| format!("schema {id} cannot be kept: {error}; free disk space"))?;
        tracing::info!(source = &*self.source, schema = id, kind = schema.kind, "has a new schema");
        self.schemas.add(&self.source, schema);
        self.known.insert(id);
        Ok(())
    }

    fn tell(&mut self, reason: Option<String>) {
        if self.told == reason {
            return;
        }
        match &reason {
            Some(reason) => tracing::warn!(
                source = &*self.source,
                reason,
                "nothing is taken until the registry has said what messages mean"
            ),
            None => tracing::info!(source = &*self.source, "the registry answers again"),
        }
        self.status.sources[self.index].kafka.set_registry_error(reason.clone());
        self.told = reason;
    }
}
