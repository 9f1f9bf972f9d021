//! A stream's plan compiled for decoding: where each field comes from, worked out once.

use hashbrown::HashMap;

use super::trie::{Trie, TrieBuilder};
use crate::config::plan::{
    ColumnPlan, FieldPath, FormatPlan, KafkaField, Layout, StreamPlan, TimePlan, TimeUnit,
};
use crate::types::StreamId;

/// Where a field's value is found while a row is put together.
#[derive(Debug)]
pub(super) enum Origin {
    /// Topic level, counted from 1.
    Topic(usize),
    Constant(Box<str>),
    Kafka(KafkaField),
    /// Slot of the document.
    Document(u16),
    /// Slot of the point.
    Point(u16),
}

#[derive(Debug)]
pub(super) struct Field {
    pub origin: Origin,
    /// The path as the user wrote it, for messages.
    pub label: Box<str>,
}

#[derive(Debug)]
pub(super) enum Time {
    Arrival,
    Field { field: Field, unit: TimeUnit },
}

#[derive(Debug)]
pub(super) enum Shape {
    Wide { columns: Vec<Field> },
    Long { column: Field, value: Field, names: HashMap<Box<str>, u16> },
}

/// Everything needed to decode one stream's messages.
#[derive(Debug)]
pub(super) struct Schema {
    pub stream: StreamId,
    pub name: Box<str>,
    pub format: FormatPlan,
    pub key: Field,
    pub time: Time,
    pub shape: Shape,
    /// Where a message that is no event says what an earlier one turned out to be.
    pub outcome: Option<Field>,
    pub columns: usize,
    /// Which columns hold categories.
    pub categories: Box<[bool]>,
    /// Names of the columns as a message has them, for messages.
    pub column_labels: Box<str>,
    pub document: Trie,
    /// Present when the rows are the elements of an array inside the document.
    pub point: Option<Points>,
    /// How far ahead of its arrival an event may be, ns.
    pub max_future_ns: i64,
}

#[derive(Debug)]
pub(super) struct Points {
    pub trie: Trie,
    pub path: Vec<String>,
    pub label: Box<str>,
}

impl Schema {
    pub fn new(stream: StreamId, plan: &StreamPlan) -> Self {
        let mut compiler = Compiler::new(points_path(&plan.layout));
        let mut key = compiler.field(&plan.key, true);
        let mut time = match &plan.time {
            TimePlan::Arrival => Time::Arrival,
            TimePlan::Field { path, unit } => Time::Field { field: compiler.field(path, true), unit: *unit },
        };
        let mut shape = match &plan.layout {
            Layout::Wide { .. } => Shape::Wide {
                columns: plan.columns.iter().map(|c| compiler.field(&c.path, is_category(c))).collect(),
            },
            Layout::Long { column, value, .. } => Shape::Long {
                column: compiler.field(column, true),
                value: compiler.field(value, plan.columns.iter().any(is_category)),
                names: names(plan),
            },
        };
        let mut outcome = plan.outcome.as_ref().map(|path| compiler.field(path, true));
        let (document, point, slots) = compiler.build();
        slots.assign(&mut key);
        if let Time::Field { field, .. } = &mut time {
            slots.assign(field);
        }
        outcome.iter_mut().for_each(|field| slots.assign(field));
        match &mut shape {
            Shape::Wide { columns } => columns.iter_mut().for_each(|column| slots.assign(column)),
            Shape::Long { column, value, .. } => {
                [column, value].into_iter().for_each(|field| slots.assign(field))
            }
        }
        Schema {
            stream,
            name: plan.name.as_str().into(),
            format: plan.format.clone(),
            key,
            time,
            shape,
            outcome,
            columns: plan.columns.len(),
            categories: plan.columns.iter().map(is_category).collect(),
            column_labels: labels(plan),
            document,
            point,
            max_future_ns: plan
                .max_future
                .map_or(i64::MAX, |limit| i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX)),
        }
    }
}

impl Schema {
    /// Everything that is looked for in a message.
    pub fn fields(&self) -> Vec<&Field> {
        let mut fields = vec![&self.key];
        if let Time::Field { field, .. } = &self.time {
            fields.push(field);
        }
        fields.extend(&self.outcome);
        match &self.shape {
            Shape::Wide { columns } => fields.extend(columns),
            Shape::Long { column, value, .. } => fields.extend([column, value]),
        }
        fields
    }
}

fn is_category(column: &ColumnPlan) -> bool {
    column.aggregate.is_of_categories()
}

/// The long layout's metric names and the columns they fill.
fn names(plan: &StreamPlan) -> HashMap<Box<str>, u16> {
    let columns = plan.columns.iter().enumerate();
    columns.map(|(index, column)| (column.path.to_string().into_boxed_str(), index as u16)).collect()
}

fn labels(plan: &StreamPlan) -> Box<str> {
    let labels: Vec<String> = plan.columns.iter().map(|c| format!("`{}`", c.path)).collect();
    labels.join(", ").into()
}

/// Path of the array of points. A `points` that names the whole document means what a plain array
/// of rows means anyway.
fn points_path(layout: &Layout) -> Option<&[String]> {
    let (Layout::Wide { points } | Layout::Long { points, .. }) = layout;
    match points {
        Some(FieldPath::Json(path) | FieldPath::Root(path)) if !path.is_empty() => Some(path),
        _ => None,
    }
}

/// Builds the trees. Until they are built, a field's origin holds its number instead of its slot.
struct Compiler {
    document: TrieBuilder,
    point: Option<(TrieBuilder, Vec<String>)>,
}

struct Slots {
    document: Vec<u16>,
    point: Vec<u16>,
}

impl Compiler {
    fn new(points: Option<&[String]>) -> Self {
        let mut document = TrieBuilder::new();
        if let Some(path) = points {
            document.add_points(path);
        }
        Compiler { document, point: points.map(|path| (TrieBuilder::new(), path.to_vec())) }
    }

    fn field(&mut self, path: &FieldPath, wants_text: bool) -> Field {
        let origin = match (path, &mut self.point) {
            (FieldPath::Topic(level), _) => Origin::Topic(*level),
            (FieldPath::Constant(text), _) => Origin::Constant(text.as_str().into()),
            (FieldPath::Kafka(field), _) => Origin::Kafka(field.clone()),
            (FieldPath::Json(path), Some((point, _))) => Origin::Point(point.add(path, wants_text)),
            (FieldPath::Json(path) | FieldPath::Root(path), _) => {
                Origin::Document(self.document.add(path, wants_text))
            }
        };
        Field { origin, label: path.to_string().into() }
    }

    fn build(self) -> (Trie, Option<Points>, Slots) {
        let (document, document_slots) = self.document.build();
        let Some((point, path)) = self.point else {
            return (document, None, Slots { document: document_slots, point: Vec::new() });
        };
        let (trie, point_slots) = point.build();
        let label = path.join(".").into();
        (document, Some(Points { trie, path, label }), Slots { document: document_slots, point: point_slots })
    }
}

impl Slots {
    fn assign(&self, field: &mut Field) {
        match &mut field.origin {
            Origin::Document(number) => *number = self.document[*number as usize],
            Origin::Point(number) => *number = self.point[*number as usize],
            Origin::Topic(_) | Origin::Constant(_) | Origin::Kafka(_) => {}
        }
    }
}
