//! Numbers on the page, by their path in a document of the API.
//!
//! The page never formats a field of its own: it names a path, and this looks the number up in the very
//! JSON that the API serves. So a number cannot differ from the API, and a browser can check it.

use std::fmt;

use askama::filters::HtmlSafe;
use serde_json::Value;

use super::format::{Format, NONE, exact, rfc3339};

/// One document of the API, as served at `url`.
pub struct Doc<'a> {
    /// `status`, `alerts`, `series` or `recent`: the first part of every path.
    pub root: &'static str,
    pub url: String,
    pub json: &'a Value,
}

/// HTML made here, of escaped parts.
pub struct Markup(String);

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

impl Doc<'_> {
    /// 8.21k. `at` is the path of an object in the document (`""`: the document), `field` goes on from there.
    pub fn count(&self, at: &str, field: &str) -> Markup {
        self.number(at, field, Format::Count)
    }

    /// Three significant digits.
    pub fn value(&self, at: &str, field: &str) -> Markup {
        self.number(at, field, Format::Value)
    }

    /// A duration given in ns.
    pub fn duration(&self, at: &str, field: &str) -> Markup {
        self.number(at, field, Format::Duration)
    }

    /// A probability as `1 in 40,000`.
    pub fn odds(&self, at: &str, field: &str) -> Markup {
        self.number(at, field, Format::Odds)
    }

    /// A share of 1.
    pub fn percent(&self, at: &str, field: &str) -> Markup {
        self.number(at, field, Format::Percent)
    }

    /// Thousandths as percent.
    pub fn milli(&self, at: &str, field: &str) -> Markup {
        self.number(at, field, Format::Milli)
    }

    fn number(&self, at: &str, field: &str, format: Format) -> Markup {
        let number = self.find(at, field).and_then(Value::as_f64);
        let text = number.map_or(NONE.to_owned(), |x| format.write(x));
        let title = number.map_or(String::new(), |x| format!(r#" title="{}""#, exact(x)));
        let (path, name) = (self.path(at, field), format.as_str());
        Markup(format!(r#"<data data-api="{path}" data-fmt="{name}"{title}>{text}</data>"#))
    }

    /// A text.
    pub fn text(&self, at: &str, field: &str) -> Markup {
        let text = self.find(at, field).and_then(Value::as_str).unwrap_or_default();
        let path = self.path(at, field);
        Markup(format!(r#"<span data-api="{path}" data-fmt="text">{}</span>"#, escape(text)))
    }

    /// A time (ns), written as `shown`.
    pub fn time(&self, at: &str, field: &str, shown: &str) -> Markup {
        let ns = self.find(at, field).and_then(Value::as_i64).map_or(String::new(), rfc3339);
        let path = self.path(at, field);
        Markup(format!(r#"<time data-api="{path}" data-fmt="time" datetime="{ns}">{}</time>"#, escape(shown)))
    }

    /// The time of day with its offset from UTC.
    pub fn clock(&self, at: &str, field: &str, shown: &str) -> Markup {
        Markup(self.time(at, field, shown).0.replace(r#"data-fmt="time""#, r#"data-fmt="clock""#))
    }

    /// Where a number stands, for `data-api`.
    fn path(&self, at: &str, field: &str) -> String {
        let dot = if at.is_empty() { "" } else { "." };
        escape(&format!("{}.{at}{dot}{field}", self.root))
    }

    fn find(&self, at: &str, field: &str) -> Option<&Value> {
        at.split('.').filter(|part| !part.is_empty()).chain(field.split('.')).try_fold(self.json, step)
    }
}

/// One part of a path: `name`, `name[0]` or `[0]`.
fn step<'v>(value: &'v Value, part: &str) -> Option<&'v Value> {
    let (name, indices) = part.split_once('[').unwrap_or((part, ""));
    let start = if name.is_empty() { value } else { value.get(name)? };
    let mut indices = indices.split(['[', ']']).filter(|index| !index.is_empty());
    indices.try_fold(start, |value, index| value.get(index.parse::<usize>().ok()?))
}

/// For text and for attributes in double quotes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_carry_their_path_and_missing_ones_a_dash() {
        let json = json!({"streams": [{"events_total": 8213}], "told": ["<b>"], "at": [[1, 2]]});
        let doc = Doc { root: "status", url: String::new(), json: &json };
        assert_eq!(
            doc.count("streams[0]", "events_total").to_string(),
            r#"<data data-api="status.streams[0].events_total" data-fmt="count" title="8213">8.21k</data>"#
        );
        assert_eq!(doc.find("", "at[0][1]"), Some(&json!(2)));
        assert!(doc.count("streams[1]", "events_total").to_string().ends_with(">–</data>"));
        assert!(doc.text("", "told[0]").to_string().contains("&lt;b&gt;"));
    }
}
