//! Asking the Eddy that runs, over the listener of its page.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::config::plan::Plan;
use crate::durable::{DirLock, LogError};
use crate::stage::{MODEL_HEADER, ROLL_BACK};

/// The log's thread may have much to write first.
const ANSWER_MAX: Duration = Duration::from_secs(60);

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
    let page = plan.dashboard.listen;
    if !plan.dashboard.enabled || page.port() == 0 {
        bail!(
            "Eddy is running, and can only be asked over its page: give `[dashboard]` an address with a port, or \
             stop Eddy and say it again"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let changes = method != Method::GET;
    runtime.block_on(request(method, format!("http://{page}{path}"), body)).with_context(|| {
        let asked = format!("asked Eddy at http://{page}");
        if changes {
            format!("{asked}; it may have been done: look at `{again}` before you say it again")
        } else {
            asked
        }
    })
}

async fn request(method: Method, url: String, body: Option<&Value>) -> Result<Value> {
    // A proxy is for the way out of this machine.
    let client = Client::builder().no_proxy().timeout(ANSWER_MAX).build()?;
    let mut request = client.request(method, url).header(MODEL_HEADER, ROLL_BACK);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(serde_json::to_vec(body)?);
    }
    let answer = request.send().await?;
    let (good, body) = (answer.status().is_success(), answer.bytes().await?);
    if good {
        return Ok(serde_json::from_slice(&body)?);
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let part = |name: &str| said[name].as_str().unwrap_or("no reason").to_owned();
    bail!("{}; {}", part("error"), part("remedy"))
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
