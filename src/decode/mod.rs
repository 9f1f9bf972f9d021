//! Raw messages to rows: a payload's bytes, its topic and its arrival become the events of the
//! streams that take it. What cannot become an event becomes a [`DeadRow`] with its reason and the
//! remedy, and never stops the rows around it.
//!
//! Decided here, where JSON leaves it open:
//! - A field that is absent or `null` is missing (NaN). Booleans are 1 and 0. A number inside a text
//!   is refused, not guessed at, except as a time, where many devices write it so.
//! - Of equal names in one object the last counts, as in Python, JavaScript and serde_json.
//! - A byte order mark at the start is skipped; everything else is JSON to the letter (RFC 8259),
//!   nested at most 254 levels. Only `NaN`, `inf` and numbers beyond a double cost their own row
//!   alone instead of the whole document.
//! - Rows are numbered as they come in the message, from 0, refused and ignored ones included.
mod capture;
mod category;
mod dead;
mod fields;
mod json;
mod kafka;
mod locate;
mod metric;
mod noted;
mod payload;
mod repair;
mod route;
mod row;
mod schema;
mod skip;
#[cfg(test)]
mod tests;
mod time;
mod topic;
mod trie;

use std::ops::Range;
use std::sync::Arc;

pub use dead::{Content, DeadEntry, DeadError, DeadLetters, MAX_PAYLOAD_BYTES, ROTATE_BYTES};
pub use noted::{ABSENT_ROWS, Noted};

use crate::config::plan::Plan;
use crate::stage::{RejectedRow, RowReport};
use crate::types::{Message, Position, Reason, RecordRef, StreamId};

/// A payload format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// What a user writes as `format`.
    pub name: &'static str,
    pub summary: &'static str,
}

/// Every format there is.
pub const FORMATS: [Format; 1] = [Format {
    name: "json",
    summary: "an object, an array of objects, or one object a line; points in an array inside it; one metric a message",
}];

/// A row that did not become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRow {
    /// `None`: no stream takes the message.
    pub stream: Option<StreamId>,
    /// Index of the row in its message.
    pub row: u32,
    pub reason: Reason,
    /// Names the field and the remedy.
    pub detail: String,
    /// The row's bytes within the payload.
    pub range: Range<usize>,
}

/// Turns messages into records. One a thread; its buffers are reused, so that a good message
/// allocates nothing.
#[derive(Debug)]
pub struct Decoder {
    compiled: Arc<Compiled>,
    scratch: payload::Scratch,
    /// By stream.
    noted: Vec<Noted>,
}

#[derive(Debug)]
struct Compiled {
    routes: route::Routes,
    schemas: Vec<schema::Schema>,
}

impl Decoder {
    pub fn new(plan: &Plan) -> Self {
        let streams = plan.streams.iter().enumerate();
        let schemas =
            streams.map(|(index, stream)| schema::Schema::new(StreamId(index as u16), stream)).collect();
        Decoder::with(Arc::new(Compiled { routes: route::Routes::new(plan), schemas }))
    }

    fn with(compiled: Arc<Compiled>) -> Self {
        let noted = compiled.schemas.iter().map(|schema| Noted::new(schema.columns)).collect();
        Decoder { compiled, scratch: payload::Scratch::default(), noted }
    }

    /// Decodes one message for every stream that takes it, stream by stream: `emit` gets each good
    /// row, `dead` each refused one. Both are in message order within a stream.
    pub fn decode<E: FnMut(RecordRef<'_>)>(
        &mut self,
        position: Position,
        message: &Message,
        emit: &mut E,
        dead: &mut Vec<DeadRow>,
    ) {
        if let Some(row) = too_large(message) {
            return dead.push(row);
        }
        let mut taken = false;
        for stream in self.compiled.routes.streams(&message.source, &message.topic) {
            taken = true;
            let schema = &self.compiled.schemas[stream];
            let scratch = &mut self.scratch;
            let noted = &mut self.noted[stream];
            payload::Job { schema, position, message, scratch, emit, dead, rows: 0, noted }.run();
            self.noted[stream].look(schema, message);
        }
        if !taken {
            dead.push(no_stream(message));
        }
    }

    /// What decoding the message would give, without effect: the HTTP source answers with it row by
    /// row. A row of a metric that no column is configured for counts as accepted.
    pub fn report(&self, message: &Message) -> RowReport {
        let mut decoder = Decoder::with(Arc::clone(&self.compiled));
        decoder.noted.iter_mut().for_each(|noted| noted.looked = true);
        let (mut accepted, mut dead) = (0, Vec::new());
        decoder.decode(Position(0), message, &mut |_| accepted += 1, &mut dead);
        let rejected = dead
            .into_iter()
            .map(|row| RejectedRow { row: row.row, reason: row.reason, detail: row.detail })
            .collect();
        let ignored: u64 = decoder.noted.iter().map(|noted| noted.rows_ignored).sum();
        RowReport { accepted: accepted + ignored as u32, rejected }
    }

    pub fn noted(&self, stream: StreamId) -> &Noted {
        &self.noted[stream.0 as usize]
    }

    /// Name of a dead row's stream.
    pub fn stream_name(&self, stream: StreamId) -> &str {
        &self.compiled.schemas[stream.0 as usize].name
    }
}

fn too_large(message: &Message) -> Option<DeadRow> {
    let (len, max) = (message.payload.len(), payload::MAX_PAYLOAD_BYTES);
    (len > max).then(|| DeadRow {
        stream: None,
        row: 0,
        reason: Reason::TooLarge,
        detail: format!("the payload has {len} bytes, {max} are allowed; send it in parts"),
        range: 0..len,
    })
}

fn no_stream(message: &Message) -> DeadRow {
    let Message { source, topic, payload, .. } = message;
    DeadRow {
        stream: None,
        row: 0,
        reason: Reason::NoStream,
        detail: format!(
            "no stream takes topic `{topic}` from source `{source}`; add a stream with `from = \"{source}\"` and a `topics` filter that matches, or narrow the source's topics"
        ),
        range: 0..payload.len(),
    }
}
