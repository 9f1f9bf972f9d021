//! What may happen to a field of a schema.

/// From one schema of a topic to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaChange {
    Added,
    Dropped,
    Renamed,
    /// Of a type that holds every number of the one before.
    Widened,
    /// Of another type.
    Retyped,
}

impl SchemaChange {
    pub const ALL: [SchemaChange; 5] = [
        SchemaChange::Added,
        SchemaChange::Dropped,
        SchemaChange::Renamed,
        SchemaChange::Widened,
        SchemaChange::Retyped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            SchemaChange::Added => "added",
            SchemaChange::Dropped => "dropped",
            SchemaChange::Renamed => "renamed",
            SchemaChange::Widened => "widened",
            SchemaChange::Retyped => "retyped",
        }
    }
}
