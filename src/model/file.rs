//! A model as a file: safetensors with one metadata entry, the card (JSON).
//!
//! The card's `sha256` is the hash of the whole file with those 64 digits zeroed, so any changed bit
//! is noticed; [`Model::checksum`] is the plain sha256 of the file, what `sha256sum` prints.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::energy::{Prepared, RANKS};
use super::fit::DIMENSION_MAX;
use super::tail::{Side, Tail, Tails};
use super::{KeyScale, Model, Ppca, ScalerPrior};

const FORMAT: u64 = 1;
const CARD: &str = "card";
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("not a model file ({detail}): it is cut short or something else; copy it again or fit it anew with `eddy train`")]
    Unreadable { detail: String },
    #[error("the model file is damaged (its sha256 is not the one it states): copy it again or fit it anew with `eddy train`")]
    Damaged,
    #[error("the model file has format {found}, this build reads {FORMAT}: fit it anew with `eddy train` of this build")]
    Format { found: u64 },
    #[error("`{part}` of the model file is wrong ({detail}): fit it anew with `eddy train`")]
    Content { part: String, detail: String },
    #[error(
        "the model was fitted on {cells} cells of columns {columns:?}, the stream has {stream_cells} cells of \
         {stream_columns:?}: use the same window, grid and columns, or fit it anew with `eddy train`"
    )]
    Schema { cells: usize, columns: Vec<String>, stream_cells: usize, stream_columns: Vec<String> },
    #[error("cannot read or write {path}: {source}; check the path and its permissions")]
    Io { path: PathBuf, source: std::io::Error },
}

/// What the caller knows of a model beyond its numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub stream: String,
    /// Unit of each column.
    pub units: Vec<Option<String>>,
    pub grid_ns: i64,
    /// Length of a window, ns.
    pub window_ns: i64,
    /// When it was fitted, as the caller words it.
    pub date: String,
}

/// One choice that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    pub rank: usize,
    pub gain: bool,
    /// Mean over the held-back windows, nats a window.
    pub held_back_log_likelihood: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    format: u64,
    /// Before every text of the caller's, so that the first such digits in the file are this field.
    sha256: String,
    pub description: Description,
    pub columns: Vec<String>,
    pub cells: usize,
    /// Windows the model was fitted on.
    pub training_rows: usize,
    /// Windows it was given; those with too few cells were left out.
    pub given_rows: usize,
    pub chosen: Candidate,
    pub candidates: Vec<Candidate>,
}

impl Card {
    pub(super) fn of_fit(
        cells: usize,
        columns: &[String],
        training_rows: usize,
        given_rows: usize,
        chosen: Candidate,
        candidates: Vec<Candidate>,
    ) -> Self {
        // Six decimals survive JSON exactly; all digits of an f64 may not.
        let rounded = |c: Candidate| Candidate {
            held_back_log_likelihood: (c.held_back_log_likelihood * 1e6).round() / 1e6,
            ..c
        };
        Card {
            format: FORMAT,
            sha256: NO_HASH.to_owned(),
            description: Description { units: vec![None; columns.len()], ..Description::default() },
            columns: columns.to_vec(),
            cells,
            training_rows,
            given_rows,
            chosen: rounded(chosen),
            candidates: candidates.into_iter().map(rounded).collect(),
        }
    }

    /// As pretty JSON, for the file beside the model.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a card is strings and numbers, which always serialise")
    }
}

impl Model {
    pub(super) fn assemble(
        columns: Vec<String>,
        ppca: Ppca,
        tails: Tails,
        reference_surprise: Vec<f32>,
        prior: ScalerPrior,
        card: Card,
    ) -> Model {
        let prepared = Prepared::new(&ppca);
        let checksum = String::new();
        let mut model = Model { columns, ppca, tails, reference_surprise, prior, card, checksum, prepared };
        model.seal();
        model
    }

    /// Sets what the card says of the model's origin; part of the file, so the checksum changes.
    pub fn describe(&mut self, description: Description) {
        self.card.description = description;
        self.seal();
    }

    fn seal(&mut self) {
        let bytes = self.to_bytes();
        self.checksum = hex(&Sha256::digest(&bytes));
        self.card.sha256 = stated_hash(&bytes).map(|(hash, _)| hash).unwrap_or_default();
    }

