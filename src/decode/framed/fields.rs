//! What two schemas of one topic have apart.

use std::collections::BTreeMap;

use crate::types::SchemaChange;

/// Deeper and further fields are not compared.
pub(super) const DEPTH_MAX: usize = 8;
pub(super) const FIELDS_MAX: usize = 2000;

/// Types that are walked through at most: types that hold one another lead to the same path by many ways.
const WALKS_MAX: usize = 20_000;

/// Fields by their path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(pub BTreeMap<String, FieldType>);

/// How much of a schema may still be walked through.
#[derive(Debug)]
pub(super) struct Walks(usize);

impl Walks {
    pub fn new() -> Self {
        Walks(WALKS_MAX)
    }

    /// `false` once it is enough.
    pub fn one_more(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct FieldType {
    pub name: String,
    /// Each type of numbers holds those of lower rank.
    pub rank: Option<u8>,
    /// Protobuf: the field's numbers from the root on, which outlast its name.
    pub number: Option<String>,
    /// Avro: paths that it had before.
    pub aliases: Vec<String>,
}

impl Fields {
    /// `false` if there are too many.
    pub fn add(&mut self, path: &str, of: FieldType) -> bool {
        let fits = self.0.len() < FIELDS_MAX;
        if fits {
            self.0.insert(path.to_owned(), of);
        }
        fits
    }

    /// What is different, in words.
    pub fn changes(old: &Fields, new: &Fields) -> Vec<(SchemaChange, String)> {
        let mut changes = Vec::new();
        let mut renamed = Vec::new();
        for (path, was) in &old.0 {
            if let Some(is) = new.0.get(path) {
                if is.name != was.name {
                    let wider = is.rank > was.rank && was.rank.is_some();
                    let change = if wider { SchemaChange::Widened } else { SchemaChange::Retyped };
                    changes.push((change, format!("`{path}` was {} and is {}", was.name, is.name)));
                }
                continue;
            }
            let heir = new.0.iter().find(|(name, is)| {
                let of_number = is.number.is_some() && is.number == was.number;
                !old.0.contains_key(*name) && (of_number || is.aliases.contains(path))
            });
            match heir {
                Some((name, _)) => {
                    renamed.push(name);
                    changes.push((SchemaChange::Renamed, format!("`{path}` is now `{name}`")));
                }
                None => changes.push((SchemaChange::Dropped, format!("`{path}` is gone"))),
            }
        }
        for (path, is) in new.0.iter().filter(|(path, _)| !old.0.contains_key(*path)) {
            if !renamed.contains(&path) {
                changes.push((SchemaChange::Added, format!("`{path}` ({}) is new", is.name)));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path, type, rank, number, aliases.
    type Row<'a> = (&'a str, &'a str, Option<u8>, Option<&'a str>, &'a [&'a str]);

    fn fields(of: &[Row<'_>]) -> Fields {
        let field = |(path, name, rank, number, aliases): &Row<'_>| {
            let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
            let (name, number) = ((*name).to_owned(), number.map(str::to_owned));
            ((*path).to_owned(), FieldType { name, rank: *rank, number, aliases })
        };
        Fields(of.iter().map(field).collect())
    }

    #[test]
    fn each_change_is_told_by_its_kind() {
        use SchemaChange::{Added, Dropped, Renamed, Retyped, Widened};
        let old = fields(&[
            ("a", "int", Some(1), None, &[]),
            ("b", "double", Some(4), Some("7"), &[]),
            ("c", "double", Some(4), None, &[]),
            ("d", "string", None, None, &[]),
            ("e", "long", Some(2), None, &[]),
            ("f", "int", Some(1), None, &[]),
        ]);
        let new = fields(&[
            ("a", "long", Some(2), None, &[]),
            ("bb", "double", Some(4), Some("7"), &[]),
            ("cc", "double", Some(4), None, &["c"]),
            ("e", "int", Some(1), None, &[]),
            ("f", "string", None, None, &[]),
            ("g", "int", Some(1), None, &[]),
        ]);
        let found: Vec<SchemaChange> =
            Fields::changes(&old, &new).into_iter().map(|(change, _)| change).collect();
        assert_eq!(found, [Widened, Renamed, Renamed, Dropped, Retyped, Retyped, Added]);
        assert_eq!(Fields::changes(&old, &old), []);
    }
}
