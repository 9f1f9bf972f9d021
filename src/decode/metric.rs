//! The metric that a row of the long layout names.

use super::found::Found;
use super::row::{Refusal, Row, dead};
use super::schema::{Field, Shape};
use crate::types::Reason;

impl Row<'_> {
    /// The name of a row's metric; `None` in the wide layout.
    pub(super) fn metric(&self) -> Option<&str> {
        let Shape::Long { column, .. } = &self.schema.shape else { return None };
        if let Found::Text(name) = self.find(column) { Some(name) } else { None }
    }

    pub(super) fn check_metric(
        &self,
        column: &Field,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let label = &column.label;
        match self.find(column) {
            Found::Text(name) if is_known(name) => Ok(()),
            Found::Text(_) => Err(Refusal::Ignored),
            Found::Absent | Found::Null => {
                dead(Reason::NoColumns, format!("`{label}` is missing; it must name the metric"))
            }
            found => dead(
                Reason::NoColumns,
                format!("`{label}` is {}; it must name the metric as a text", found.describe()),
            ),
        }
    }
}
