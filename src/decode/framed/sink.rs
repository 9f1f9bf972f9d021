//! Where the values of a binary document go: the same slots that JSON fills.

use super::super::capture::{Capture, Captured, Kind, Span};
use super::super::json::Scope;
use super::super::schema::Schema;
use super::super::trie::{Node, Points};

/// A node of one of the stream's trees of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub scope: Scope,
    pub node: u16,
}

impl Place {
    pub const DOCUMENT: Place = Place { scope: Scope::Document, node: 0 };
    pub const POINT: Place = Place { scope: Scope::Point, node: 0 };
}

pub(super) fn node(schema: &Schema, place: Place) -> &Node {
    match (place.scope, &schema.point) {
        (Scope::Point, Some(points)) => points.trie.node(place.node),
        _ => schema.document.node(place.node),
    }
}

/// Where the field `name` of what lies at `place` goes; `None` if no path leads there.
pub(super) fn child(schema: &Schema, place: Option<Place>, name: &str) -> Option<Place> {
    let place = place?;
    node(schema, place).child(name).map(|node| Place { node, ..place })
}

/// What the stream's paths name of what lies at `place`, in order.
pub(super) fn children(schema: &Schema, place: Option<Place>) -> Vec<Box<str>> {
    place.map_or_else(Vec::new, |place| node(schema, place).names())
}

pub(super) fn holds_points(schema: &Schema, place: Option<Place>) -> bool {
    place.is_some_and(|place| node(schema, place).points == Points::Here)
}

pub(super) struct Sink<'a> {
    pub schema: &'a Schema,
    pub capture: &'a mut Capture,
}

impl Sink<'_> {
    pub fn begin_document(&mut self) {
        self.capture.clear();
        self.capture.begin_document(self.schema.document.slots());
    }

    pub fn begin_point(&mut self) {
        let width = self.schema.point.as_ref().map_or(0, |points| points.trie.slots());
        self.capture.points.begin(width);
    }

    pub fn end_points(&mut self) {
        self.capture.end_points(true);
    }

    pub fn points_found(&self) -> bool {
        self.capture.points_of.last().is_some_and(|points| points.found)
    }

    pub fn slot(&self, place: Option<Place>) -> Option<(Place, u16)> {
        let place = place?;
        node(self.schema, place).slot.map(|slot| (place, slot))
    }

    pub fn set(&mut self, place: Option<Place>, value: Captured) {
        if let Some((place, slot)) = self.slot(place) {
            let capture = &mut *self.capture;
            let level =
                if place.scope == Scope::Point { &mut capture.points } else { &mut capture.documents };
            level.set(slot, value);
        }
    }

    pub fn is_absent(&self, place: Place) -> bool {
        let Some((place, slot)) = self.slot(Some(place)) else { return false };
        let level = if place.scope == Scope::Point { &self.capture.points } else { &self.capture.documents };
        level.get(slot) == Captured::Absent
    }

    /// What holds fields: a row is that.
    pub fn object(&mut self, place: Option<Place>) {
        self.set(place, Captured::Object);
        self.kind(place, Kind::Object);
    }

    pub fn array(&mut self, place: Option<Place>) {
        self.set(place, Captured::Array);
        self.kind(place, Kind::Array);
    }

    fn kind(&mut self, place: Option<Place>, kind: Kind) {
        let Some(place) = place.filter(|place| node(self.schema, *place).is_root) else { return };
        match place.scope {
            Scope::Document => self.capture.documents.set_kind(kind),
            Scope::Point => self.capture.points.set_kind(kind),
        }
    }

    /// With its digits where a key or a category is made of them.
    pub fn float(&mut self, place: Option<Place>, value: f64) {
        self.written(place, value, |value| value.to_string());
    }

    /// The digits that are enough for 32 bits.
    pub fn single(&mut self, place: Option<Place>, value: f32) {
        self.written(place, f64::from(value), |_| value.to_string());
    }

    pub fn unsigned(&mut self, place: Option<Place>, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.set(place, Captured::Int(value)),
            Err(_) => self.written(place, value as f64, |_| value.to_string()),
        }
    }

    pub fn written(&mut self, place: Option<Place>, value: f64, digits: impl FnOnce(f64) -> String) {
        let Some((at, _)) = self.slot(place) else { return };
        let wanted = node(self.schema, at).wants_text;
        let span = if wanted { self.capture.keep(&digits(value)) } else { Span::default() };
        self.set(place, Captured::Float(value, span));
    }

    pub fn text(&mut self, place: Option<Place>, text: &str) {
        if self.slot(place).is_some() {
            let span = self.capture.keep(text);
            self.set(place, Captured::Text(span));
        }
    }
}
