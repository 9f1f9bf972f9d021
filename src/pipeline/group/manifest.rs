//! What the state topic holds of a partition, and under which keys.
//!
//! `schema/ID` is from which message on the partition is read by a schema of the registry: messages before it were refused,
//! and stay so whenever they are read again.
//! `chunk/STREAM/GENERATION/I` are pieces of a snapshot, `manifest/STREAM` says which of them make the present one and the
//! one before it, `control/STREAM/SEQ` is what happened by the wall clock since. A manifest is written after its
//! chunks, and nothing that it needs is taken away before the next one is there.
//!
//! Partition 0 has besides what people say of alerts, of whatever partition: `silence/ID` and `acknowledged/ALERT`.

use serde::{Deserialize, Serialize};

use crate::state::FORMAT;
use crate::types::Idle;

/// Below what brokers take by default, 1 MB with all around it.
pub const CHUNK_BYTES: usize = 900_000;

/// One snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    pub number: u64,
    /// Every message before it is part of the state.
    pub offset: i64,
    /// 0: no row of the stream was seen.
    pub chunks: u32,
    pub bytes: u64,
    pub crc32: u32,
    /// Of the first control record that is not part of the state.
    pub control_seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the states.
    pub format: u32,
    /// What the stream's decisions depend on.
    pub config: String,
    /// Checksum of the model that is loaded, if one is.
    pub model: Option<String>,
    /// Of the topic.
    pub partitions: i32,
    pub current: Generation,
    /// To fall back to.
    pub previous: Option<Generation>,
}

/// A reading of the wall clock, and the offset before which it acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub offset: i64,
    pub idle: Idle,
}

/// Messages of the partition are read by a schema from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBy {
    pub offset: i64,
}

/// What a member goes by, and every other of its group must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub config: String,
    pub model: Option<String>,
    pub partitions: i32,
}

impl Manifest {
    pub fn new(terms: &Terms, current: Generation, previous: Option<Generation>) -> Self {
        let Terms { config, model, partitions } = terms.clone();
        Manifest { format: FORMAT, config, model, partitions, current, previous }
    }

    /// # Errors
    /// Why this member must not go on from it, with the remedy.
    pub fn check(&self, terms: &Terms, stream: &str, topic: &str) -> Result<(), String> {
        let anew = format!("or let all begin anew with another `shared.state` topic than {topic}");
        if self.format != FORMAT {
            return Err(format!(
                "the state of stream {stream} in topic {topic} was written by another version of eddy (format {}, this one \
                 writes {FORMAT}): run one version on every member, {anew}",
                self.format
            ));
        }
        if self.config != terms.config {
            return Err(format!(
                "the state of stream {stream} in topic {topic} was made under another config of the stream: give every \
                 member the same config, {anew}"
            ));
        }
        if self.model != terms.model {
            return Err(format!(
                "the state of stream {stream} in topic {topic} was made with the model {}, and this member has {}: give every \
                 member the same file, {anew}",
                self.model.as_deref().unwrap_or("none"),
                terms.model.as_deref().unwrap_or("none"),
            ));
        }
        if self.partitions != terms.partitions {
            return Err(format!(
                "the topic has {} partitions and had {} when the state in topic {topic} was made: keys lie in other \
                 partitions now; let all begin anew with another `shared.state` topic",
                terms.partitions, self.partitions
            ));
        }
        Ok(())
    }
}

pub fn manifest_key(stream: &str) -> String {
    format!("manifest/{stream}")
}

pub fn chunk_key(stream: &str, generation: u64, chunk: u32) -> String {
    format!("chunk/{stream}/{generation}/{chunk}")
}

pub fn control_key(stream: &str, seq: u64) -> String {
    format!("control/{stream}/{seq}")
}

pub fn schema_key(id: i32) -> String {
    format!("schema/{id}")
}

pub fn silence_key(id: &str) -> String {
    format!("silence/{id}")
}

pub fn acknowledged_key(alert: &str) -> String {
    format!("acknowledged/{alert}")
}

/// What a key is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    Manifest(&'a str),
    Chunk(&'a str, u64, u32),
    Control(&'a str, u64),
    Schema(i32),
    Silence(&'a str),
    Acknowledged(&'a str),
}

pub fn parse_key(key: &str) -> Option<Kept<'_>> {
    let (what, rest) = key.split_once('/')?;
    match what {
        "schema" => Some(Kept::Schema(rest.parse().ok()?)),
        "manifest" => Some(Kept::Manifest(rest)),
        "silence" => Some(Kept::Silence(rest)),
        "acknowledged" => Some(Kept::Acknowledged(rest)),
        "chunk" => {
            let (rest, chunk) = rest.rsplit_once('/')?;
            let (stream, generation) = rest.rsplit_once('/')?;
            Some(Kept::Chunk(stream, generation.parse().ok()?, chunk.parse().ok()?))
        }
        "control" => {
            let (stream, seq) = rest.rsplit_once('/')?;
            Some(Kept::Control(stream, seq.parse().ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        assert_eq!(parse_key(&manifest_key("pumps")), Some(Kept::Manifest("pumps")));
        assert_eq!(parse_key(&chunk_key("pumps", 7, 12)), Some(Kept::Chunk("pumps", 7, 12)));
        assert_eq!(parse_key(&control_key("pumps", 3)), Some(Kept::Control("pumps", 3)));
        assert_eq!(parse_key(&schema_key(9)), Some(Kept::Schema(9)));
        assert_eq!(parse_key(&silence_key("5f")), Some(Kept::Silence("5f")));
        assert_eq!(parse_key(&acknowledged_key("a/1")), Some(Kept::Acknowledged("a/1")));
        for other in
            ["", "schema/x", "manifest", "chunk/pumps/7", "chunk/pumps/x/0", "control/pumps/", "note/pumps"]
        {
            assert_eq!(parse_key(other), None, "{other}");
        }
    }

    #[test]
    fn a_member_that_would_decide_otherwise_is_refused_with_the_remedy() {
        let terms = Terms { config: "a".into(), model: Some("m".into()), partitions: 8 };
        let manifest = Manifest::new(&terms, Generation::default(), None);
        let refused = |terms: &Terms, manifest: &Manifest| manifest.check(terms, "pumps", "t").unwrap_err();
        assert_eq!(manifest.check(&terms, "pumps", "t"), Ok(()));
        let config = refused(&Terms { config: "b".into(), ..terms.clone() }, &manifest);
        assert!(config.contains("another config") && config.contains("every member the same"), "{config}");
        let model = refused(&Terms { model: None, ..terms.clone() }, &manifest);
        assert!(model.contains("this member has none") && model.contains("same file"), "{model}");
        let partitions = refused(&Terms { partitions: 9, ..terms.clone() }, &manifest);
        assert!(partitions.contains("9 partitions and had 8"), "{partitions}");
        let format = refused(&terms, &Manifest { format: FORMAT + 1, ..manifest.clone() });
        assert!(format.contains("one version on every member"), "{format}");
    }
}
