//! A column of a stream: where its numbers stand, and what a cell of the grid makes of them.

use super::FieldPath;

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnPlan {
    pub name: String,
    /// Wide: where the number is. Long: `Json([name as it appears in the message])`.
    pub path: FieldPath,
    pub unit: Option<String>,
    pub aggregate: Aggregate,
    /// How it must depart from what was expected to be a reason to tell; `None`: in any way.
    pub deviation: Option<DeviationRule>,
}

/// A side on which a value may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Above,
    Below,
    Both,
}

impl Direction {
    pub const ALL: [(&str, Direction); 3] =
        [("above", Direction::Above), ("below", Direction::Below), ("both", Direction::Both)];
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviationRule {
    pub direction: Direction,
    /// Least departure, in the column's unit.
    pub min_deviation: f64,
}

impl DeviationRule {
    /// `departure`: value less what was expected, in the column's unit; NaN, which meets no rule, if it is missing.
    pub fn is_met(&self, departure: f64) -> bool {
        let departure = match self.direction {
            Direction::Above => departure,
            Direction::Below => -departure,
            Direction::Both => departure.abs(),
        };
        departure > 0.0 && departure >= self.min_deviation
    }
}

/// What a cell makes of a column's readings in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    #[default]
    Mean,
    Last,
    Sum,
    Min,
    Max,
    /// How many readings there were.
    Count,
    /// The last reading over what is usual for the key.
    Ratio,
    /// Seconds from the key's event before to the last one.
    SinceLast,
    /// How rare the last category is for the key: `-ln` of its share.
    Rarity,
    /// How often events of the last category turned out to be fraud: of a second key, over all keys.
    Risk,
}

impl Aggregate {
    pub const ALL: [(&str, Aggregate); 10] = [
        ("mean", Aggregate::Mean),
        ("last", Aggregate::Last),
        ("sum", Aggregate::Sum),
        ("min", Aggregate::Min),
        ("max", Aggregate::Max),
        ("count", Aggregate::Count),
        ("ratio", Aggregate::Ratio),
        ("since_last", Aggregate::SinceLast),
        ("rarity", Aggregate::Rarity),
        ("risk", Aggregate::Risk),
    ];

    /// Takes more than the readings of a cell: what the key did before.
    pub fn needs_events(self) -> bool {
        matches!(self, Aggregate::Ratio | Aggregate::SinceLast | Aggregate::Rarity | Aggregate::Risk)
    }

    /// Of names, not of amounts.
    pub fn is_of_categories(self) -> bool {
        matches!(self, Aggregate::Rarity | Aggregate::Risk)
    }

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
