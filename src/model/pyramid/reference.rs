//! The whole score in candle: the definition the fast scorer is held to, in f64, and the peer it is timed beside, in f32.
//!
//! Written as one would write a network: weights are folded and laid out once, rows go through in one batch, and every
//! step is an operation on tensors. Windows are complete: what gaps do is defined by [`super::marginal`] alone.

mod columns;
mod tails;

use candle_core::{DType, Device, Result, Tensor};
use ndarray::{Array1, Array2, Axis};

use super::basis::{NU, spread};
use super::levels::Shape;
use super::prepared::PreparedLevel;
use super::{Codes, Deep, Level, Pyramid};
use columns::{Joints, Stills};
use tails::Tails;

/// As in [`super::rows`].
const CLIP: f64 = 20.0;
/// As in [`super::score`]: what stillness may add to a state, and the surprise of a flag that is neither on nor off.
const STILL_MAX: f64 = 5.0;
const STRANGE_FLAG: f64 = 30.0;

/// A pyramid as tensors.
pub struct Reference {
    dtype: DType,
    cells: usize,
    /// Scored columns, and flags; `None` where all columns are scored.
    parted: Option<[Tensor; 2]>,
    levels: Vec<LevelTensors>,
    stills: Option<Stills>,
    joints: Option<Joints>,
    state: Tails,
    deep: [Deep; 2],
}

/// What [`super::Scores`] has of complete windows. A value a row unless said.
pub struct Found {
    pub state: Tensor,
    pub surprise: Tensor,
    pub log_likelihood: Tensor,
    pub still: Tensor,
    pub joint: Tensor,
    pub column_surprise: Tensor,
    /// rows × levels
    pub levels: Tensor,
}

/// What a density makes of the rows.
pub struct Energy {
    /// A dimension, without constants.
    pub energy: Tensor,
    /// Nats.
    pub log_likelihood: Tensor,
}

struct LevelTensors {
    shape: Shape,
    columns: usize,
    single: Affine,
    ln_constant: f64,
    codes: Option<CodeTensors>,
    tails: Vec<Tails>,
}

struct CodeTensors {
    search: Affine,
    /// Coordinates on the density's axes, in units of its spread: of the vectors, or of those of the single density.
    own: Own,
    /// K × d, in the same units.
    means: Tensor,
    ln_share: Tensor,
    ln_constant: f64,
}

enum Own {
    Axes(Affine),
    Rescaled(Tensor),
}

/// `x W + b`
struct Affine {
    weights: Tensor,
    bias: Tensor,
}

impl Affine {
    fn new(weights: &Array2<f64>, bias: &Array1<f64>, dtype: DType) -> Result<Affine> {
        Ok(Affine { weights: matrix(weights, dtype)?, bias: vector(bias, dtype)? })
    }

    fn of(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weights)?.broadcast_add(&self.bias)
    }
}

impl Reference {
    /// # Errors
    /// If candle cannot hold a weight.
    pub fn new(pyramid: &Pyramid, dtype: DType) -> Result<Reference> {
        let columns = &pyramid.columns;
        let indices = |of: Vec<usize>| {
            let of: Vec<u32> = of.into_iter().map(|column| column as u32).collect();
            Tensor::new(of, &Device::Cpu)
        };
        let parted = match columns.scored.len() == columns.columns {
            true => None,
            false => Some([indices(columns.scored.clone())?, indices(columns.flags().collect())?]),
        };
        let levels = pyramid.levels.iter().zip(&pyramid.prepared);
        Ok(Reference {
            dtype,
            cells: columns.cells,
            parted,
            levels: levels
                .map(|(of, laid_out)| LevelTensors::new(of, laid_out, dtype))
                .collect::<Result<_>>()?,
            stills: Stills::new(&pyramid.still, dtype)?,
            joints: Joints::new(pyramid, dtype)?,
            state: Tails::new(pyramid.state_tail.as_ref(), dtype)?,
            deep: pyramid.deep,
        })
    }

    /// Of windows (rows × `cells * columns`): by level, by density.
    ///
    /// # Errors
    /// If the shapes do not agree.
    pub fn energies(&self, windows: &Tensor) -> Result<Vec<Vec<Energy>>> {
        let z = self.scored(windows)?;
        self.levels.iter().map(|level| level.energies(&vectors(level.shape, level.columns, &z)?)).collect()
    }

