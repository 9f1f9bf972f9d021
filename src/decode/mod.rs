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
mod csv;
mod dead;
mod fields;
mod found;
mod framed;
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
pub use framed::Change as SchemaEvent;
pub use noted::{ABSENT_ROWS, Noted};

use crate::config::plan::{Plan, StreamPlan};
use crate::schemas::{Schemas, unframed};
use crate::stage::{RejectedRow, RowReport};
use crate::types::{Message, Position, Reason, RecordRef, StreamId};

/// A payload format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// What a user writes as `format`.
    pub name: &'static str,
    pub summary: &'static str,
    /// A source and a stream of this format; the stream lacks what every stream needs.
    pub example: &'static str,
}

/// Every format there is.
pub const FORMATS: [Format; 4] = [
    Format {
        name: "json",
        summary: "an object, an array of objects, or one object a line; points in an array inside it; one metric a message",
        example: "[source.a]\ntype = \"http\"\n[stream.s]\nformat = \"json\"\n",
    },
    Format {
        name: "csv",
        summary: "lines of cells, named by the stream's `header`",
        example: "[source.a]\ntype = \"http\"\n[stream.s]\nformat = \"csv\"\nheader = [\"id\", \"x\"]\n",
    },
    Format {
        name: "avro",
        summary: "a record behind the id of its schema in a registry, from Kafka",
        example: concat!(
            "[source.a]\ntype = \"kafka\"\nbrokers = [\"127.0.0.1:9092\"]\ntopics = [\"pumps\"]\n",
            "registry = { url = \"http://127.0.0.1:8081\" }\n[stream.s]\nformat = \"avro\"\n"
        ),
    },
    Format {
        name: "protobuf",
        summary: "a message behind the id of its schema in a registry, from Kafka",
        example: concat!(
            "[source.a]\ntype = \"kafka\"\nbrokers = [\"127.0.0.1:9092\"]\ntopics = [\"pumps\"]\n",
            "registry = { url = \"http://127.0.0.1:8081\" }\n[stream.s]\nformat = \"protobuf\"\n"
        ),
    },
];

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
    /// The same.
    programs: Vec<framed::Programs>,
}

#[derive(Debug)]
struct Compiled {
    routes: route::Routes,
    schemas: Vec<schema::Schema>,
    registered: Arc<Schemas>,
}

impl Decoder {
    /// Of streams that need no registry.
    pub fn new(plan: &Plan) -> Self {
        Decoder::with_schemas(plan, Arc::default())
    }

    /// Reads what needs a schema by those that are `registered` when it comes.
    pub fn with_schemas(plan: &Plan, registered: Arc<Schemas>) -> Self {
        let streams = plan.streams.iter().enumerate();
        let schemas =
            streams.map(|(index, stream)| schema::Schema::new(StreamId(index as u16), stream)).collect();
        Decoder::with(Arc::new(Compiled { routes: route::Routes::new(plan), schemas, registered }))
    }

    fn with(compiled: Arc<Compiled>) -> Self {
        let noted = compiled.schemas.iter().map(Noted::new).collect();
        let programs =
            compiled.schemas.iter().map(|_| framed::Programs::new(compiled.registered.clone())).collect();
        Decoder { compiled, scratch: payload::Scratch::default(), noted, programs }
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
            let (noted, programs) = (&mut self.noted[stream], &mut self.programs[stream]);
            payload::Job { schema, position, message, scratch, emit, dead, programs, rows: 0, noted }.run();
            self.noted[stream].look(schema, message);
        }
        if !taken {
            dead.push(no_stream(message));
        }
    }

    /// Whether messages of a registry's format are to be read as if it knew no schema of theirs: they were, the first time.
    pub fn set_unread(&mut self, unread: bool) {
        self.programs.iter_mut().for_each(|programs| programs.unread = unread);
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

    /// What has changed in the schemas of a stream since it was last asked, in order.
    pub fn schema_changes(&mut self, stream: StreamId) -> std::vec::Drain<'_, SchemaEvent> {
        self.programs[stream.0 as usize].changes.drain(..)
    }

    /// Name of a dead row's stream.
    pub fn stream_name(&self, stream: StreamId) -> &str {
        &self.compiled.schemas[stream.0 as usize].name
    }
}

/// Which messages of a source need a schema, asked before they are logged.
#[derive(Debug)]
pub struct Framed {
    routes: route::Routes,
    /// By stream.
    framed: Vec<bool>,
}

impl Framed {
    /// `None` if no stream of the plan has such a format.
    pub fn new(plan: &Plan) -> Option<Self> {
        let is_framed = |stream: &StreamPlan| stream.format.needs_registry();
        let framed: Vec<bool> = plan.streams.iter().map(is_framed).collect();
        framed.contains(&true).then(|| Framed { routes: route::Routes::new(plan), framed })
    }

    /// Id of the schema that a message is to be read by.
    pub fn schema_id(&self, message: &Message) -> Option<i32> {
        let mut streams = self.routes.streams(&message.source, &message.topic);
        let id = unframed(&message.payload).ok()?.0;
        streams.any(|stream| self.framed[stream]).then_some(id)
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
