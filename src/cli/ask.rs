//! Asking the Eddy that runs, over the listener of its page.

use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::Value;

use super::page::{self, Page, Refused};
use crate::config::plan::Plan;
use crate::durable::{DirLock, LogError};

/// Who has the data folder of a deployment.
pub enum Holder {
    /// Nobody else, as long as the lock is held.
    Us(DirLock),
    Eddy,
}

/// # Errors
/// If the folder holds nothing of a deployment, or cannot be locked.
pub fn holder(plan: &Plan) -> Result<Holder> {
    let dir = &plan.durable.path;
    if !dir.is_dir() {
        bail!("{} holds nothing of a deployment: look at `[durable] path`", dir.display());
    }
    match DirLock::acquire(dir) {
        Ok(lock) => Ok(Holder::Us(lock)),
        Err(LogError::Locked { .. }) => Ok(Holder::Eddy),
        Err(error) => Err(error.into()),
    }
}

/// The answer of the running Eddy. `again`: what to look at before a change is asked for once more.
///
/// # Errors
/// If it has no page, does not answer, or refuses; the text names the remedy.
pub fn ask(plan: &Plan, method: Method, path: &str, body: Option<&Value>, again: &str) -> Result<Value> {
    let page = Page::of(plan)?;
    let changes = method != Method::GET;
    let mut request = page.request(method, path);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(serde_json::to_vec(body)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let said = runtime.block_on(page::body(request)).map_err(|error| {
        let asked = format!("asked Eddy at {}", page.base());
        let may_be_done = changes && !error.is::<Refused>() && !was_not_reached(&error);
        error.context(if may_be_done {
            format!("{asked}; it may have been done: look at `{again}` before you say it again")
        } else {
            asked
        })
    })?;
    Ok(serde_json::from_slice(&said)?)
}

fn was_not_reached(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
}

/// Percent-encoded, for a path.
pub fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

/// UTC to the second.
pub fn utc(ns: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
