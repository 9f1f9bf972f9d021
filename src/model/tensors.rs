//! A model's tensors: to safetensors and back, every type, length and range checked.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors};

use super::energy::RANKS;
use super::file::{CARD, Card, ModelError, content};
use super::fit::DIMENSION_MAX;
use super::tail::{Side, Tail, Tails};
use super::{KeyScale, Model, Ppca, ScalerPrior};

pub(super) type Named = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn f32s(name: &'static str, shape: Vec<usize>, values: &[f32]) -> Named {
    (name, Dtype::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn f64s(name: &'static str, shape: Vec<usize>, values: &[f64]) -> Named {
    (name, Dtype::F64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn u64s(name: &'static str, shape: Vec<usize>, values: &[u64]) -> Named {
    (name, Dtype::U64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Every tensor of the file. Lists of unequal parts are kept end to end with the ends beside them.
pub(super) fn tensors_of(model: &Model) -> Vec<Named> {
    let (ppca, prior, columns) = (&model.ppca, &model.prior, model.columns.len());
    let features = model.tails.features();
    let knots: Vec<&[f32]> = features.iter().map(|t| t.as_ref().map_or(&[][..], |t| &t.knots)).collect();
    let fits: Vec<f64> = features
        .iter()
        .flat_map(|t| t.as_ref().map_or([0.0; 3], |t| [t.threshold, t.excess, t.median]))
        .collect();
    let keys: Vec<&[u8]> = prior.keys.keys().map(Vec::as_slice).collect();
    let of_keys = |values: fn(&KeyScale) -> &Vec<f64>| -> Vec<f64> {
        prior.keys.values().flat_map(|scale| values(scale).iter().copied()).collect()
    };
    let counts: Vec<u64> = prior.keys.values().flat_map(|scale| scale.count.iter().copied()).collect();
    let key_bytes = keys.concat();
    vec![
        f32s("gain", vec![columns], &ppca.gain),
        f32s("mu", vec![ppca.dimension()], &ppca.mu),
        f32s("w", vec![ppca.dimension(), ppca.rank], &ppca.w),
        f32s("sigma2", vec![1], &[ppca.sigma2]),
        u64s("tail.ends", vec![features.len()], &ends(&knots)),
        f32s("tail.knots", vec![knots.concat().len()], &knots.concat()),
        f64s("tail.fit", vec![features.len(), 3], &fits),
        f32s("reference_surprise", vec![model.reference_surprise.len()], &model.reference_surprise),
        f64s("prior.mean", vec![columns], &prior.mean),
        f64s("prior.sd", vec![columns], &prior.sd),
        f64s("prior.between_var", vec![columns], &prior.between_var),
        u64s("keys.ends", vec![keys.len()], &ends(&keys)),
        f64s("keys.mean", vec![keys.len(), columns], &of_keys(|k| &k.mean)),
        f64s("keys.sd", vec![keys.len(), columns], &of_keys(|k| &k.sd)),
        u64s("keys.count", vec![keys.len(), columns], &counts),
        ("keys.bytes", Dtype::U8, vec![key_bytes.len()], key_bytes),
    ]
}

fn ends<T>(parts: &[&[T]]) -> Vec<u64> {
    let lengths = parts.iter().map(|part| part.len() as u64);
    lengths
        .scan(0, |end, length| {
            Some({
                *end += length;
                *end
            })
        })
        .collect()
}

/// Tensors by name, checked for type and shape.
pub(super) struct Reader<'a>(pub(super) SafeTensors<'a>);

impl Reader<'_> {
    /// The little-endian values of a tensor, `count` of them if given.
    fn raw<const N: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        count: Option<usize>,
    ) -> Result<Vec<[u8; N]>, ModelError> {
        let view = self.0.tensor(name).map_err(|e| content(name, e.to_string()))?;
        let found = view.data().len() / N;
        if view.dtype() != dtype || count.is_some_and(|count| count != found) {
            return Err(content(name, format!("found {found} values of {:?}", view.dtype())));
        }
        Ok(view.data().as_chunks::<N>().0.to_vec())
    }

    fn f32(&self, name: &str, count: Option<usize>) -> Result<Vec<f32>, ModelError> {
        let values: Vec<f32> =
            self.raw(name, Dtype::F32, count)?.into_iter().map(f32::from_le_bytes).collect();
        if values.iter().all(|v| v.is_finite()) { Ok(values) } else { Err(content(name, "not finite")) }
    }

    fn f64(&self, name: &str, count: Option<usize>) -> Result<Vec<f64>, ModelError> {
        let values: Vec<f64> =
            self.raw(name, Dtype::F64, count)?.into_iter().map(f64::from_le_bytes).collect();
        if values.iter().all(|v| v.is_finite()) { Ok(values) } else { Err(content(name, "not finite")) }
    }

    fn u64(&self, name: &str, count: Option<usize>) -> Result<Vec<u64>, ModelError> {
        Ok(self.raw(name, Dtype::U64, count)?.into_iter().map(u64::from_le_bytes).collect())
    }

    /// Parts kept end to end, `count` of them if given.
    fn parts<T: Clone>(
        &self,
        name: &str,
        whole: Vec<T>,
        count: Option<usize>,
    ) -> Result<Vec<Vec<T>>, ModelError> {
        let mut from = 0;
        let mut parts = Vec::new();
        for end in self.u64(name, count)? {
            let end = usize::try_from(end).unwrap_or(usize::MAX);
            let part = whole.get(from..end).ok_or_else(|| content(name, "ends out of order"))?;
            parts.push(part.to_vec());
            from = end;
        }
        if from == whole.len() { Ok(parts) } else { Err(content(name, "values beyond the last end")) }
    }
}

pub(super) fn read(tensors: Reader<'_>, card: Card) -> Result<Model, ModelError> {
    let (cells, columns, rank) = (card.cells, card.columns.len(), card.chosen.rank);
    let dimension = cells.checked_mul(columns).filter(|d| (1..=DIMENSION_MAX).contains(d));
    let dimension = dimension.ok_or_else(|| content(CARD, format!("{cells} cells of {columns} columns")))?;
    if !RANKS.contains(&rank) {
        return Err(content(CARD, format!("rank {rank}")));
    }
    let gain = tensors.f32("gain", Some(columns))?;
    let sigma2 = tensors.f32("sigma2", Some(1))?[0];
    if !gain.iter().chain([&sigma2]).all(|v| *v > 0.0) {
        return Err(content("gain", "gain and sigma2 must be above 0"));
    }
    let ppca = Ppca {
        cells,
        columns,
        rank,
        gain,
        mu: tensors.f32("mu", Some(dimension))?,
        w: tensors.f32("w", Some(dimension * rank))?,
        sigma2,
    };
    let reference_surprise = tensors.f32("reference_surprise", None)?;
    if reference_surprise.is_empty() || !reference_surprise.is_sorted() {
        return Err(content("reference_surprise", "empty or not ascending"));
    }
    let (tails, prior) = (read_tails(&tensors, columns)?, read_prior(&tensors, columns)?);
    Ok(Model::assemble(card.columns.clone(), ppca, tails, reference_surprise, prior, card))
}

fn read_tails(tensors: &Reader<'_>, columns: usize) -> Result<Tails, ModelError> {
    let count = 1 + 2 * columns;
    let knots = tensors.parts("tail.ends", tensors.f32("tail.knots", None)?, Some(count))?;
    let fits = tensors.f64("tail.fit", Some(3 * count))?;
    let mut features = Vec::with_capacity(count);
    for (at, (knots, fit)) in knots.into_iter().zip(fits.as_chunks::<3>().0).enumerate() {
        let side = if at <= columns { Side::Upper } else { Side::Lower };
        let [threshold, excess, median] = *fit;
        let tail = (!knots.is_empty()).then_some(Tail { side, knots, threshold, excess, median });
        if tail.as_ref().is_some_and(|t| !t.is_sound()) {
            return Err(content("tail.fit", "knots not ascending, or a scale not above 0"));
        }
        features.push(tail);
    }
    Ok(Tails::of_features(features))
}

fn read_prior(tensors: &Reader<'_>, columns: usize) -> Result<ScalerPrior, ModelError> {
    let key_bytes: Vec<u8> =
        tensors.raw::<1>("keys.bytes", Dtype::U8, None)?.into_iter().map(|[byte]| byte).collect();
    let names = tensors.parts("keys.ends", key_bytes, None)?;
    let count = names.len().checked_mul(columns).ok_or_else(|| content("keys.ends", "too many"))?;
    let mean = tensors.f64("keys.mean", Some(count))?;
    let sd = tensors.f64("keys.sd", Some(count))?;
    let counts = tensors.u64("keys.count", Some(count))?;
    let part = |at: usize| at * columns..(at + 1) * columns;
    let scale = |at: usize| KeyScale {
        mean: mean[part(at)].to_vec(),
        sd: sd[part(at)].to_vec(),
        count: counts[part(at)].to_vec(),
    };
    let keys: BTreeMap<Vec<u8>, KeyScale> =
        names.into_iter().enumerate().map(|(at, name)| (name, scale(at))).collect();
    Ok(ScalerPrior {
        mean: tensors.f64("prior.mean", Some(columns))?,
        sd: tensors.f64("prior.sd", Some(columns))?,
        between_var: tensors.f64("prior.between_var", Some(columns))?,
        keys,
    })
}
