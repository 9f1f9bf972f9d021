//! What was done: a line before each deed and a line after it, durable before anything happens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{AccessError, file};

const AUDIT_FILE: &str = "audit.jsonl";
/// Read at a time.
const BYTES_MAX: u64 = 1 << 20;
/// A file that is larger at a start is put aside, and so many such are kept.
const FILE_BYTES_MAX: u64 = 64 << 20;
const FILES_ASIDE: u32 = 4;

/// What somebody is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Wall time.
    pub at_ns: i64,
    /// The token's name.
    pub who: String,
    /// The address it came from; `None`: the command line.
    pub from: Option<IpAddr>,
    /// Method and address, or the command.
    pub what: String,
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    /// Where the deed's line starts.
    of: u64,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Deed(Deed),
    Outcome(Outcome),
}

/// A deed and how it ended, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Order of noting: where the line starts in the file.
    pub seq: u64,
    #[serde(flatten)]
    pub deed: Deed,
    /// HTTP status of the answer; `None` if Eddy was killed before it was known.
    pub status: Option<u16>,
    /// What the request said, where that is more than its address.
    pub detail: Option<String>,
}

/// The file. While Eddy runs it only grows, since deeds are known by their place in it: a person does not do much.
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    pub fn of(folder: &Path) -> Audit {
        Audit { path: folder.join(AUDIT_FILE) }
    }

    /// Puts a file that has become large aside, `audit.1.jsonl` being the newest such; what is older than four is gone. Only
    /// at a start: nobody is in the midst of a deed.
    ///
    /// # Errors
    /// If a file cannot be renamed.
    pub fn rotate(&self) -> Result<(), AccessError> {
        self.rotate_above(FILE_BYTES_MAX)
    }

    fn rotate_above(&self, bytes_max: u64) -> Result<(), AccessError> {
        if std::fs::metadata(&self.path).map_or(0, |file| file.len()) <= bytes_max {
            return Ok(());
        }
        let aside = |back: u32| self.path.with_extension(format!("{back}.jsonl"));
        let rename = |from: &Path, to: &Path| {
            let renamed = std::fs::rename(from, to);
            renamed.or_else(|error| if from.exists() { Err(error) } else { Ok(()) })
        };
        for back in (1..FILES_ASIDE).rev() {
            rename(&aside(back), &aside(back + 1)).map_err(AccessError::io("rename", &aside(back)))?;
        }
        rename(&self.path, &aside(1)).map_err(AccessError::io("rename", &self.path))
    }

    /// Notes a deed, durably; gives its number. What cannot be noted must not be done.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn begin(&self, deed: &Deed) -> Result<u64, AccessError> {
        file::append(&self.path, &serde_json::to_string(deed).expect("texts and numbers"))
    }

    /// # Errors
    /// If the disk does not take it.
    pub fn end(&self, of: u64, status: u16, detail: Option<String>) -> Result<(), AccessError> {
        let outcome = Outcome { of, status, detail };
        file::append(&self.path, &serde_json::to_string(&outcome).expect("texts and numbers")).map(drop)
    }

    /// Newest first, noted before `before` if given.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn page(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, AccessError> {
        // Outcomes stand behind their deeds, maybe behind `before`.
        let end = before.map_or(u64::MAX, |before| before.saturating_add(BYTES_MAX / 2));
        let mut outcomes = BTreeMap::new();
        let mut entries = Vec::new();
        for (seq, text) in file::lines_before(&self.path, end, BYTES_MAX)?.into_iter().rev() {
            match serde_json::from_str(&text) {
                Ok(Line::Outcome(outcome)) => drop(outcomes.insert(outcome.of, outcome)),
                Ok(Line::Deed(deed)) if before.is_none_or(|before| seq < before) => {
                    let outcome: Option<Outcome> = outcomes.remove(&seq);
                    let status = outcome.as_ref().map(|outcome| outcome.status);
                    let detail = outcome.and_then(|outcome| outcome.detail);
                    entries.push(AuditEntry { seq, deed, status, detail });
                }
                // A line torn by a power cut: it was never answered.
                Ok(Line::Deed(_)) | Err(_) => {}
            }
            if entries.len() == limit {
                break;
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(what: &str) -> Deed {
        Deed { at_ns: 5, who: "ana".into(), from: Some([192, 0, 2, 1].into()), what: what.into() }
    }

    #[test]
    fn a_large_file_is_put_aside_at_a_start_and_four_of_them_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::of(dir.path());
        audit.rotate_above(0).unwrap();
        for n in 0..6 {
            audit.begin(&deed(&format!("POST /{n}"))).unwrap();
            audit.rotate().unwrap();
            assert_eq!(audit.page(None, 5).unwrap().len(), 1, "it is small");
            audit.rotate_above(10).unwrap();
        }
        assert!(audit.page(None, 5).unwrap().is_empty());
        let aside = |back: u32| std::fs::read_to_string(dir.path().join(format!("audit.{back}.jsonl")));
        let kept: Vec<bool> = (1..=5)
            .map(|back| aside(back).is_ok_and(|text| text.contains(&format!("/{}\"", 6 - back))))
            .collect();
        assert_eq!(kept, [true, true, true, true, false]);
        assert_eq!(audit.begin(&deed("POST /new")).unwrap(), 0);
    }

    #[test]
    fn deeds_are_joined_with_their_ends_and_paged_from_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::of(dir.path());
        assert!(audit.page(None, 5).unwrap().is_empty());
        let first = audit.begin(&deed("POST /a")).unwrap();
        let second = audit.begin(&deed("POST /b")).unwrap();
        audit.end(first, 200, Some("verdict real".into())).unwrap();
        let entries = audit.page(None, 5).unwrap();
        let shown: Vec<_> = entries.iter().map(|e| (e.deed.what.as_str(), e.status)).collect();
        assert_eq!(shown, [("POST /b", None), ("POST /a", Some(200))]);
        assert_eq!(entries[1].detail.as_deref(), Some("verdict real"));
        // The first's end stands behind the second's line.
        let before = audit.page(Some(second), 5).unwrap();
        assert_eq!((before.len(), before[0].seq, before[0].status), (1, first, Some(200)));
        assert_eq!(audit.page(None, 1).unwrap()[0].seq, second);
    }
}
