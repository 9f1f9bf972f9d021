//! Protobuf's wire format (protobuf.dev, "Encoding"), read by a message's descriptor.
//!
//! What no path leads to is read past by its wire type. As the specification says, the last of several values of a field
//! counts, of several messages of a field all fields do, and a value of another wire type than the schema's is of a
//! field that is not known.

use super::super::capture::Captured;
use super::super::json;
use super::sink::{Place, Sink};
use super::wire::{DEPTH_MAX, Wire, next};

#[derive(Debug)]
pub(super) struct Message {
    /// In order of number; only those a path leads to or through.
    pub fields: Vec<Field>,
    /// What the message holds where nothing of it is written, since its schema cannot tell that from a zero.
    pub unwritten: Vec<Unwritten>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub number: u32,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Scalar(Scalar, Place),
    Message(u32, Place),
    /// A message that stands for its one field.
    Wrapper(u32),
    /// `google.protobuf.Timestamp`.
    Instant(Place),
    /// `confluent.type.Decimal`.
    Decimal(Place),
    Array(Place),
    Points(u32),
    /// Texts to messages of `key` and `value`, of which those with these keys are wanted.
    Map {
        place: Place,
        wanted: Vec<(Box<str>, u32)>,
    },
}

#[derive(Debug)]
pub(super) enum Unwritten {
    Value(Scalar, Place),
    Points,
}

#[derive(Clone, Debug)]
pub(super) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    UInt,
    Zigzag,
    Fixed32,
    Fixed64,
    Signed32,
    Signed64,
    Bool,
    Text,
    Bytes,
    Enum(Box<[(i32, Box<str>)]>),
}

/// Reads one whole document of type `messages[0]` into the sink.
///
/// # Errors
/// In words, if the bytes are not in the wire format.
pub(super) fn read(messages: &[Message], bytes: &[u8], mut sink: Sink<'_>) -> Result<(), String> {
    sink.begin_document();
    sink.object(Some(Place::DOCUMENT));
    Reader { messages, sink, points: 0 }.message(0, bytes, 0)
}

struct Reader<'a> {
    messages: &'a [Message],
    sink: Sink<'a>,
    points: u32,
}

