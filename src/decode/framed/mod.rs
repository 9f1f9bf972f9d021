//! Documents whose schema lies in a registry: Avro and Protobuf behind the schema's id.
//!
//! Schemas evolve while messages come. Each message is read by the schema it was written by, and a stream's paths are
//! looked up in each anew: what is new there is passed over, what is gone is missing, and another width or name of the same
//! field is read on. What changed is told as a [`Change`].

mod avro;
mod avro_schema;
mod fields;
mod numbers;
mod protobuf;
mod protobuf_schema;
mod sink;
mod wire;

use std::sync::Arc;

use hashbrown::HashMap;
use prost_reflect::FileDescriptor;

use super::capture::Capture;
use super::payload::Job;
use super::schema::{Origin, Schema};
use crate::config::plan::FormatPlan;
use crate::schemas::{self, Schemas, unframed};
use crate::types::{Message, Position, Reason, RecordRef, SchemaChange};
use fields::Fields;
use numbers::{decimal, signed, varint};
use sink::{Place, Sink, node};

/// What a stream has made of the schemas it has met.
#[derive(Debug)]
pub(super) struct Programs {
    schemas: Arc<Schemas>,
    /// By source.
    known: Vec<(Arc<str>, HashMap<i32, Known>)>,
    /// What was compared last, by topic.
    newest: Vec<(Box<str>, Arc<Fields>)>,
    pub changes: Vec<Change>,
    /// What comes was met when the registry did not know its schema.
    pub unread: bool,
}

/// Something of a topic's schema is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub schema: i32,
    /// What happened to which field, in order.
    pub fields: Vec<(SchemaChange, String)>,
    /// Paths of the stream that lead nowhere in the new schema, as the user wrote them.
    pub missing: Vec<Box<str>>,
}

#[derive(Debug)]
struct Known {
    schema: Arc<schemas::Schema>,
    /// What its text came to, once it was needed; of Protobuf a file of messages.
    text: Option<Result<Option<FileDescriptor>, String>>,
    /// By the message's index, the oldest first; of Avro there is one. Only what can be read by, so that whether a message
    /// is read depends on it and its schema alone, not on what came before.
    programs: Vec<(Box<[i32]>, Compiled)>,
}

#[derive(Debug)]
struct Compiled {
    program: Program,
    fields: Arc<Fields>,
    missing: Vec<Box<str>>,
    /// Those it has been met in.
    topics: Vec<Box<str>>,
}

#[derive(Debug)]
enum Program {
    Avro { steps: Vec<avro::Step>, start: u32 },
    Protobuf(Vec<protobuf::Message>),
}

/// A schema made ready for a stream.
#[derive(Debug)]
struct Made {
    program: Program,
    fields: Fields,
    /// Where fields of it go.
    taken: Vec<Place>,
}

/// Deepest message within messages, and indices of a path to one.
const INDICES_MAX: usize = 16;
/// As many messages as a schema may be expected to have; of one that has more, some are compiled again and again.
const PROGRAMS_MAX: usize = 256;

type Refused = (Reason, String);

impl Programs {
    pub fn new(schemas: Arc<Schemas>) -> Self {
        Programs { schemas, known: Vec::new(), newest: Vec::new(), changes: Vec::new(), unread: false }
    }

    /// Reads a message's value into `capture`, as one document.
    ///
    /// # Errors
    /// Why it cannot be read, with the remedy.
    pub fn read(
        &mut self,
        schema: &Schema,
        message: &Message,
        position: Position,
        capture: &mut Capture,
    ) -> Result<(), Refused> {
        let malformed = |detail: String| (Reason::Malformed, detail);
        let (id, mut value) = unframed(&message.payload).map_err(malformed)?;
        let mut path = [0; INDICES_MAX];
        let path = match schema.format {
            FormatPlan::Protobuf => indices(&mut value, &mut path).map_err(malformed)?,
            _ => &path[..0],
        };
        let Programs { schemas, known, newest, changes, unread } = self;
        let known = find(known, schemas, &message.source, id);
        let known = known.filter(|known| !*unread && known.schema.reads(position));
        let known = known.ok_or_else(|| {
            (
                Reason::NoSchema,
                format!(
                    "the registry of source `{}` knew no schema {id} when the message came; check that its producer uses \
                     the same registry, and send it again",
                    message.source
                ),
            )
        })?;
        let compiled = match known.program(schema, path) {
            Ok(compiled) => compiled,
            Err(detail) => return Err((Reason::NoSchema, format!("schema {id}: {detail}"))),
        };
        let sink = Sink { schema, capture };
        let read = match &compiled.program {
            Program::Avro { steps, start } => avro::read(steps, *start, value, sink),
            Program::Protobuf(messages) => protobuf::read(messages, value, sink),
        };
        read.map_err(|detail| {
            let name = schema.format.name();
            malformed(format!("not {name} of schema {id}: {detail}; write it with the schema that it names"))
        })?;
        if !compiled.topics.iter().any(|topic| **topic == *message.topic) {
            compiled.topics.push(message.topic.as_ref().into());
            changes.extend(compiled.compared(id, &message.topic, newest));
        }
        Ok(())
    }
}

