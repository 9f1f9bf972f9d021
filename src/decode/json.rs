//! One pass of sonic-rs over a document, keeping the values the stream's paths lead to.
//!
//! Every byte goes through sonic-rs's validating deserializer, also what no path leads to, so a
//! document is taken whole or not at all. Nesting beyond 254 levels is refused there. sonic-rs's own
//! way of skipping (`IgnoredAny`, `LazyValue`) recurses without a limit and lets `\uXXXX` pass
//! unchecked, which is why ignored values are visited too.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use sonic_rs::{Deserializer, Read};

use super::schema::Schema;
use super::trie::{Node, Points, Trie};

/// Longer texts are cut: no key, time or column name is valid at this length.
const MAX_TEXT_BYTES: usize = 1024;

/// What one slot holds after the pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Captured {
    #[default]
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    /// The span is the number as written, where the node wants it and it could be had.
    Float(f64, Span),
    Text(Span),
    Object,
    Array,
}

/// A piece of [`Capture::text`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

/// What a document or a point is as a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Object,
    Array,
    Scalar,
}

/// The captured values of one document, before they are made rows. Reused from message to message.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// Slots of the documents read so far, [`Trie::slots`] of the document each.
    pub documents: Vec<Captured>,
    pub document_kinds: Vec<Kind>,
    /// For each document the end of its points; meaningful when the schema has points.
    pub document_points: Vec<PointsOf>,
    /// Slots of the points, [`Trie::slots`] of the point each.
    pub points: Vec<Captured>,
    pub point_kinds: Vec<Kind>,
    /// The top level is an array whose elements are the documents.
    pub many: bool,
    text: String,
}

/// The points of one document: those from the previous document's end to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PointsOf {
    pub end: usize,
    /// There was an array at the stream's `points`.
    pub found: bool,
}

impl Capture {
    pub fn text(&self, span: Span) -> &str {
        // Spans are only made by `keep`, at character boundaries.
        &self.text[span.start as usize..][..span.len as usize]
    }

    fn clear(&mut self) {
        self.documents.clear();
        self.document_kinds.clear();
        self.document_points.clear();
        self.points.clear();
        self.point_kinds.clear();
        self.many = false;
        self.text.clear();
    }

    fn keep(&mut self, text: &str) -> Span {
        let mut len = text.len().min(MAX_TEXT_BYTES);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        let start = self.text.len() as u32;
        self.text.push_str(&text[..len]);
        Span { start, len: len as u32 }
    }
}

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

/// Which tree a value belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
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

    /// The slots of the document or point being read: the last ones.
    fn slots(&mut self, scope: Scope) -> &mut [Captured] {
        let count = self.trie(scope).slots();
        let all = match scope {
            Scope::Document => &mut self.capture.documents,
            Scope::Point => &mut self.capture.points,
        };
        let start = all.len() - count;
        &mut all[start..]
    }

    fn begin_document(&mut self) {
        let slots = self.capture.documents.len() + self.schema.document.slots();
        self.capture.documents.resize(slots, Captured::Absent);
        self.capture.document_kinds.push(Kind::Scalar);
        self.capture.document_points.push(PointsOf { end: self.capture.point_kinds.len(), found: false });
    }

    fn begin_point(&mut self) {
        let slots = self.capture.points.len() + self.trie(Scope::Point).slots();
        self.capture.points.resize(slots, Captured::Absent);
        self.capture.point_kinds.push(Kind::Scalar);
    }

    fn end_point(&mut self) {
        if let Some(points) = self.capture.document_points.last_mut() {
            points.end = self.capture.point_kinds.len();
        }
    }

    fn set_kind(&mut self, scope: Scope, kind: Kind) {
        let kinds = match scope {
            Scope::Document => &mut self.capture.document_kinds,
            Scope::Point => &mut self.capture.point_kinds,
        };
        if let Some(last) = kinds.last_mut() {
            *last = kind;
        }
    }

    /// Forgets this document's points: a repeated name replaces what it held before.
    fn drop_points(&mut self) {
        let documents = &mut self.capture.document_points;
        let before = documents.len().checked_sub(2).map_or(0, |previous| documents[previous].end);
        if let Some(points) = documents.last_mut() {
            *points = PointsOf { end: before, found: false };
        }
        self.capture.point_kinds.truncate(before);
        self.capture.points.truncate(before * self.trie(Scope::Point).slots());
    }
}

/// The whole payload: a document, or an array of documents.
struct TopLevel<'w, 'j, 's> {
    walk: &'w mut Walk<'j, 's>,
}

impl<'de> DeserializeSeed<'de> for TopLevel<'_, 'de, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'w, 'de, 's> TopLevel<'w, 'de, 's> {
    fn document(self) -> Value<'w, 'de, 's> {
        self.walk.begin_document();
        Value { walk: self.walk, scope: Scope::Document, node: 0, key_end: None }
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
        while rows.next_element_seed(NextRow { walk: &mut *self.walk, scope: Scope::Document })?.is_some() {}
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
        match self.scope {
            Scope::Document => self.walk.begin_document(),
            Scope::Point => self.walk.begin_point(),
        }
        let value = Value { walk: &mut *self.walk, scope: self.scope, node: 0, key_end: None };
        value.deserialize(deserializer)?;
        if self.scope == Scope::Point {
            self.walk.end_point();
        }
        Ok(())
    }
}

/// The value some path leads to or through.
struct Value<'w, 'j, 's> {
    walk: &'w mut Walk<'j, 's>,
    scope: Scope,
    node: u16,
    /// Where in the document the name before this value ends, if it was written without escapes.
    key_end: Option<usize>,
}

impl<'s> Value<'_, '_, 's> {
    fn node(&self) -> &'s Node {
        self.walk.trie(self.scope).node(self.node)
    }

    /// Stores the value, and forgets what an earlier value of the same name left behind.
    #[inline]
    fn set(&mut self, value: Captured) {
        let node = self.node();
        if node.points != Points::Elsewhere {
            self.walk.drop_points();
        }
        if node.slot.is_none() && node.is_leaf() {
            return;
        }
        let slots = self.walk.slots(self.scope);
        if !node.is_leaf() {
            slots[node.subtree.start as usize..node.subtree.end as usize].fill(Captured::Absent);
        }
        if let Some(slot) = node.slot {
            slots[slot as usize] = value;
        }
    }

    fn set_kind(&mut self, kind: Kind) {
        if self.node == 0 {
            self.walk.set_kind(self.scope, kind);
        }
    }

    /// A number that is no `i64`, with its own digits where they are wanted. Behind a name with
    /// escapes the digits cannot be located, so the shortest ones of the `f64` stand in.
    fn set_float(&mut self, value: f64) {
        let mut span = Span::default();
        if self.node().wants_text {
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
        let (node, scope) = (self.node(), self.scope);
        while let Some(found) = map.next_key_seed(Name { node, json: self.walk.json })? {
            match found {
                Some((child, key_end)) => {
                    map.next_value_seed(Value { walk: &mut *self.walk, scope, node: child, key_end })?;
                }
                None => map.next_value_seed(Skip)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.set(Captured::Array);
        self.set_kind(Kind::Array);
        if self.node().points != Points::Here {
            while elements.next_element_seed(Skip)?.is_some() {}
            return Ok(());
        }
        if let Some(points) = self.walk.capture.document_points.last_mut() {
            points.found = true;
        }
        while elements.next_element_seed(NextRow { walk: &mut *self.walk, scope: Scope::Point })?.is_some() {}
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

/// Checks a value and keeps nothing of it.
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Skip)?.is_some() {
            map.next_value_seed(Skip)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Skip)?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}
