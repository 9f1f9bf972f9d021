//! Schemas on their way from the registry to the decoder.
//!
//! A source whose messages need schemas has a door: it lets a message go once the schema is on the disk, or the registry has
//! said that there is none. So what is in the log can be read without a registry, now and at every start. What waits holds
//! up its partition and no other; nothing is lost, nothing becomes a dead letter because the registry is away.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::common::Common;
use crate::config::plan::{KafkaPlan, Plan, RegistryPlan, SourceKind};
use crate::decode::Framed;
use crate::durable::{RealDisk, read_blob, store_blob};
use crate::schemas::{Door, Keep, Schema, Schemas};
use crate::source::kafka::registry::{Found, Registry};
use crate::status::Status;

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A registry of several servers may know a new id here and not yet there.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Requests under way.
const REQUESTS_MAX: usize = 8;
/// Unknown ids are spoken of so often; a sender may make them up.
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// How soon what has become known is shown.
const LOOK: Duration = Duration::from_millis(250);

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
            let mut schema: Schema =
                serde_json::from_slice(&bytes).with_context(|| unreadable(&folder.join(&file)))?;
            if plan.shared().is_some() {
                // Positions of a log are no offsets: from where a partition is read by it, its state says.
                schema.from = 0;
            }
            schemas.add(name, schema);
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

/// The door of source `index` of the plan, with somebody behind it who asks; `None` if it needs none.
///
/// # Errors
/// If the registry's client cannot be made; the text names the remedy.
pub(super) fn door(
    common: &Common,
    index: usize,
    schemas: &Arc<Schemas>,
    shutdown: &CancellationToken,
) -> Result<Option<Arc<Door>>> {
    let source = &common.plan.sources[index];
    let (Some((name, registry)), Some(framed)) = (registry_of(source), Framed::new(&common.plan)) else {
        return Ok(None);
    };
    let asked = Registry::new(registry)
        .map_err(|reason| anyhow::anyhow!("the registry of source {name} cannot be asked: {reason}"))?;
    let keep = keep(common, name, registry, schemas.clone());
    let needs = Box::new(move |message: &_| framed.schema_id(message));
    let door = Arc::new(Door::new(name, schemas.clone(), needs, keep));
    let asker = Asker {
        registry: asked,
        door: door.clone(),
        index,
        status: common.status.clone(),
        permits: Semaphore::new(REQUESTS_MAX),
        said: Mutex::default(),
    };
    tokio::spawn(Arc::new(asker).run(shutdown.clone()));
    Ok(Some(door))
}

/// Makes a schema durable, then known: what is read by it must be read by it after a crash, too.
fn keep(common: &Common, name: &str, registry: &RegistryPlan, schemas: Arc<Schemas>) -> Keep {
    let folder = common.plan.durable.path.join(registry.folder(name));
    let source: Arc<str> = name.into();
    Box::new(move |schema: &Schema| {
        let id = schema.id;
        let bytes = serde_json::to_vec(schema).map_err(|error| error.to_string())?;
        store_blob(&mut RealDisk::new(), &folder, &format!("{id}.json"), &bytes)
            .map_err(|error| format!("it cannot be kept: {error}; free disk space"))?;
        tracing::info!(source = &*source, schema = id, kind = schema.kind, "has a new schema");
        schemas.add(&source, schema.clone());
        Ok(())
    })
}

struct Asker {
    registry: Registry,
    door: Arc<Door>,
    index: usize,
    status: Arc<Status>,
    permits: Semaphore,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    /// Why something does not go on.
    waits: Option<String>,
    /// When an unknown id was last spoken of.
    unknown: Option<Instant>,
}

impl Asker {
    async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let (mut under_way, mut look) = (JoinSet::new(), tokio::time::interval(LOOK));
        loop {
            tokio::select! {
                asked = self.door.asked() => for (id, must) in asked {
                    under_way.spawn(self.clone().ask(id, must));
                },
                Some(_) = under_way.join_next() => {}
                _ = look.tick() => self.show(),
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn ask(self: Arc<Self>, id: i32, must: bool) {
        self.until_answered(id, must).await;
        self.door.end(id);
    }

    /// Asks until the registry has answered, or nobody waits for it any more.
    async fn until_answered(&self, id: i32, must: bool) {
        let (mut backoff, mut was_absent) = (BACKOFF_MIN, false);
        while self.door.waits_for(id) {
            let answer = {
                let Ok(_permit) = self.permits.acquire().await else { return };
                self.registry.schema(id).await
            };
            let reason = match answer {
                Ok(Some(Found { kind, text, references })) => {
                    return self.door.answer(id, Some(Schema { id, kind, text, references, from: 0 }));
                }
                Ok(None) if must => {
                    "messages were read by it, and the registry does not know it any more; register it again under its id"
                        .to_owned()
                }
                Ok(None) if was_absent => {
                    self.say_unknown(id);
                    return self.door.answer(id, None);
                }
                Ok(None) => {
                    was_absent = true;
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
                Err(reason) => reason,
            };
            self.door.note(id, &reason);
            tokio::time::sleep(backoff.mul_f64(rand::random_range(0.5..1.0))).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say_unknown(&self, id: i32) {
        let unknown = &mut self.said().unknown;
        if unknown.is_none_or(|said| said.elapsed() > SAY_AGAIN) {
            *unknown = Some(Instant::now());
            tracing::warn!(
                source = self.door.source(),
                schema = id,
                "the registry does not know this schema: messages that name it are dead letters"
            );
        }
    }

    /// What does not go on, and why, on the page, in the metrics, and once in the log.
    fn show(&self) {
        let trouble = self.door.trouble();
        let shown = trouble.as_ref().map(|(id, reason)| format!("schema {id}: {reason}"));
        self.status.sources[self.index].kafka.set_registry_error(shown);
        let reason = trouble.as_ref().map(|(_, reason)| reason.clone());
        let waits = &mut self.said().waits;
        if *waits == reason {
            return;
        }
        match &trouble {
            Some((schema, reason)) => tracing::warn!(
                source = self.door.source(),
                schema,
                reason,
                "partitions whose next message needs the schema wait for it, others go on"
            ),
            None => tracing::info!(source = self.door.source(), "the registry answers again"),
        }
        *waits = reason;
    }
}
