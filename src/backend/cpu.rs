//! Scoring on the CPU: exact energies a row, then their surprise. Vector width is chosen at run
//! time; it changes the speed and not one bit of the result (see [`crate::model::energy`]).

use crate::model::Model;
use crate::model::energy::Energies;

/// Scores of a batch, one entry a row unless said. Cleared and filled by each call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Nats, >= 0; 0 for a row with nothing observed.
    pub surprise: Vec<f32>,
    /// Exact log-likelihood of the observed cells, nats; 0 for a row with nothing observed.
    pub log_likelihood: Vec<f64>,
    /// Observed cells.
    pub observed: Vec<u16>,
    /// rows × columns: observed cells of each column.
    pub column_observed: Vec<u16>,
}

/// Working space of one scoring thread.
#[derive(Clone, Debug, Default)]
pub struct CpuBackend {
    pub(super) energies: Energies,
    arch: pulp::Arch,
}

impl CpuBackend {
    pub fn new() -> Self {
        CpuBackend::default()
    }

    /// Scores rows of `model.dimension()` z values (NaN = missing), cell-major. A trailing part of a
    /// row is not looked at. A row's scores do not depend on the other rows.
    pub fn score(&mut self, model: &Model, z: &[f32], out: &mut Scores) {
        out.surprise.clear();
        out.log_likelihood.clear();
        out.observed.clear();
        out.column_observed.clear();
        self.arch.dispatch(Batch { model, z, energies: &mut self.energies, out });
    }
}

/// A batch to be compiled once for each vector width. A named operation and not a closure: a closure
/// is called, not inlined, from the code made for the wide instructions, and stays narrow.
struct Batch<'a> {
    model: &'a Model,
    z: &'a [f32],
    energies: &'a mut Energies,
    out: &'a mut Scores,
}

impl pulp::WithSimd for Batch<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        score_rows(self.model, self.z, self.energies, self.out);
    }
}

#[inline(always)]
fn score_rows(model: &Model, z: &[f32], energies: &mut Energies, out: &mut Scores) {
    let prepared = model.prepared();
    for row in z.chunks_exact(prepared.dimension()) {
        prepared.energies(row, energies);
        out.surprise.push(model.tails.surprise(energies, prepared.cells()) as f32);
        out.log_likelihood.push(energies.log_likelihood);
        out.observed.push(energies.observed as u16);
        out.column_observed.extend_from_slice(&energies.column_observed);
    }
}