    /// # Errors
    /// As [`Reference::energies`].
    pub fn score(&self, windows: &Tensor) -> Result<Found> {
        let z = self.scored(windows)?;
        let (mut levels, mut log_likelihood) = (Vec::new(), None);
        for level in &self.levels {
            let energies = level.energies(&vectors(level.shape, level.columns, &z)?)?;
            levels.push(level.surprise(&energies)?);
            log_likelihood =
                log_likelihood.or_else(|| energies.into_iter().last().map(|of| of.log_likelihood));
        }
        let levels = Tensor::stack(&levels, 1)?;
        let none = || Tensor::zeros(z.dim(0)?, self.dtype, &Device::Cpu);
        let joint = self.joints.as_ref().map_or_else(none, |joints| joints.surprise(&z))?;
        let (mut sum, mut n, mut still) = (levels.sqr()?.sum(1)?, self.levels.len(), none()?);
        if let Some(stills) = &self.stills {
            still = stills.surprise(&z)?;
            (sum, n) = ((sum + still.minimum(STILL_MAX)?.sqr()?)?, n + 1);
        }
        let state = (sum / n as f64)?.sqrt()?;
        let surprise = straight(&self.deep[0], self.state.surprise(&state)?)?;
        let surprise = self.strange(windows, surprise)?;
        let column_surprise = straight(&self.deep[1], still.maximum(&joint)?)?;
        let log_likelihood = log_likelihood.map_or_else(none, Ok)?;
        Ok(Found { state, surprise, log_likelihood, still, joint, column_surprise, levels })
    }

    /// The scored columns, clipped: rows × `cells * scored`.
    fn scored(&self, windows: &Tensor) -> Result<Tensor> {
        let z = match &self.parted {
            None => windows.clone(),
            Some([scored, _]) => windows
                .reshape((windows.dim(0)?, self.cells, ()))?
                .index_select(scored, 2)?
                .flatten_from(1)?,
        };
        z.clamp(-CLIP, CLIP)
    }

    /// Raised where a flag of the last cell is below 0 or above 1.
    fn strange(&self, windows: &Tensor, surprise: Tensor) -> Result<Tensor> {
        let Some([_, flags]) = &self.parted else { return Ok(surprise) };
        let cells = windows.reshape((windows.dim(0)?, self.cells, ()))?;
        let last = cells.narrow(1, self.cells - 1, 1)?.squeeze(1)?.contiguous()?.index_select(flags, 1)?;
        let off = (&last - last.clamp(0.0, 1.0)?)?.abs()?.max(1)?;
        surprise.maximum(&(off.gt(0.0)?.to_dtype(self.dtype)? * STRANGE_FLAG)?)
    }
}

impl LevelTensors {
    fn new(level: &Level, laid_out: &PreparedLevel, dtype: DType) -> Result<LevelTensors> {
        let (basis, root) = (&level.basis, level.basis.l.mapv(|l| (spread(NU) * l).sqrt()));
        let scaled = &basis.v / &root;
        Ok(LevelTensors {
            shape: level.shape,
            columns: basis.dimension() / level.shape.blocks,
            single: Affine::new(&scaled, &-basis.mu.dot(&scaled), dtype)?,
            ln_constant: laid_out.single.ln_constant,
            codes: match (&level.codes, &laid_out.codes) {
                (Some(codes), Some(laid_out)) => {
                    Some(CodeTensors::new(level, codes, laid_out.density.ln_constant, dtype)?)
                }
                _ => None,
            },
            tails: level.tails.iter().map(|tail| Tails::new(Some(tail), dtype)).collect::<Result<_>>()?,
        })
    }

