//! A schema of Protobuf, as the text of a `.proto` file, turned into what a stream's messages are read by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use protox::Compiler as Protox;
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::super::schema::Schema;
use super::fields::{DEPTH_MAX, FieldType, Fields};
use super::protobuf::{Field, Message, Scalar, Unwritten, What};
use super::sink::{Place, child, children, holds_points, node};
use super::{Made, Program};
use crate::schemas;

/// What the schema itself is called beside what it imports.
const ROOT: &str = "__schema__.proto";

/// The texts of a registry as files, and those that come with Protobuf.
struct Texts(schemas::Schema);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let schemas::Schema { text, references, .. } = &self.0;
        let found = match name {
            ROOT => Some(text),
            _ => references.iter().find(|reference| reference.name == name).map(|reference| &reference.text),
        };
        match found {
            Some(text) => match compiled(name, text) {
                Some(file) => Ok(file),
                None => File::from_source(name, text),
            },
            None => match confluent(name) {
                Some(text) => File::from_source(name, text),
                None => GoogleFileResolver::new().open_file(name),
            },
        }
    }
}

/// What Confluent's serializers import without registering it: notes on parts of a schema, and decimal numbers.
fn confluent(name: &str) -> Option<&'static str> {
    match name {
        "confluent/meta.proto" => Some(include_str!("confluent/meta.proto")),
        "confluent/type/decimal.proto" => Some(include_str!("confluent/decimal.proto")),
        _ => None,
    }
}

/// Some producers register a compiled descriptor in base64, and some registries give it back as it came. A `.proto` file is
/// none: it has spaces.
fn compiled(name: &str, text: &str) -> Option<File> {
    let bytes = STANDARD.decode(text).ok()?;
    let mut file = FileDescriptorProto::decode(&bytes[..]).ok()?;
    file.name = Some(name.to_owned());
    Some(File::from_file_descriptor_proto(file))
}

/// What a schema's text holds.
///
/// # Errors
/// If it is no schema of Protobuf.
pub(super) fn file(of: &schemas::Schema) -> Result<FileDescriptor, String> {
    let mut protox = Protox::with_file_resolver(Texts(of.clone()));
    let pool = protox.open_file(ROOT).map_err(|error| error.to_string())?.descriptor_pool();
    pool.get_file_by_name(ROOT).ok_or_else(|| "it cannot be read".to_owned())
}

/// For the message that `path` leads to: its index in the file, then in the message before.
///
/// # Errors
/// If the file has no such message.
pub(super) fn compile(schema: &Schema, file: &FileDescriptor, path: &[i32]) -> Result<Made, String> {
    let mut found: Option<MessageDescriptor> = None;
    for index in path {
        let index = usize::try_from(*index).unwrap_or(usize::MAX);
        found = match &found {
            None => file.messages().nth(index),
            Some(outer) => outer.child_messages().nth(index),
        };
        if found.is_none() {
            break;
        }
    }
    let root = found.ok_or_else(|| {
        format!("it has no message at index {path:?}; send one that is in the schema that the payload names")
    })?;
    let mut compiler = Compiler { schema, messages: Vec::new(), taken: Vec::new() };
    compiler.message(&root, Place::DOCUMENT);
    let Compiler { messages, taken, .. } = compiler;
    let mut fields = Fields::default();
    list(&root, "", "", 0, &mut fields);
    Ok(Made { program: Program::Protobuf(messages), fields, taken })
}

struct Compiler<'a> {
    schema: &'a Schema,
    messages: Vec<Message>,
    taken: Vec<Place>,
}

