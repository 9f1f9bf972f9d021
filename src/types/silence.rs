//! What people say of alerts: that some are not to be sent for a while, and that one has been seen.
//!
//! Both are about delivery alone. No verdict, id or revision depends on them.

mod matcher;
mod names;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use matcher::{Label, Matcher};
pub use names::Names;

use super::Decision;

/// Most matchers of one silence, and most bytes of each of its texts.
pub const MATCHERS_MAX: usize = 16;
pub const TEXT_BYTES_MAX: usize = 1024;

/// Alerts that all matchers fit are not sent from `starts_at_ns` until `ends_at_ns`, wall time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Hash of all the rest and of when it was said.
    pub id: String,
    pub matchers: Vec<Matcher>,
    pub starts_at_ns: i64,
    /// Exclusive.
    pub ends_at_ns: i64,
    pub author: String,
    pub comment: String,
}

/// What a person wants silenced, before it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceDraft {
    /// As written: `stream=pumps`, `key=~"pump-1."`.
    pub matchers: Vec<String>,
    /// `None`: now.
    pub starts_at_ns: Option<i64>,
    pub ends_at_ns: i64,
    pub author: String,
    pub comment: String,
}

/// Somebody has seen an alert. It fires on, and its later revisions are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Of the alert.
    pub id: String,
    /// Wall time.
    pub at_ns: i64,
    pub author: String,
    pub comment: String,
}

/// An alert on its way to a sink, as matchers see it.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    pub stream: &'a str,
    pub key: &'a str,
    pub rule: &'a str,
    /// The column it is about, that of the largest share; empty where it is about none.
    pub column: &'a str,
    pub sink: &'a str,
}

impl<'a> Labels<'a> {
    pub fn of(decision: &'a Decision, sink: &'a str) -> Self {
        Labels {
            stream: &decision.stream,
            key: &decision.key,
            rule: &decision.rule,
            column: decision.top_column().unwrap_or_default(),
            sink,
        }
    }

    pub fn get(&self, label: Label) -> &'a str {
        match label {
            Label::Stream => self.stream,
            Label::Key => self.key,
            Label::Rule => self.rule,
            Label::Column => self.column,
            Label::Sink => self.sink,
        }
    }
}

impl Silence {
    /// The silence a draft asks for, said at `now_ns`.
    ///
    /// # Errors
    /// What is wrong with the draft, with the remedy.
    pub fn new(draft: &SilenceDraft, now_ns: i64) -> Result<Self, String> {
        let SilenceDraft { matchers, starts_at_ns, ends_at_ns, author, comment } = draft;
        if matchers.is_empty() || matchers.len() > MATCHERS_MAX {
            return Err(format!("give 1 to {MATCHERS_MAX} matchers, such as stream=pumps"));
        }
        if matchers.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(format!("a matcher may have {TEXT_BYTES_MAX} bytes: shorten it"));
        }
        let parsed = matchers.iter().map(|text| Matcher::parse(text)).collect::<Result<Vec<_>, _>>()?;
        // Alertmanager's rule too: a silence that fits what has no labels at all is a slip of the pen.
        let nothing = Labels { stream: "", key: "", rule: "", column: "", sink: "" };
        if parsed.iter().all(|matcher| matcher.fits(&nothing)) {
            return Err(
                "the matchers fit everything: give one that an empty text does not fit, such as key=~.+"
                    .to_owned(),
            );
        }
        let starts_at_ns = starts_at_ns.unwrap_or(now_ns);
        if *ends_at_ns <= starts_at_ns.max(now_ns) {
            return Err("the silence would be over already: give an end after its start and after now".into());
        }
        check_words(author, comment)?;
        let mut hash = Sha256::new();
        for matcher in matchers.iter().chain([author, comment]) {
            hash.update((matcher.len() as u64).to_le_bytes());
            hash.update(matcher);
        }
        [starts_at_ns, *ends_at_ns, now_ns].iter().for_each(|number| hash.update(number.to_le_bytes()));
        let id = super::hex(&hash.finalize()[..8]);
        let (author, comment) = (author.clone(), comment.clone());
        Ok(Silence { id, matchers: parsed, starts_at_ns, ends_at_ns: *ends_at_ns, author, comment })
    }

    pub fn is_active(&self, now_ns: i64) -> bool {
        (self.starts_at_ns..self.ends_at_ns).contains(&now_ns)
    }

    pub fn fits(&self, labels: &Labels<'_>) -> bool {
        self.matchers.iter().all(|matcher| matcher.fits(labels))
    }

    /// `pending`, `active` or `expired`.
    pub fn state(&self, now_ns: i64) -> &'static str {
        match () {
            () if self.ends_at_ns <= now_ns.max(self.starts_at_ns) => "expired",
            () if now_ns < self.starts_at_ns => "pending",
            () => "active",
        }
    }
}

/// # Errors
/// If nobody says it, or at too great a length; the text names the remedy.
pub fn check_words(author: &str, comment: &str) -> Result<(), String> {
    if author.trim().is_empty() {
        return Err("author is empty: say who it is, so that others know whom to ask".to_owned());
    }
    if author.len().max(comment.len()) > TEXT_BYTES_MAX {
        return Err(format!("author and comment may have {TEXT_BYTES_MAX} bytes each: shorten them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
