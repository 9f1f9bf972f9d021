//! One value of the config with its place: read as a type, or blamed.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::node::{Node, Value};
use super::plan::Warning;
use super::problem::{Origin, Problem};
use super::section::{Scope, Secrets, Section};
use super::units::{parse_duration, parse_size, show_duration, show_size};

/// Longest name of a source, stream, sink, column or deployment.
pub const NAME_LENGTH_MAX: usize = 64;

/// In place of a secret that is not looked up; wherever one may stand it is well formed.
const STAND_IN: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[derive(Clone)]
pub struct Field<'a> {
    scope: &'a Scope<'a>,
    node: &'a Node,
    path: String,
}

impl<'a> Field<'a> {
    pub fn root(scope: &'a Scope<'a>, node: &'a Node) -> Self {
        Field { scope, node, path: String::new() }
    }

    pub fn child(&self, key: &str, node: &'a Node) -> Self {
        // Escaped, since a quoted key may hold a line break and a problem is one line.
        let key = key.escape_debug();
        let path = if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) };
        Field { scope: self.scope, node, path }
    }

    /// The place of `key` inside this table: where it stands, or the table itself if it does not.
    pub fn locate(&self, key: &str) -> Self {
        let inner = match &self.node.value {
            Value::Table(table) => table.get(key),
            _ => None,
        };
        self.child(key, inner.unwrap_or(self.node))
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn problem(&self, fault: impl Into<String>, remedy: impl Into<String>) {
        self.scope.problems.borrow_mut().push(Problem {
            origin: self.node.origin.clone(),
            key: self.path.clone(),
            fault: fault.into(),
            remedy: remedy.into(),
        });
    }

    /// Records a wrong type. Says the type, not the value: it may be a secret.
    fn mistyped<T>(&self, wanted: &str, example: &str) -> Option<T> {
        let found = self.node.value.type_name();
        self.problem(format!("is {found} where {wanted} is expected"), format!("Write it like `{example}`."));
        None
    }

    pub fn is_text(&self) -> bool {
        matches!(self.node.value, Value::Text(_))
    }

    pub fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }

    pub fn text(&self) -> Option<&'a str> {
        match (&self.node.value, &self.node.verbatim) {
            (Value::Text(text), _) | (_, Some(text)) => Some(text),
            (_, None) => self.mistyped("a string", "\"…\""),
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Bool(flag) => Some(flag),
            _ => self.mistyped("a boolean", "true"),
        }
    }

    pub fn integer(&self, bounds: RangeInclusive<i64>) -> Option<i64> {
        match self.node.value {
            Value::Integer(number) => self.bounded(number, &bounds, |n| n.to_string()),
            _ => self.mistyped("an integer", &bounds.start().to_string()),
        }
    }

    /// The integer, if it is one, without judging it.
    pub fn peek_integer(&self) -> Option<i64> {
        match self.node.value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    pub fn number(&self, bounds: RangeInclusive<f64>) -> Option<f64> {
        let number = self.any_number(&bounds.end().to_string())?;
        self.bounded(number, &bounds, |n| n.to_string())
    }

    /// One that may be infinite, or none at all; `example` is shown where there is something else.
    pub fn any_number(&self, example: &str) -> Option<f64> {
        match self.node.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => self.mistyped("a number", example),
        }
    }

    pub fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let Value::Text(text) = &self.node.value else {
            return self.mistyped("a duration", "\"30s\"");
        };
        match parse_duration(text) {
            Some(duration) => self.bounded(duration, &bounds, |d| show_duration(*d)),
            None => {
                self.problem(
                    format!("{text:?} is not a duration"),
                    "Write a whole number and one of ms, s, m, h, d, such as \"64s\" or \"10m\".",
                );
                None
            }
        }
    }

    /// In bytes.
    pub fn size(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let Value::Text(text) = &self.node.value else {
            return self.mistyped("a size", "\"8MB\"");
        };
        match parse_size(text) {
            Some(bytes) => self.bounded(bytes, &bounds, |b| show_size(*b)),
            None => {
                self.problem(
                    format!("{text:?} is not a size"),
                    "Write a whole number and one of B, kB, MB, GB, KiB, MiB, GiB, such as \"64MB\".",
                );
                None
            }
        }
    }

    pub fn listen(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        let address = text.parse().ok();
        if address.is_none() {
            self.problem(
                format!("{text:?} is not an address to listen on"),
                "Write an IP address and a port, such as \"127.0.0.1:8088\" or \"[::1]:8088\".",
            );
        }
        address
    }

    /// A path, relative to the folder Eddy is started in.
    pub fn file_path(&self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() || text.contains('\0') {
            self.problem("is not a path", "Write the path of a file or folder.");
            return None;
        }
        Some(PathBuf::from(text))
    }

    /// A text that names something: it ends up in file names, metrics and alert ids.
    pub fn name(&self) -> Option<&'a str> {
        let text = self.text()?;
        self.check_name(text).then_some(text)
    }

    /// Whether `name` may name something; a problem here if not.
    pub fn check_name(&self, name: &str) -> bool {
        let legal = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let fits = (1..=NAME_LENGTH_MAX).contains(&name.len());
        if !legal || !fits {
            self.problem(
                "is not a usable name",
                format!("Use 1 to {NAME_LENGTH_MAX} characters of A-Z, a-z, 0-9, _ and -."),
            );
        }
        legal && fits
    }

    /// The elements of an array, or the value itself where one may be written without brackets.
    pub fn one_or_many(&self) -> Vec<Field<'a>> {
        match &self.node.value {
            Value::Array(items) => {
                items.iter().map(|node| Field { scope: self.scope, node, path: self.path.clone() }).collect()
            }
            _ => vec![self.clone()],
        }
    }

    pub fn section(&self) -> Option<Section<'a>> {
        match &self.node.value {
            Value::Table(table) => Some(Section::new(self.clone(), table)),
            _ => self.mistyped("a table", "{ … }"),
        }
    }

    /// A text, or what the variable holds that `"env:NAME"` points to. The result is a secret.
    pub fn secret(&self) -> Option<&'a str> {
        let text = self.text()?;
        let Some(variable) = text.strip_prefix("env:") else {
            if text.is_empty() {
                self.problem("is empty", "Write \"env:NAME\" and set that variable.");
                return None;
            }
            return Some(text);
        };
        // Not repeated: somebody may have put the secret itself here.
        let legal = variable.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if variable.is_empty() || !legal || variable.starts_with("whsec_") {
            self.problem(
                "does not name an environment variable after env:",
                "Write \"env:NAME\" where NAME has only letters, digits and underscores.",
            );
            return None;
        }
        if !self.sees_secrets() {
            return Some(STAND_IN);
        }
        match self.scope.env.get(variable) {
            Some(value) if !value.is_empty() => Some(value),
            found => {
                let state = if found.is_some() { "empty" } else { "not set" };
                self.problem(
                    format!("the environment variable {variable:?} is {state}"),
                    format!("Set {variable} in the environment Eddy is started from."),
                );
                None
            }
        }
    }

    /// Whether this is the environment that Eddy runs in, or will.
    pub fn sees_secrets(&self) -> bool {
        self.scope.secrets == Secrets::LookedUp
    }

    /// A variable of the environment that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&'a str> {
        self.scope.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A problem of a variable that is no override.
    pub fn blame(&self, variable: &str, fault: impl Into<String>, remedy: impl Into<String>) {
        let origin = Origin::Variable(variable.to_owned());
        let (key, fault, remedy) = (String::new(), fault.into(), remedy.into());
        self.scope.problems.borrow_mut().push(Problem { origin, key, fault, remedy });
    }

    pub fn problems_count(&self) -> usize {
        self.scope.problems.borrow().len()
    }

    /// Nothing is to stop for the problems of variables recorded since there were `before`.
    pub fn excuse(&self, before: usize) {
        for Problem { origin, key, fault, remedy } in self.scope.problems.borrow_mut().split_off(before) {
            let variable = if let Origin::Variable(name) = origin { name } else { key };
            self.scope.warnings.borrow_mut().push(Warning { variable, fault, remedy });
        }
    }

    fn bounded<T: PartialOrd>(
        &self,
        value: T,
        bounds: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        if bounds.contains(&value) {
            return Some(value);
        }
        let (low, high) = (show(bounds.start()), show(bounds.end()));
        self.problem(format!("{} is out of bounds", show(&value)), format!("Choose from {low} to {high}."));
        None
    }
}
