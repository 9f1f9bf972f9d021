//! A model as a file: safetensors with one metadata entry, the card (JSON).
//!
//! The card's `sha256` is the hash of the whole file with those 64 digits zeroed, so any changed bit
//! is noticed; [`Model::checksum`] is the plain sha256 of the file, what `sha256sum` prints.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pyramid::{Head, Pyramid};
use super::tensors::{Reader, read, tensors_of};
use super::{Cohort, CohortCard, Model, ScalerPrior};
use crate::types::hex;

const FORMAT: u64 = 3;
pub(super) const CARD: &str = "card";
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(
        "not a model file ({detail}): it is cut short or something else; copy it again or fit it anew with `eddy train`"
    )]
    Unreadable { detail: String },
    #[error(
        "the model file is damaged (its sha256 is not the one it states): copy it again or fit it anew with `eddy train`"
    )]
    Damaged,
    #[error(
        "the model file has format {found}, this build reads {FORMAT}: fit it anew with `eddy train` of this build"
    )]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    format: u64,
    /// Before every text of the caller's, so that the first such digits in the file are this field.
    sha256: String,
    pub description: Description,
    pub columns: Vec<String>,
    /// Windows the model was fitted on.
    pub training_rows: usize,
    /// Windows it was given; those with too few cells were left out.
    pub given_rows: usize,
    /// Levels and flags, and which numbers of codes were tried.
    pub pyramid: Head,
    /// Keys that have a density of their own, by cohort.
    pub cohorts: Vec<CohortCard>,
}

impl Card {
    pub(super) fn of_fit(
        pyramid: &Pyramid,
        columns: &[String],
        training_rows: usize,
        given_rows: usize,
    ) -> Self {
        Card {
            format: FORMAT,
            sha256: NO_HASH.to_owned(),
            description: Description { units: vec![None; columns.len()], ..Description::default() },
            columns: columns.to_vec(),
            training_rows,
            given_rows,
            pyramid: pyramid.to_parts().0,
            cohorts: Vec::new(),
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
        pyramid: Pyramid,
        prior: ScalerPrior,
        cohorts: Vec<Cohort>,
        card: Card,
    ) -> Model {
        let mut model = Model { columns, pyramid, prior, cohorts, card, checksum: String::new() };
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
        let card =
            serde_json::to_string(&card).expect("a card is strings and numbers, which always serialise");
        let tensors = tensors_of(self);
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            let view = TensorView::new(*dtype, shape.clone(), data)
                .expect("every tensor below is made with as many values as its shape says");
            (name.as_str(), view)
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
        if self.pyramid.columns.cells == cells && self.columns == columns {
            return Ok(());
        }
        Err(ModelError::Schema {
            cells: self.pyramid.columns.cells,
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

fn unreadable(error: impl std::fmt::Display) -> ModelError {
    ModelError::Unreadable { detail: error.to_string() }
}

pub(super) fn content(part: &str, detail: impl Into<String>) -> ModelError {
    ModelError::Content { part: part.to_owned(), detail: detail.into() }
}
