//! What the engine needs of a stream's plan, in its own units.

use std::sync::Arc;
use std::time::Duration;

use crate::alert::lifecycle::Rule;
use crate::config::plan::{Aggregate, ColumnPlan, ModelPlan, NoDataPlan, StreamPlan};
use crate::engine::silence::Patience;
use crate::model::{Model, ModelError};
use crate::types::StreamId;

pub(crate) struct StreamSetup {
    pub id: StreamId,
    pub name: String,
    pub deployment: Arc<str>,
    pub columns: Vec<String>,
    /// What a model knows the columns by.
    pub schema: Vec<String>,
    pub aggregates: Vec<Aggregate>,
    pub units: Vec<Option<String>>,
    pub grid_ns: i64,
    /// Grid cells a window.
    pub cells: usize,
    /// Grid cells between two windows.
    pub every_cells: i64,
    /// How far the watermark stays behind the newest row.
    pub disorder_ns: i64,
    pub lateness_ns: i64,
    pub rule: Rule,
    pub warmup_ns: i64,
    /// The loaded model, if the stream has one; else every partition fits its own.
    pub model: Option<Arc<Model>>,
    pub loads_model: bool,
    pub patience: Patience,
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl StreamSetup {
    pub fn new(id: StreamId, plan: &StreamPlan, deployment: Arc<str>) -> Self {
        let window = plan.window;
        let every_cells = ns(window.every) / ns(window.grid);
        StreamSetup {
            id,
            name: plan.name.clone(),
            deployment,
            columns: plan.columns.iter().map(|c| c.name.clone()).collect(),
            schema: plan.columns.iter().map(ColumnPlan::schema_name).collect(),
            aggregates: plan.columns.iter().map(|c| c.aggregate).collect(),
            units: plan.columns.iter().map(|c| c.unit.clone()).collect(),
            grid_ns: ns(window.grid),
            cells: window.cells(),
            every_cells,
            disorder_ns: ns(window.disorder),
            lateness_ns: ns(window.lateness),
            rule: Rule { threshold: plan.p_value, overlap: window.cells() / every_cells as usize },
            warmup_ns: match plan.model {
                ModelPlan::Fit { warmup } => ns(warmup),
                ModelPlan::Load { .. } => 0,
            },
            model: None,
            loads_model: matches!(plan.model, ModelPlan::Load { .. }),
            patience: match plan.no_data {
                NoDataPlan::Off => Patience::Endless,
                NoDataPlan::After(wait) => Patience::Fixed(ns(wait)),
                NoDataPlan::Learn => Patience::Learnt,
            },
        }
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

    /// Cells a day: how long a key's own moments remember.
    pub fn memory_cells(&self) -> f64 {
        (86_400_000_000_000 / self.grid_ns).max(self.cells as i64) as f64
    }
}
