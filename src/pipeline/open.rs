//! Opening the data folder: the lock, both logs, the models they name, and whether it fits the config.

mod fingerprint;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

pub(super) use fingerprint::fingerprint;

use crate::config::plan::{ColumnPlan, ModelPlan, Plan, StreamPlan};
use crate::durable::{
    ControlEntry, ControlEvent, ControlLog, DirLock, Log, RealDisk, Snapshots, activations,
};
use crate::engine::{Engine, Env};
use crate::model::{Model, ModelError};
use crate::pipeline::models::Models;
use crate::pipeline::restore::{Found, Restored};
use crate::types::{Activation, Arrival, By, Position, hex};
use crate::watch::Watch;

/// The config is sound, but does not belong to the data folder or the model it names.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    #[error(
        "{} holds events of stream {stream} under another deployment name, source, registry, `format`, key, time, columns, window, \
         model type, threshold, alert budget, `standing`, `no_data`, `onsets`, `outcome` or `max_future`: restore that config, let the stream begin anew (`eddy state reset CONFIG --stream \
         {stream}`), or start with an empty folder (`[durable] path`)",
        dir.display()
    )]
    Folder { dir: PathBuf, stream: String },
    #[error("stream {stream}: {error}")]
    Model { stream: String, error: ModelError },
    #[error(
        "stream {stream}: column {column} was only ever on or off when the model was trained: remove its `direction` and \
         `min_deviation`, or train a model on data in which it varies"
    )]
    Flag { stream: String, column: String },
    #[error(
        "stream {stream}: column {column} was in {model} when the model was trained, the config says {config}: train a model \
         on data in {config}, or correct `unit`"
    )]
    Unit { stream: String, column: String, model: String, config: String },
    #[error(
        "dashboard.listen: {listen} is open to the network, and there is no token yet: make one with `eddy token add \
         CONFIG NAME --scope admin`, or listen on 127.0.0.1"
    )]
    Strangers { listen: std::net::SocketAddr },
    #[error("{0}")]
    Group(String),
}

/// What an opened data folder gives.
pub struct Opened {
    pub lock: DirLock,
    pub log: Log,
    /// The same log as it was found, to read back from.
    pub reading: Log,
    pub control: ControlLog,
    pub entries: Vec<ControlEntry>,
    pub snapshots: Snapshots,
    /// Models the control log names, by checksum.
    pub models: Vec<(String, Arc<Model>)>,
}

/// # Errors
/// If the folder is in use or damaged, was written under another config of a stream, or a model cannot
/// be loaded; the text names the remedy.
pub fn open(plan: &Plan, known: &Models, now: Arrival) -> Result<Opened> {
    let dir = &plan.durable.path;
    std::fs::create_dir_all(dir).with_context(|| {
        format!(
            "cannot make the data folder {}; choose a writable place with `[durable] path`",
            dir.display()
        )
    })?;
    let lock = DirLock::acquire(dir)?;
    let reading = Log::open(Box::new(RealDisk::new()), dir, plan.durable.segment_bytes)?;
    let log = Log::open(Box::new(RealDisk::new()), dir, plan.durable.segment_bytes)?;
    let (control, entries) = ControlLog::open(Box::new(RealDisk::new()), dir)?;
    let snapshots = Snapshots::open(Box::new(RealDisk::new()), dir)?;
    let mut opened = Opened { lock, log, reading, control, entries, snapshots, models: Vec::new() };
    // All of it is looked at before anything is written: an attempt that fails leaves no trace.
    let loaded: Vec<_> = plan.streams.iter().map(Loaded::read).collect::<Result<_>>()?;
    for stream in &plan.streams {
        opened.check_config(plan, stream, dir)?;
    }
    for (stream, loaded) in plan.streams.iter().zip(loaded) {
        opened.note_config(plan, stream)?;
        if let Some(loaded) = loaded {
            opened.activate(stream, loaded, known, now)?;
        }
    }
    opened.load_models(known)?;
    Ok(opened)
}

/// Whether the model file a stream names is one, and was made for the stream's columns and window.
///
/// # Errors
/// As [`open`] would fail on it; the text names the remedy.
pub fn check_model(stream: &StreamPlan) -> Result<()> {
    Loaded::read(stream).map(drop)
}

/// The models that streams load, by stream.
///
/// # Errors
/// As [`open`] would fail on one; the text names the remedy.
pub(super) fn loaded_models(plan: &Plan) -> Result<Vec<Option<Arc<Model>>>> {
    let model = |loaded: Loaded| Ok(Arc::new(Model::from_bytes(&loaded.bytes)?));
    plan.streams.iter().map(|stream| Loaded::read(stream)?.map(model).transpose()).collect()
}

/// [`fingerprint`] as text.
pub(super) fn stream_fingerprint(plan: &Plan, stream: &StreamPlan) -> String {
    hex(&fingerprint(plan, stream))
}

/// A model file that was read and fits its stream.
struct Loaded {
    /// Of the file, without its ending.
    name: String,
    bytes: Vec<u8>,
    checksum: String,
}

/// # Errors
/// If the model is of other columns or another window than the stream's.
pub fn fits(model: &Model, stream: &StreamPlan) -> Result<(), ModelError> {
    let columns: Vec<String> = stream.columns.iter().map(ColumnPlan::schema_name).collect();
    model.check_schema(stream.window.cells(), &columns)
}

