//! One payload of one stream: one document, an array of them, or one a line.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::capture::{Capture, Captured};
use super::csv;
use super::framed::Programs;
use super::json;
use super::locate;
use super::repair;
use super::row::{Refusal, Row};
use super::schema::{Field, Origin, Schema, Shape, Time};
use super::time::YEAR_2000_NS;
use super::topic::topic_level;
use super::{DeadRow, Noted};
use crate::config::plan::FormatPlan;
use crate::types::{Message, PartitionId, Position, Reason, RecordRef, key_hash};

/// What MQTT allows at most; larger messages are refused, so that offsets fit 32 bits.
pub(super) const MAX_PAYLOAD_BYTES: usize = 268_435_455;

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Buffers kept from message to message.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub capture: Capture,
    pub csv: Option<csv::Scratch>,
    key: Vec<u8>,
    values: Vec<f32>,
    bits: Vec<u8>,
    /// Document and point of each refused row, while its range is not known yet.
    refused: Vec<Place>,
}

/// Which row of a document: its document, and its point if there are points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    document: usize,
    point: Option<usize>,
}

/// Decoding of one message for one stream.
pub(super) struct Job<'a, E> {
    pub schema: &'a Schema,
    pub position: Position,
    pub message: &'a Message,
    pub scratch: &'a mut Scratch,
    pub emit: &'a mut E,
    pub dead: &'a mut Vec<DeadRow>,
    pub programs: &'a mut Programs,
    /// Rows met so far, good or not.
    pub rows: u32,
    pub noted: &'a mut Noted,
}

