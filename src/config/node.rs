//! A TOML document as a tree that remembers where each value was written, so that values from the
//! environment can be laid over those of the file and both can still be blamed by name.

use std::collections::BTreeMap;

use toml_edit::{Item, TableLike};

use super::problem::Origin;

/// In order of name, which makes the plan independent of the order in the file.
pub type Table = BTreeMap<String, Node>;

#[derive(Clone, Debug)]
pub struct Node {
    pub origin: Origin,
    pub value: Value,
    /// As written in an environment variable: `12345` may be meant as a text.
    pub verbatim: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::Datetime => "a date",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
        }
    }
}

/// A file's text, for turning byte offsets into line numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    fn at(&self, offset: usize) -> Origin {
        Origin::Line(self.0.partition_point(|&newline| newline < offset) + 1)
    }
}

/// The tree of a file, or the first syntax error as its place and message (without the file's text,
/// which may hold secrets).
pub fn parse_document(text: &str) -> Result<Node, (Origin, String)> {
    let lines = Lines::of(text);
    let document = toml_edit::Document::parse(text).map_err(|error| {
        let origin = error.span().map_or(Origin::File, |span| lines.at(span.start));
        (origin, error.message().to_string())
    })?;
    let place = |span: Option<std::ops::Range<usize>>| span.map(|span| lines.at(span.start));
    let value = Value::Table(table(document.as_table(), &Origin::File, &place));
    Ok(Node { origin: Origin::File, value, verbatim: None })
}

/// The value of an environment variable: TOML if it parses, else the text itself.
pub fn parse_variable(name: &str, text: &str) -> Node {
    let origin = Origin::Variable(name.to_string());
    let parsed = text.parse::<toml_edit::Value>().ok();
    let parsed = parsed.and_then(|value| node(&Item::Value(value), origin.clone(), &|_| None));
    let mut parsed = parsed.unwrap_or(Node { origin, value: Value::Text(text.to_string()), verbatim: None });
    parsed.verbatim = Some(text.to_string());
    parsed
}

/// Tells the place of a span, `None` where there is none (then a value is where its parent is).
type Place<'a> = dyn Fn(Option<std::ops::Range<usize>>) -> Option<Origin> + 'a;

fn table(source: &dyn TableLike, origin: &Origin, place: &Place<'_>) -> Table {
    source
        .iter()
        .filter_map(|(key, item)| {
            let span = source.key(key).and_then(|key| key.span()).or_else(|| item.span());
            let origin = place(span).unwrap_or_else(|| origin.clone());
            Some((key.to_string(), node(item, origin, place)?))
        })
        .collect()
}

fn node(item: &Item, origin: Origin, place: &Place<'_>) -> Option<Node> {
    let value = match item {
        Item::None => return None,
        Item::Table(inner) => Value::Table(table(inner, &origin, place)),
        Item::ArrayOfTables(array) => Value::Array(
            array
                .iter()
                .map(|inner| {
                    let origin = place(inner.span()).unwrap_or_else(|| origin.clone());
                    let value = Value::Table(table(inner, &origin, place));
                    Node { origin, value, verbatim: None }
                })
                .collect(),
        ),
        Item::Value(value) => scalar_or_nested(value, &origin, place),
    };
    Some(Node { origin, value, verbatim: None })
}

fn scalar_or_nested(value: &toml_edit::Value, origin: &Origin, place: &Place<'_>) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Integer(*number.value()),
        toml_edit::Value::Float(number) => Value::Float(*number.value()),
        toml_edit::Value::Boolean(flag) => Value::Bool(*flag.value()),
        toml_edit::Value::Datetime(_) => Value::Datetime,
        toml_edit::Value::InlineTable(inner) => Value::Table(table(inner, origin, place)),
        toml_edit::Value::Array(array) => Value::Array(
            array
                .iter()
                .map(|item| {
                    let origin = place(item.span()).unwrap_or_else(|| origin.clone());
                    let value = scalar_or_nested(item, &origin, place);
                    Node { origin, value, verbatim: None }
                })
                .collect(),
        ),
    }
}
