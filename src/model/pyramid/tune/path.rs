//! A density under way: rounds of mini-batches, and the numbers a level keeps of where it is.

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView2};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::super::super::FitError;
use super::super::basis::Basis;
use super::super::codes::{Codes, nearest};
use super::descent::{Density, Descent};

/// Steps between two looks at which code a row is nearest to, and at what is held back.
pub(super) const ROUND_STEPS: usize = 20;
/// Rows of a step.
const BATCH: usize = 256;

pub(super) struct Path<'a> {
    basis: &'a Basis,
    codes: Option<&'a Codes>,
    from: Density,
    descent: Descent,
    /// The rows on the density's axes, and where codes are looked for.
    on_axes: Tensor,
    search: Array2<f64>,
    device: Device,
    seed: u64,
    /// Rows in the order of this pass, and how many passes and rows of it are done.
    order: Vec<u32>,
    passes: u64,
    done: usize,
}

/// A density after so many steps, whole rounds of them.
pub(super) fn moved(
    closed: (&Basis, Option<&Codes>),
    rows: ArrayView2<'_, f64>,
    steps: usize,
    seed: u64,
) -> Result<(Basis, Option<Codes>), FitError> {
    let mut path = Path::new(closed, rows, seed)?;
    (0..steps / ROUND_STEPS).try_for_each(|_| path.round())?;
    path.density()
}

impl<'a> Path<'a> {
    /// At the closed form of a density, with the whole rows (n × d) it is to be moved by.
    pub(super) fn new(
        (basis, codes): (&'a Basis, Option<&'a Codes>),
        rows: ArrayView2<'_, f64>,
        seed: u64,
    ) -> Result<Path<'a>, FitError> {
        let from = Density::of(basis, codes);
        // Of a build with the feature `cuda-training` the first GPU, which adds up in another order.
        let device = Device::cuda_if_available(0)?;
        let on_axes = rows.dot(codes.and_then(|codes| codes.u.as_ref()).unwrap_or(&basis.v));
        Ok(Path {
            descent: Descent::new(&from, &device)?,
            on_axes: Tensor::from_vec(on_axes.iter().copied().collect(), on_axes.dim(), &device)?,
            device,
            search: (&rows - &basis.mu).dot(&basis.v) / basis.l.mapv(|l| l.powf(0.25)),
            basis,
            codes,
            from,
            seed,
            order: Vec::new(),
            passes: 0,
            done: 0,
        })
    }

    /// Takes [`ROUND_STEPS`] steps.
    pub(super) fn round(&mut self) -> Result<(), FitError> {
        // Each row is under the code that it is scored by.
        let labels: Vec<u32> = match self.density()?.1 {
            None => vec![0; self.search.nrows()],
            Some(codes) => {
                nearest(self.search.view(), &codes.centres).into_iter().map(|label| label as u32).collect()
            }
        };
        for _ in 0..ROUND_STEPS {
            let batch = self.batch();
            let label: Vec<u32> = batch.iter().map(|row| labels[*row as usize]).collect();
            let index = |of: Vec<u32>| Tensor::new(of, &self.device);
            let rows = self.on_axes.index_select(&index(batch)?, 0)?;
            self.descent.step(&rows, &index(label)?)?;
        }
        Ok(())
    }

    /// The next rows; a pass over all of them is in an order of its own.
    fn batch(&mut self) -> Vec<u32> {
        let n = self.search.nrows();
        let size = BATCH.min(n);
        if self.order.is_empty() || self.done + size > n {
            self.order = (0..n as u32).collect();
            let lot = |row: &u32| {
                xxh3_64_with_seed(&[self.passes, u64::from(*row)].map(u64::to_le_bytes).concat(), self.seed)
            };
            self.order.sort_by_key(lot);
            self.passes += 1;
            self.done = 0;
        }
        self.done += size;
        self.order[self.done - size..self.done].to_vec()
    }

    /// Where it is.
    pub(super) fn density(&self) -> Result<(Basis, Option<Codes>), FitError> {
        let Density { centres, ln_share, l } = self.descent.density()?;
        let (basis, v) = (self.basis, &self.basis.v);
        let Some(codes) = self.codes else {
            return Ok((Basis { mu: v.dot(&centres.row(0)), v: v.clone(), l }, None));
        };
        let axes = codes.u.as_ref().unwrap_or(v);
        // Codes are looked for where they have gone to.
        let gone = (&centres - &self.from.centres).dot(&axes.t()).dot(v) / basis.l.mapv(|l| l.powf(0.25));
        let found = Codes {
            centres: &codes.centres + &gone,
            means: centres - &basis.mu.dot(axes),
            ln_share,
            u: codes.u.clone(),
            l,
        };
        Ok((basis.clone(), Some(found)))
    }
}
