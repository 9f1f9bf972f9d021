//! A schema of Avro turned into steps for one stream.

use std::collections::BTreeMap;

use apache_avro::Schema as Avro;
use apache_avro::schema::{
    DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, RecordField, RecordSchema, ResolvedSchema,
    UuidSchema,
};

use super::super::schema::Schema;
use super::avro::{Step, What};
use super::fields::{DEPTH_MAX, FieldType, Fields, Walks};
use super::sink::{Place, child, holds_points};
use super::{Made, Program};
use crate::schemas;

/// # Errors
/// If the text is no schema of Avro.
pub(super) fn compile(schema: &Schema, of: &schemas::Schema) -> Result<Made, String> {
    let imported = of.references.iter().map(|reference| reference.text.as_str());
    let (root, others) = match of.references.len() {
        0 => (Avro::parse_str(&of.text).map_err(|e| e.to_string())?, Vec::new()),
        _ => Avro::parse_str_with_list(&of.text, imported).map_err(|e| e.to_string())?,
    };
    let all: Vec<&Avro> = others.iter().chain([&root]).collect();
    let names = ResolvedSchema::new_with_schemata(all).map_err(|e| e.to_string())?;
    let mut compiler =
        Compiler { schema, names: &names, steps: Vec::new(), skips: BTreeMap::new(), taken: Vec::new() };
    let start = compiler.step(&root, Some(Place::DOCUMENT))?;
    let Compiler { steps, taken, .. } = compiler;
    let mut fields = Fields::default();
    list(&names, &root, ("", 0), &mut fields, &mut Walks::new());
    Ok(Made { program: Program::Avro { steps, start }, fields, taken })
}

struct Compiler<'a> {
    schema: &'a Schema,
    names: &'a ResolvedSchema<'a>,
    steps: Vec<Step>,
    /// Of named types that no path leads into, which may hold themselves.
    skips: BTreeMap<String, u32>,
    taken: Vec<Place>,
}

impl<'a> Compiler<'a> {
    fn push(&mut self, place: Option<Place>, what: What) -> u32 {
        self.steps.push(Step { place, what });
        (self.steps.len() - 1) as u32
    }

    fn step(&mut self, avro: &'a Avro, place: Option<Place>) -> Result<u32, String> {
        self.taken.extend(place);
        let what = match avro {
            Avro::Null => What::Null,
            Avro::Boolean => What::Bool,
            Avro::Int | Avro::Date | Avro::TimeMillis => What::Int,
            // A local time stands for no moment: it is a count, as a JSON number is.
            Avro::Long
            | Avro::TimeMicros
            | Avro::LocalTimestampMillis
            | Avro::LocalTimestampMicros
            | Avro::LocalTimestampNanos => What::Long,
            Avro::TimestampMillis => What::Instant { ns: 1_000_000 },
            Avro::TimestampMicros => What::Instant { ns: 1_000 },
            Avro::TimestampNanos => What::Instant { ns: 1 },
            Avro::Float => What::Float,
            Avro::Double => What::Double,
            Avro::Bytes | Avro::BigDecimal | Avro::Uuid(UuidSchema::Bytes) => What::Bytes,
            Avro::String | Avro::Uuid(UuidSchema::String) => What::Text,
            Avro::Fixed(FixedSchema { size, .. })
            | Avro::Duration(FixedSchema { size, .. })
            | Avro::Uuid(UuidSchema::Fixed(FixedSchema { size, .. })) => What::Fixed(*size),
            Avro::Decimal(DecimalSchema { scale, inner, .. }) => What::Decimal {
                scale: i32::try_from(*scale).map_err(|_| "a decimal's scale is beyond all measure")?,
                fixed: match inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                },
            },
            Avro::Enum(EnumSchema { symbols, .. }) => {
                What::Enum(symbols.iter().map(|symbol| symbol.as_str().into()).collect())
            }
            Avro::Array(array) => {
                let points = holds_points(self.schema, place);
                let items = self.step(&array.items, points.then_some(Place::POINT))?;
                What::Array { items, points }
            }
            Avro::Map(map) => return self.map(&map.types, place),
            Avro::Union(union) => {
                let branches: Result<Box<[u32]>, String> =
                    union.variants().iter().map(|branch| self.step(branch, place)).collect();
                What::Union(branches?)
            }
            Avro::Record(record) => return self.record(record, place),
            Avro::Ref { name } => {
                let named = self.names.get_names().get(name).copied();
                return self.step(named.ok_or_else(|| format!("the type {name} is not defined"))?, place);
            }
        };
        Ok(self.push(place, what))
    }

    fn map(&mut self, values: &'a Avro, place: Option<Place>) -> Result<u32, String> {
        let skipped = self.step(values, None)?;
        let names: Vec<Box<str>> = super::sink::children(self.schema, place);
        let mut wanted = Vec::new();
        for name in names {
            let at = child(self.schema, place, &name);
            wanted.push((name, self.step(values, at)?));
        }
        Ok(self.push(place, What::Map { values: skipped, wanted: wanted.into() }))
    }

    fn record(&mut self, record: &'a RecordSchema, place: Option<Place>) -> Result<u32, String> {
        let name = record.name.fullname(None);
        if place.is_none()
            && let Some(step) = self.skips.get(&name)
        {
            return Ok(*step);
        }
        // Before its fields, which may be of this type again.
        let step = self.push(place, What::Record(Box::default()));
        if place.is_none() {
            self.skips.insert(name, step);
        }
        let places = self.places(&record.fields, place);
        let fields: Result<Box<[u32]>, String> =
            record.fields.iter().zip(places).map(|(field, at)| self.step(&field.schema, at)).collect();
        self.steps[step as usize].what = What::Record(fields?);
        Ok(step)
    }

    /// A field goes where its name leads, or one that it had before, unless another has that now.
    fn places(&self, fields: &[RecordField], place: Option<Place>) -> Vec<Option<Place>> {
        let mut places: Vec<Option<Place>> =
            fields.iter().map(|field| child(self.schema, place, &field.name)).collect();
        for (index, field) in fields.iter().enumerate() {
            if places[index].is_none() {
                let mut before = field.aliases.iter().filter_map(|alias| child(self.schema, place, alias));
                places[index] = before.find(|at| !places.contains(&Some(*at)));
            }
        }
        places
    }
}

