//! The densities of a level in candle and f64: the definition the fast scorer is held to.

use candle_core::{DType, Device, Result, Tensor};
use ndarray::{Array1, Array2};

use super::{Codes, Level, NU};

fn vector(x: &Array1<f64>) -> Result<Tensor> {
    Tensor::from_vec(x.to_vec(), (1, x.len()), &Device::Cpu)
}

fn matrix(x: &Array2<f64>) -> Result<Tensor> {
    Tensor::from_vec(x.iter().copied().collect(), x.dim(), &Device::Cpu)
}

/// Energies of vectors of the level (rows x d, without gaps), a dimension: of the single density, and of the codes' if
/// there are. With `P` the coordinates on the axes, `l` their variances and `nu` degrees of freedom,
/// `E = ((nu + 1) / 2 sum ln(1 + P^2 / ((nu - 2) l)) - ln share) / d`; codes are chosen by the nearest centre in the
/// half-whitened coordinates `P / l^(1/4)` of the single density.
///
/// # Errors
/// If the shapes do not agree.
pub fn energies(level: &Level, w: &[f32]) -> Result<Vec<Vec<f64>>> {
    let d = level.basis.dimension();
    let w = Tensor::from_slice(w, (w.len() / d, d), &Device::Cpu)?.to_dtype(DType::F64)?;
    let centred = w.broadcast_sub(&vector(&level.basis.mu)?)?;
    let axes = centred.matmul(&matrix(&level.basis.v)?)?;
    let mut all = vec![energy(&axes, &level.basis.l)?.to_vec1()?];
    if let Some(codes) = &level.codes {
        let code = nearest(&axes, &level.basis.l, codes)?;
        let own = match &codes.u {
            Some(u) => centred.matmul(&matrix(u)?)?,
            None => axes,
        };
        let own = (own - matrix(&codes.means)?.index_select(&code, 0)?)?;
        let share = vector(&codes.ln_share)?.flatten_all()?.index_select(&code, 0)?;
        all.push((energy(&own, &codes.l)? - (share / d as f64)?)?.to_vec1()?);
    }
    Ok(all)
}

/// Mean surprise of the densities of each of these vectors, nats, as [`super::Scores::levels`] has it.
///
/// # Errors
/// As [`energies`].
pub fn surprises(level: &Level, w: &[f32]) -> Result<Vec<f64>> {
    let energies = energies(level, w)?;
    let mean = |row: usize| {
        let of =
            level.tails.iter().zip(&energies).map(|(tail, energies)| tail.surprise(energies[row] as f32));
        of.sum::<f64>() / level.tails.len() as f64
    };
    Ok((0..energies[0].len()).map(mean).collect())
}

fn energy(axes: &Tensor, l: &Array1<f64>) -> Result<Tensor> {
    let scaled = axes.sqr()?.broadcast_div(&vector(&l.mapv(|l| l * (NU - 2.0)))?)?;
    ((scaled + 1.0)?.log()?.sum(1)? * (0.5 * (NU + 1.0) / l.len() as f64))?.contiguous()
}

fn nearest(axes: &Tensor, l: &Array1<f64>, codes: &Codes) -> Result<Tensor> {
    let half_whitened = axes.broadcast_div(&vector(&l.mapv(|l| l.powf(0.25)))?)?;
    let centres = matrix(&codes.centres)?;
    let product = (half_whitened.matmul(&centres.t()?)? * -2.0)?;
    product.broadcast_add(&centres.sqr()?.sum(1)?.unsqueeze(0)?)?.argmin(1)
}