    /// With `P` the coordinates on the axes, `l` their variances and `nu` degrees of freedom,
    /// `E = ((nu + 1) / 2 sum ln(1 + P^2 / ((nu - 2) l)) - ln share) / d`; codes are chosen by the nearest centre in the
    /// half-whitened coordinates `P / l^(1/4)` of the single density.
    fn energies(&self, w: &Tensor) -> Result<Vec<Energy>> {
        let d = w.dim(1)? as f64;
        let axes = self.single.of(w)?;
        let sum = ln_sum(&axes)?;
        let mut found =
            vec![Energy { energy: (&sum / d)?, log_likelihood: sum.affine(-1.0, self.ln_constant)? }];
        if let Some(codes) = &self.codes {
            let code = codes.search.of(&axes)?.argmin(1)?;
            let own = match &codes.own {
                Own::Axes(own) => own.of(w)?,
                Own::Rescaled(by) => axes.broadcast_mul(by)?,
            };
            let sum = ln_sum(&(own - codes.means.index_select(&code, 0)?)?)?;
            let sum = (sum - codes.ln_share.index_select(&code, 0)?)?;
            found.push(Energy { energy: (&sum / d)?, log_likelihood: sum.affine(-1.0, codes.ln_constant)? });
        }
        Ok(found)
    }

    /// Mean surprise of the densities.
    fn surprise(&self, energies: &[Energy]) -> Result<Tensor> {
        let surprises = self.tails.iter().zip(energies).map(|(tail, of)| tail.surprise(&of.energy)?.relu());
        let surprises: Vec<Tensor> = surprises.collect::<Result<_>>()?;
        match &surprises[..] {
            [single] => Ok(single.clone()),
            [single, codes] => (single + codes)? * 0.5,
            _ => Tensor::stack(&surprises, 1)?.mean(1),
        }
    }
}

impl CodeTensors {
    fn new(level: &Level, codes: &Codes, ln_constant: f64, dtype: DType) -> Result<CodeTensors> {
        let (basis, root) = (&level.basis, codes.l.mapv(|l| (spread(NU) * l).sqrt()));
        // From units of the single density's spread to half-whitened ones.
        let half = basis.l.mapv(|l| spread(NU).sqrt() * l.powf(0.25));
        let own = match &codes.u {
            Some(u) => {
                let scaled = u / &root;
                Own::Axes(Affine::new(&scaled, &-basis.mu.dot(&scaled), dtype)?)
            }
            None => Own::Rescaled(vector(&(basis.l.mapv(|l| (spread(NU) * l).sqrt()) / &root), dtype)?),
        };
        let towards = (&codes.centres * &half).t().mapv(|c| -2.0 * c);
        Ok(CodeTensors {
            search: Affine::new(&towards, &codes.centres.mapv(|c| c * c).sum_axis(Axis(1)), dtype)?,
            own,
            means: matrix(&(&codes.means / &root), dtype)?,
            ln_share: vector(&codes.ln_share, dtype)?,
            ln_constant,
        })
    }
}

/// A level's vectors of rows of scored cells: rows × d.
fn vectors(shape: Shape, columns: usize, z: &Tensor) -> Result<Tensor> {
    let (rows, all) = z.dims2()?;
    let cells = shape.cells() * columns;
    let z = z.narrow(1, all - cells, cells)?;
    match shape.pool {
        1 => Ok(z),
        pool => z.reshape((rows, shape.blocks, pool, columns))?.mean(2)?.flatten_from(1),
    }
}

/// [`Deep::straight`] of a batch.
fn straight(deep: &Deep, surprise: Tensor) -> Result<Tensor> {
    let beyond = (&surprise - deep.threshold)?.relu()?;
    surprise + (beyond * (1.0 / deep.excess - 1.0))?
}

/// `(nu + 1) / 2 sum ln(1 + x^2)` over the coordinates.
fn ln_sum(x: &Tensor) -> Result<Tensor> {
    x.sqr()?.affine(1.0, 1.0)?.log()?.sum(1)? * (0.5 * (NU + 1.0))
}

pub(super) fn vector(x: &Array1<f64>, dtype: DType) -> Result<Tensor> {
    Tensor::from_vec(x.to_vec(), x.len(), &Device::Cpu)?.to_dtype(dtype)
}

pub(super) fn matrix(x: &Array2<f64>, dtype: DType) -> Result<Tensor> {
    Tensor::from_vec(x.iter().copied().collect(), x.dim(), &Device::Cpu)?.to_dtype(dtype)
}

#[cfg(test)]
mod tests;
