//! `eddy state`: what snapshots a data folder has, whether they are whole, and what people said of its alerts.

mod reset;

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Result, bail};

use super::{StateArgs, StateCommand, StreamArgs, load, stream_named};
use crate::access::{self, FeedbackLog};
use crate::config::{show_duration, show_size};
use crate::durable::{DirLock, RealDisk, SnapshotError, SnapshotName, Snapshots};

/// # Errors
/// If the config has problems, the folder cannot be read, Eddy is running on it, or a snapshot is damaged.
pub fn state(args: &StateArgs) -> Result<()> {
    let config = match &args.command {
        StateCommand::List(config) | StateCommand::Verify(config) => config,
        StateCommand::Labels(of) => return labels(of),
        StateCommand::Reset(args) => return reset::reset(args),
    };
    let plan = load(&config.config)?;
    if let Some((_, shared)) = plan.shared() {
        bail!("the state of a deployment that is shared is in topic {}, not in a data folder", shared.state);
    }
    let dir = plan.durable.path;
    if !dir.join("control").is_dir() {
        bail!("{} holds nothing of a deployment: look at `[durable] path`", dir.display());
    }
    if !dir.join("snapshots").is_dir() {
        println!("no snapshots in {}: none was written yet", dir.display());
        return Ok(());
    }
    // While it runs, files come and go.
    let _lock = DirLock::acquire(&dir)?;
    let snapshots = Snapshots::open(Box::new(RealDisk::new()), &dir)?;
    match args.command {
        StateCommand::List(_) => list(&snapshots, &dir),
        _ => verify(&snapshots),
    }
}

/// Read beside an Eddy that runs: the file only grows.
fn labels(of: &StreamArgs) -> Result<()> {
    let plan = load(&of.config)?;
    stream_named(&of.config, &plan, &of.stream)?;
    let words = FeedbackLog::of(&access::folder(&plan.durable.path)).last_words()?;
    print!("{}", access::labels_csv(&words, &of.stream));
    Ok(())
}

fn list(snapshots: &Snapshots, dir: &Path) -> Result<()> {
    let names = snapshots.list()?;
    let width = names.iter().map(|name| name.of.len()).max().unwrap_or_default();
    for name in &names {
        let size = show_size(snapshots.file_bytes(name)?);
        let age = age(&dir.join("snapshots").join(name.file()));
        println!("{:<width$}  position {:>12}  {size:>10}  {age}", name.of, name.position.0);
    }
    println!("{} snapshots", names.len());
    Ok(())
}

/// How long ago a file was written, to the second.
fn age(file: &Path) -> String {
    let written = std::fs::metadata(file).and_then(|metadata| metadata.modified());
    let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
    age.map_or_else(
        || "of unknown age".to_owned(),
        |age| format!("{} old", show_duration(std::time::Duration::from_secs(age.as_secs()))),
    )
}

fn verify(snapshots: &Snapshots) -> Result<()> {
    let names = snapshots.list()?;
    let wrong: Vec<SnapshotError> = names.iter().filter_map(|name| fault(snapshots, name)).collect();
    for error in &wrong {
        println!("{error}");
    }
    println!("{} snapshots, {} of them not good", names.len(), wrong.len());
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(
        "a damaged snapshot is passed over at the next start, which reads the log from the one before it; \
         check the disk it lies on"
    )
}

fn fault(snapshots: &Snapshots, name: &SnapshotName) -> Option<SnapshotError> {
    snapshots.read(name, None).err()
}
