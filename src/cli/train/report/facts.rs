//! Every figure of the report.

use std::path::PathBuf;
use std::time::Duration;

use ndarray::ArrayView2;

use super::columns::{self, ColumnFacts};
use super::remarks::{self, Remark};
use super::surprise::{self, Surprise};
use super::windows::{self, WindowFacts};
use crate::config::plan::StreamPlan;
use crate::engine::train::Seen;
use crate::judge::calibrate::Calibrator;
use crate::model::CohortCard;
use crate::model::pyramid::{Candidate, Level, Pyramid, Scores, Tuned, Work};

/// A training run when its model is fitted.
pub struct Run<'a> {
    pub stream: &'a StreamPlan,
    pub data: Data,
    pub pyramid: &'a Pyramid,
    /// What the pyramid was fitted on.
    pub windows: Windows<'a>,
}

/// Where the model comes from and where it goes.
#[derive(Clone, Debug)]
pub struct Data {
    pub files: Vec<PathBuf>,
    pub rows: u64,
    /// Rows that are no events of the stream.
    pub refused: u64,
    pub seen: Seen,
    /// Keys that have models of their own; what is said below is of everyone's.
    pub cohorts: Vec<CohortCard>,
    pub model: PathBuf,
    /// The first 16 hex digits of the model file's sha256.
    pub checksum: String,
    /// The day the model was made, UTC.
    pub made_on: String,
    /// Of fine-tuning, if it was asked for.
    pub seed: Option<u64>,
    pub took: Duration,
}

/// Training windows in z units, NaN = missing.
#[derive(Clone, Copy)]
pub struct Windows<'a> {
    /// rows x `cells * columns`, cell-major
    pub z: &'a [f32],
    /// By row: index of the key, and the window's end in event time, ns.
    pub origins: &'a [(usize, i64)],
    pub keys: &'a [Key],
}

/// A key, and what its columns were standardised by, raw units.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub name: String,
    pub mean: Vec<f32>,
    pub sd: Vec<f32>,
}

/// All that the page and the text say.
#[derive(Clone, Debug)]
pub struct Facts {
    pub stream: String,
    pub data: Data,
    pub window_ns: i64,
    pub grid_ns: i64,
    /// Cells of a window.
    pub cells: usize,
    /// Windows the fit was given, and those of them that have 80 % of their scored cells: the fit's own.
    pub windows_given: usize,
    pub windows_fitted: usize,
    pub levels: Vec<LevelFacts>,
    /// Of the levels that more windows would have added: cells they look back, dimensions, and windows needed.
    pub left_out: Vec<(usize, usize, usize)>,
    pub surprise: Surprise,
    pub columns: Vec<ColumnFacts>,
    pub typical: Vec<WindowFacts>,
    pub oddest: Vec<WindowFacts>,
    pub remarks: Vec<Remark>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LevelFacts {
    /// Cells it looks back, and how many of them one of its means is of.
    pub cells: usize,
    pub pool: usize,
    pub looks_back_ns: i64,
    pub dimension: usize,
    pub candidates: Vec<Candidate>,
    /// Codes of the fit that is kept; 1: a single density. Fewer than the likeliest candidate has where some were of no
    /// use to it.
    pub codes: usize,
    /// What fine-tuning made of the single density, and of the codes'.
    pub tuned: Vec<Tuned>,
}

impl LevelFacts {
    /// Index of the likeliest candidate; of equals the first.
    pub fn likeliest(&self) -> usize {
        let likelihood = |at: usize| self.candidates[at].held_back_log_likelihood;
        (1..self.candidates.len())
            .fold(0, |best, at| if likelihood(at) > likelihood(best) { at } else { best })
    }
}

impl Facts {
    pub fn of(run: &Run<'_>) -> Facts {
        let Run { stream, data, pyramid, windows } = run;
        let mut scores = Scores::default();
        pyramid.score(windows.z, &mut scores, &mut Work::new());
        let (cells, scored) = (pyramid.columns.cells, pyramid.columns.scored.len());
        let rows = usable(pyramid, windows.z);
        if let Some(unseen) = pyramid.training_surprises(rows.len()) {
            // A fit finds ordinary what it has learnt from: a fault that lasted would not stand out.
            rows.iter().zip(unseen).for_each(|(row, surprise)| scores.surprise[*row] = *surprise);
        }
        let grid_ns = stream.window.grid.as_nanos() as i64;
        let calibrator = Calibrator::new(pyramid.references());
        let (typical, oddest) = windows::chosen(run, &scores, &calibrator);
        let mut facts = Facts {
            stream: stream.name.clone(),
            data: data.clone(),
            window_ns: stream.window.size.as_nanos() as i64,
            grid_ns,
            cells,
            windows_given: scores.state.len(),
            windows_fitted: rows.len(),
            levels: pyramid.levels.iter().map(|level| level_facts(level, scored, grid_ns)).collect(),
            left_out: pyramid
                .levels_left_out()
                .iter()
                .map(|s| (s.cells(), s.dimension(scored), s.rows_needed(scored)))
                .collect(),
            surprise: surprise::of(pyramid, &calibrator, &scores.surprise, stream.alarm.p_value()),
            columns: columns::of(run),
            typical,
            oddest,
            remarks: Vec::new(),
        };
        facts.remarks = remarks::of(&facts);
        facts
    }
}

/// Rows the fit used.
fn usable(pyramid: &Pyramid, z: &[f32]) -> Vec<usize> {
    let width = pyramid.dimension();
    ArrayView2::from_shape((z.len() / width, width), z).map_or(Vec::new(), |windows| pyramid.usable(windows))
}

fn level_facts(level: &Level, scored: usize, grid_ns: i64) -> LevelFacts {
    LevelFacts {
        cells: level.shape.cells(),
        pool: level.shape.pool,
        looks_back_ns: level.shape.cells() as i64 * grid_ns,
        dimension: level.shape.dimension(scored),
        candidates: level.candidates.clone(),
        codes: level.codes.as_ref().map_or(1, |codes| codes.centres.nrows()),
        tuned: level.tuned.clone(),
    }
}
