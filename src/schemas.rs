//! Schemas that payloads are read by: written by whoever asks the registry, before a message that needs one is logged;
//! read by the decoder.
//!
//! The wire format is that of Confluent's serializers: a byte 0, the schema's id in four bytes (big-endian), and what the
//! schema describes.

mod door;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};

pub use door::{Door, Keep, Needs, Passage, Way};

use crate::types::Position;

/// Bytes before the value.
pub const HEADER_BYTES: usize = 5;

/// What a registry has under an id. An id stands for one text for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    pub id: i32,
    /// `AVRO`, `PROTOBUF` or another, as the registry calls it.
    pub kind: String,
    pub text: String,
    /// What it imports, each behind what it imports itself.
    pub references: Vec<Reference>,
    /// Messages before it in the log were read when the registry did not know the id: they stay unread whenever they are
    /// read again, or a replay would decide otherwise.
    pub from: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// As the text that imports it calls it.
    pub name: String,
    pub text: String,
}

impl Schema {
    /// Whether a message at this position of the log may be read by it.
    pub fn reads(&self, position: Position) -> bool {
        position.0 >= self.from
    }
}

/// Of every source, by id.
#[derive(Debug, Default)]
pub struct Schemas(RwLock<BTreeMap<Box<str>, OfSource>>);

/// By id.
type OfSource = BTreeMap<i32, Arc<Schema>>;

impl Schemas {
    pub fn get(&self, source: &str, id: i32) -> Option<Arc<Schema>> {
        let all = self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.get(source)?.get(&id).cloned()
    }

    pub fn holds(&self, source: &str, id: i32) -> bool {
        self.get(source, id).is_some()
    }

    pub fn add(&self, source: &str, schema: Schema) {
        let mut all = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.entry(source.into()).or_default().insert(schema.id, Arc::new(schema));
    }
}

/// The id of the schema and what it describes.
///
/// # Errors
/// If that is not the wire format; the text names the remedy.
pub fn unframed(payload: &[u8]) -> Result<(i32, &[u8]), String> {
    match payload {
        [0, a, b, c, d, value @ ..] => Ok((i32::from_be_bytes([*a, *b, *c, *d]), value)),
        [0, ..] | [] => Err(format!(
            "the payload has {} bytes, fewer than the {HEADER_BYTES} of a schema's id; {REMEDY}",
            payload.len()
        )),
        [first, ..] => {
            Err(format!("the payload begins with byte {first}, not with 0 and a schema's id; {REMEDY}"))
        }
    }
}

const REMEDY: &str =
    "write it with a serializer that uses the registry, or correct the stream's `format` or `topics`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_framed_is_told_from_what_is() {
        assert_eq!(unframed(&[0, 0, 0, 1, 2, 9]), Ok((258, &[9][..])));
        assert_eq!(unframed(&[0, 0, 0, 0, 7]), Ok((7, &[][..])));
        assert!(unframed(b"").is_err_and(|e| e.contains("0 bytes")));
        assert!(unframed(&[0, 1, 2]).is_err_and(|e| e.contains("3 bytes")));
        assert!(unframed(b"{\"a\":1}").is_err_and(|e| e.contains("byte 123")));
    }

    #[test]
    fn an_id_is_one_of_its_source() {
        let schemas = Schemas::default();
        let schema =
            Schema { id: 3, kind: "AVRO".into(), text: "\"int\"".into(), references: Vec::new(), from: 5 };
        schemas.add("a", schema);
        assert!(schemas.holds("a", 3) && !schemas.holds("b", 3) && !schemas.holds("a", 4));
        let found = schemas.get("a", 3).expect("it is there");
        assert!(found.reads(Position(5)) && !found.reads(Position(4)));
    }
}
