//! What most stations are given.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::plan::Plan;
use crate::durable::Ballast;
use crate::latency::{Clock, Latency};
use crate::pipeline::dead::Dead;
use crate::pipeline::models::Models;
use crate::pipeline::storing::Outgoing;
use crate::status::Status;
use crate::telemetry::Incoming;
use crate::types::Point;
use crate::watch::Watch;

#[derive(Clone)]
pub(super) struct Common {
    pub plan: Arc<Plan>,
    pub status: Arc<Status>,
    pub latency: Latency,
    pub clock: Clock,
    pub watch: Arc<Watch>,
    pub ballast: Arc<Ballast>,
    pub models: Arc<Models>,
    pub incoming: Incoming,
}

impl Common {
    pub fn new(plan: Plan) -> Self {
        let clock = Clock::start();
        Common {
            status: Arc::new(Status::new(&plan, clock.now_ns())),
            ballast: Arc::new(Ballast::new(&plan.durable.path)),
            models: Arc::new(Models::of(&plan.durable.path)),
            incoming: if plan.telemetry.is_some() { Incoming::on() } else { Incoming::default() },
            watch: Arc::new(Watch::new(plan.streams.len())),
            plan: Arc::new(plan),
            latency: Latency::new(),
            clock,
        }
    }
}

/// The hand-offs a shard sends into.
#[derive(Clone)]
pub(super) struct Outward {
    pub alerts: mpsc::Sender<Outgoing>,
    pub dead: mpsc::Sender<Dead>,
    pub points: mpsc::Sender<Vec<Point>>,
}