impl<'a, E: FnMut(RecordRef<'_>)> Job<'a, E> {
    /// Decodes the payload by the stream's format.
    pub fn run(&mut self) {
        if let Some(metric) = self.ignored_topic() {
            self.rows += 1;
            return self.noted.ignored(metric);
        }
        let schema = self.schema;
        match &schema.format {
            FormatPlan::Json => self.json(),
            FormatPlan::Csv { header } => self.csv(header),
            FormatPlan::Avro | FormatPlan::Protobuf => self.framed(),
        }
    }

    /// As one document if it is one, else line by line.
    fn json(&mut self) {
        let payload = &self.message.payload;
        let start = if payload.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let trimmed = locate::trimmed(&payload[start..]);
        let whole = start + trimmed.start..start + trimmed.end;
        if whole.is_empty() {
            let detail =
                "the payload is empty; send a JSON object, an array of objects, or one object a line";
            return self.refuse_payload(Reason::Malformed, detail.to_owned(), 0..payload.len());
        }
        if self.starts_with_whole_line(&payload[whole.clone()]) {
            return self.lines(whole);
        }
        let Err(error) = self.document(whole.clone()) else { return };
        if locate::is_lines(&payload[whole.clone()]) {
            self.lines(whole);
        } else {
            self.refuse_payload(Reason::Malformed, malformed(&error), 0..payload.len());
        }
    }

    /// Long layout with the metric in the topic: nothing of the payload needs to be read.
    fn ignored_topic(&self) -> Option<&'a str> {
        match &self.schema.shape {
            Shape::Long { column: Field { origin: Origin::Topic(level), .. }, names, .. } => {
                topic_level(self.message, *level).filter(|name| !names.contains_key(*name))
            }
            _ => None,
        }
    }

    /// Whether the first of several lines is a document by itself: then the payload as a whole is none,
    /// and trying it, with a search for what could be repaired, would be in vain.
    fn starts_with_whole_line(&mut self, payload: &[u8]) -> bool {
        let Some(end) = payload.iter().position(|&b| b == b'\n') else { return false };
        json::read(&payload[..end], self.schema, &mut self.scratch.capture).is_ok()
    }

    fn lines(&mut self, whole: Range<usize>) {
        let payload = &self.message.payload;
        let mut start = whole.start;
        let first_row = self.rows;
        for line in payload[whole.clone()].split(|&b| b == b'\n') {
            if self.rows - first_row >= json::ROWS_MAX {
                return self.refuse_payload(Reason::TooLarge, json::too_many_rows(), start..whole.end);
            }
            let trimmed = locate::trimmed(line);
            let range = start + trimmed.start..start + trimmed.end;
            start += line.len() + 1;
            if range.is_empty() {
                continue;
            }
            if let Err(error) = self.document(range.clone()) {
                self.refuse_payload(Reason::Malformed, malformed(&error), range);
            }
        }
    }

    /// Decodes one document, or an array of them, at `range` of the payload. Nothing is emitted on `Err`.
    fn document(&mut self, range: Range<usize>) -> Result<(), sonic_rs::Error> {
        let json = &self.message.payload[range.clone()];
        let Err(error) = json::read(json, self.schema, &mut self.scratch.capture) else {
            let first_dead = self.dead.len();
            self.emit_rows(&[]);
            self.locate_dead(json, range.start, first_dead);
            return Ok(());
        };
        if let Some((repaired, places)) = repair::quote_non_numbers(json)
            && json::read(&repaired, self.schema, &mut self.scratch.capture).is_ok()
        {
            let Some(struck) = self.struck_rows(&repaired, &places) else { return Err(error) };
            let first_dead = self.dead.len();
            self.emit_rows(&struck);
            self.locate_dead(&repaired, range.start, first_dead);
            return Ok(());
        }
        Err(error)
    }

    /// Makes rows of what was captured. Rows in `struck` hold what JSON cannot carry.
    pub(super) fn emit_rows(&mut self, struck: &[Place]) {
        self.scratch.refused.clear();
        let mut points_start = 0;
        for document in 0..self.scratch.capture.documents.kinds.len() {
            if self.schema.point.is_none() {
                self.row(Place { document, point: None }, 0, struck);
                continue;
            }
            let points = self.scratch.capture.points_of[document];
            if points.found {
                for point in points_start..points.end {
                    self.row(Place { document, point: Some(point - points_start) }, point, struck);
                }
            } else {
                self.row_without_points(document);
            }
            points_start = points.end;
        }
    }

    fn row_without_points(&mut self, document: usize) {
        let label = self.schema.point.as_ref().map_or("", |points| &points.label);
        let detail = format!("there is no array at `{label}`; send one, or correct the stream's `points`");
        self.refuse(Place { document, point: None }, Reason::Malformed, detail);
    }

    /// Builds one row and emits or refuses it. `point` is its index among all points captured.
    fn row(&mut self, place: Place, point: usize, struck: &[Place]) {
        let Scratch { capture, key, values, bits, .. } = &mut *self.scratch;
        key.clear();
        values.clear();
        let (level, index) = match place.point {
            Some(_) => (&capture.points, point),
            None => (&capture.documents, place.document),
        };
        let row = Row {
            schema: self.schema,
            message: self.message,
            capture,
            document: capture.documents.row(place.document, self.schema.document.slots()),
            point: point_slots(self.schema, capture, point),
            kind: level.kinds[index],
        };
        match row.build(key, values) {
            Ok(_) if struck.binary_search(&place).is_ok() => {
                self.refuse(place, Reason::Malformed, STRUCK.to_owned())
            }
            Ok((time, outcome)) => {
                let hash = key_hash(key);
                let record = RecordRef {
                    stream: self.schema.stream,
                    key,
                    key_hash: hash,
                    partition: match &self.message.origin {
                        Some(origin) => PartitionId::of_kafka(origin.partition),
                        None => PartitionId::of(hash),
                    },
                    time,
                    arrival: self.message.arrival,
                    position: self.position,
                    row: self.rows,
                    values,
                    outcome,
                    content_hash: match self.schema.time {
                        // Rows of one burst share their arrival: equal values are then no redelivery.
                        Time::Arrival => {
                            xxh3_64(&[self.position.0, u64::from(self.rows)].map(u64::to_le_bytes).concat())
                        }
                        Time::Field { .. } => content_hash(values, bits),
                    },
                };
                self.noted.rows_before_2000 += u64::from(record.time.0 < YEAR_2000_NS);
                if outcome.is_none() {
                    self.noted.row(record.values);
                }
                (self.emit)(record);
                self.rows += 1;
            }
            Err(Refusal::Ignored) => {
                self.noted.ignored(row.metric().unwrap_or_default());
                self.rows += 1;
            }
            Err(Refusal::Dead(reason, detail)) => self.refuse(place, reason, detail),
        }
    }

    fn refuse(&mut self, place: Place, reason: Reason, detail: String) {
        if reason == Reason::NoColumns {
            self.noted.row(&[]);
        }
        self.scratch.refused.push(place);
        self.refuse_payload(reason, detail, 0..0);
    }

    pub(super) fn refuse_payload(&mut self, reason: Reason, detail: String, range: Range<usize>) {
        let stream = Some(self.schema.stream);
        self.dead.push(DeadRow { stream, row: self.rows, reason, detail, range });
        self.rows += 1;
    }

    /// Fills in the ranges of the rows just refused; both lists are in document order.
    fn locate_dead(&mut self, json: &[u8], offset: usize, first_dead: usize) {
        let mut refused = self.scratch.refused.iter().zip(&mut self.dead[first_dead..]).peekable();
        if refused.peek().is_none() {
            return;
        }
        let points = self.schema.point.as_ref().map(|points| points.path.as_slice());
        locate::rows(json, self.scratch.capture.many, points, |document, point, range| {
            if let Some((_, dead)) = refused.next_if(|(place, _)| **place == Place { document, point }) {
                dead.range = offset + range.start..offset + range.end;
            }
        });
    }

    /// The rows that hold one of `places`, in order. A place outside every point strikes all points
    /// of its document; `None` if it has none, since then there is no row to blame.
    fn struck_rows(&self, json: &[u8], places: &[usize]) -> Option<Vec<Place>> {
        let count = |range: Range<usize>| {
            places.partition_point(|&at| at < range.end) - places.partition_point(|&at| at < range.start)
        };
        let points = self.schema.point.as_ref().map(|points| points.path.as_slice());
        let mut documents: Vec<Vec<(Place, usize)>> = Vec::new();
        locate::rows(json, self.scratch.capture.many, points, |document, point, range| {
            let row = (Place { document, point }, count(range));
            match documents.last_mut() {
                Some(rows) if point.is_some() => rows.push(row),
                _ => documents.push(vec![row]),
            }
        });
        let mut struck = Vec::new();
        for rows in documents {
            let (whole, points) = (rows[0], &rows[1..]);
            let stray = whole.1 > points.iter().map(|(_, count)| count).sum();
            match (points, stray) {
                ([], true) if self.schema.point.is_some() => return None,
                ([], true) => struck.push(whole.0),
                (points, _) => {
                    struck.extend(points.iter().filter(|(_, n)| stray || *n > 0).map(|(place, _)| *place))
                }
            }
        }
        Some(struck)
    }
}

const STRUCK: &str = "the row holds NaN, Infinity or a number beyond 1.8e308, which JSON cannot carry; send null when there is no value";

fn point_slots<'c>(schema: &Schema, capture: &'c Capture, point: usize) -> &'c [Captured] {
    match &schema.point {
        Some(points) => capture.points.row(point, points.trie.slots()),
        None => &[],
    }
}

fn malformed(error: &sonic_rs::Error) -> String {
    let text = error.to_string();
    let what = text.lines().next().unwrap_or_default();
    format!("not JSON: {what}; send a JSON object, an array of objects, or one object a line")
}

/// xxh3 of the values' bits, little-endian. NaN and zero have one form each here ([`Row::build`]).
fn content_hash(values: &[f32], bits: &mut Vec<u8>) -> u64 {
    bits.clear();
    bits.extend(values.iter().flat_map(|value| value.to_bits().to_le_bytes()));
    xxh3_64(bits)
}