impl<E: FnMut(RecordRef<'_>)> Job<'_, E> {
    /// One value, whose rows have no bytes of their own.
    pub(super) fn framed(&mut self) {
        let len = self.message.payload.len();
        let first_dead = self.dead.len();
        match self.programs.read(self.schema, self.message, self.position, &mut self.scratch.capture) {
            Ok(()) => self.emit_rows(&[]),
            Err((reason, detail)) => self.refuse_payload(reason, detail, 0..len),
        }
        self.dead[first_dead..].iter_mut().for_each(|dead| dead.range = 0..len);
    }
}

/// What is known of a schema; asked for once.
fn find<'k>(
    known: &'k mut Vec<(Arc<str>, HashMap<i32, Known>)>,
    schemas: &Schemas,
    source: &Arc<str>,
    id: i32,
) -> Option<&'k mut Known> {
    let at = match known.iter().position(|(name, _)| *name == *source) {
        Some(at) => at,
        None => {
            known.push((source.clone(), HashMap::new()));
            known.len() - 1
        }
    };
    let of_source = &mut known[at].1;
    // An id that nobody knows is not kept: there are four thousand million of them.
    if !of_source.contains_key(&id) {
        let schema = schemas.get(source, id)?;
        of_source.insert(id, Known { schema, text: None, programs: Vec::new() });
    }
    of_source.get_mut(&id)
}

impl Known {
    fn program(&mut self, schema: &Schema, path: &[i32]) -> Result<&mut Compiled, String> {
        if self.text.is_none() {
            self.text = Some(self.read_text(schema));
        }
        let at = match (self.programs.iter().position(|(of, _)| **of == *path), &self.text) {
            (Some(at), _) => at,
            (None, Some(Ok(Some(file)))) => {
                let made = protobuf_schema::compile(schema, file, path)?;
                if self.programs.len() == PROGRAMS_MAX {
                    self.programs.remove(0);
                }
                self.programs.push((path.into(), Compiled::of(schema, made)));
                self.programs.len() - 1
            }
            (None, Some(Err(detail))) => return Err(detail.clone()),
            (None, _) => return Err("it has no messages".to_owned()),
        };
        Ok(&mut self.programs[at].1)
    }

    /// Of Avro it is a program by itself.
    fn read_text(&mut self, schema: &Schema) -> Result<Option<FileDescriptor>, String> {
        let name = schema.format.name();
        let unusable = |detail: String| format!("not usable as {name}: {detail}");
        match (&schema.format, self.schema.kind.as_str()) {
            (FormatPlan::Avro, "AVRO") => {
                let made = avro_schema::compile(schema, &self.schema).map_err(unusable)?;
                self.programs.push(([].into(), Compiled::of(schema, made)));
                Ok(None)
            }
            (FormatPlan::Protobuf, "PROTOBUF") => {
                protobuf_schema::file(&self.schema).map(Some).map_err(unusable)
            }
            (_, kind) => Err(format!(
                "it is of type {kind}, and the stream's `format` is {name:?}; correct that, or give messages of the other \
                 format a stream of their own"
            )),
        }
    }
}

impl Compiled {
    fn of(schema: &Schema, made: Made) -> Self {
        let Made { program, fields, taken } = made;
        Compiled { program, fields: Arc::new(fields), missing: missing(schema, &taken), topics: Vec::new() }
    }

    /// How it differs from the schema that the topic had before; `None` if in nothing that matters.
    fn compared(&self, id: i32, topic: &str, newest: &mut Vec<(Box<str>, Arc<Fields>)>) -> Option<Change> {
        let changed = match newest.iter_mut().find(|(name, _)| **name == *topic) {
            Some((_, before)) => {
                let changed = Fields::changes(before, &self.fields);
                *before = self.fields.clone();
                changed
            }
            None => {
                newest.push((topic.into(), self.fields.clone()));
                Vec::new()
            }
        };
        let change = Change { schema: id, fields: changed, missing: self.missing.clone() };
        (!change.fields.is_empty() || !change.missing.is_empty()).then_some(change)
    }
}

/// Labels of the stream's paths that no field goes to.
fn missing(schema: &Schema, taken: &[Place]) -> Vec<Box<str>> {
    let slots = |scope: super::json::Scope| {
        let of_scope = taken.iter().filter(move |place| place.scope == scope);
        of_scope.filter_map(|place| node(schema, *place).slot).collect::<Vec<u16>>()
    };
    let (document, point) = (slots(super::json::Scope::Document), slots(super::json::Scope::Point));
    let lost = schema.fields().into_iter().filter(|field| match field.origin {
        Origin::Document(slot) => !document.contains(&slot),
        Origin::Point(slot) => !point.contains(&slot),
        Origin::Topic(_) | Origin::Constant(_) | Origin::Kafka(_) => false,
    });
    lost.map(|field| field.label.clone()).collect()
}

/// Which message of the schema follows: indices, zigzag, behind their count; a count of 0 is the first message.
fn indices<'p>(bytes: &mut &[u8], path: &'p mut [i32; INDICES_MAX]) -> Result<&'p [i32], String> {
    let mut next =
        || varint(bytes).map(signed).map_err(|_| "it ends within the message's indices".to_owned());
    let count = next()?;
    if count == 0 {
        return Ok(&path[..1]);
    }
    let count = usize::try_from(count).ok().filter(|count| *count <= INDICES_MAX);
    let count =
        count.ok_or("the message's indices are none; write it with a serializer that uses the registry")?;
    for index in &mut path[..count] {
        *index = i32::try_from(next()?).map_err(|_| "a message's index is out of range")?;
    }
    Ok(&path[..count])
}
