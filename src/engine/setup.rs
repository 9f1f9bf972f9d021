//! What the engine needs of a stream's plan, in its own units.

use std::sync::Arc;
use std::time::Duration;

use crate::alert::lifecycle::{Rule, alert_id};
use crate::config::plan::{
    Aggregate, AlarmPlan, ColumnPlan, DeviationRule, ModelPlan, NoDataPlan, OnsetPlan, Shape, StreamPlan,
    WindowPlan,
};
use crate::engine::reservoir::LOOK_BACK;
use crate::engine::scoring::Scoring;
use crate::engine::silence::Patience;
use crate::engine::transactions::Roles;
use crate::judge::budget::Alarm;
use crate::judge::risk::Risks;
use crate::model::{Model, ModelError};
use crate::types::{EventTime, PartitionId, Position, StreamId, key_hash};

pub(crate) struct StreamSetup {
    pub id: StreamId,
    pub name: String,
    pub deployment: Arc<str>,
    /// Where it was reset, 0 if it never was.
    pub beginning: Position,
    pub columns: Vec<String>,
    /// What a model knows the columns by.
    pub schema: Vec<String>,
    pub aggregates: Vec<Aggregate>,
    pub units: Vec<Option<String>>,
    /// By column; empty if none has a rule.
    pub deviations: Vec<Option<DeviationRule>>,
    pub shape: Shape,
    /// Length of a grid cell; where events make windows, of the buckets in which rows become final.
    pub grid_ns: i64,
    /// Verdicts are counted in these: grid cells, or ns where an event may end a window at any time.
    pub unit_ns: i64,
    /// Cells a window.
    pub cells: usize,
    /// Length of a cell of a sliding window.
    pub cell_ns: i64,
    /// Length of a window; at most, for a session.
    pub size_ns: i64,
    /// Grid cells between two windows.
    pub every_cells: i64,
    /// How far the watermark stays behind the newest row.
    pub disorder_ns: i64,
    pub lateness_ns: i64,
    pub rule: Rule,
    pub alarm: AlarmPlan,
    /// Keys learn nothing while their windows had p-values below this.
    pub p_odd: f64,
    /// Keys of the stream, as far as it was written down; 0 before.
    pub keys: u64,
    /// Of how many alike a partition is one, where none is told of the others.
    pub partitions: Option<u64>,
    /// Of a stream of transactions: which of its columns is what.
    pub roles: Option<Roles>,
    /// Risks of their second keys, as far as they were written down.
    pub risks: Arc<Risks>,
    /// Windows a key a day, before any was counted.
    pub windows_expected: f64,
    pub warmup_ns: i64,
    /// The loaded model, if the stream has one; else every partition fits its own.
    pub model: Option<Arc<Model>>,
    pub loads_model: bool,
    /// Every partition fits models of its own as it goes.
    pub fits: bool,
    /// How far back the windows go that a refit learns from; 0: there are no refits.
    pub refit_span_ns: i64,
    pub patience: Patience,
    /// How old a key's newest reading may be while it is alive.
    pub alive_ns: i64,
    pub onsets: Option<OnsetPlan>,
}

/// Windows that a key's level and spread remember, about: what was learnt of it must not give way to a few hours.
const MEMORY_WINDOWS: f64 = 10_000.0;

/// Under an alert budget thresholds are such that normal windows pass them every few days. Were they not learnt, all
/// windows but the calmest would seem odd in the end.
const P_ODD: f64 = 1e-4;

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Rows of windows that events make become final in buckets: enough that waiting for one to fill adds little
/// to the lateness, few enough that each partition may have them all.
pub(crate) fn bucket(lateness: Duration) -> Duration {
    (lateness / 64).max(Duration::from_millis(1))
}

/// How many windows hold a given cell; how many hold an event cannot be told, where its time is free.
fn overlap(plan: &StreamPlan) -> usize {
    if matches!(plan.model, ModelPlan::Transactions { .. }) {
        // A payment says nothing of the next one.
        return 0;
    }
    let window = &plan.window;
    match window.shape {
        Shape::Grid => (window.size.as_nanos() / window.every.as_nanos()) as usize,
        Shape::Sliding => window.cells(),
        Shape::Session { .. } => 1,
        Shape::Count { events, every } => (events / every) as usize,
    }
}

fn deviations(columns: &[ColumnPlan]) -> Vec<Option<DeviationRule>> {
    let rules: Vec<_> = columns.iter().map(|column| column.deviation).collect();
    if rules.iter().any(Option::is_some) { rules } else { Vec::new() }
}

/// Of a key; of events nothing is known yet, so one a minute.
fn windows_a_day(window: &WindowPlan) -> f64 {
    let every_s = match window.shape {
        Shape::Grid => window.every.as_secs_f64(),
        Shape::Sliding | Shape::Session { .. } | Shape::Count { .. } => 60.0,
    };
    86_400.0 / every_s
}

fn roles(plan: &StreamPlan) -> Option<Roles> {
    let ModelPlan::Transactions { amount } = &plan.model else { return None };
    let amount = plan.columns.iter().position(|column| column.name == *amount)?;
    let seconds = (0..plan.columns.len()).filter(|&column| plan.columns[column].aggregate == Aggregate::Risk);
    Some(Roles { amount, seconds: seconds.collect() })
}

