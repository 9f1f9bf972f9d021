//! What people said of alerts: a line each, durable before it is answered. The last word on an alert holds.
//!
//! It is exported as labels. What it changes of the key's verdicts goes by the control log, not by this file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{AccessError, file};
use crate::types::Word;

const FEEDBACK_FILE: &str = "feedback.jsonl";
/// All of it is read at once.
const BYTES_MAX: u64 = 256 << 20;
/// A larger file is written anew at a start, if half of its words are not the last ones.
const COMPACT_BYTES_MIN: u64 = 1 << 20;

/// One person's word on one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// The alert's id.
    pub alert: String,
    pub verdict: Word,
    pub reason: String,
    /// The token's name, or `link`.
    pub who: String,
    /// Wall time.
    pub at_ns: i64,
    pub stream: String,
    pub key: String,
    /// Of the alert: its onset, and as far as it went when this was said; event time.
    pub start_ns: i64,
    pub end_ns: i64,
}

pub struct FeedbackLog {
    path: PathBuf,
}

impl FeedbackLog {
    pub fn of(folder: &Path) -> FeedbackLog {
        FeedbackLog { path: folder.join(FEEDBACK_FILE) }
    }

    /// # Errors
    /// If the disk does not take it.
    pub fn add(&self, feedback: &Feedback) -> Result<(), AccessError> {
        file::append(&self.path, &serde_json::to_string(feedback).expect("texts and numbers")).map(drop)
    }

    /// Leaves of a file that has become large the last words alone: labels are made of no others. Only at a start: nobody is
    /// saying anything.
    ///
    /// # Errors
    /// If the file can be neither read nor written.
    pub fn compact(&self) -> Result<(), AccessError> {
        self.compact_above(COMPACT_BYTES_MIN)
    }

    fn compact_above(&self, bytes_min: u64) -> Result<(), AccessError> {
        let bytes = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        // What is larger than can be read at once would lose its beginning.
        if bytes <= bytes_min || bytes > BYTES_MAX {
            return Ok(());
        }
        let lines = file::lines_before(&self.path, u64::MAX, BYTES_MAX)?.len();
        let words = self.last_words()?;
        if 2 * words.len() > lines {
            return Ok(());
        }
        let line = |word: &Feedback| serde_json::to_string(word).expect("texts and numbers") + "\n";
        file::replace(&self.path, words.iter().map(line).collect::<String>().as_bytes())
    }

    /// The last word on each alert, unless it was taken back, in order of onset, stream and key.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn last_words(&self) -> Result<Vec<Feedback>, AccessError> {
        let lines = file::lines_before(&self.path, u64::MAX, BYTES_MAX)?;
        // A line torn by a power cut was never answered.
        let said = lines.into_iter().filter_map(|(_, text)| serde_json::from_str::<Feedback>(&text).ok());
        let last: BTreeMap<String, Feedback> = said.map(|word| (word.alert.clone(), word)).collect();
        let mut words: Vec<Feedback> =
            last.into_values().filter(|word| word.verdict != Word::Undone).collect();
        words.sort_by(|a, b| (a.start_ns, &a.stream, &a.key).cmp(&(b.start_ns, &b.stream, &b.key)));
        Ok(words)
    }
}

/// What was real, as `eddy backtest --labels` reads it: CSV with `key`, `start` and `end`.
pub fn labels_csv(words: &[Feedback], stream: &str) -> String {
    let mut text = "key,start,end\n".to_owned();
    for word in words.iter().filter(|word| word.stream == stream && word.verdict == Word::Real) {
        let time = |ns: i64| jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
        text += &format!("{},{},{}\n", quoted(&word.key), time(word.start_ns), time(word.end_ns));
    }
    text
}

/// By RFC 4180, where it must be.
fn quoted(cell: &str) -> String {
    let plain = !cell.contains(['"', ',', '\n', '\r']);
    if plain { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(alert: &str, verdict: Word, start_ns: i64) -> Feedback {
        Feedback {
            alert: alert.into(),
            verdict,
            reason: "bearing".into(),
            who: "ana".into(),
            at_ns: 9,
            stream: "pumps".into(),
            key: format!("pump,\"{alert}\""),
            start_ns,
            end_ns: start_ns + 60_000_000_000,
        }
    }

    #[test]
    fn the_last_word_holds_and_only_what_was_real_becomes_a_label() {
        let dir = tempfile::tempdir().unwrap();
        let log = FeedbackLog::of(dir.path());
        for said in [
            word("b", Word::Real, 2_000_000_000),
            word("a", Word::Real, 1_000_000_000),
            word("c", Word::Expected, 0),
            word("b", Word::Expected, 2_000_000_000),
            word("d", Word::Real, 3_000_000_000),
            word("d", Word::Undone, 3_000_000_000),
        ] {
            log.add(&said).unwrap();
        }
        let words = log.last_words().unwrap();
        assert_eq!(words.iter().map(|w| w.alert.as_str()).collect::<Vec<_>>(), ["c", "a", "b"]);
        assert_eq!(
            labels_csv(&words, "pumps"),
            "key,start,end\n\"pump,\"\"a\"\"\",1970-01-01T00:00:01Z,1970-01-01T00:01:01Z\n"
        );
        assert_eq!(labels_csv(&words, "fans"), "key,start,end\n");
        let lines = || std::fs::read_to_string(&log.path).unwrap().lines().count();
        log.compact().unwrap();
        assert_eq!(lines(), 6, "it is small");
        log.compact_above(10).unwrap();
        assert_eq!((lines(), log.last_words().unwrap()), (3, words.clone()));
        log.compact_above(10).unwrap();
        log.add(&word("a", Word::Undone, 1_000_000_000)).unwrap();
        assert_eq!(log.last_words().unwrap(), [words[0].clone(), words[2].clone()]);
    }
}
