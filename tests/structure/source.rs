//! Reading the repository as text: enough structure for rules about names and lines.

use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the product, by its path below `src/`.
pub struct Source {
    pub path: String,
    pub text: String,
}

/// Every Rust file below `src/`, in order of path.
pub fn sources() -> Vec<Source> {
    let src = root().join("src");
    let source = |file: PathBuf| Source {
        path: file.strip_prefix(&src).expect("below src/").display().to_string(),
        text: std::fs::read_to_string(&file).expect("a source file"),
    };
    let mut found: Vec<Source> =
        files(&src).into_iter().filter(|f| f.extension().is_some_and(|e| e == "rs")).map(source).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "only {} files: the walk is broken", found.len());
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder that can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

impl Source {
    /// The first folder, or the file's stem where it stands at the top.
    pub fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// A file of tests alone; its text is no part of the product.
    pub fn is_test(&self) -> bool {
        let stem = self.path.trim_end_matches(".rs");
        stem.split('/').any(|part| part == "tests" || part.ends_with("_tests") || part.ends_with("_fixtures"))
    }

    /// The lines of the product: no comments, no test module at the end; strings are left in.
    pub fn product(&self) -> String {
        let lines = self.text.lines().collect::<Vec<_>>();
        let tests = (0..lines.len()).find(|&i| {
            lines[i] == "#[cfg(test)]" && lines.get(i + 1).is_some_and(|next| next.ends_with("mod tests {"))
        });
        lines[..tests.unwrap_or(lines.len())]
            .iter()
            .map(|line| line.split("//").next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Modules at the top of the crate that this file names: through `crate::`, `eddy::`, or as many
    /// `super::` as lead out of its own.
    pub fn uses(&self) -> Vec<String> {
        let text = self.product();
        let own = self.path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count();
        let mut found = names_after(&text, "crate::");
        found.extend(names_after(&text, &"super::".repeat(own)));
        found.sort();
        found.dedup();
        found
    }
}

/// First segments of the paths after each `prefix`, those of a braced list included.
fn names_after(text: &str, prefix: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        // `super::super::x` is met once, at its full length.
        if prefix.starts_with("super") && text[..at].ends_with("super::") {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = &list[..list.find(';').unwrap_or(list.len())];
                let mut depth = 0;
                let mut start = true;
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if start && c.is_alphabetic() => {
                            found.push(name(&list[i..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
            None => found.push(name(rest)),
        }
    }
    found.retain(|name| !name.is_empty() && name != "super");
    found
}

#[test]
fn names_are_found_in_every_form() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let uses = |path, text| source(path, text).uses();
    assert_eq!(uses("sink/mod.rs", "use crate::alert::x;\nfn f() { crate::types::y() }"), ["alert", "types"]);
    assert_eq!(uses("sink/mod.rs", "use crate::{alert::{a, b}, types};"), ["alert", "types"]);
    assert_eq!(uses("sink/a.rs", "use super::super::alert::x;\nuse super::schedule;"), ["alert"]);
    assert_eq!(
        uses("sink/mod.rs", "// crate::alert\n#[cfg(test)]\nmod tests {\nuse crate::alert;\n}"),
        [""; 0]
    );
}