impl StreamSetup {
    pub fn new(id: StreamId, plan: &StreamPlan, deployment: Arc<str>) -> Self {
        let window = plan.window;
        let on_grid = window.shape == Shape::Grid;
        let grid_ns = if on_grid { ns(window.grid) } else { ns(bucket(window.lateness)) };
        let every_cells = if on_grid { ns(window.every) / grid_ns } else { 1 };
        StreamSetup {
            id,
            name: plan.name.clone(),
            deployment,
            beginning: Position(0),
            columns: plan.columns.iter().map(|c| c.name.clone()).collect(),
            schema: plan.columns.iter().map(ColumnPlan::schema_name).collect(),
            aggregates: plan.columns.iter().map(|c| c.aggregate).collect(),
            units: plan.columns.iter().map(|c| c.unit.clone()).collect(),
            deviations: deviations(&plan.columns),
            shape: window.shape,
            grid_ns,
            unit_ns: if on_grid { grid_ns } else { 1 },
            cells: window.cells(),
            cell_ns: ns(window.grid),
            size_ns: ns(window.size),
            every_cells,
            disorder_ns: ns(window.disorder),
            lateness_ns: ns(window.lateness),
            rule: Rule {
                overlap: overlap(plan),
                standing_ns: plan.standing.map_or(i64::MAX, ns),
                settling_ns: StreamSetup::settling_ns(ns(window.lateness), ns(window.size)),
            },
            alarm: plan.alarm,
            p_odd: plan.alarm.p_value().unwrap_or(P_ODD),
            keys: 0,
            partitions: None,
            roles: roles(plan),
            risks: Arc::default(),
            windows_expected: windows_a_day(&window),
            warmup_ns: match plan.model {
                ModelPlan::Fit { warmup } => ns(warmup),
                ModelPlan::Load { .. } | ModelPlan::Transactions { .. } => 0,
            },
            model: None,
            loads_model: matches!(plan.model, ModelPlan::Load { .. }),
            fits: matches!(plan.model, ModelPlan::Fit { .. }),
            refit_span_ns: match plan.model {
                ModelPlan::Load { refit: Some(every), .. } => ns(every).saturating_mul(LOOK_BACK),
                ModelPlan::Load { refit: None, .. }
                | ModelPlan::Fit { .. }
                | ModelPlan::Transactions { .. } => 0,
            },
            patience: match plan.no_data {
                NoDataPlan::Off => Patience::Endless,
                NoDataPlan::After(wait) => Patience::Fixed(ns(wait)),
                NoDataPlan::Learn => Patience::Learnt,
            },
            alive_ns: ns(window.alive()),
            onsets: plan.onsets.filter(|_| on_grid),
        }
    }

    /// What scores a new partition; `None` while it must warm up.
    pub fn scoring(&self, alarm: Alarm) -> Option<Scoring> {
        match &self.roles {
            Some(roles) => Some(Scoring::transactions(roles.seconds.len(), alarm)),
            None => self.model.clone().map(|model| Scoring::new(model, alarm)),
        }
    }

    pub fn alert_id(&self, partition: PartitionId, key: &[u8], rule: &str, onset: EventTime) -> String {
        let elsewhere = (partition != PartitionId::of(key_hash(key))).then_some(partition);
        alert_id(&self.deployment, &self.name, self.beginning, elsewhere, key, rule, onset)
    }

    /// # Errors
    /// If the model was trained for other columns or another window.
    pub fn activate(&mut self, model: Arc<Model>) -> Result<(), ModelError> {
        model.check_schema(self.cells, &self.schema)?;
        self.model = Some(model);
        Ok(())
    }

    /// Rows that may wait for the watermark: lateness in cells, and the two it cuts.
    pub fn pending_cells(&self) -> usize {
        (self.lateness_ns / self.grid_ns) as usize + 2
    }

    /// Cells behind the watermark that late rows may still change.
    pub fn late_cells(&self) -> i64 {
        (self.lateness_ns - self.disorder_ns) / self.grid_ns
    }

    /// Cells behind the watermark that are kept for them: they act when the next window closes.
    pub fn kept_cells(&self) -> i64 {
        if self.late_cells() == 0 { 0 } else { self.late_cells() + self.every_cells }
    }

    /// How long after its last row a window may still be open.
    pub fn pause_ns(&self) -> i64 {
        match self.shape {
            Shape::Session { gap } => ns(gap),
            Shape::Grid | Shape::Sliding | Shape::Count { .. } => 0,
        }
    }

    /// Cells of each key's ring; windows of events keep the rows instead.
    pub fn ring_cells(&self) -> usize {
        if self.shape == Shape::Grid { self.cells + self.kept_cells() as usize } else { 0 }
    }

    /// Verdicts may be replaced: by late rows, or by the final one on a sliding window.
    pub fn keeps_past(&self) -> bool {
        self.kept_cells() > 0 || self.shape == Shape::Sliding
    }

    /// Cells a day, and many windows: how long a key's own moments remember.
    pub fn memory_cells(&self) -> f64 {
        let day = if self.shape == Shape::Grid { 86_400_000_000_000 / self.grid_ns } else { 0 };
        MEMORY_WINDOWS.max(day as f64)
    }
}
