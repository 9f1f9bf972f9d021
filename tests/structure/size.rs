//! Files of at most 300 lines, functions of at most 60: what fits a reader's head.

use crate::source::{Source, sources};

const FILE_LINES_MAX: usize = 300;
const FUNCTION_LINES_MAX: usize = 60;

/// Longer files, with the length they may not pass and why they are as they are.
const LONGER_FILES: &[(&str, usize, &str)] = &[
    ("decode/json.rs", 330, "one tokeniser"),
    ("decode/payload.rs", 320, "one payload, in each of its forms"),
    ("demo/difficulty.rs", 350, "tests: how hard the faults are to see"),
    ("durable/faulty.rs", 330, "the disk's twin, every fault of it"),
    ("durable/log_tests.rs", 340, "tests"),
];

/// Longer functions, by file and name.
const LONGER_FUNCTIONS: &[(&str, &str, usize, &str)] =
    &[("pipeline/mod.rs", "start_alone", 89, "the wiring itself, read from top to bottom")];

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for file in sources() {
        let lines = file.text.lines().count();
        let longer = LONGER_FILES.iter().find(|(path, ..)| *path == file.path);
        if lines > longer.map_or(FILE_LINES_MAX, |(_, max, _)| *max) {
            wrong.push(format!("src/{}: {lines} lines", file.path));
        }
    }
    assert!(wrong.is_empty(), "cut them up:\n{}", wrong.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    // A test may be one long table of cases.
    for file in sources().into_iter().filter(|file| !file.is_test()) {
        for (name, lines) in functions(&file) {
            let longer = LONGER_FUNCTIONS.iter().find(|(path, f, ..)| *path == file.path && *f == name);
            if lines > longer.map_or(FUNCTION_LINES_MAX, |(_, _, max, _)| *max) {
                wrong.push(format!("src/{}: fn {name}: {lines} lines", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "cut them up:\n{}", wrong.join("\n"));
}

/// An exception that is no longer needed goes.
#[test]
fn exceptions_are_still_needed() {
    let files = sources();
    let of = |path: &str| files.iter().find(|file| file.path == path);
    for (path, ..) in LONGER_FILES {
        let lines = of(path).map_or(0, |file| file.text.lines().count());
        assert!(lines > FILE_LINES_MAX, "{path} has {lines} lines: take it off the list");
    }
    for (path, name, ..) in LONGER_FUNCTIONS {
        let found = of(path).map(functions).unwrap_or_default();
        let lines = found.iter().find(|(f, _)| f == name).map_or(0, |(_, lines)| *lines);
        assert!(lines > FUNCTION_LINES_MAX, "{path}: fn {name} has {lines} lines: take it off the list");
    }
}

/// Name and length of each function, by rustfmt's layout: the body ends with the first `}` that stands
/// as far in as the `fn`.
fn functions(file: &Source) -> Vec<(String, usize)> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let ends = |line: &str| {
            line.len() > indent && line[..indent].trim().is_empty() && line[indent..].starts_with('}')
        };
        let one_line = line.ends_with('}') || line.ends_with(';');
        let length =
            if one_line { 1 } else { lines[start..].iter().position(|l| ends(l)).map_or(1, |n| n + 1) };
        found.push((name.to_owned(), length));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[test]
fn lengths_are_measured() {
    let text = "impl A {\n    pub async fn f(\n        a: u8,\n    ) -> u8 {\n        if a {\n        }\n    }\n    fn g() {}\n}\n";
    let file = Source { path: "a.rs".into(), text: text.into() };
    assert_eq!(functions(&file), [("f".to_owned(), 6), ("g".to_owned(), 1)]);
}
