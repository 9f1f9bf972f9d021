//! What people say of alerts, as the state topic keeps it.

use serde::{Deserialize, Serialize};

use crate::pipeline::group::manifest::{Kept, acknowledged_key, parse_key, silence_key};
use crate::types::{Acknowledgement, Silence};

const FORMAT: u32 = 1;

/// What somebody said. The last one under a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// As it is now: one that was ended is said again with its new end.
    Silence(Silence),
    Acknowledgement(Acknowledgement),
}

/// A word, and until when somebody may need it, wall time: a member that was off still holds back what a silence had it hold
/// back, until the end that was said first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    pub word: Word,
    pub until_ns: i64,
}

/// What a record of the state topic says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Said(Needed),
    /// Nobody needs it any more.
    SilenceForgotten(String),
    AcknowledgementForgotten(String),
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    until_ns: i64,
    #[serde(flatten)]
    word: &'a Word,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Deserialize)]
struct Read {
    until_ns: i64,
    #[serde(flatten)]
    word: Word,
}

impl Word {
    pub fn key(&self) -> String {
        match self {
            Word::Silence(silence) => silence_key(&silence.id),
            Word::Acknowledgement(acknowledgement) => acknowledged_key(&acknowledgement.id),
        }
    }

    /// When nothing comes of it any more, as far as it tells.
    pub fn ends_ns(&self) -> i64 {
        match self {
            Word::Silence(silence) => silence.ends_at_ns,
            Word::Acknowledgement(acknowledgement) => acknowledgement.at_ns,
        }
    }
}

impl Needed {
    /// Numbers and texts in plain structs: this cannot fail.
    pub fn value(&self) -> Vec<u8> {
        let Needed { word, until_ns } = self;
        serde_json::to_vec(&Written { format: FORMAT, until_ns: *until_ns, word }).unwrap_or_default()
    }
}

/// `None`: it is of something else. `Err`: why it is not understood, with the remedy.
pub fn read(key: &str, value: Option<&[u8]>) -> Option<Result<Heard, String>> {
    let forgotten = match parse_key(key)? {
        Kept::Silence(id) => Heard::SilenceForgotten(id.to_owned()),
        Kept::Acknowledged(alert) => Heard::AcknowledgementForgotten(alert.to_owned()),
        _ => return None,
    };
    let Some(value) = value else { return Some(Ok(forgotten)) };
    let remedy = "run one version of eddy on every member";
    Some(match serde_json::from_slice(value) {
        Ok(Head { format: FORMAT }) => match serde_json::from_slice(value) {
            Ok(Read { until_ns, word }) if word.key() == key => Ok(Heard::Said(Needed { word, until_ns })),
            Ok(_) => {
                Err("it is of another alert or silence than its key: something else than eddy writes there"
                    .to_owned())
            }
            Err(error) => Err(format!("{error}: {remedy}")),
        },
        Ok(Head { format }) => Err(format!("it has format {format}, this eddy reads {FORMAT}: {remedy}")),
        Err(error) => Err(format!("{error}: {remedy}")),
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::types::SilenceDraft;

    pub fn silence(matcher: &str) -> Silence {
        let draft = SilenceDraft {
            matchers: vec![matcher.into()],
            starts_at_ns: None,
            ends_at_ns: 1_000,
            author: "ann".into(),
            comment: "belt \"7\"".into(),
        };
        Silence::new(&draft, 10).unwrap()
    }

    pub fn seen(alert: &str) -> Acknowledgement {
        Acknowledgement {
            id: alert.into(),
            at_ns: i64::MAX - 1,
            author: "ann".into(),
            comment: String::new(),
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in [Word::Silence(silence("key=~\"pump-[0-9]\"")), Word::Acknowledgement(seen("a/1"))] {
            let needed = Needed { word, until_ns: i64::MAX };
            let read = read(&needed.word.key(), Some(&needed.value()));
            assert_eq!(read, Some(Ok(Heard::Said(needed))));
        }
    }

    #[test]
    fn what_is_no_word_is_passed_over_and_what_is_not_understood_says_why() {
        let needed = Needed { word: Word::Silence(silence("stream=pumps")), until_ns: 5 };
        let (key, value) = (needed.word.key(), needed.value());
        for other in ["manifest/pumps", "chunk/silence/1/0", "control/acknowledged/3", "schema/3", "?"] {
            assert_eq!(read(other, Some(&value)), None, "{other}");
        }
        let why = |key: &str, value: &[u8]| read(key, Some(value)).unwrap().unwrap_err();
        let later = String::from_utf8(value.clone()).unwrap().replace("\"format\":1", "\"format\":2");
        assert!(why(&key, later.as_bytes()).contains("format 2, this eddy reads 1: run one version"));
        assert!(why(&key, b"?").contains("run one version"));
        assert!(why("silence/other", &value).contains("than its key"));
        assert!(why(&acknowledged_key("a1"), &value).contains("than its key"));
    }

    #[test]
    fn a_key_without_a_value_is_forgotten() {
        assert_eq!(read("silence/s1", None), Some(Ok(Heard::SilenceForgotten("s1".into()))));
        let forgotten = Heard::AcknowledgementForgotten("a1".into());
        assert_eq!(read("acknowledged/a1", None), Some(Ok(forgotten)));
        assert_eq!(read("manifest/pumps", None), None);
    }
}
