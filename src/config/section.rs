//! Typed reading of one table. What does not fit is recorded, not returned, so that a reader can go
//! on and find the next problem; a component is built from `Option`s at its end.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::field::Field;
use super::node::{Node, Table};
use super::plan::Warning;
use super::problem::Problem;
use super::suggest;

/// What all readers of one config share.
pub struct Scope<'a> {
    pub env: &'a BTreeMap<String, String>,
    pub secrets: Secrets,
    pub problems: RefCell<Vec<Problem>>,
    /// What nothing stops for.
    pub warnings: RefCell<Vec<Warning>>,
}

/// Whether what `"env:NAME"` points to is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    LookedUp,
    /// They are of the environment of the Eddy that runs, and the plan holds stand-ins for them.
    Unseen,
}

/// One table on its way to becoming a component. It remembers every key it was asked for.
pub struct Section<'a> {
    field: Field<'a>,
    table: &'a Table,
    asked: Vec<&'static str>,
    hints: Vec<(&'static str, &'static str)>,
}

impl<'a> Section<'a> {
    pub fn new(field: Field<'a>, table: &'a Table) -> Self {
        Section { field, table, asked: Vec::new(), hints: Vec::new() }
    }

    /// The section itself, for problems that belong to no single key.
    pub fn here(&self) -> &Field<'a> {
        &self.field
    }

    /// The value of `key`, if it is there.
    pub fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        self.table.get(key).map(|node| self.field.child(key, node))
    }

    /// The value of `key`; a problem if it is missing. `example` is what to write after `key = `.
    pub fn required(&mut self, key: &'static str, example: &str) -> Option<Field<'a>> {
        let field = self.get(key);
        if field.is_none() {
            self.field.locate(key).problem("is missing", format!("Add `{key} = {example}`."));
        }
        field
    }

    /// What `read` makes of `key`, or `default` when it is absent. `None`: a problem was recorded.
    pub fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(Field<'a>) -> Option<T>,
    ) -> Option<T> {
        self.get(key).map_or(Some(default), read)
    }

    /// What `read` makes of `key`, `Some(None)` when it is absent. `None`: a problem was recorded.
    pub fn maybe<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Field<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.get(key).map_or(Some(None), |field| read(field).map(Some))
    }

    /// Keys that are often written here and belong elsewhere, with what to do instead.
    pub fn hint(&mut self, hints: &'static [(&'static str, &'static str)]) {
        self.hints.extend(hints);
    }

    /// Every entry, for tables whose keys the user chooses.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.table
            .iter()
            .map(|(key, node): (&'a String, &'a Node)| (key.as_str(), self.field.child(key, node)))
    }

    /// Reports the keys nobody asked for.
    pub fn finish(self) {
        for (key, node) in self.table.iter().filter(|(key, _)| !self.asked.contains(&key.as_str())) {
            let hint = self.hints.iter().find(|(elsewhere, _)| elsewhere == key);
            let near = suggest::nearest(key, self.asked.iter().copied());
            let remedy = match (hint, near) {
                (Some((_, remedy)), _) => (*remedy).to_owned(),
                (None, Some(near)) => format!("Did you mean `{near}`?"),
                (None, None) => format!("Remove it; known here: {}.", self.asked.join(", ")),
            };
            self.field.child(key, node).problem("unknown key", remedy);
        }
    }
}
