//! What people say of an alert once they know what it was.

use serde::{Deserialize, Serialize};

/// A word holds for thirty days of event time: what is expected of a key changes. An alert whose onset is longer ago is not
/// known any more, unless something was said of it.
pub const LASTS_NS: i64 = 30 * 86_400_000_000_000;

/// Alerts of a key that are known without a word on them; of more the oldest are forgotten.
pub const UNSAID_MAX: usize = 16;

/// A person's word on an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// As it should be: the alert told nothing.
    Expected,
    /// Something was wrong.
    Real,
    /// Whatever was said before is taken back.
    Undone,
}

impl Word {
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Expected => "expected",
            Word::Real => "real",
            Word::Undone => "undone",
        }
    }
}

/// A word as it stands in the control log: which alert it is on, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// In the order of saying, over all streams: an entry that is read again acts once.
    pub number: u64,
    pub word: Word,
    /// The alert's id, and of what that is made.
    pub alert: String,
    pub key: String,
    pub rule: String,
    pub onset_ns: i64,
    pub reason: String,
    /// The token's name, or `link`.
    pub who: String,
    /// Wall time.
    pub at_ns: i64,
}
