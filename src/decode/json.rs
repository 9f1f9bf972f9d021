//! One pass of sonic-rs over a document, keeping the values the stream's paths lead to.
//!
//! Every byte goes through sonic-rs's validating deserializer, also what no path leads to, so a
//! document is taken whole or not at all. Nesting beyond 254 levels is refused there. sonic-rs's own
//! way of skipping (`IgnoredAny`, `LazyValue`) recurses without a limit and lets `\uXXXX` pass
//! unchecked, which is why ignored values are visited too.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use sonic_rs::{Deserializer, Read};

use super::capture::{Capture, Captured, Kind, Level, Span};
use super::schema::Schema;
use super::skip::Skip;
use super::trie::{Node, Points, Trie};

/// Reads one whole document (or array of documents) into `capture`.
pub(super) fn read(json: &[u8], schema: &Schema, capture: &mut Capture) -> Result<(), sonic_rs::Error> {
    capture.clear();
    let mut deserializer = Deserializer::new(Read::from(json));
    let mut walk = Walk { json, schema, capture };
    TopLevel { walk: &mut walk }.deserialize(&mut deserializer)?;
    deserializer.end()
}

struct Walk<'j, 's> {
    json: &'j [u8],
    schema: &'s Schema,
    capture: &'s mut Capture,
}

/// Which rows a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Document,
    Point,
}

impl<'s> Walk<'_, 's> {
    fn trie(&self, scope: Scope) -> &'s Trie {
        match (scope, &self.schema.point) {
            (Scope::Point, Some(points)) => &points.trie,
            _ => &self.schema.document,
        }
    }

    #[inline]
    fn level(&mut self, scope: Scope) -> &mut Level {
        match scope {
            Scope::Document => &mut self.capture.documents,
            Scope::Point => &mut self.capture.points,
        }
    }
}

/// The whole payload: a document, or an array of documents.
struct TopLevel<'w, 'j, 's> {
    walk: &'w mut Walk<'j, 's>,
}

/// Rows (or points of a row) that one message may hold. What a row costs while it is decoded is many
/// times its bytes, so this and not the payload's size bounds the memory of a message.
pub(super) const ROWS_MAX: u32 = 100_000;

pub(super) fn too_many_rows() -> String {
    format!("more than {ROWS_MAX} rows in one message; send it in smaller batches")
}

fn one_more<E: Error>(count: u32) -> Result<u32, E> {
    if count == ROWS_MAX { Err(E::custom(too_many_rows())) } else { Ok(count + 1) }
}

impl<'de> DeserializeSeed<'de> for TopLevel<'_, 'de, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'w, 'de, 's> TopLevel<'w, 'de, 's> {
    fn document(self) -> Value<'w, 'de, 's> {
        Value::begin(self.walk, Scope::Document)
    }
}

impl<'de> Visitor<'de> for TopLevel<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a row or an array of rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.document().visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        self.walk.capture.many = true;
        let mut count = 0;
        while rows.next_element_seed(NextRow { walk: &mut *self.walk, scope: Scope::Document })?.is_some() {
            count = one_more::<A::Error>(count)?;
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.document().visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.document().visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.document().visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.document().visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.document().visit_f64(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.document().visit_str(value)
    }
}

/// An element that starts a new document or point, if there is one.
struct NextRow<'w, 'j, 's> {
    walk: &'w mut Walk<'j, 's>,
    scope: Scope,
}

impl<'de> DeserializeSeed<'de> for NextRow<'_, 'de, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        Value::begin(self.walk, self.scope).deserialize(deserializer)
    }
}

/// The value some path leads to or through.
struct Value<'w, 'j, 's> {
    walk: &'w mut Walk<'j, 's>,
    scope: Scope,
    trie: &'s Trie,
    node: &'s Node,
    /// Where in the document the name before this value ends, if it was written without escapes.
    key_end: Option<usize>,
}

