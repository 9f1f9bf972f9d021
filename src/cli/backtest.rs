//! `eddy backtest CONFIG --stream NAME --data FILE...`: recorded data through the very engine that runs live, and
//! what it would have told; beside another config and known events, if given.

mod account;
mod columns;
mod compare;
mod labels;
mod late;
mod lines;
mod scores;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cli::history::{History, not_an_input};
use crate::cli::{BacktestArgs, load};
use crate::config::plan::ModelPlan;
use crate::config::show_duration;
use crate::engine::{Counts, Engine, Env, Outputs};
use crate::model::Model;
use crate::ring::Slot;
use crate::status::LateRows;
use crate::types::{Position, StreamId};
use account::{Account, Alert};
use columns::Columns;
use compare::Comparison;
use labels::{Event, Found};
use scores::Scores;

const STREAM: StreamId = StreamId(0);
/// Messages a step, as the log's group commits make them; what comes out does not depend on it.
const MESSAGES_A_STEP: u64 = 256;

/// As if somebody looked at every key: what was expected of its windows is given too.
const LOOKED_AT: Env<'static> = Env { follows: &|_, _| true, ..Env::SIMULATED };

/// What a config told of the data.
#[derive(Debug, Serialize)]
struct Run {
    config: String,
    rows: u64,
    rows_late: u64,
    rows_duplicate: u64,
    keys: u64,
    from_ns: i64,
    to_ns: i64,
    windows: u64,
    windows_unscored: u64,
    windows_unsure: u64,
    windows_held_back: u64,
    alerts_retracted: u64,
    alerts: Vec<Alert>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Found>,
}

#[derive(Serialize)]
struct Report {
    stream: String,
    run: Run,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
}

/// # Errors
/// If a config has problems, or the data, the labels or a model cannot be read.
pub fn backtest(args: &BacktestArgs) -> Result<()> {
    let read = args.data.iter().chain([&args.config]).chain(&args.labels).chain(&args.against);
    let read: Vec<&Path> = read.map(PathBuf::as_path).collect();
    let written = [("--json", &args.json), ("--scores", &args.scores), ("--columns", &args.columns)];
    for (option, output) in written {
        output.as_deref().map_or(Ok(()), |output| not_an_input(option, output, &read))?;
    }
    let labels = args.labels.as_deref().map(labels::read).transpose()?;
    let labels = labels.as_deref();
    let files = Files { scores: args.scores.as_deref(), columns: args.columns.as_deref() };
    let run = run(args, &args.config, labels, files)?;
    let against = args.against.as_deref();
    let against = against.map(|other| self::run(args, other, labels, Files::default())).transpose()?;
    let comparison = against.as_ref().map(|other| Comparison::of(&other.alerts, &run.alerts));
    let report = Report { stream: args.stream.clone(), run, against, comparison };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    print(&report); // Last, since who reads it may stop reading.
    late::judge(&report.run)
}

/// Where to write what there is a window.
#[derive(Clone, Copy, Default)]
struct Files<'a> {
    scores: Option<&'a Path>,
    columns: Option<&'a Path>,
}

/// A config's engine, and what became of what it gave.
struct Replay {
    engine: Engine,
    slot: Slot,
    out: Outputs,
    account: Account,
    scores: Option<Scores>,
    columns: Option<Columns>,
    /// The first failure to write these.
    failed: Result<()>,
}

impl Replay {
    fn new(history: &History, files: Files<'_>) -> Result<Self> {
        let plan = history.plan();
        plan.backend.find(plan.shards, plan.ring_bytes()).context("backend = \"cuda\"")?;
        let mut engine = Engine::new(history.plan());
        if let ModelPlan::Load { path, refit, .. } = &history.stream().model {
            if refit.is_some() {
                eprintln!("note: a backtest makes no refits: all of it is judged by {}", path.display());
            }
            let model = Arc::new(Model::load(path)?);
            engine.activate(STREAM, model).with_context(|| path.display().to_string())?;
        }
        let scores = files.scores.map(Scores::create).transpose()?;
        let columns = |path| Columns::create(path, &history.stream().columns);
        let columns = files.columns.map(columns).transpose()?;
        let out = Outputs { judged: scores.is_some().then(Vec::new), ..Outputs::default() };
        let (slot, account, failed) = (Slot::default(), Account::default(), Ok(()));
        Ok(Replay { engine, slot, out, account, scores, columns, failed })
    }

    fn env(&self) -> &'static Env<'static> {
        if self.columns.is_some() { &LOOKED_AT } else { &Env::SIMULATED }
    }

    fn step(&mut self) {
        let env = self.env();
        self.engine.step(&self.slot, env, &mut self.out);
        self.slot.clear();
        // As the appliance does, though there it is by the wall clock that the number is looked at.
        if let Some(keys) = self.engine.keys_due(STREAM) {
            self.engine.set_keys(STREAM, keys);
        }
        let risks = self.engine.risks_due(STREAM);
        if !risks.is_empty() {
            self.engine.set_risks(STREAM, &risks);
        }
        self.take();
    }

