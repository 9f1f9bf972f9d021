//! A model's tensors: to safetensors and back, every type, length and range checked.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors};

use super::file::{CARD, Card, ModelError, content};
use super::pyramid::{Data, Pyramid, Tensor};
use super::{KeyScale, Model, ScalerPrior};

pub(super) type Named = (String, Dtype, Vec<usize>, Vec<u8>);

/// Goes before the names of the pyramid's tensors.
const PYRAMID: &str = "pyramid.";

fn f32s(name: &str, shape: Vec<usize>, values: &[f32]) -> Named {
    (name.to_owned(), Dtype::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn f64s(name: &str, shape: Vec<usize>, values: &[f64]) -> Named {
    (name.to_owned(), Dtype::F64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn u64s(name: &str, shape: Vec<usize>, values: &[u64]) -> Named {
    (name.to_owned(), Dtype::U64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Every tensor of the file. Lists of unequal parts are kept end to end with the ends beside them.
pub(super) fn tensors_of(model: &Model) -> Vec<Named> {
    let of_pyramid = |Tensor { name, shape, data }: Tensor| match data {
        Data::F32(values) => f32s(&format!("{PYRAMID}{name}"), shape, &values),
        Data::F64(values) => f64s(&format!("{PYRAMID}{name}"), shape, &values),
    };
    let mut tensors: Vec<Named> = model.pyramid.to_parts().1.into_iter().map(of_pyramid).collect();
    let (prior, columns) = (&model.prior, model.columns.len());
    let keys: Vec<&[u8]> = prior.keys.keys().map(Vec::as_slice).collect();
    let of_keys = |values: fn(&KeyScale) -> &Vec<f64>| -> Vec<f64> {
        prior.keys.values().flat_map(|scale| values(scale).iter().copied()).collect()
    };
    let counts: Vec<u64> = prior.keys.values().flat_map(|scale| scale.count.iter().copied()).collect();
    let key_bytes = keys.concat();
    tensors.extend([
        f64s("prior.mean", vec![columns], &prior.mean),
        f64s("prior.sd", vec![columns], &prior.sd),
        f64s("prior.between_var", vec![columns], &prior.between_var),
        u64s("keys.ends", vec![keys.len()], &ends(&keys)),
        f64s("keys.mean", vec![keys.len(), columns], &of_keys(|k| &k.mean)),
        f64s("keys.sd", vec![keys.len(), columns], &of_keys(|k| &k.sd)),
        u64s("keys.count", vec![keys.len(), columns], &counts),
        ("keys.bytes".to_owned(), Dtype::U8, vec![key_bytes.len()], key_bytes),
    ]);
    tensors
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
    let columns = card.columns.len();
    if card.pyramid.columns != columns {
        return Err(content(CARD, format!("{columns} names of {} columns", card.pyramid.columns)));
    }
    let parts = pyramid_tensors(&tensors)?;
    let pyramid = Pyramid::from_parts(&card.pyramid, &parts).map_err(|e| content(&e.part, e.detail))?;
    let prior = read_prior(&tensors, &card.pyramid.context)?;
    Ok(Model::assemble(card.columns.clone(), pyramid, prior, card))
}

fn pyramid_tensors(tensors: &Reader<'_>) -> Result<Vec<Tensor>, ModelError> {
    let mut parts = Vec::new();
    for (name, view) in tensors.0.iter() {
        let Some(of) = name.strip_prefix(PYRAMID) else { continue };
        let data = match view.dtype() {
            Dtype::F32 => {
                let raw = tensors.raw(name, Dtype::F32, None)?;
                Data::F32(raw.into_iter().map(f32::from_le_bytes).collect())
            }
            _ => {
                let raw = tensors.raw(name, Dtype::F64, None)?;
                Data::F64(raw.into_iter().map(f64::from_le_bytes).collect())
            }
        };
        parts.push(Tensor { name: of.to_owned(), shape: view.shape().to_vec(), data });
    }
    Ok(parts)
}

fn read_prior(tensors: &Reader<'_>, flags: &[bool]) -> Result<ScalerPrior, ModelError> {
    let columns = flags.len();
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
        flags: flags.to_vec(),
        keys,
    })
}
