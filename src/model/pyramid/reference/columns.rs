//! What a column by itself shows, of a batch: stillness ([`super::super::still`]) and how far it is from what the others
//! say ([`super::super::joint`]).

use candle_core::{DType, Result, Tensor};
use ndarray::{Array1, Array2};

use super::super::basis::NU;
use super::super::levels::Shape;
use super::super::still::{self, Still};
use super::super::{Joint, Pyramid};
use super::{Affine, vector, vectors};

/// Nats at the 10 % quantile, where both tails start.
const BASE: f64 = std::f64::consts::LN_10;
/// As in [`super::super::still`].
const ROUGHNESS_FLOOR: f64 = 1e-6;

/// Exponential tails, one a column: `ln 10 + slope (x - threshold)` beyond the threshold.
struct Beyond {
    threshold: Tensor,
    slope: Tensor,
    columns: usize,
    dtype: DType,
}

impl Beyond {
    /// A slope of 0: never odd.
    fn new(tails: Vec<(f64, f64)>, dtype: DType) -> Result<Beyond> {
        let (threshold, slope): (Vec<f64>, Vec<f64>) = tails.into_iter().unzip();
        let columns = slope.len();
        let threshold = vector(&Array1::from(threshold), dtype)?;
        Ok(Beyond { threshold, slope: vector(&Array1::from(slope), dtype)?, columns, dtype })
    }

    /// Of rows × columns: that of the oddest of so many columns.
    fn oddest(&self, x: &Tensor) -> Result<Tensor> {
        let beyond = x.broadcast_sub(&self.threshold)?.broadcast_mul(&self.slope)?;
        let odd = beyond.gt(0.0)?.to_dtype(self.dtype)?;
        let surprise = ((beyond + BASE)? * odd)?.max(1)?;
        (surprise - (self.columns as f64).ln())?.relu()
    }
}

/// Columns' habits of moving.
pub(super) struct Stills {
    beyond: Beyond,
}

impl Stills {
    pub(super) fn new(stills: &[Still], dtype: DType) -> Result<Option<Stills>> {
        if stills.is_empty() {
            return Ok(None);
        }
        let tail = |still: &Still| match still.threshold > 0.0 {
            true => (-f64::from(still.threshold).ln(), 1.0 / still.excess),
            false => (0.0, 0.0),
        };
        Ok(Some(Stills { beyond: Beyond::new(stills.iter().map(tail).collect(), dtype)? }))
    }

    /// Of rows of scored cells.
    pub(super) fn surprise(&self, z: &Tensor) -> Result<Tensor> {
        let ((rows, all), columns) = (z.dims2()?, self.beyond.columns);
        let steps = (all / columns).min(still::CELLS) - 1;
        let of = steps * columns;
        let step = (z.narrow(1, all - of, of)? - z.narrow(1, all - of - columns, of)?)?;
        let roughness = step.sqr()?.reshape((rows, steps, columns))?.mean(1)?;
        self.beyond.oddest(&roughness.maximum(ROUGHNESS_FLOOR)?.log()?.neg()?)
    }
}

/// Columns' distances given all others.
pub(super) struct Joints {
    shape: Shape,
    /// Whitened gradients, column-major: `columns * blocks` outputs.
    whiten: Affine,
    beyond: Beyond,
}

impl Joints {
    pub(super) fn new(pyramid: &Pyramid, dtype: DType) -> Result<Option<Joints>> {
        let (Some(joint), false) = (&pyramid.prepared_joint, pyramid.joint.is_empty()) else {
            return Ok(None);
        };
        let level = &pyramid.prepared[joint.level];
        let (d, columns) = (level.dimension, pyramid.joint.len());
        let own = |column: usize| (column..d).step_by(columns).collect::<Vec<_>>();
        let rows = (0..columns).flat_map(|column| level.single.moments.whitened_gradient(&own(column)));
        let rows: Vec<f64> = rows.flatten().collect();
        let weights = Array2::from_shape_fn((d, d), |(input, output)| rows[output * d + input]);
        let bias = -Array1::from(level.mu.clone()).dot(&weights);
        let tail = |joint: &Joint| match joint.excess > 0.0 {
            true => (joint.threshold, 1.0 / joint.excess),
            false => (0.0, 0.0),
        };
        Ok(Some(Joints {
            shape: level.shape,
            whiten: Affine::new(&weights, &bias, dtype)?,
            beyond: Beyond::new(pyramid.joint.iter().map(tail).collect(), dtype)?,
        }))
    }

    /// Of rows of scored cells.
    pub(super) fn surprise(&self, z: &Tensor) -> Result<Tensor> {
        let (rows, columns, blocks) = (z.dim(0)?, self.beyond.columns, self.shape.blocks);
        let white = self.whiten.of(&vectors(self.shape, columns, z)?)?;
        let distance = white.sqr()?.reshape((rows, columns, blocks))?.sum(2)?;
        let energy = distance.affine(1.0 / NU, 1.0)?.log()? * (0.5 * (NU + blocks as f64));
        self.beyond.oddest(&energy?)
    }
}
