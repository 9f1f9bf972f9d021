//! A pyramid as plain parts: settings and named tensors, for a file the product writes.

mod read;

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::fit::{Candidate, Level};
use super::levels::DIMENSION_MAX;
use super::{Basis, Codes, Columns, Fit, Pyramid, Shape, Tail, Tuned};
use read::{Tensors, read_level};

/// Cells of a window at most: counts of them are u16.
const CELLS_MAX: usize = u16::MAX as usize;

const BANDS: &str = "bands";
const DEEP: &str = "deep";
const COLUMN_REFERENCES: &str = "column_references";

/// One array of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Values, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Data::F32(values) => values.len(),
            Data::F64(values) => values.len(),
        }
    }
}

/// Everything that is not an array.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub cells: usize,
    pub columns: usize,
    /// By column: whether it is a flag.
    pub context: Vec<bool>,
    pub levels: Vec<LevelHead>,
    /// Whether columns that are too quiet count.
    pub still: bool,
    /// Whether columns that contradict the others count.
    pub joint: bool,
    /// Whether bands have widths of their own; older files have none.
    #[serde(default)]
    pub bands: bool,
    /// Whether what is rarest is straightened; in older files it is not.
    #[serde(default)]
    pub deep: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelHead {
    pub shape: Shape,
    /// Codes of the second density; 0: it has none.
    pub codes: usize,
    pub own_axes: bool,
    /// Held-back log-likelihoods to six decimals: JSON may not keep all digits.
    pub candidates: Vec<Candidate>,
    /// What fine-tuning made of the densities, to six decimals; files of closed forms have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tuned: Vec<Tuned>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{part}` of the pyramid is wrong ({detail}): fit it anew")]
pub struct PartsError {
    pub part: String,
    pub detail: String,
}

fn wrong(part: impl Into<String>, detail: impl Into<String>) -> PartsError {
    PartsError { part: part.into(), detail: detail.into() }
}

impl Pyramid {
    /// All that is needed to score to the same bits.
    pub fn to_parts(&self) -> (Head, Vec<Tensor>) {
        let mut tensors = Vec::new();
        for (at, level) in self.levels.iter().enumerate() {
            level_tensors(at, level, &mut tensors);
        }
        tail_tensors("state", self.state_tail.as_slice(), &mut tensors);
        for (name, of) in [("references", &self.references), (COLUMN_REFERENCES, &self.column_references)] {
            tensors.push(tensor(name, vec![of.len()], Data::F32(of.clone())));
        }
        if !self.still.is_empty() {
            let values = self
                .still
                .iter()
                .flat_map(|of| [f64::from(of.threshold), of.excess, f64::from(of.median)])
                .collect();
            tensors.push(tensor("still", vec![self.still.len(), 3], Data::F64(values)));
        }
        if !self.joint.is_empty() {
            let values = self.joint.iter().flat_map(|of| [of.threshold, of.excess]).collect();
            tensors.push(tensor("joint", vec![self.joint.len(), 2], Data::F64(values)));
        }
        if !self.bands.is_empty() {
            tensors.push(tensor(BANDS, vec![self.bands.len()], Data::F32(self.bands.clone())));
        }
        let values = self.deep.iter().flat_map(|of| [of.threshold, of.excess]).collect();
        tensors.push(tensor(DEEP, vec![2, 2], Data::F64(values)));
        let head = Head {
            cells: self.columns.cells,
            columns: self.columns.columns,
            context: self.columns.context.clone(),
            levels: self.levels.iter().map(level_head).collect(),
            still: !self.still.is_empty(),
            joint: !self.joint.is_empty(),
            bands: !self.bands.is_empty(),
            deep: true,
        };
        (head, tensors)
    }

    /// The inverse of [`Pyramid::to_parts`].
    ///
    /// # Errors
    /// Whatever the parts are, the answer is a pyramid that can score or an error: shapes, counts and
    /// ranges are checked.
    pub fn from_parts(head: &Head, tensors: &[Tensor]) -> Result<Pyramid, PartsError> {
        let columns = read_columns(head)?;
        let from = Tensors(tensors);
        let levels = head.levels.iter().enumerate();
        let levels: Vec<Level> =
            levels.map(|(at, level)| read_level(&from, at, level, &columns)).collect::<Result<_, _>>()?;
        if levels.is_empty() {
            return Err(wrong("levels", "none"));
        }
        let still = if head.still { from.still(columns.scored.len())? } else { Vec::new() };
        let state = from.tail("state", 0)?;
        let mut pyramid = Pyramid::assemble(columns, levels, still, Some(state));
        if head.joint && pyramid.prepared_joint.is_some() {
            pyramid.joint = from.joint(pyramid.columns.scored.len())?;
        }
        if head.bands {
            pyramid.bands = from.bands(BANDS, pyramid.columns.scored.len())?;
        }
        if head.deep {
            pyramid.deep = from.deep(DEEP)?;
        }
        pyramid.references = from.ascending("references")?;
        pyramid.column_references = from.ascending(COLUMN_REFERENCES)?;
        Ok(pyramid)
    }
}

fn read_columns(head: &Head) -> Result<Columns, PartsError> {
    let Head { cells, columns, context, .. } = head;
    if *cells == 0 || *cells > CELLS_MAX || *columns == 0 || context.len() != *columns {
        return Err(wrong("cells", format!("{cells} cells of {columns} columns, {} flags", context.len())));
    }
    let columns = Columns::new(*cells, *columns, context);
    if columns.scored.len() > DIMENSION_MAX {
        return Err(wrong("columns", format!("{} are scored", columns.scored.len())));
    }
    Ok(columns)
}

fn level_head(level: &Level) -> LevelHead {
    LevelHead {
        shape: level.shape,
        codes: level.codes.as_ref().map_or(0, Codes::len),
        own_axes: level.codes.as_ref().is_some_and(|codes| codes.u.is_some()),
        candidates: level.candidates.iter().copied().map(rounded).collect(),
        tuned: level.tuned.iter().copied().map(rounded_tuned).collect(),
    }
}

fn rounded(of: Candidate) -> Candidate {
    Candidate { held_back_log_likelihood: six_decimals(of.held_back_log_likelihood), ..of }
}

fn rounded_tuned(of: Tuned) -> Tuned {
    Tuned {
        held_back_closed_form: six_decimals(of.held_back_closed_form),
        held_back_tuned: six_decimals(of.held_back_tuned),
        error: six_decimals(of.error),
        ..of
    }
}

fn six_decimals(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

fn tensor(name: impl Into<String>, shape: Vec<usize>, data: Data) -> Tensor {
    Tensor { name: name.into(), shape, data }
}

fn level_tensors(at: usize, level: &Level, out: &mut Vec<Tensor>) {
    let name = |part: &str| format!("levels.{at}.{part}");
    let narrow = |x: &f64| *x as f32;
    let vector = |part: &str, x: &Array1<f64>| {
        tensor(name(part), vec![x.len()], Data::F32(x.iter().map(narrow).collect()))
    };
    let matrix = |part: &str, x: &Array2<f64>| {
        tensor(name(part), x.shape().to_vec(), Data::F32(x.iter().map(narrow).collect()))
    };
    let Basis { mu, v, l } = &level.basis;
    out.extend([vector("mu", mu), matrix("v", v), vector("l", l), vector("within", &level.within)]);
    if let Some(Codes { centres, means, ln_share, u, l }) = &level.codes {
        out.extend([matrix("codes.centres", centres), matrix("codes.means", means)]);
        out.extend([vector("codes.ln_share", ln_share), vector("codes.l", l)]);
        out.extend(u.iter().map(|u| matrix("codes.u", u)));
    }
    tail_tensors(&format!("levels.{at}"), &level.tails, out);
}

/// Of each tail its knots, and of all the four numbers of their fits.
fn tail_tensors(of: &str, tails: &[Tail], out: &mut Vec<Tensor>) {
    for (density, tail) in tails.iter().enumerate() {
        let name = format!("{of}.knots.{density}");
        out.push(tensor(name, vec![tail.knots.len()], Data::F32(tail.knots.clone())));
        let Fit { threshold, excess, base, median } = tail.fit;
        let fit = Data::F64(vec![threshold, excess, base, median]);
        out.push(tensor(format!("{of}.tail.{density}"), vec![4], fit));
    }
}

#[cfg(test)]
#[path = "tensors_tests.rs"]
mod tests;