/// Lists the fields below `path` for comparison.
fn list(
    names: &ResolvedSchema<'_>,
    avro: &Avro,
    (path, depth): (&str, usize),
    fields: &mut Fields,
    walks: &mut Walks,
) {
    if !walks.one_more() {
        return;
    }
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match avro {
        Avro::Record(record) if depth < DEPTH_MAX => {
            for field in &record.fields {
                let under = join(&field.name);
                let (name, rank) = type_of(names, &field.schema);
                let aliases = field.aliases.iter().map(|alias| join(alias)).collect();
                if !fields.add(&under, FieldType { name, rank, number: None, aliases }) {
                    return;
                }
                list(names, &field.schema, (&under, depth + 1), fields, walks);
            }
        }
        Avro::Union(union) => {
            union.variants().iter().for_each(|of| list(names, of, (path, depth), fields, walks))
        }
        Avro::Array(array) if depth < DEPTH_MAX => {
            list(names, &array.items, (path, depth + 1), fields, walks)
        }
        Avro::Ref { name } => {
            if let Some(named) = names.get_names().get(name) {
                list(names, named, (path, depth), fields, walks);
            }
        }
        _ => {}
    }
}

/// A type in a word, and its rank among those of numbers. Whether it may be null is no part of it.
fn type_of(names: &ResolvedSchema<'_>, avro: &Avro) -> (String, Option<u8>) {
    let (name, rank) = match avro {
        Avro::Int => ("int", Some(1)),
        Avro::Long => ("long", Some(2)),
        Avro::Float => ("float", Some(3)),
        Avro::Double => ("double", Some(4)),
        Avro::Null => ("null", None),
        Avro::Boolean => ("boolean", None),
        Avro::Bytes => ("bytes", None),
        Avro::String => ("string", None),
        Avro::Array(_) => ("array", None),
        Avro::Map(_) => ("map", None),
        Avro::Record(_) => ("record", None),
        Avro::Enum(_) => ("enum", None),
        Avro::Fixed(_) => ("fixed", None),
        Avro::Decimal(_) | Avro::BigDecimal => ("decimal", None),
        Avro::Uuid(_) => ("uuid", None),
        Avro::Date => ("date", None),
        Avro::TimeMillis => ("time-millis", None),
        Avro::TimeMicros => ("time-micros", None),
        Avro::TimestampMillis => ("timestamp-millis", None),
        Avro::TimestampMicros => ("timestamp-micros", None),
        Avro::TimestampNanos => ("timestamp-nanos", None),
        Avro::LocalTimestampMillis => ("local-timestamp-millis", None),
        Avro::LocalTimestampMicros => ("local-timestamp-micros", None),
        Avro::LocalTimestampNanos => ("local-timestamp-nanos", None),
        Avro::Duration(_) => ("duration", None),
        Avro::Ref { name } => {
            return names.get_names().get(name).map_or(("unknown".to_owned(), None), |of| type_of(names, of));
        }
        Avro::Union(union) => {
            let others = union.variants().iter().filter(|of| !matches!(of, Avro::Null));
            let types: Vec<(String, Option<u8>)> = others.map(|of| type_of(names, of)).collect();
            return match &types[..] {
                [one] => one.clone(),
                _ => (types.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" or "), None),
            };
        }
    };
    (name.to_owned(), rank)
}