/// A level in another unit is another level: all would be odd, or nothing. A unit that only one of the two names says
/// nothing.
fn check_units(of_model: &[Option<String>], stream: &StreamPlan) -> Result<(), Mismatch> {
    for (column, of_model) in stream.columns.iter().zip(of_model) {
        if let (Some(config), Some(of_model)) = (&column.unit, of_model)
            && config != of_model
        {
            let (stream, column) = (stream.name.clone(), column.name.clone());
            return Err(Mismatch::Unit { stream, column, model: of_model.clone(), config: config.clone() });
        }
    }
    Ok(())
}

impl Loaded {
    /// `None` for a stream that fits its own model.
    fn read(stream: &StreamPlan) -> Result<Option<Loaded>> {
        let ModelPlan::Load { path, .. } = &stream.model else { return Ok(None) };
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "stream {}: cannot read the model {}; make it with `eddy train`",
                stream.name,
                path.display()
            )
        })?;
        let model = Model::from_bytes(&bytes)
            .with_context(|| format!("stream {}: {} is not a model", stream.name, path.display()))?;
        fits(&model, stream).map_err(|error| Mismatch::Model { stream: stream.name.clone(), error })?;
        check_units(&model.card().description.units, stream)?;
        let mut ruled = stream.columns.iter().zip(&model.prior.flags);
        if let Some((column, _)) = ruled.find(|(column, flag)| **flag && column.deviation.is_some()) {
            let (stream, column) = (stream.name.clone(), column.name.clone());
            return Err(Mismatch::Flag { stream, column }.into());
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Loaded { name, checksum: model.checksum().to_owned(), bytes }))
    }
}

impl Opened {
    /// Puts the partitions' snapshots into the engines (one a shard), and says where the log goes on.
    ///
    /// # Errors
    /// As [`Found::restore`].
    pub fn restore(&mut self, plan: &Plan, watch: &Watch, engines: &mut [Engine]) -> Result<Restored> {
        let env = Env {
            now: &|| 0,
            meets: &|stream, hash, key| watch.offer(stream, hash, key),
            follows_version: watch.version(),
            follows: &|stream, hash| watch.wanted(stream, hash),
        };
        let Opened { reading, entries, models, snapshots, .. } = self;
        let restored = Found { plan, log: reading, entries, models, snapshots }.restore(engines, &env)?;
        let partitions = restored.partitions.iter().filter(|begun| begun.restored.is_some()).count();
        let from = restored.start.0;
        match () {
            () if reading.next_position() == Position(0) => {
                tracing::info!(path = %plan.durable.path.display(), "a new data folder: learning begins");
            }
            () if partitions == 0 => {
                tracing::info!(from, "no snapshots yet: the log is read from its beginning")
            }
            () => tracing::info!(partitions, from, "restored from snapshots; the log is read from here"),
        }
        Ok(restored)
    }

    fn append(&mut self, event: ControlEvent) -> Result<()> {
        let entry = ControlEntry { precedes: self.log.next_position(), event };
        self.control.append(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    /// The config of a stream that the log was last written under.
    fn known_config(&self, stream: &StreamPlan) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| match &entry.event {
            ControlEvent::Config { stream: name, fingerprint } if *name == stream.name => {
                Some(fingerprint.as_str())
            }
            _ => None,
        })
    }

    /// The log is read back through the config: under another one it would decide otherwise, and tell
    /// the past again under new ids. A log without a message has no past.
    fn check_config(&self, plan: &Plan, stream: &StreamPlan, dir: &Path) -> Result<(), Mismatch> {
        let known = self.known_config(stream);
        let same = known.is_none_or(|known| known == hex(&fingerprint(plan, stream)));
        if same || self.log.next_position() == Position(0) {
            return Ok(());
        }
        Err(Mismatch::Folder { dir: dir.to_owned(), stream: stream.name.clone() })
    }

    fn note_config(&mut self, plan: &Plan, stream: &StreamPlan) -> Result<()> {
        let fingerprint = hex(&fingerprint(plan, stream));
        if self.known_config(stream) == Some(&fingerprint) {
            return Ok(());
        }
        self.append(ControlEvent::Config { stream: stream.name.clone(), fingerprint })
    }

    /// A file acts if it is another one than was last activated from the file: a start undoes neither a refit nor a
    /// roll-back.
    fn activate(&mut self, stream: &StreamPlan, loaded: Loaded, known: &Models, now: Arrival) -> Result<()> {
        let Loaded { name, bytes, checksum } = loaded;
        known.store(&checksum, &bytes)?;
        let history = activations(&self.entries, &stream.name);
        let from_file = history.iter().rev().find(|activation| activation.by == By::File);
        if from_file.is_some_and(|last| last.checksum == checksum) {
            return Ok(());
        }
        let activation = Activation { at: Some(now), name, checksum, by: By::File };
        self.append(ControlEvent::ModelActivated { stream: stream.name.clone(), activation })
    }

    fn load_models(&mut self, known: &Models) -> Result<()> {
        for entry in &self.entries {
            let ControlEvent::ModelActivated { stream, activation } = &entry.event else { continue };
            let checksum = &activation.checksum;
            if self.models.iter().any(|(known, _)| known == checksum) {
                continue;
            }
            let model = known.read(checksum).with_context(|| {
                format!(
                    "stream {stream}: the model {checksum} kept in the data folder cannot be used. If it is damaged, restore \
                     the folder from a backup. If another version of eddy made it, run that version, or train a model anew \
                     and let the stream begin anew with `eddy state reset` (what was told and is to be delivered stays)"
                )
            })?;
            self.models.push((checksum.clone(), model));
        }
        Ok(())
    }
}
