//! What systemd is told, by its notification protocol (`man 3 sd_notify`); nothing without `NOTIFY_SOCKET`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;

use crate::pipeline::beat::Beater;
use crate::status::Status;

/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What a start that gets on may still take; asked for again at every look. More than systemd's own
/// patience, so that a single slow batch does not end it.
const EXTENSION: Duration = Duration::from_secs(120);

/// How long reading back may show no progress before no more time is asked for.
const STALLED: Duration = Duration::from_secs(60);

/// How often the status line is renewed.
const SAY: Duration = Duration::from_secs(10);

/// Tells of the start, then beats for as long as the engine turns over. Ends only by being dropped.
pub async fn run(status: Arc<Status>, beater: Beater) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    until_ready(&status).await;
    tell(&[NotifyState::Ready, NotifyState::Status(&line(&status))]);
    match sd_notify::watchdog_enabled() {
        Some(patience) => {
            tokio::join!(say(&status), beats(&beater, patience / 2));
        }
        None => say(&status).await,
    }
}

/// Systemd waits for what is under way, and no longer starts a service over that says nothing.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining what was taken")]);
}

async fn until_ready(status: &Status) {
    let mut progress = (0, Instant::now());
    while !status.ready.load(Relaxed) {
        let read = status.recovered_messages_total.load(Relaxed);
        if read != progress.0 {
            progress = (read, Instant::now());
        }
        // A broker that is away is no reason to be started again.
        if !status.recovering.load(Relaxed) || progress.1.elapsed() < STALLED {
            let more = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
            tell(&[NotifyState::ExtendTimeoutUsec(more), NotifyState::Status(&line(status))]);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One beat each `every`, and none while the last one is still on its way.
async fn beats(beater: &Beater, every: Duration) {
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        if beater.beat().await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

async fn say(status: &Status) {
    loop {
        tokio::time::sleep(SAY).await;
        tell(&[NotifyState::Status(&line(status))]);
    }
}

fn line(status: &Status) -> String {
    let read = status.recovered_messages_total.load(Relaxed);
    if status.recovering.load(Relaxed) {
        return format!("reading the log back: {read} messages");
    }
    if !status.ready.load(Relaxed) {
        return "waiting for the first session of each source".to_owned();
    }
    if !status.log_safe.load(Relaxed) {
        return "the log cannot be written, nothing is acknowledged: free disk space".to_owned();
    }
    let messages = status.log_messages_total.load(Relaxed);
    format!("running: {messages} messages logged and acknowledged since the start, {read} read back")
}

/// A service manager that is not there to hear it changes nothing.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
