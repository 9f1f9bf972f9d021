//! What scoring fills, and what it works with.

use super::Pyramid;
use super::kernel::Lanes;
use super::marginal::Pattern;
use super::patch::Patch;

/// Scores of a batch, one entry a row unless said. Cleared and filled by each call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// How odd the row is: root mean square over levels of the mean surprise of their densities, nats.
    /// 0 where no level has half of its coordinates observed.
    pub state: Vec<f32>,
    /// Surprise of the state among the states of the training windows, nats; 0 as above.
    pub surprise: Vec<f32>,
    /// Of the finest level's observed coordinates, nats: exact for a full window under a single density,
    /// a lower bound under codes; with gaps, that of the completed window a dimension (see `marginal`).
    pub log_likelihood: Vec<f64>,
    /// Observed cells of the scored columns.
    pub observed: Vec<u16>,
    /// rows × columns: observed cells of each column, flags too.
    pub column_observed: Vec<u16>,
    /// Surprise of the column that moves least for its habits, nats; 0 where none is below them.
    pub still: Vec<f32>,
    /// Surprise of the column that is farthest from what all others say, nats; 0 where none is far.
    pub joint: Vec<f32>,
    /// The larger of these two: the oddest column by itself. It finds what a mean over all axes does not show, and
    /// follows every drift of a column; so it is calibrated apart from the state, and anew while running.
    pub column_surprise: Vec<f32>,
    /// rows × levels: mean surprise of the level's densities, nats; NaN where it has no say. Empty where several
    /// pyramids scored the rows: their levels are not the same.
    pub levels: Vec<f32>,
}

impl Scores {
    /// Of no row.
    pub fn clear(&mut self) {
        self.resize(0, 0);
    }

    /// Room for the scores of `rows`, but for those of levels; what is new is 0.
    pub fn resize(&mut self, rows: usize, columns: usize) {
        let Scores {
            state,
            surprise,
            log_likelihood,
            observed,
            column_observed,
            still,
            joint,
            column_surprise,
            levels,
        } = self;
        for of in [state, surprise, still, joint, column_surprise] {
            of.resize(rows, 0.0);
        }
        log_likelihood.resize(rows, 0.0);
        observed.resize(rows, 0);
        column_observed.resize(rows * columns, 0);
        levels.clear();
    }

    /// Puts a row of others in the place of one of these, but for its levels.
    pub fn copy_row(&mut self, to: usize, others: &Scores, from: usize, columns: usize) {
        self.state[to] = others.state[from];
        self.surprise[to] = others.surprise[from];
        self.log_likelihood[to] = others.log_likelihood[from];
        self.observed[to] = others.observed[from];
        self.still[to] = others.still[from];
        self.joint[to] = others.joint[from];
        self.column_surprise[to] = others.column_surprise[from];
        self.column_observed[to * columns..][..columns]
            .copy_from_slice(&others.column_observed[from * columns..][..columns]);
    }
}

/// Working space of one scoring thread.
#[derive(Clone, Debug, Default)]
pub struct Work {
    pub(super) arch: pulp::Arch,
    /// The pyramid the patterns are of.
    pub(super) owner: u64,
    /// levels × 2
    pub(super) patterns: Vec<[Pattern; 2]>,
    /// rows × span × scored columns
    pub(super) z: Vec<f32>,
    pub(super) gap: Vec<bool>,
    pub(super) pooled: Vec<f32>,
    pub(super) axes: Vec<Lanes>,
    pub(super) own: Vec<Lanes>,
    pub(super) distance: Vec<Lanes>,
    pub(super) residual: Vec<f64>,
    pub(super) projection: Vec<f64>,
    pub(super) energies: Vec<Energies>,
    pub(super) sums: Vec<(f64, u32)>,
    /// scored columns × rows: roughness.
    pub(super) rough: Vec<f32>,
    /// By scored column: of one row, and working space.
    pub(super) by_column: Vec<f32>,
    pub(super) known: Vec<f32>,
    pub(super) last: Vec<f32>,
    pub(super) steps: Vec<f32>,
    /// By row: surprise of the quietest column, and of the one farthest from what the others say.
    pub(super) quiet: Vec<f32>,
    pub(super) odd: Vec<f32>,
    /// rows × panels: whitened gradients of a level.
    pub(super) white: Vec<Lanes>,
    pub(super) completed: Vec<f32>,
    /// scored columns × rows: energy given all others.
    pub(super) joint: Vec<f32>,
    pub(super) patch: Patch,
}

/// What a level makes of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Energies {
    /// Minus log density without constants a dimension: single density, then codes.
    pub energy: [f64; 2],
    /// Share of the coordinates that are observed.
    pub observed: f64,
    /// Nats.
    pub log_likelihood: f64,
}

impl Work {
    pub fn new() -> Self {
        Work::default()
    }

    /// Patterns of gaps belong to one pyramid.
    pub(super) fn adopt(&mut self, pyramid: &Pyramid) {
        if self.owner != pyramid.id {
            self.owner = pyramid.id;
            self.patterns.iter_mut().flatten().for_each(Pattern::forget);
            self.patch.forget();
        }
        self.patterns.resize_with(self.patterns.len().max(pyramid.levels.len()), Default::default);
    }
}
