//! Named tensors read back, every shape, count and range checked.

use ndarray::{Array1, Array2};

use super::super::levels::DIMENSION_MAX;
use super::super::{Basis, Codes, Columns, Deep, Fit, Joint, Level, Still, Tail};
use super::{Data, LevelHead, PartsError, Tensor, wrong};

pub(super) struct Tensors<'a>(pub &'a [Tensor]);

impl Tensors<'_> {
    fn find(&self, name: &str, shape: Option<&[usize]>) -> Result<&Data, PartsError> {
        let found = self.0.iter().find(|t| t.name == name).ok_or_else(|| wrong(name, "not there"))?;
        let expected = shape.unwrap_or(&found.shape);
        if found.shape != expected || found.data.len() != expected.iter().product::<usize>() {
            return Err(wrong(name, format!("shape {:?}", found.shape)));
        }
        let finite = match &found.data {
            Data::F32(values) => values.iter().all(|x| x.is_finite()),
            Data::F64(values) => values.iter().all(|x| x.is_finite()),
        };
        if finite { Ok(&found.data) } else { Err(wrong(name, "not finite")) }
    }

    fn values(&self, name: &str, shape: Option<&[usize]>) -> Result<&[f32], PartsError> {
        match self.find(name, shape)? {
            Data::F32(values) => Ok(values),
            Data::F64(_) => Err(wrong(name, "f64 where f32 belongs")),
        }
    }

    pub(super) fn ascending(&self, name: &str) -> Result<Vec<f32>, PartsError> {
        let values = self.values(name, None)?.to_vec();
        if values.is_empty() || !values.is_sorted() {
            Err(wrong(name, "none, or not ascending"))
        } else {
            Ok(values)
        }
    }

    fn doubles(&self, name: &str, shape: &[usize]) -> Result<&[f64], PartsError> {
        match self.find(name, Some(shape))? {
            Data::F64(values) => Ok(values),
            Data::F32(_) => Err(wrong(name, "f32 where f64 belongs")),
        }
    }

    fn vector(&self, name: &str, length: usize) -> Result<Array1<f64>, PartsError> {
        Ok(self.values(name, Some(&[length]))?.iter().map(|x| f64::from(*x)).collect())
    }

    fn variances(&self, name: &str, length: usize) -> Result<Array1<f64>, PartsError> {
        let found = self.vector(name, length)?;
        if found.iter().all(|l| *l > 0.0) { Ok(found) } else { Err(wrong(name, "not above 0")) }
    }

    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Array2<f64>, PartsError> {
        let data = self.values(name, Some(&[rows, columns]))?.iter().map(|x| f64::from(*x)).collect();
        Array2::from_shape_vec((rows, columns), data).map_err(|e| wrong(name, e.to_string()))
    }

    pub(super) fn tail(&self, of: &str, density: usize) -> Result<Tail, PartsError> {
        let knots = self.values(&format!("{of}.knots.{density}"), None)?.to_vec();
        let name = format!("{of}.tail.{density}");
        let fit = self.doubles(&name, &[4])?;
        let fit = Fit { threshold: fit[0], excess: fit[1], base: fit[2], median: fit[3] };
        let tail = Tail::new(knots, fit);
        if tail.is_sound() { Ok(tail) } else { Err(wrong(name, "not ascending, or a scale not above 0")) }
    }

    pub(super) fn joint(&self, columns: usize) -> Result<Vec<Joint>, PartsError> {
        let values = self.doubles("joint", &[columns, 2])?.as_chunks::<2>().0;
        if !values.iter().flatten().all(|x| *x >= 0.0) {
            return Err(wrong("joint", "below 0"));
        }
        let joint = |[threshold, excess]: &[f64; 2]| Joint { threshold: *threshold, excess: *excess };
        Ok(values.iter().map(joint).collect())
    }

    pub(super) fn deep(&self, name: &str) -> Result<[Deep; 2], PartsError> {
        let values = self.doubles(name, &[2, 2])?;
        let deep = [[values[0], values[1]], [values[2], values[3]]];
        if !deep.iter().all(|[threshold, excess]| *threshold >= 0.0 && *excess > 0.0) {
            return Err(wrong(name, "below 0, or no number"));
        }
        Ok(deep.map(|[threshold, excess]| Deep { threshold, excess }))
    }

    pub(super) fn bands(&self, name: &str, columns: usize) -> Result<Vec<f32>, PartsError> {
        let found = self.values(name, Some(&[columns]))?;
        if found.iter().all(|width| *width > 0.0) {
            Ok(found.to_vec())
        } else {
            Err(wrong(name, "not above 0"))
        }
    }

    pub(super) fn still(&self, columns: usize) -> Result<Vec<Still>, PartsError> {
        let values = self.doubles("still", &[columns, 3])?.as_chunks::<3>().0;
        let sound = |[threshold, excess, median]: &[f64; 3]| {
            *threshold >= 0.0 && *median >= *threshold && (*threshold == 0.0 || *excess > 0.0)
        };
        if !values.iter().all(sound) {
            return Err(wrong("still", "a threshold below 0 or above the median, or a scale not above 0"));
        }
        let still = |[threshold, excess, median]: &[f64; 3]| Still {
            threshold: *threshold as f32,
            excess: *excess,
            median: *median as f32,
        };
        Ok(values.iter().map(still).collect())
    }
}

pub(super) fn read_level(
    from: &Tensors<'_>,
    at: usize,
    head: &LevelHead,
    columns: &Columns,
) -> Result<Level, PartsError> {
    let name = |part: &str| format!("levels.{at}.{part}");
    let LevelHead { shape, codes, own_axes, .. } = head;
    let looks_back = shape.pool.checked_mul(shape.blocks).unwrap_or(0);
    let d = shape.blocks.saturating_mul(columns.scored.len());
    if !(1..=columns.cells).contains(&looks_back) || d > DIMENSION_MAX.max(columns.scored.len()) {
        return Err(wrong(name("shape"), format!("{} blocks of {} cells", shape.blocks, shape.pool)));
    }
    let basis = Basis {
        mu: from.vector(&name("mu"), d)?,
        v: from.matrix(&name("v"), d, d)?,
        l: from.variances(&name("l"), d)?,
    };
    let within = from.vector(&name("within"), columns.scored.len())?;
    let codes = match codes {
        0 => None,
        k => Some(Codes {
            centres: from.matrix(&name("codes.centres"), *k, d)?,
            means: from.matrix(&name("codes.means"), *k, d)?,
            ln_share: from.vector(&name("codes.ln_share"), *k)?,
            u: own_axes.then(|| from.matrix(&name("codes.u"), d, d)).transpose()?,
            l: from.variances(&name("codes.l"), d)?,
        }),
    };
    let densities = 1 + usize::from(head.codes > 0);
    let of = format!("levels.{at}");
    let tails = (0..densities).map(|density| from.tail(&of, density)).collect::<Result<_, _>>()?;
    let (candidates, tuned) = (head.candidates.clone(), head.tuned.clone());
    Ok(Level { shape: *shape, basis, within, codes, tails, candidates, tuned })
}
