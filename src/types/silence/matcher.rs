//! One condition on a label, written as Alertmanager writes them.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::Labels;

/// A pattern that compiles to more is refused: it would slow down every delivery.
const PATTERN_BYTES_MAX: usize = 1 << 18;

/// What of an alert a matcher looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Stream,
    Key,
    Rule,
    Column,
    Sink,
}

impl Label {
    pub const ALL: [Label; 5] = [Label::Stream, Label::Key, Label::Rule, Label::Column, Label::Sink];

    pub fn as_str(self) -> &'static str {
        match self {
            Label::Stream => "stream",
            Label::Key => "key",
            Label::Rule => "rule",
            Label::Column => "column",
            Label::Sink => "sink",
        }
    }

    pub fn named(name: &str) -> Option<Label> {
        Label::ALL.into_iter().find(|label| label.as_str() == name)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Is(String),
    IsNot(String),
    /// The pattern as written, and compiled to fit a whole value.
    Matches(String, Regex),
    MatchesNot(String, Regex),
}

/// `LABEL=VALUE`, `LABEL!=VALUE`, `LABEL=~PATTERN` or `LABEL!~PATTERN`; the value may stand in double quotes. A pattern
/// must fit the whole value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Matcher {
    pub(super) label: Label,
    pub(super) test: Test,
}

impl Matcher {
    /// Of any length: what is stored is longer than what was said, by quotes and backslashes.
    ///
    /// # Errors
    /// What is wrong with the text, with the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let at = text.find(['=', '!']).ok_or_else(|| wrong(text))?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| rest.starts_with(operator));
        let operator = operator.ok_or_else(|| wrong(text))?;
        let label = Label::named(name).ok_or_else(|| {
            let names = Label::ALL.map(Label::as_str).join(", ");
            format!("there is no label {name:?}: use one of {names}")
        })?;
        let value = unquote(rest[operator.len()..].trim());
        let pattern = || {
            let anchored = format!("^(?:{value})$");
            let compiled =
                RegexBuilder::new(&anchored).size_limit(PATTERN_BYTES_MAX).dot_matches_new_line(true).build();
            compiled.map_err(|error| format!("{value:?} is no pattern that can be used: {error}; correct it"))
        };
        let test = match operator {
            "=~" => Test::Matches(value.clone(), pattern()?),
            "!~" => Test::MatchesNot(value.clone(), pattern()?),
            "!=" => Test::IsNot(value),
            _ => Test::Is(value),
        };
        Ok(Matcher { label, test })
    }

    pub fn fits(&self, labels: &Labels<'_>) -> bool {
        let value = labels.get(self.label);
        match &self.test {
            Test::Is(wanted) => value == wanted,
            Test::IsNot(unwanted) => value != unwanted,
            Test::Matches(_, pattern) => pattern.is_match(value),
            Test::MatchesNot(_, pattern) => !pattern.is_match(value),
        }
    }
}

fn wrong(text: &str) -> String {
    format!("{text:?} is no matcher: write LABEL=VALUE, LABEL!=VALUE, LABEL=~PATTERN or LABEL!~PATTERN")
}

/// Of a quoted text what is in the quotes, where `\` makes a quote or a backslash plain.
fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let (mut plain, mut characters) = (String::new(), inner.chars().peekable());
    while let Some(character) = characters.next() {
        let escaped = (character == '\\').then(|| characters.next_if(|next| matches!(next, '"' | '\\')));
        plain.push(escaped.flatten().unwrap_or(character));
    }
    plain
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operator, value) = match &self.test {
            Test::Is(value) => ("=", value),
            Test::IsNot(value) => ("!=", value),
            Test::Matches(value, _) => ("=~", value),
            Test::MatchesNot(value, _) => ("!~", value),
        };
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "{}{operator}\"{quoted}\"", self.label.as_str())
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Matcher {}

impl TryFrom<String> for Matcher {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Matcher::parse(&text)
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> String {
        matcher.to_string()
    }
}
