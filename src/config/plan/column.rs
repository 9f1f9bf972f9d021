//! A column of a stream: where its numbers stand, and what a cell of the grid makes of them.

use super::FieldPath;

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnPlan {
    pub name: String,
    /// Wide: where the number is. Long: `Json([name as it appears in the message])`.
    pub path: FieldPath,
    pub unit: Option<String>,
    pub aggregate: Aggregate,
}

/// What a grid cell makes of a column's readings in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    #[default]
    Mean,
    Last,
    Sum,
    Min,
    Max,
}

impl Aggregate {
    pub const ALL: [(&str, Aggregate); 5] = [
        ("mean", Aggregate::Mean),
        ("last", Aggregate::Last),
        ("sum", Aggregate::Sum),
        ("min", Aggregate::Min),
        ("max", Aggregate::Max),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, aggregate)| *aggregate == self).map_or("mean", |(name, _)| name)
    }
}

impl ColumnPlan {
    /// What a model knows the column by: one of sums is no model of means.
    pub fn schema_name(&self) -> String {
        match self.aggregate {
            Aggregate::Mean => self.name.clone(),
            other => format!("{} ({})", self.name, other.as_str()),
        }
    }
}
