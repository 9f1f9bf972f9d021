//! Every verdict of a run as CSV, a line a window.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::lines::Lines;
use crate::engine::Judged;
use crate::types::Verdict;

const HEADER: &str =
    "key,window_end_ns,surprise_nats,column_surprise_nats,p_value,confident,anomalous,held_back";

/// Lines in the order of the verdicts. Late rows may open a window again: of two lines on the same key and end the
/// later one holds.
pub struct Scores(Lines);

impl Scores {
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Scores(Lines::create(path, HEADER)?))
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, judged: &Judged) -> Result<()> {
        let Judged { key, end, surprise: [state, column], verdict, .. } = judged;
        self.0.field(key);
        let Verdict { p_value, anomalous, held_back, calm: _, confident } = *verdict;
        let held_back = held_back.is_some();
        // The shortest digits that read back as the same number.
        write!(self.0.line, ",{},{state},{column},{p_value:e},{confident},{anomalous},{held_back}", end.0)?;
        self.0.end()
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self) -> Result<()> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{EventTime, StreamId};

    #[test]
    fn a_verdict_is_a_line_whatever_its_key_holds() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("scores.csv");
        let mut scores = Scores::create(&path).expect("a file");
        for key in ["pump-1", "a,\"b\""] {
            let verdict =
                Verdict { p_value: 0.000_25, anomalous: false, held_back: None, calm: true, confident: true };
            let (stream, key, end) = (StreamId(0), key.as_bytes().into(), EventTime(60));
            scores.add(&Judged { stream, key, end, surprise: [8.5, 0.25], verdict }).expect("room");
        }
        scores.finish().expect("room");
        let text = std::fs::read_to_string(&path).expect("text");
        let lines = "pump-1,60,8.5,0.25,2.5e-4,true,false,false\n\"a,\"\"b\"\"\",60,8.5,0.25,2.5e-4,true,false,false\n";
        assert_eq!(text, format!("{HEADER}\n{lines}"));
    }
}