    /// The model's file. The same model gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let card = Card { sha256: NO_HASH.to_owned(), ..self.card.clone() };
        let card = serde_json::to_string(&card).expect("a card is strings and numbers, which always serialise");
        let tensors = tensors_of(self);
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            let view = TensorView::new(*dtype, shape.clone(), data)
                .expect("every tensor below is made with as many values as its shape says");
            (*name, view)
        });
        // One metadata entry only: a second would make the order of a hash map part of the file.
        let metadata = HashMap::from([(CARD.to_owned(), card)]);
        let mut bytes = safetensors::serialize(views, Some(metadata))
            .expect("names are distinct and the header is far below the format's 100 MB");
        if let Some(at) = find(&bytes, NO_HASH) {
            let hash = hex(&Sha256::digest(&bytes));
            bytes[at..at + NO_HASH.len()].copy_from_slice(hash.as_bytes());
        }
        bytes
    }

    /// Reads a model's file; whatever the bytes are, the answer is a model or an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, ModelError> {
        let (hash, card) = stated_hash(bytes)?;
        check_hash(bytes, &hash)?;
        let format = card.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if format != FORMAT {
            return Err(ModelError::Format { found: format });
        }
        let card: Card = serde_json::from_value(card).map_err(|e| content(CARD, e.to_string()))?;
        let mut model = read(Reader(SafeTensors::deserialize(bytes).map_err(unreadable)?), card)?;
        model.checksum = hex(&Sha256::digest(bytes));
        Ok(model)
    }

    /// Writes the file and, beside it, its card as `.json`. A reader never sees half a file.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        write_whole(path, &self.to_bytes())?;
        write_whole(&path.with_extension("json"), self.card.to_json().as_bytes())
    }

    pub fn load(path: &Path) -> Result<Model, ModelError> {
        let bytes = std::fs::read(path).map_err(|source| ModelError::Io { path: path.to_owned(), source })?;
        Model::from_bytes(&bytes)
    }

    /// Whether the model fits a stream's windows.
    pub fn check_schema(&self, cells: usize, columns: &[String]) -> Result<(), ModelError> {
        if self.ppca.cells == cells && self.columns == columns {
            return Ok(());
        }
        Err(ModelError::Schema {
            cells: self.ppca.cells,
            columns: self.columns.clone(),
            stream_cells: cells,
            stream_columns: columns.to_vec(),
        })
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    std::fs::write(&unfinished, bytes)
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(|source| ModelError::Io { path: path.to_owned(), source })
}

/// The hash the file states, and its card.
fn stated_hash(bytes: &[u8]) -> Result<(String, serde_json::Value), ModelError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let missing = || ModelError::Unreadable { detail: "it has no card".to_owned() };
    let card = header.metadata().as_ref().and_then(|m| m.get(CARD)).ok_or_else(missing)?;
    let card: serde_json::Value = serde_json::from_str(card).map_err(unreadable)?;
    let hash = card.get("sha256").and_then(|h| h.as_str()).filter(|h| h.len() == NO_HASH.len());
    Ok((hash.ok_or_else(missing)?.to_owned(), card))
}

fn check_hash(bytes: &[u8], hash: &str) -> Result<(), ModelError> {
    let at = find(bytes, hash).ok_or(ModelError::Damaged)?;
    let mut hasher = Sha256::new();
    hasher.update(&bytes[..at]);
    hasher.update(NO_HASH);
    hasher.update(&bytes[at + NO_HASH.len()..]);
    if hex(&hasher.finalize()) == hash { Ok(()) } else { Err(ModelError::Damaged) }
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unreadable(error: impl std::fmt::Display) -> ModelError {
    ModelError::Unreadable { detail: error.to_string() }
}

fn content(part: &str, detail: impl Into<String>) -> ModelError {
    ModelError::Content { part: part.to_owned(), detail: detail.into() }
}

type Named = (&'static str, Dtype, Vec<usize>, Vec<u8>);

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
fn tensors_of(model: &Model) -> Vec<Named> {
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
    lengths.scan(0, |end, length| Some({ *end += length; *end })).collect()
}

/// Tensors by name, checked for type and shape.
struct Reader<'a>(SafeTensors<'a>);

impl Reader<'_> {
    /// The little-endian values of a tensor, `count` of them if given.
    fn raw<const N: usize>(&self, name: &str, dtype: Dtype, count: Option<usize>) -> Result<Vec<[u8; N]>, ModelError> {
        let view = self.0.tensor(name).map_err(|e| content(name, e.to_string()))?;
        let found = view.data().len() / N;
        if view.dtype() != dtype || count.is_some_and(|count| count != found) {
            return Err(content(name, format!("found {found} values of {:?}", view.dtype())));
        }
        Ok(view.data().as_chunks::<N>().0.to_vec())
    }

    fn f32(&self, name: &str, count: Option<usize>) -> Result<Vec<f32>, ModelError> {
        let values: Vec<f32> = self.raw(name, Dtype::F32, count)?.into_iter().map(f32::from_le_bytes).collect();
        if values.iter().all(|v| v.is_finite()) { Ok(values) } else { Err(content(name, "not finite")) }
    }

    fn f64(&self, name: &str, count: Option<usize>) -> Result<Vec<f64>, ModelError> {
        let values: Vec<f64> = self.raw(name, Dtype::F64, count)?.into_iter().map(f64::from_le_bytes).collect();
        if values.iter().all(|v| v.is_finite()) { Ok(values) } else { Err(content(name, "not finite")) }
    }

    fn u64(&self, name: &str, count: Option<usize>) -> Result<Vec<u64>, ModelError> {
        Ok(self.raw(name, Dtype::U64, count)?.into_iter().map(u64::from_le_bytes).collect())
    }

    /// Parts kept end to end, `count` of them if given.
    fn parts<T: Clone>(&self, name: &str, whole: Vec<T>, count: Option<usize>) -> Result<Vec<Vec<T>>, ModelError> {
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

fn read(tensors: Reader<'_>, card: Card) -> Result<Model, ModelError> {
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
    let key_bytes: Vec<u8> = tensors.raw::<1>("keys.bytes", Dtype::U8, None)?.into_iter().map(|[byte]| byte).collect();
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