impl Compiler<'_> {
    /// Finite, since it goes no further than the stream's paths.
    fn message(&mut self, of: &MessageDescriptor, place: Place) -> u32 {
        self.taken.push(place);
        let index = self.messages.len();
        self.messages.push(Message { fields: Vec::new(), unwritten: Vec::new() });
        let (mut fields, mut unwritten) = (Vec::new(), Vec::new());
        let all: Vec<FieldDescriptor> = of.fields().collect();
        for field in &all {
            let Some(at) = self.place(&all, field, place) else { continue };
            self.taken.push(at);
            let what = self.what(field, at);
            match &what {
                What::Scalar(scalar, at) if !field.supports_presence() => {
                    unwritten.push(Unwritten::Value(scalar.clone(), *at));
                }
                What::Points(_) => unwritten.push(Unwritten::Points),
                _ => {}
            }
            fields.push(Field { number: field.number(), what });
        }
        fields.sort_by_key(|field| field.number);
        self.messages[index] = Message { fields, unwritten };
        index as u32
    }

    /// A field goes where its name leads, or the name it has in JSON, unless another has that for its own.
    fn place(&self, all: &[FieldDescriptor], field: &FieldDescriptor, place: Place) -> Option<Place> {
        let by_name = child(self.schema, Some(place), field.name());
        by_name.or_else(|| {
            let json = field.json_name();
            let other = all.iter().any(|other| other.name() == json);
            child(self.schema, Some(place), json).filter(|_| !other)
        })
    }

    fn what(&mut self, field: &FieldDescriptor, at: Place) -> What {
        if field.is_map() {
            return self.map(field, at);
        }
        let kind = field.kind();
        if field.is_list() {
            return match &kind {
                Kind::Message(of) if holds_points(self.schema, Some(at)) => {
                    What::Points(self.message(of, Place::POINT))
                }
                _ => What::Array(at),
            };
        }
        match &kind {
            Kind::Message(of) => {
                let is_end = node(self.schema, at).is_leaf();
                match of.full_name() {
                    "google.protobuf.Timestamp" if is_end => What::Instant(at),
                    "confluent.type.Decimal" if is_end => What::Decimal(at),
                    name if is_end && is_wrapper(name) => What::Wrapper(self.only(of, "value", at)),
                    _ => What::Message(self.message(of, at), at),
                }
            }
            _ => scalar(&kind).map_or(What::Array(at), |scalar| What::Scalar(scalar, at)),
        }
    }

    /// A message of which only one field is wanted, and that where the message itself would go.
    fn only(&mut self, of: &MessageDescriptor, name: &str, at: Place) -> u32 {
        let Some(field) = of.get_field_by_name(name) else { return self.message(of, at) };
        let index = self.messages.len();
        self.messages.push(Message { fields: Vec::new(), unwritten: Vec::new() });
        self.taken.push(at);
        let what = self.what(&field, at);
        let unwritten = match &what {
            // An entry of a map, too, holds a zero that is not written.
            What::Scalar(scalar, at) => vec![Unwritten::Value(scalar.clone(), *at)],
            _ => Vec::new(),
        };
        self.messages[index] = Message { fields: vec![Field { number: field.number(), what }], unwritten };
        index as u32
    }

    fn map(&mut self, field: &FieldDescriptor, at: Place) -> What {
        let Kind::Message(entry) = field.kind() else { return What::Array(at) };
        let mut wanted = Vec::new();
        if matches!(entry.map_entry_key_field().kind(), Kind::String) {
            for name in children(self.schema, Some(at)) {
                if let Some(below) = child(self.schema, Some(at), &name) {
                    let message = self.only(&entry, "value", below);
                    wanted.push((name, message));
                }
            }
        }
        What::Map { place: at, wanted }
    }
}

/// Messages that hold one value, so that none can be said.
fn is_wrapper(name: &str) -> bool {
    let name = name.strip_prefix("google.protobuf.");
    name.and_then(|name| name.strip_suffix("Value")).is_some_and(|kind| {
        ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"].contains(&kind)
    })
}

fn scalar(kind: &Kind) -> Option<Scalar> {
    Some(match kind {
        Kind::Double => Scalar::Double,
        Kind::Float => Scalar::Float,
        Kind::Int32 => Scalar::Int32,
        Kind::Int64 => Scalar::Int64,
        Kind::Uint32 | Kind::Uint64 => Scalar::UInt,
        Kind::Sint32 | Kind::Sint64 => Scalar::Zigzag,
        Kind::Fixed32 => Scalar::Fixed32,
        Kind::Fixed64 => Scalar::Fixed64,
        Kind::Sfixed32 => Scalar::Signed32,
        Kind::Sfixed64 => Scalar::Signed64,
        Kind::Bool => Scalar::Bool,
        Kind::String => Scalar::Text,
        Kind::Bytes => Scalar::Bytes,
        Kind::Enum(of) => {
            Scalar::Enum(of.values().map(|value| (value.number(), value.name().into())).collect())
        }
        Kind::Message(_) => return None,
    })
}

/// Lists the fields below `path` for comparison; `numbers` are those of the path.
fn list(of: &MessageDescriptor, path: &str, numbers: &str, depth: usize, fields: &mut Fields) {
    let join = |to: &str, name: &str| if to.is_empty() { name.to_owned() } else { format!("{to}.{name}") };
    for field in of.fields() {
        let (under, number) = (join(path, field.name()), join(numbers, &field.number().to_string()));
        let (name, rank) = type_of(&field);
        let of_json = join(path, field.json_name());
        let aliases = if of_json == under { Vec::new() } else { vec![of_json] };
        if !fields.add(&under, FieldType { name, rank, number: Some(number.clone()), aliases }) {
            return;
        }
        if let Kind::Message(inner) = field.kind()
            && depth + 1 < DEPTH_MAX
            && !field.is_map()
        {
            list(&inner, &under, &number, depth + 1, fields);
        }
    }
}

/// A type in a word, and its rank among those of numbers.
fn type_of(field: &FieldDescriptor) -> (String, Option<u8>) {
    let (name, rank) = match field.kind() {
        Kind::Int32 => ("int32", Some(1)),
        Kind::Sint32 => ("sint32", Some(1)),
        Kind::Sfixed32 => ("sfixed32", Some(1)),
        Kind::Uint32 => ("uint32", Some(1)),
        Kind::Fixed32 => ("fixed32", Some(1)),
        Kind::Int64 => ("int64", Some(2)),
        Kind::Sint64 => ("sint64", Some(2)),
        Kind::Sfixed64 => ("sfixed64", Some(2)),
        Kind::Uint64 => ("uint64", Some(2)),
        Kind::Fixed64 => ("fixed64", Some(2)),
        Kind::Float => ("float", Some(3)),
        Kind::Double => ("double", Some(4)),
        Kind::Bool => ("bool", None),
        Kind::String => ("string", None),
        Kind::Bytes => ("bytes", None),
        Kind::Message(_) if field.is_map() => ("map", None),
        Kind::Message(_) => ("message", None),
        Kind::Enum(_) => ("enum", None),
    };
    match field.is_list() {
        true => (format!("repeated {name}"), None),
        false => (name.to_owned(), rank),
    }
}
