//! `eddy state reset`: a stream of a deployment that is not running begins anew.

use anyhow::{Result, bail};

use crate::alert::outbox::{Outbox, OutboxError, OutboxReader, StoredAlert};
use crate::cli::{ResetArgs, load, stream_named};
use crate::config::plan::Plan;
use crate::durable::{
    ControlEntry, ControlEvent, ControlLog, DirLock, Log, RealDisk, SnapshotName, Snapshots,
};
use crate::latency::{Clock, ReceiptBuilder};
use crate::types::{Alert, AlertState, Decision};

/// # Errors
/// If there is no such stream or data folder, Eddy is running on it, or the disk fails; doing it again is safe.
pub(super) fn reset(args: &ResetArgs) -> Result<()> {
    let (plan, stream) = (load(&args.config)?, args.stream.as_str());
    stream_named(&args.config, &plan, stream)?;
    if plan.shared().is_some() {
        bail!("a deployment that is shared begins anew under another `shared.state` topic, on every member");
    }
    let dir = &plan.durable.path;
    if !dir.join("control").is_dir() {
        bail!("{} holds nothing of a deployment: there is nothing to reset", dir.display());
    }
    let _lock = DirLock::acquire(dir)?;
    let disk = || Box::new(RealDisk::new());
    let log = Log::open(disk(), dir, plan.durable.segment_bytes)?;
    let mut snapshots = Snapshots::open(disk(), dir)?;
    let states: Vec<SnapshotName> =
        snapshots.list()?.into_iter().filter(|name| is_of(name, stream)).collect();
    let open = open_alerts(&plan, stream, args.yes)?;
    println!("stream {stream} begins anew at message {}:", log.next_position().0);
    println!(
        "  {} snapshots of it are removed; its levels, calibration and warm-up are forgotten",
        states.len()
    );
    match &open {
        Some(open) => println!("  {} open alerts of it are resolved at the next start", open.len()),
        None => {
            println!("  its open alerts are resolved at the next start, and the outbox is brought up to date")
        }
    }
    println!(
        "  its config may have changed; messages before are not judged again, and other streams go on as they were"
    );
    if !args.yes {
        bail!("nothing was done; say --yes to do it");
    }
    let (mut control, _) = ControlLog::open(disk(), dir)?;
    let event = ControlEvent::Reset { stream: stream.to_owned() };
    // First, and durable: from here on what follows is only tidying up.
    control.append(&ControlEntry { precedes: log.next_position(), event })?;
    states.iter().try_for_each(|name| snapshots.remove(name))?;
    resolve(&plan, open.unwrap_or_default())?;
    println!("done");
    Ok(())
}

/// `pumps-07` is of `pumps`, and so are no others: names of streams may end in digits themselves.
fn is_of(name: &SnapshotName, stream: &str) -> bool {
    name.of.rsplit_once('-').is_some_and(|(of, partition)| of == stream && partition.len() == 2)
}

/// Of an outbox that a version before wrote, which is brought up to date only if the user has said so, `None`.
fn open_alerts(plan: &Plan, stream: &str, yes: bool) -> Result<Option<Vec<StoredAlert>>> {
    let path = plan.durable.path.join("outbox.sqlite");
    if !path.exists() {
        return Ok(Some(Vec::new()));
    }
    match OutboxReader::open(&path) {
        Err(OutboxError::Version { .. }) if !yes => return Ok(None),
        Err(OutboxError::Version { .. }) => _ = outbox(plan)?,
        _ => {}
    }
    let mut open = OutboxReader::open(&path)?.open_alerts()?;
    open.retain(|stored| stored.alert.decision.stream == stream);
    Ok(Some(open))
}

fn outbox(plan: &Plan) -> Result<Outbox> {
    let receivers: Vec<String> = plan.sinks.iter().map(|sink| sink.name.clone()).collect();
    Ok(Outbox::open(&plan.durable.path.join("outbox.sqlite"), &receivers)?)
}

/// Nobody else would: the stream does not know of them any more.
fn resolve(plan: &Plan, open: Vec<StoredAlert>) -> Result<()> {
    if open.is_empty() {
        return Ok(());
    }
    let mut outbox = outbox(plan)?;
    let now_ns = Clock::start().now_ns();
    let resolved = |stored: StoredAlert| {
        let last = stored.alert.decision;
        let decision = Decision { state: AlertState::Resolved, revision: last.revision + 1, ..last };
        Alert { decision, receipt: ReceiptBuilder::from(now_ns).until("outbox", now_ns).finish() }
    };
    let alerts: Vec<Alert> = open.into_iter().map(resolved).collect();
    outbox.store(&alerts, now_ns)?;
    Ok(())
}
