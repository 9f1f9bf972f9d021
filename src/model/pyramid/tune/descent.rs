//! The likelihood of one density as a function candle can differentiate, and steps along its gradient.
//!
//! With the axes fixed, rows come as their coordinates on them. Every variable is 0 at the closed form and measured in
//! its own sd, so that one learning rate serves all and what pulls weights to 0 pulls to the closed form.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{AdamW, Init, Optimizer, ParamsAdamW, VarMap, ops::log_softmax};
use ndarray::{Array1, Array2, Axis};

use super::super::basis::{Basis, NU, least, ln_peak, spread};
use super::super::codes::Codes;
use super::super::reference::{matrix, vector};

const LEARNING_RATE: f64 = 0.01;

/// A mixture of K equal t densities about centres, on orthonormal axes; the single density is one with K = 1.
#[derive(Clone, Debug)]
pub(super) struct Density {
    /// K × d, coordinates on the axes.
    pub centres: Array2<f64>,
    /// K
    pub ln_share: Array1<f64>,
    /// d, variance along each axis.
    pub l: Array1<f64>,
}

impl Density {
    pub(super) fn of(basis: &Basis, codes: Option<&Codes>) -> Density {
        match codes {
            None => Density {
                centres: basis.mu.dot(&basis.v).insert_axis(Axis(0)),
                ln_share: Array1::zeros(1),
                l: basis.l.clone(),
            },
            Some(codes) => Density {
                centres: &codes.means + &basis.mu.dot(codes.u.as_ref().unwrap_or(&basis.v)),
                ln_share: codes.ln_share.clone(),
                l: codes.l.clone(),
            },
        }
    }
}

pub(super) struct Descent {
    vars: VarMap,
    optimiser: AdamW,
    /// Where it began.
    centres: Tensor,
    ln_share: Tensor,
    sd: Tensor,
    /// Variance no axis goes below, however little it was used, and what is above it.
    least: f64,
    free: Tensor,
}

impl Descent {
    pub(super) fn new(from: &Density, device: &Device) -> Result<Descent> {
        let vars = VarMap::new();
        let var = |name: &str, shape: &[usize]| {
            vars.get(shape, name, Init::Const(0.0), DType::F64, device).map(drop)
        };
        let (codes, d) = from.centres.dim();
        var("centres", &[codes, d])?;
        var("ln_share", &[codes])?;
        var("ln_variance", &[d])?;
        let least = least(&from.l);
        Ok(Descent {
            optimiser: AdamW::new(vars.all_vars(), ParamsAdamW { lr: LEARNING_RATE, ..Default::default() })?,
            centres: matrix(&from.centres, DType::F64)?.to_device(device)?,
            ln_share: vector(&from.ln_share, DType::F64)?.to_device(device)?,
            sd: vector(&from.l.mapv(f64::sqrt), DType::F64)?.to_device(device)?,
            free: vector(&from.l.mapv(|l| (l - least).max(0.0)), DType::F64)?.to_device(device)?,
            least,
            vars,
        })
    }

    fn var(&self, name: &str, like: &Tensor) -> Result<Tensor> {
        self.vars.get(like.shape().clone(), name, Init::Const(0.0), DType::F64, self.centres.device())
    }

    fn moved_centres(&self) -> Result<Tensor> {
        &self.centres + self.var("centres", &self.centres)?.broadcast_mul(&self.sd)?
    }

    fn moved_ln_share(&self) -> Result<Tensor> {
        log_softmax(&(&self.ln_share + self.var("ln_share", &self.ln_share)?)?, 0)
    }

    /// An axis that the rows never used keeps the closed form's floor: it is unlikely and not impossible.
    fn moved_variances(&self) -> Result<Tensor> {
        (&self.free * self.var("ln_variance", &self.free)?.exp()?)? + self.least
    }

    /// Minus the mean log-likelihood of rows on the axes, each under the code of its label, nats a dimension.
    pub(super) fn loss(&self, rows: &Tensor, label: &Tensor) -> Result<Tensor> {
        let (n, d) = rows.dims2()?;
        let l = self.moved_variances()?;
        let off = (rows - self.moved_centres()?.index_select(label, 0)?)?;
        let ln = off.sqr()?.broadcast_div(&(&l * spread(NU))?)?.affine(1.0, 1.0)?.log()?.sum_all()?;
        let share = self.moved_ln_share()?.index_select(label, 0)?.sum_all()?;
        let of_rows = (((ln * (0.5 * (NU + 1.0)))? - share)? / n as f64)?;
        let sum = (of_rows + (l.log()?.sum_all()? * 0.5)?)?;
        sum.affine(1.0 / d as f64, -ln_peak(NU))
    }

    pub(super) fn step(&mut self, rows: &Tensor, label: &Tensor) -> Result<()> {
        let loss = self.loss(rows, label)?;
        self.optimiser.backward_step(&loss)
    }

    /// Where it is.
    pub(super) fn density(&self) -> Result<Density> {
        let vector = |of: Tensor| of.to_vec1().map(Array1::from_vec);
        let (codes, d) = self.centres.dims2()?;
        let centres = self.moved_centres()?.flatten_all()?.to_vec1::<f64>()?;
        Ok(Density {
            centres: Array1::from_vec(centres)
                .into_shape_with_order((codes, d))
                .map_err(candle_core::Error::wrap)?,
            ln_share: vector(self.moved_ln_share()?)?,
            l: vector(self.moved_variances()?)?,
        })
    }
}

#[cfg(test)]
#[path = "descent_tests.rs"]
mod tests;
