//! Adds up what the partitions of a stream of transactions know of its second keys, and has it written down as it
//! changes: shards share nothing, so it is from the control log that each partition learns what happened at a terminal
//! to the cards of others.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::config::plan::{ModelPlan, StreamPlan};
use crate::durable::{ControlEntry, ControlEvent};
use crate::judge::risk::Risks;
use crate::pipeline::common::Common;
use crate::pipeline::gather::Gatherer;
use crate::stage::{Intake, Notice};
use crate::types::StreamId;

/// Outcomes are days old when they come: there is no hurry.
const LOOK: Duration = Duration::from_secs(5);
/// Adding up takes the shards' time. It is done at each look for so long after an outcome came, since it acts with the end
/// of an epoch, and else as seldom as this: payments alone change risks little by little.
const SELDOM: Duration = Duration::from_secs(120);

/// A stream of transactions.
struct Watched {
    stream: StreamId,
    name: Arc<str>,
    /// As the control log has them.
    noted: Risks,
    /// Outcomes that had come by the last look, and when more of them had.
    outcomes: u64,
    came: Instant,
    added_up: Option<Instant>,
}

pub(super) struct Watch {
    common: Common,
    gatherer: Gatherer,
    watched: Vec<Watched>,
}

impl Watch {
    /// `entries`: of the control log, as far as they are in force.
    pub fn new(common: &Common, gatherer: Gatherer, entries: &[ControlEntry]) -> Self {
        let watched = |(id, plan): (usize, &StreamPlan)| {
            let of_transactions = matches!(plan.model, ModelPlan::Transactions { .. });
            of_transactions.then(|| Watched {
                stream: StreamId(id as u16),
                name: plan.name.as_str().into(),
                noted: noted(entries, &plan.name),
                outcomes: 0,
                came: Instant::now(),
                added_up: None,
            })
        };
        let watched = common.plan.streams.iter().enumerate().filter_map(watched).collect();
        Watch { common: common.clone(), gatherer, watched }
    }

    pub async fn run(mut self, intake: &Intake) -> Infallible {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            for at in 0..self.watched.len() {
                let due = self.is_due(at);
                let at_risk = self.common.status.second_keys_at_risk(self.watched[at].stream);
                at_risk.store(self.watched[at].noted.len() as u64, Relaxed);
                if !due {
                    continue;
                }
                let changes = self.changes(at).await.unwrap_or_default();
                if changes.is_empty() {
                    continue;
                }
                let notice = Notice::Risks { stream: self.watched[at].name.clone(), risks: changes.clone() };
                // Refused by a full disk, it is tried again at the next look.
                if let Ok(logged) = intake.notice(notice).await
                    && matches!(logged.await, Ok(Ok(())))
                {
                    self.watched[at].noted.note(&changes);
                    at_risk.store(self.watched[at].noted.len() as u64, Relaxed);
                }
            }
        }
    }

    fn is_due(&mut self, at: usize) -> bool {
        let watched = &mut self.watched[at];
        let partitions = self.common.status.stream(watched.stream);
        let outcomes = partitions.iter().map(|partition| partition.outcomes_total.load(Relaxed)).sum();
        let now = Instant::now();
        if outcomes != watched.outcomes {
            (watched.outcomes, watched.came) = (outcomes, now);
        }
        let lately = now.duration_since(watched.came) < SELDOM;
        let due = lately || watched.added_up.is_none_or(|last| now.duration_since(last) >= SELDOM);
        if due {
            watched.added_up = Some(now);
        }
        due
    }

    /// First which second keys frauds were told of, anywhere; then what every partition has of those.
    async fn changes(&self, at: usize) -> Option<Vec<(u32, u16)>> {
        let Watched { stream, noted, .. } = &self.watched[at];
        let charged = self.gatherer.tally(*stream, None).await?;
        let seconds: BTreeSet<u32> = charged.seconds().chain(noted.seconds()).collect();
        if seconds.is_empty() {
            return None;
        }
        Some(self.gatherer.tally(*stream, Some(seconds.into())).await?.changes(noted))
    }
}

fn noted(entries: &[ControlEntry], stream: &str) -> Risks {
    let mut noted = Risks::default();
    for entry in entries {
        if let ControlEvent::Risks { stream: of, risks } = &entry.event
            && of == stream
        {
            noted.note(risks);
        }
    }
    noted
}
