//! What people said of alerts: a line each, durable before it is answered. The last word on an alert holds.
//!
//! It is kept and exported as labels. No decision reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{AccessError, file};

const FEEDBACK_FILE: &str = "feedback.jsonl";
/// All of it is read at once.
const BYTES_MAX: u64 = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be: the alert told nothing.
    Expected,
    /// Something was wrong.
    Real,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Expected => "expected",
            Verdict::Real => "real",
        }
    }
}

/// One person's word on one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// The alert's id.
    pub alert: String,
    pub verdict: Verdict,
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

    /// The last word on each alert, in order of onset, stream and key.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn last_words(&self) -> Result<Vec<Feedback>, AccessError> {
        let lines = file::lines_before(&self.path, u64::MAX, BYTES_MAX)?;
        // A line torn by a power cut was never answered.
        let said = lines.into_iter().filter_map(|(_, text)| serde_json::from_str::<Feedback>(&text).ok());
        let last: BTreeMap<String, Feedback> = said.map(|word| (word.alert.clone(), word)).collect();
        let mut words: Vec<Feedback> = last.into_values().collect();
        words.sort_by(|a, b| (a.start_ns, &a.stream, &a.key).cmp(&(b.start_ns, &b.stream, &b.key)));
        Ok(words)
    }
}

/// What was real, as `eddy backtest --labels` reads it: CSV with `key`, `start` and `end`.
pub fn labels_csv(words: &[Feedback], stream: &str) -> String {
    let mut text = "key,start,end\n".to_owned();
    for word in words.iter().filter(|word| word.stream == stream && word.verdict == Verdict::Real) {
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

    fn word(alert: &str, verdict: Verdict, start_ns: i64) -> Feedback {
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
            word("b", Verdict::Real, 2_000_000_000),
            word("a", Verdict::Real, 1_000_000_000),
            word("c", Verdict::Expected, 0),
            word("b", Verdict::Expected, 2_000_000_000),
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
    }
}