impl<'a> Reader<'a> {
    fn message(&mut self, index: u32, mut bytes: &'a [u8], depth: u32) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} levels deep"));
        }
        let messages = self.messages;
        let Message { fields, unwritten } = &messages[index as usize];
        while !bytes.is_empty() {
            let (number, wire) = next(&mut bytes, 0)?;
            if let Ok(at) = fields.binary_search_by_key(&number, |field| field.number) {
                self.field(&fields[at].what, wire, depth)?;
            }
        }
        for value in unwritten {
            match value {
                Unwritten::Points if !self.sink.points_found() => self.sink.end_points(),
                Unwritten::Value(scalar, place) if self.sink.is_absent(*place) => self.zero(scalar, *place),
                Unwritten::Points | Unwritten::Value(..) => {}
            }
        }
        Ok(())
    }

    fn field(&mut self, what: &'a What, wire: Wire<'a>, depth: u32) -> Result<(), String> {
        match (what, wire) {
            (What::Scalar(scalar, place), wire) => self.scalar(scalar, *place, &wire),
            (What::Array(place), _) => {
                self.sink.array(Some(*place));
                Ok(())
            }
            (What::Message(message, place), Wire::Bytes(bytes)) => {
                self.sink.object(Some(*place));
                self.message(*message, bytes, depth + 1)
            }
            (What::Wrapper(message), Wire::Bytes(bytes)) => self.message(*message, bytes, depth + 1),
            (What::Instant(place), Wire::Bytes(bytes)) => {
                let ns = instant(bytes)?;
                self.sink.set(Some(*place), Captured::Instant(ns));
                Ok(())
            }
            (What::Decimal(place), Wire::Bytes(bytes)) => {
                let value = decimal(bytes)?;
                self.sink.float(Some(*place), value);
                Ok(())
            }
            (What::Points(message), Wire::Bytes(bytes)) => {
                if self.points == json::ROWS_MAX {
                    return Err(json::too_many_rows());
                }
                self.points += 1;
                self.sink.begin_point();
                self.sink.object(Some(Place::POINT));
                self.message(*message, bytes, depth + 1)?;
                self.sink.end_points();
                Ok(())
            }
            (What::Map { place, wanted }, Wire::Bytes(bytes)) => {
                self.sink.object(Some(*place));
                let key = map_key(bytes)?;
                match wanted.iter().find(|(name, _)| name.as_bytes() == key) {
                    Some((_, entry)) => self.message(*entry, bytes, depth + 1),
                    None => Ok(()),
                }
            }
            (
                What::Message(..)
                | What::Wrapper(_)
                | What::Instant(_)
                | What::Decimal(_)
                | What::Points(_)
                | What::Map { .. },
                _,
            ) => Ok(()),
        }
    }

    fn scalar(&mut self, scalar: &Scalar, place: Place, wire: &Wire<'_>) -> Result<(), String> {
        let (sink, at) = (&mut self.sink, Some(place));
        match (scalar, wire) {
            (Scalar::Double, Wire::Eight(bytes)) => sink.float(at, f64::from_le_bytes(*bytes)),
            (Scalar::Float, Wire::Four(bytes)) => sink.single(at, f32::from_le_bytes(*bytes)),
            // A negative one is written in 64 bits.
            (Scalar::Int32, Wire::Varint(value)) => sink.set(at, Captured::Int(i64::from(*value as i32))),
            (Scalar::Int64, Wire::Varint(value)) => sink.set(at, Captured::Int(*value as i64)),
            (Scalar::UInt, Wire::Varint(value)) => sink.unsigned(at, *value),
            (Scalar::Zigzag, Wire::Varint(value)) => {
                sink.set(at, Captured::Int(super::signed(*value)));
            }
            (Scalar::Fixed32, Wire::Four(bytes)) => sink.unsigned(at, u64::from(u32::from_le_bytes(*bytes))),
            (Scalar::Fixed64, Wire::Eight(bytes)) => sink.unsigned(at, u64::from_le_bytes(*bytes)),
            (Scalar::Signed32, Wire::Four(bytes)) => {
                sink.set(at, Captured::Int(i64::from(i32::from_le_bytes(*bytes))));
            }
            (Scalar::Signed64, Wire::Eight(bytes)) => sink.set(at, Captured::Int(i64::from_le_bytes(*bytes))),
            (Scalar::Bool, Wire::Varint(value)) => sink.set(at, Captured::Bool(*value != 0)),
            (Scalar::Text, Wire::Bytes(bytes)) => {
                sink.text(at, std::str::from_utf8(bytes).map_err(|_| "a string is no UTF-8")?);
            }
            (Scalar::Bytes, Wire::Bytes(_)) => sink.set(at, Captured::Binary),
            (Scalar::Enum(names), Wire::Varint(value)) => {
                let number = *value as i32;
                match names.iter().find(|(of, _)| *of == number) {
                    Some((_, name)) => sink.text(at, name),
                    None => sink.set(at, Captured::Int(i64::from(number))),
                }
            }
            // Of another wire type: a field that is not known.
            _ => {}
        }
        Ok(())
    }

    fn zero(&mut self, scalar: &Scalar, place: Place) {
        let (sink, at) = (&mut self.sink, Some(place));
        match scalar {
            Scalar::Double | Scalar::Float => sink.float(at, 0.0),
            Scalar::Bool => sink.set(at, Captured::Bool(false)),
            Scalar::Text => sink.text(at, ""),
            Scalar::Bytes => sink.set(at, Captured::Binary),
            Scalar::Enum(names) => match names.iter().find(|(number, _)| *number == 0) {
                Some((_, name)) => sink.text(at, name),
                None => sink.set(at, Captured::Int(0)),
            },
            Scalar::Int32
            | Scalar::Int64
            | Scalar::UInt
            | Scalar::Zigzag
            | Scalar::Fixed32
            | Scalar::Fixed64
            | Scalar::Signed32
            | Scalar::Signed64 => sink.set(at, Captured::Int(0)),
        }
    }
}

/// ns since 1970 of seconds (1) and nanos (2).
fn instant(mut bytes: &[u8]) -> Result<i64, String> {
    let (mut seconds, mut nanos) = (0, 0);
    while !bytes.is_empty() {
        match next(&mut bytes, 0)? {
            (1, Wire::Varint(value)) => seconds = value as i64,
            (2, Wire::Varint(value)) => nanos = value as i64,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The unscaled value (1), and how many of its digits stand behind the point (3).
fn decimal(mut bytes: &[u8]) -> Result<f64, String> {
    let (mut unscaled, mut scale): (&[u8], i32) = (b"", 0);
    while !bytes.is_empty() {
        match next(&mut bytes, 0)? {
            (1, Wire::Bytes(value)) => unscaled = value,
            (3, Wire::Varint(value)) => scale = value as i32,
            _ => {}
        }
    }
    Ok(super::decimal(unscaled, scale))
}

/// The key of an entry, a text, wherever in it that stands.
fn map_key(mut bytes: &[u8]) -> Result<&[u8], String> {
    let mut key: &[u8] = b"";
    while !bytes.is_empty() {
        if let (1, Wire::Bytes(found)) = next(&mut bytes, 0)? {
            key = found;
        }
    }
    Ok(key)
}
