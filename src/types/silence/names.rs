//! What a silence names, against what there is: a slip of the pen would fit nothing, or with `!=` more than was meant.

use super::matcher::Test;
use super::{Decision, Label, Labels, Matcher, Silence};
use crate::types::rule;

/// What a config has.
#[derive(Clone, Debug, Default)]
pub struct Names<'a> {
    pub streams: Vec<&'a str>,
    /// Of all streams.
    pub columns: Vec<&'a str>,
    pub sinks: Vec<&'a str>,
}

impl Names<'_> {
    /// `None`: keys, which come and go.
    fn of(&self, label: Label) -> Option<&[&str]> {
        match label {
            Label::Stream => Some(&self.streams),
            Label::Column => Some(&self.columns),
            Label::Sink => Some(&self.sinks),
            Label::Rule => Some(&rule::ALL),
            Label::Key => None,
        }
    }
}

impl Silence {
    /// # Errors
    /// If a matcher names a stream, column, sink or rule that there is not, or its pattern fits none; the text says which
    /// there are.
    pub fn check_names(&self, names: &Names<'_>) -> Result<(), String> {
        for matcher in &self.matchers {
            let Some(known) = names.of(matcher.label).filter(|known| !matcher.names_one_of(known)) else {
                continue;
            };
            let label = matcher.label.as_str();
            let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("{matcher} names no {label} of the config: it has {there_are}"));
        }
        Ok(())
    }

    /// # Errors
    /// If it is about a sink: of several Eddys each says of an alert only whether all sinks have it.
    pub fn check_for_several(&self) -> Result<(), String> {
        let Some(matcher) = self.matchers.iter().find(|matcher| matcher.label == Label::Sink) else {
            return Ok(());
        };
        Err(format!(
            "{matcher} is about a sink, and what several Eddys silence is silenced for every sink: silence it at that receiver, or \
             say what it is about by stream, key, column or rule"
        ))
    }

    /// Whether it fits an alert on its way to one of the sinks at least. Without a sink nothing is sent, and an alert stands
    /// all the same.
    pub fn fits_alert(&self, decision: &Decision, names: &Names<'_>) -> bool {
        let mut sinks = names.sinks.iter().copied().chain(names.sinks.is_empty().then_some(""));
        sinks.any(|sink| self.fits(&Labels::of(decision, sink)))
    }

    /// Whether alerts of a key could be among those that it is about, as far as the key says.
    pub fn fits_key(&self, stream: &str, key: &str) -> bool {
        let labels = Labels { stream, key, rule: "", column: "", sink: "" };
        let of_keys =
            self.matchers.iter().filter(|matcher| matches!(matcher.label, Label::Stream | Label::Key));
        of_keys.into_iter().all(|matcher| matcher.fits(&labels))
    }
}

impl Matcher {
    fn names_one_of(&self, known: &[&str]) -> bool {
        match &self.test {
            // An alert may be about no column.
            Test::Is(name) | Test::IsNot(name) => name.is_empty() || known.contains(&&name[..]),
            Test::Matches(_, pattern) => {
                pattern.is_match("") || known.iter().any(|name| pattern.is_match(name))
            }
            // What it leaves is looked at as it comes.
            Test::MatchesNot(..) => true,
        }
    }
}