impl<'w, 'j, 's> Value<'w, 'j, 's> {
    /// A new document or point.
    fn begin(walk: &'w mut Walk<'j, 's>, scope: Scope) -> Self {
        let trie = walk.trie(scope);
        match scope {
            Scope::Document => walk.capture.begin_document(trie.slots()),
            Scope::Point => walk.capture.points.begin(trie.slots()),
        }
        Value { walk, scope, trie, node: trie.root(), key_end: None }
    }

    /// Stores the value, and forgets what an earlier value of the same name left behind.
    #[inline]
    fn set(&mut self, value: Captured) {
        if !self.node.is_leaf() {
            self.walk.level(self.scope).forget(&self.node.subtree);
        }
        if let Some(slot) = self.node.slot {
            self.walk.level(self.scope).set(slot, value);
        }
        if self.node.points != Points::Elsewhere {
            let width = self.walk.trie(Scope::Point).slots();
            self.walk.capture.drop_points(width);
        }
    }

    fn set_kind(&mut self, kind: Kind) {
        if self.node.is_root {
            self.walk.level(self.scope).set_kind(kind);
        }
    }

    /// A number that is no `i64`, with its own digits where they are wanted. Behind a name with
    /// escapes the digits cannot be located, so the shortest ones of the `f64` stand in.
    fn set_float(&mut self, value: f64) {
        let mut span = Span::default();
        if self.node.wants_text {
            let written = self.key_end.map(|key_end| number_after(self.walk.json, key_end));
            span = match written {
                Some(digits) => self.walk.capture.keep(digits),
                None => self.walk.capture.keep(&value.to_string()),
            };
        }
        self.set(Captured::Float(value, span));
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, 'de, '_> {
    type Value = ();

    #[inline]
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, 'de, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.set(Captured::Object);
        self.set_kind(Kind::Object);
        let (scope, trie) = (self.scope, self.trie);
        while let Some(found) = map.next_key_seed(Name { node: self.node, json: self.walk.json })? {
            match found {
                Some((child, key_end)) => {
                    let node = trie.node(child);
                    map.next_value_seed(Value { walk: &mut *self.walk, scope, trie, node, key_end })?;
                }
                None => map.next_value_seed(Skip)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.set(Captured::Array);
        self.set_kind(Kind::Array);
        if self.node.points != Points::Here {
            while elements.next_element_seed(Skip)?.is_some() {}
            return Ok(());
        }
        let mut count = 0;
        while elements.next_element_seed(NextRow { walk: &mut *self.walk, scope: Scope::Point })?.is_some() {
            count = one_more::<A::Error>(count)?;
        }
        self.walk.capture.end_points(true);
        Ok(())
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.set(Captured::Null);
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.set(Captured::Bool(value));
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.set(Captured::Int(value));
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.set(Captured::Int(value)),
            Err(_) => self.set_float(value as f64),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        self.set_float(value);
        Ok(())
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        let span = self.walk.capture.keep(value);
        self.set(Captured::Text(span));
        Ok(())
    }
}

/// The digits of the number behind a name that ends at `key_end`. sonic-rs has already checked that
/// a closing quote, a colon and a number follow.
fn number_after(json: &[u8], key_end: usize) -> &str {
    let after = json.get(key_end + 1..).unwrap_or_default();
    let start = after.iter().position(|b| matches!(b, b'-' | b'0'..=b'9')).unwrap_or(after.len());
    let digits = &after[start..];
    let len = digits.iter().position(|b| !matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
    std::str::from_utf8(&digits[..len.unwrap_or(digits.len())]).unwrap_or_default()
}

/// A name inside an object: the child it leads to and where it ends.
struct Name<'s, 'j> {
    node: &'s Node,
    json: &'j [u8],
}

impl<'de> DeserializeSeed<'de> for Name<'_, 'de> {
    type Value = Option<(u16, Option<usize>)>;

    #[inline]
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Name<'_, 'de> {
    type Value = Option<(u16, Option<usize>)>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a name")
    }

    #[inline]
    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(self.node.child(name).map(|child| {
            let start = (name.as_ptr() as usize).checked_sub(self.json.as_ptr() as usize);
            (child, start.map(|start| start + name.len()))
        }))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.node.child(name).map(|child| (child, None)))
    }
}
