//! [`Tail::surprise`] of a batch.

use candle_core::{DType, Device, Result, Tensor};

use super::super::Tail;

/// A tail's knots and numbers, or none: nothing is surprising.
pub(super) struct Tails {
    found: Option<Laid>,
}

struct Laid {
    /// Ascending.
    knots: Tensor,
    /// By number of knots below: the surprise up to the threshold.
    by_place: Tensor,
    threshold: f64,
    excess: f64,
    base: f64,
}

impl Tails {
    pub(super) fn new(tail: Option<&Tail>, dtype: DType) -> Result<Tails> {
        let Some(tail) = tail else { return Ok(Tails { found: None }) };
        let n = tail.knots.len();
        let by_place = (0..=n).map(|place| ((n as f64 + 1.0) / ((n - place) as f64 + 0.5)).ln());
        let by_place = Tensor::from_iter(by_place, &Device::Cpu)?.to_dtype(dtype)?;
        let knots = Tensor::new(&tail.knots[..], &Device::Cpu)?.to_dtype(dtype)?;
        let super::super::Fit { threshold, excess, base, .. } = tail.fit;
        Ok(Tails { found: Some(Laid { knots, by_place, threshold, excess, base }) })
    }

    /// Of a value a row, nats.
    pub(super) fn surprise(&self, energy: &Tensor) -> Result<Tensor> {
        let Some(tail) = &self.found else { return energy.zeros_like() };
        let up_to = tail.by_place.index_select(&tail.below(energy)?, 0)?;
        let beyond = energy.affine(1.0 / tail.excess, tail.base - tail.threshold / tail.excess)?;
        energy.gt(tail.threshold)?.where_cond(&beyond, &up_to)
    }
}

impl Laid {
    /// Number of knots below each value: a binary search of all rows in step.
    fn below(&self, energy: &Tensor) -> Result<Tensor> {
        let mut size = self.knots.elem_count();
        let mut from = Tensor::zeros(energy.elem_count(), DType::U32, &Device::Cpu)?;
        let step = |from: &Tensor, knot: Tensor, by: usize| {
            from + self
                .knots
                .index_select(&knot, 0)?
                .lt(energy)?
                .to_dtype(DType::U32)?
                .affine(by as f64, 0.0)?
        };
        while size > 1 {
            let half = size / 2;
            from = step(&from, from.affine(1.0, (half - 1) as f64)?, half)?;
            size -= half;
        }
        step(&from, from.clone(), 1)
    }
}
