//! One run of the demo: both publishers, what is told while they publish, and the report.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{CATCH_UP_MAX, DemoArgs, LOOK_EVERY, RUN_MAX, Streams};
use crate::demo::cards::holders::CARDS;
use crate::demo::cards::live::CardsLive;
use crate::demo::cards::publish::CardPublisher;
use crate::demo::cards::report::{CardReport, Facts as CardFacts};
use crate::demo::cards::shop::Shop;
use crate::demo::cards::{CARDS_START, DAY_REAL_S, HISTORY_DAYS};
use crate::demo::delivery::Delivery;
use crate::demo::faults::Schedule;
use crate::demo::history::DEMO_START;
use crate::demo::link::{Progress, PublishError};
use crate::demo::live::Live;
use crate::demo::plant::{PUMPS, Plant, SECOND_NS};
use crate::demo::publish::Publisher;
use crate::demo::receiver::{Received, Receiver};
use crate::demo::report::{Facts, Report, Scored};
use crate::demo::settings::{PUMPS as PUMPS_STREAM, SPEED, WINDOW_S};
use crate::demo::table::time_of_day;
use crate::pipeline::Running;
use crate::status::Status;
use crate::types::EventTime;

pub(super) struct Run {
    seed: u64,
    steps: i64,
    card_days: i64,
    ends_by_itself: bool,
    schedule: Schedule,
    plant: Arc<Progress>,
    cards: Arc<Progress>,
    cards_live: CardsLive,
    started: Instant,
}

/// What the end of a run shows, and its JSON.
#[derive(serde::Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    pub pumps: Report,
    pub cards: CardReport,
}

impl Run {
    pub fn new(args: &DemoArgs, started: Instant) -> Self {
        let length_s = args.run_for.unwrap_or(RUN_MAX).as_secs_f64();
        let steps = (length_s * f64::from(SPEED)) as i64;
        let card_days = (length_s / DAY_REAL_S as f64) as i64;
        Run {
            seed: args.seed,
            steps,
            card_days,
            ends_by_itself: args.run_for.is_some(),
            schedule: Schedule::new(args.seed, DEMO_START, steps),
            plant: Arc::default(),
            cards: Arc::default(),
            cards_live: CardsLive::new(args.seed, card_days),
            started,
        }
    }

    pub fn announce(&self, folder: &Path, running: &Running) {
        println!(
            "A simulated plant of {PUMPS} pumps and a bank with {CARDS} cards publish over MQTT; Eddy scores them and sends \
             webhooks."
        );
        if let Some(page) = running.page {
            println!("  page        http://{page}/");
        }
        println!("  data        {}", folder.display());
        println!(
            "  event time  {SPEED} times as fast as the clock, from 2026-01-07 {} UTC",
            time_of_day(DEMO_START)
        );
        println!(
            "  cards       a day every {DAY_REAL_S} s, after {HISTORY_DAYS} days of history sent at once"
        );
        let end = if self.ends_by_itself { "Ctrl-C ends it early" } else { "Ctrl-C ends it" };
        println!(
            "  faults      {} in {} min of event time, {} frauds in {} days; {end}\n",
            self.schedule.faults.len(),
            self.steps / 60,
            self.cards_live.ledger.frauds().len(),
            self.card_days
        );
        println!("  clock    event     pump or card");
    }

    pub fn publish(&self, port: u16, stop: CancellationToken) -> JoinHandle<Result<(), PublishError>> {
        let plant = Publisher {
            port,
            plant: Plant::with_faults(self.seed, DEMO_START, self.schedule.clone()),
            delivery: Delivery::new(self.seed),
            steps: self.steps,
            speed: SPEED,
            progress: self.plant.clone(),
        };
        let shop = Shop::new(self.seed, self.card_days);
        let cards = CardPublisher { port, shop, days: self.card_days, progress: self.cards.clone() };
        tokio::spawn(async move {
            // If one fails, the other ends too: a run of half of it is of no use.
            tokio::try_join!(plant.run(stop.clone()), cards.run(stop)).map(|_| ())
        })
    }

    /// Tells what happens until the publishers have ended; gives their result.
    pub async fn watch(
        &mut self,
        mut publishing: JoinHandle<Result<(), PublishError>>,
        receiver: &Receiver,
    ) -> Result<Result<(), PublishError>> {
        let mut live = Live::default();
        let mut alerts_told = 0;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let ended = tokio::select! {
                ended = &mut publishing => Some(ended),
                _ = look.tick() => None,
            };
            let alerts = receiver.received_from(alerts_told);
            alerts_told += alerts.len();
            let (pumps, cards) = by_kind(alerts);
            let real_s = self.started.elapsed().as_secs_f64();
            let mut lines = live.lines(event_time(&self.plant), real_s, &self.schedule.faults, &pumps);
            lines.extend(self.cards_live.lines(event_time(&self.cards), real_s, &cards));
            lines.iter().for_each(|line| println!("{line}"));
            if let Some(ended) = ended {
                return Ok(ended?);
            }
        }
    }

    /// Waits until every message that was published has been decoded, so that stopping cuts nothing off.
    pub async fn catch_up(&self, status: &Status) {
        let deadline = Instant::now() + CATCH_UP_MAX;
        let rows = [&self.plant, &self.cards].map(|progress| progress.rows_total.load(Ordering::Relaxed));
        let rows = rows.iter().sum::<u64>();
        while status.rows_total.load(Ordering::Relaxed) < rows && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub fn report(&mut self, status: &Status, streams: Streams, receiver: &Receiver) -> Whole {
        let reached = event_time(&self.plant).max(DEMO_START);
        let facts = Facts {
            seed: self.seed,
            speed: SPEED,
            real_s: self.started.elapsed().as_secs_f64(),
            event_s: (reached.0 - DEMO_START.0) / SECOND_NS,
            published: self.plant.published_total.load(Ordering::Relaxed),
            acked: self.plant.acked_total.load(Ordering::Relaxed),
            scored: Scored::of(status, streams.pumps),
            webhook_duplicates: receiver.duplicates(),
            webhook_refused: receiver.refused(),
        };
        let (pumps, cards) = by_kind(receiver.received_from(0));
        let pumps = Report::new(facts, &self.schedule.faults, reached, WINDOW_S, &pumps);
        let facts = CardFacts {
            published: self.cards.published_total.load(Ordering::Relaxed),
            acked: self.cards.acked_total.load(Ordering::Relaxed),
            cards: Scored::of(status, streams.cards),
            bursts: Scored::of(status, streams.bursts),
        };
        let reached = event_time(&self.cards).max(CARDS_START);
        let cards = CardReport::new(facts, &mut self.cards_live.ledger, reached, &cards);
        Whole { pumps, cards }
    }
}

/// Alerts on pumps, and alerts on cards.
fn by_kind(alerts: Vec<Received>) -> (Vec<Received>, Vec<Received>) {
    alerts.into_iter().partition(|alert| alert.decision.stream == PUMPS_STREAM)
}

fn event_time(progress: &Progress) -> EventTime {
    EventTime(progress.event_time.load(Ordering::Relaxed))
}
