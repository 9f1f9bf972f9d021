//! Overrides from the environment: `EDDY__SOURCE__PLANT__URL=mqtt://…` sets `source.plant.url`.
//!
//! Two underscores go one level down. Names match without regard to case, and `_` matches `-`, since
//! a variable's name cannot hold one. The value is read as TOML if it parses, else as a string.

use std::collections::BTreeMap;

use super::node::{Node, Table, Value, parse_variable};
use super::problem::{Origin, Problem};
use super::suggest;

const PREFIX: &str = "EDDY__";

/// Sections whose second level is named by the user; an override cannot add to them, because a
/// misspelt name would then start something new in silence.
const NAMED: [&str; 3] = ["source", "stream", "sink"];

/// Lays every `EDDY__` variable over the tree. Keys that no section knows are found later, by the
/// section itself, and blamed on the variable.
pub fn apply(root: &mut Node, env: &BTreeMap<String, String>) -> Vec<Problem> {
    let is_override = |name: &str| name.get(..PREFIX.len()).is_some_and(|p| p.eq_ignore_ascii_case(PREFIX));
    env.iter()
        .filter(|(name, _)| is_override(name))
        .filter_map(|(name, value)| set(root, name, value).err())
        .collect()
}

fn set(root: &mut Node, name: &str, text: &str) -> Result<(), Problem> {
    let levels: Vec<&str> = name[PREFIX.len()..].split("__").collect();
    let problem = |path: &[String], fault: String, remedy: String| Problem {
        origin: Origin::Variable(name.to_string()),
        key: path.join("."),
        fault,
        remedy,
    };
    if levels.iter().any(|level| level.is_empty()) {
        return Err(problem(&[], "names no key".into(), "Write it like EDDY__DASHBOARD__LISTEN.".into()));
    }
    let mut path: Vec<String> = Vec::new();
    let mut at = root;
    for (depth, level) in levels.iter().enumerate() {
        let Value::Table(table) = &mut at.value else {
            let fault = "is a single value in the file, so nothing can be set inside it".to_string();
            let remedy = "Write it as a table in the file, or override it as a whole.".to_string();
            return Err(problem(&path, fault, remedy));
        };
        let known = find(table, level);
        if depth == 1 && known.is_none() && NAMED.contains(&path[0].as_str()) {
            path.push(level.to_ascii_lowercase());
            let fault = "names a section that is not in the file".to_string();
            let remedy = suggest::nearest(level, table.keys().map(String::as_str)).map_or_else(
                || format!("Add [{}] to the file first.", path.join(".")),
                |near| format!("Did you mean {PREFIX}{}__{}…?", levels[0], near.to_ascii_uppercase()),
            );
            return Err(problem(&path, fault, remedy));
        }
        let key = known.unwrap_or_else(|| level.to_ascii_lowercase());
        path.push(key.clone());
        let empty =
            Node { origin: Origin::Variable(name.into()), value: Value::Table(Table::new()), verbatim: None };
        at = table.entry(key).or_insert(empty);
    }
    *at = parse_variable(name, text);
    Ok(())
}

/// The key of `table` that a variable's level means.
fn find(table: &Table, level: &str) -> Option<String> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    if table.contains_key(level) {
        return Some(level.to_string());
    }
    table.keys().find(|key| plain(key) == plain(level)).cloned()
}
