//! A model's tensors: to safetensors and back, every type, length and range checked.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors};

use super::file::{CARD, Card, ModelError, content};
use super::pyramid::{Data, Head, Pyramid, Tensor};
use super::{COHORTS_MAX, Cohort, CohortCard, EVERYONE, KeyScale, Model, ScalerPrior};

pub(super) type Named = (String, Dtype, Vec<usize>, Vec<u8>);

/// Goes before the names of a pyramid's tensors, and of a prior's.
const PYRAMID: &str = "pyramid.";
const PRIOR: &str = "prior.";

/// Goes before all names of a cohort, counted from 1.
fn of_cohort(cohort: usize) -> String {
    if cohort == EVERYONE as usize { String::new() } else { format!("cohorts.{cohort}.") }
}

fn f32s(name: &str, shape: Vec<usize>, values: &[f32]) -> Named {
    (name.to_owned(), Dtype::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn f64s(name: &str, shape: Vec<usize>, values: &[f64]) -> Named {
    (name.to_owned(), Dtype::F64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn u64s(name: &str, shape: Vec<usize>, values: &[u64]) -> Named {
    (name.to_owned(), Dtype::U64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn u32s(name: &str, shape: Vec<usize>, values: &[u32]) -> Named {
    (name.to_owned(), Dtype::U32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Every tensor of the file. Lists of unequal parts are kept end to end with the ends beside them.
pub(super) fn tensors_of(model: &Model) -> Vec<Named> {
    let mut tensors = density_tensors(EVERYONE as usize, &model.pyramid, &model.prior);
    for (at, Cohort { pyramid, prior }) in model.cohorts.iter().enumerate() {
        tensors.extend(density_tensors(at + 1, pyramid, prior));
    }
    let (prior, columns) = (&model.prior, model.columns.len());
    let keys: Vec<&[u8]> = prior.keys.keys().map(Vec::as_slice).collect();
    let of_keys = |values: fn(&KeyScale) -> &Vec<f64>| -> Vec<f64> {
        prior.keys.values().flat_map(|scale| values(scale).iter().copied()).collect()
    };
    let counts: Vec<u64> = prior.keys.values().flat_map(|scale| scale.count.iter().copied()).collect();
    let cohorts: Vec<u32> = prior.keys.values().map(|scale| scale.cohort).collect();
    let key_bytes = keys.concat();
    tensors.extend([
        u64s("keys.ends", vec![keys.len()], &ends(&keys)),
        f64s("keys.mean", vec![keys.len(), columns], &of_keys(|k| &k.mean)),
        f64s("keys.sd", vec![keys.len(), columns], &of_keys(|k| &k.sd)),
        u64s("keys.count", vec![keys.len(), columns], &counts),
        u32s("keys.cohort", vec![keys.len()], &cohorts),
        ("keys.bytes".to_owned(), Dtype::U8, vec![key_bytes.len()], key_bytes),
    ]);
    tensors
}

/// What a cohort has of its own.
fn density_tensors(cohort: usize, pyramid: &Pyramid, prior: &ScalerPrior) -> Vec<Named> {
    let before = of_cohort(cohort);
    let of_pyramid = |Tensor { name, shape, data }: Tensor| match data {
        Data::F32(values) => f32s(&format!("{before}{PYRAMID}{name}"), shape, &values),
        Data::F64(values) => f64s(&format!("{before}{PYRAMID}{name}"), shape, &values),
    };
    let mut tensors: Vec<Named> = pyramid.to_parts().1.into_iter().map(of_pyramid).collect();
    let mut of_prior = |part: &str, values: &[f64]| {
        tensors.push(f64s(&format!("{before}{PRIOR}{part}"), vec![values.len()], values));
    };
    of_prior("mean", &prior.mean);
    of_prior("sd", &prior.sd);
    of_prior("between_var", &prior.between_var);
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
    if card.cohorts.len() > COHORTS_MAX {
        return Err(content(CARD, format!("{} cohorts", card.cohorts.len())));
    }
    let pyramid = read_pyramid(&tensors, EVERYONE as usize, &card.pyramid, &card)?;
    let mut prior = read_prior(&tensors, EVERYONE as usize, &card.pyramid.context)?;
    prior.keys = read_keys(&tensors, card.columns.len(), card.cohorts.len())?;
    let cohort = |(at, of): (usize, &CohortCard)| {
        let pyramid = read_pyramid(&tensors, at + 1, &of.pyramid, &card)?;
        if of.pyramid.cells != card.pyramid.cells {
            return Err(content(CARD, format!("{} cells of cohort {}", of.pyramid.cells, at + 1)));
        }
        Ok(Cohort { pyramid, prior: read_prior(&tensors, at + 1, &of.pyramid.context)? })
    };
    let cohorts = card.cohorts.iter().enumerate().map(cohort).collect::<Result<_, _>>()?;
    Ok(Model::assemble(card.columns.clone(), pyramid, prior, cohorts, card))
}

fn read_pyramid(
    tensors: &Reader<'_>,
    cohort: usize,
    head: &Head,
    card: &Card,
) -> Result<Pyramid, ModelError> {
    let columns = card.columns.len();
    if head.columns != columns {
        return Err(content(CARD, format!("{columns} names of {} columns", head.columns)));
    }
    let parts = pyramid_tensors(tensors, cohort)?;
    Pyramid::from_parts(head, &parts).map_err(|e| content(&e.part, e.detail))
}

fn pyramid_tensors(tensors: &Reader<'_>, cohort: usize) -> Result<Vec<Tensor>, ModelError> {
    let (mut parts, before) = (Vec::new(), format!("{}{PYRAMID}", of_cohort(cohort)));
    for (name, view) in tensors.0.iter() {
        let Some(of) = name.strip_prefix(&before) else { continue };
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

/// A cohort's prior, without what is known of keys.
fn read_prior(tensors: &Reader<'_>, cohort: usize, flags: &[bool]) -> Result<ScalerPrior, ModelError> {
    let of = |part: &str| tensors.f64(&format!("{}{PRIOR}{part}", of_cohort(cohort)), Some(flags.len()));
    Ok(ScalerPrior {
        mean: of("mean")?,
        sd: of("sd")?,
        between_var: of("between_var")?,
        flags: flags.to_vec(),
        keys: BTreeMap::new(),
    })
}

fn read_keys(
    tensors: &Reader<'_>,
    columns: usize,
    cohorts: usize,
) -> Result<BTreeMap<Vec<u8>, KeyScale>, ModelError> {
    let key_bytes: Vec<u8> =
        tensors.raw::<1>("keys.bytes", Dtype::U8, None)?.into_iter().map(|[byte]| byte).collect();
    let names = tensors.parts("keys.ends", key_bytes, None)?;
    let count = names.len().checked_mul(columns).ok_or_else(|| content("keys.ends", "too many"))?;
    let mean = tensors.f64("keys.mean", Some(count))?;
    let sd = tensors.f64("keys.sd", Some(count))?;
    let counts = tensors.u64("keys.count", Some(count))?;
    let cohort: Vec<u32> = tensors
        .raw("keys.cohort", Dtype::U32, Some(names.len()))?
        .into_iter()
        .map(u32::from_le_bytes)
        .collect();
    if cohort.iter().any(|cohort| *cohort as usize > cohorts) {
        return Err(content("keys.cohort", "a cohort that is not there"));
    }
    let part = |at: usize| at * columns..(at + 1) * columns;
    let scale = |at: usize| KeyScale {
        mean: mean[part(at)].to_vec(),
        sd: sd[part(at)].to_vec(),
        count: counts[part(at)].to_vec(),
        cohort: cohort[at],
    };
    Ok(names.into_iter().enumerate().map(|(at, name)| (name, scale(at))).collect())
}