    fn end(&mut self) {
        self.step();
        let env = self.env();
        self.engine.end_of_input(STREAM, Position(u64::MAX), env, &mut self.out);
        self.take();
    }

    fn take(&mut self) {
        if let (Some(scores), Some(judged)) = (&mut self.scores, &self.out.judged)
            && self.failed.is_ok()
        {
            self.failed = judged.iter().try_for_each(|judged| scores.add(judged));
        }
        if let Some(columns) = &mut self.columns
            && self.failed.is_ok()
        {
            self.failed = self.out.points.iter().try_for_each(|point| columns.add(point));
        }
        self.account.take(&mut self.out);
    }

    fn finish_files(&mut self) -> Result<()> {
        std::mem::replace(&mut self.failed, Ok(()))?;
        self.scores.take().map_or(Ok(()), Scores::finish)?;
        self.columns.take().map_or(Ok(()), Columns::finish)
    }
}

fn run(args: &BacktestArgs, config: &Path, labels: Option<&[Event]>, files: Files<'_>) -> Result<Run> {
    let history = History::new(config, load(config)?, &args.stream, args.key.as_deref())?;
    let mut rows = 0;
    let mut strange = labels::keys(labels.unwrap_or_default());
    let mut span = (i64::MAX, i64::MIN);
    // Both closures fill and empty the one slot.
    let replay = std::cell::RefCell::new(Replay::new(&history, files)?);
    history.read(
        &args.data,
        |record| {
            rows += 1;
            strange.remove(record.key);
            span = (span.0.min(record.time.0), span.1.max(record.time.0));
            replay.borrow_mut().slot.push(*record);
        },
        |position| {
            if position.0.is_multiple_of(MESSAGES_A_STEP) {
                replay.borrow_mut().step();
            }
        },
    )?;
    let mut replay = replay.into_inner();
    replay.end();
    replay.finish_files()?;
    let counts = counted(&mut replay.engine);
    late::warn(config, LateRows { late: counts.late, rows });
    if !strange.is_empty() {
        eprintln!("the labels name keys that the data does not have: {}", labels::list(&strange));
    }
    let alerts = replay.account.alerts();
    labels::warn_of_other_times(labels.unwrap_or_default(), span);
    let events = labels.map(|events| Found::of(events, &alerts, span, counts.keys));
    Ok(Run {
        config: config.display().to_string(),
        rows,
        rows_late: counts.late,
        rows_duplicate: counts.duplicates,
        keys: counts.keys,
        from_ns: span.0,
        to_ns: span.1,
        windows: counts.windows,
        windows_unscored: counts.windows_unscored,
        windows_unsure: counts.windows_unsure,
        windows_held_back: counts.windows_held_back,
        alerts_retracted: replay.account.retracted,
        alerts,
        events,
    })
}

/// Over all partitions; says why a fit failed, once each reason.
fn counted(engine: &mut Engine) -> Counts {
    let (mut sum, mut reasons) = (Counts::default(), BTreeSet::new());
    engine.changed(|_, _, counts, why| {
        sum.late += counts.late;
        sum.duplicates += counts.duplicates;
        sum.keys += counts.keys;
        sum.windows += counts.windows;
        sum.windows_unscored += counts.windows_unscored;
        sum.windows_unsure += counts.windows_unsure;
        sum.windows_held_back += counts.windows_held_back;
        reasons.extend(why.map(|why| why.to_string()));
    });
    reasons.iter().for_each(|why| eprintln!("a partition has no model: {why}"));
    sum
}

fn print(report: &Report) {
    let runs = [("with", Some(&report.run)), ("against", report.against.as_ref())];
    for (role, run) in runs.into_iter().filter_map(|(role, run)| Some((role, run?))) {
        let minutes = ((run.to_ns - run.from_ns) / 60_000_000_000).max(1) as u64;
        let span = std::time::Duration::from_secs(60 * minutes);
        println!("{role} {}", run.config);
        println!(
            "  {} rows of {} keys over {} ({} late, {} duplicate)",
            run.rows,
            run.keys,
            show_duration(span),
            run.rows_late,
            run.rows_duplicate
        );
        println!(
            "  {} windows judged, {} of them on too little data; {} while learning",
            run.windows, run.windows_unsure, run.windows_unscored
        );
        if run.windows_held_back > 0 {
            println!("  {} windows held back: no column gave a reason to tell them", run.windows_held_back);
        }
        let rules = if run.alerts.is_empty() {
            String::new()
        } else {
            format!(" ({})", account::by_rule(&run.alerts))
        };
        println!("  {} alerts{rules}, {} retracted", run.alerts.len(), run.alerts_retracted);
        if let Some(found) = &run.events {
            found.print();
        }
        if run.windows == 0 {
            println!("  no window was judged: {}", late::why_none(run));
        }
    }
    match (&report.comparison, &report.against) {
        (Some(comparison), Some(against)) => comparison.print(&report.run.config, &against.config),
        _ => account::print(&report.run.alerts, " "),
    }
}
