//! A level laid out for scoring.

use ndarray::{Array1, Array2};

use super::basis::{Basis, NU, ln_peak, spread};
use super::codes::Codes;
use super::fit::Level;
use super::kernel::{LANES, Lanes, Packed};
use super::levels::Shape;
use super::marginal::Moments;

/// Distance of the codes that only fill up a panel.
const NEVER_NEAREST: f32 = 1e30;

#[derive(Clone, Debug)]
pub(super) struct PreparedLevel {
    pub shape: Shape,
    pub dimension: usize,
    pub mu: Vec<f64>,
    /// By column: variance of cells about their block's mean.
    pub within: Vec<f64>,
    /// Panels of zeros: the only code of the single density.
    pub centre: Vec<Lanes>,
    pub single: PreparedDensity,
    pub codes: Option<PreparedCodes>,
}

/// A product of t densities along its axes.
#[derive(Clone, Debug)]
pub(super) struct PreparedDensity {
    /// `V'(w - mu)`; empty where the projection of the single density serves.
    pub project: Packed,
    /// 1 / (k l)
    pub scale: Vec<Lanes>,
    pub moments: Moments,
    /// Constant of the log density, nats: of all d coordinates.
    pub ln_constant: f64,
}

#[derive(Clone, Debug)]
pub(super) struct PreparedCodes {
    /// Squared distance to each code, up to what is common to all; of the single density's projection.
    pub search: Packed,
    /// K × panels of an axis vector: the code on the density's axes.
    pub shift: Vec<Lanes>,
    /// K × d: the code about mu, coordinates.
    pub offset: Vec<f64>,
    /// By coordinate: 1 / variance within codes.
    pub weight: Vec<f64>,
    pub ln_share: Vec<f64>,
    pub own_axes: bool,
    pub density: PreparedDensity,
}

impl PreparedLevel {
    pub(super) fn new(level: &Level) -> PreparedLevel {
        let Basis { mu, v, l } = &level.basis;
        PreparedLevel {
            shape: level.shape,
            dimension: mu.len(),
            mu: mu.to_vec(),
            within: level.within.to_vec(),
            centre: lanes(mu.len(), |_| 0.0),
            single: PreparedDensity::new(mu, v, l, true),
            codes: level.codes.as_ref().map(|codes| PreparedCodes::new(&level.basis, codes)),
        }
    }

    /// Panels of a row on the axes.
    pub(super) fn panels(&self) -> usize {
        self.dimension.div_ceil(LANES)
    }
}

impl PreparedDensity {
    fn new(mu: &Array1<f64>, v: &Array2<f64>, l: &Array1<f64>, project: bool) -> PreparedDensity {
        let d = mu.len();
        let centre = mu.dot(v);
        let moments = Moments::new(v, l);
        PreparedDensity {
            project: match project {
                true => Packed::new(d, d, |input, axis| v[[input, axis]], |axis| -centre[axis], 0.0),
                false => Packed::default(),
            },
            scale: lanes(d, |axis| 1.0 / (spread(NU) * l[axis])),
            ln_constant: d as f64 * ln_peak(NU) - 0.5 * moments.ln_det,
            moments,
        }
    }
}

impl PreparedCodes {
    fn new(basis: &Basis, codes: &Codes) -> PreparedCodes {
        let (d, k) = (basis.dimension(), codes.len());
        let axes = codes.u.as_ref().unwrap_or(&basis.v);
        let quarter = basis.l.mapv(|l| l.powf(-0.25));
        let norm = |code: usize| codes.centres.row(code).iter().map(|c| c * c).sum::<f64>();
        let towards = |axis: usize, code: usize| -2.0 * codes.centres[[code, axis]] * quarter[axis];
        PreparedCodes {
            search: Packed::new(d, k, towards, norm, NEVER_NEAREST),
            shift: (0..k).flat_map(|code| lanes(d, |axis| codes.means[[code, axis]])).collect(),
            offset: codes.means.dot(&axes.t()).iter().copied().collect(),
            weight: (axes * axes).dot(&codes.l).mapv(f64::recip).to_vec(),
            ln_share: codes.ln_share.to_vec(),
            own_axes: codes.u.is_some(),
            density: PreparedDensity::new(&basis.mu, axes, &codes.l, codes.u.is_some()),
        }
    }
}

fn lanes(d: usize, value: impl Fn(usize) -> f64) -> Vec<Lanes> {
    let lane = |at: usize| if at < d { value(at) as f32 } else { 0.0 };
    (0..d.div_ceil(LANES)).map(|panel| std::array::from_fn(|l| lane(panel * LANES + l))).collect()
}
