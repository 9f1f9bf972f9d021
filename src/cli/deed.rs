//! What the command line changes of a deployment, in the audit log that Eddy keeps of itself.

use anyhow::{Result, bail};

use crate::access::{self, Audit, Deed};
use crate::config::plan::Plan;
use crate::latency::Clock;

/// Notes `what`, changes, and notes how it ended.
///
/// # Errors
/// Those of `change`, and if it could not be noted: then nothing was changed.
pub fn noted<T>(plan: &Plan, what: String, change: impl FnOnce() -> Result<T>) -> Result<T> {
    let data = &plan.durable.path;
    // A folder that Eddy has not run on yet is made by it, not by a slip in a path.
    if let Some(parent) = data.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.is_dir()) {
        bail!("{} is not there: make it, or look at `[durable] path`", parent.display());
    }
    let audit = Audit::of(&access::folder(data));
    let deed = Deed { at_ns: Clock::start().now_ns(), who: "command line".to_owned(), from: None, what };
    let seq = audit.begin(&deed)?;
    let done = change();
    audit.end(seq, if done.is_ok() { 200 } else { 409 }, None)?;
    done
}
