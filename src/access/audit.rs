//! What was done: a line before each deed and a line after it, durable before anything happens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{AccessError, file};

const AUDIT_FILE: &str = "audit.jsonl";
/// Read at a time.
const BYTES_MAX: u64 = 1 << 20;

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

/// The file. It only grows: a person does not do much.
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    pub fn of(folder: &Path) -> Audit {
        Audit { path: folder.join(AUDIT_FILE) }
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
