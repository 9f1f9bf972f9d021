//! Where a field is found: `topic.3`, `vib.rms`, `$.site`, `=boiler`, `kafka.key`.

use std::fmt;

use super::field::Field;
use super::plan::{FieldPath, KafkaField};

/// Deepest path into a document, and last topic level that can be named.
const LEVELS_MAX: usize = 32;

/// As the user writes it.
impl fmt::Display for FieldPath {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldPath::Topic(level) => write!(to, "topic.{level}"),
            FieldPath::Json(path) if path.is_empty() => to.write_str("the value itself"),
            FieldPath::Json(path) => to.write_str(&path.join(".")),
            FieldPath::Root(path) => write!(to, "$.{}", path.join(".")),
            FieldPath::Constant(text) => write!(to, "={text}"),
            FieldPath::Kafka(field) => field.fmt(to),
        }
    }
}

/// Which kinds of path make sense for a key of the config.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// Anything: keys.
    Any,
    /// What differs from message to message: a topic level or a path into the document.
    Varying,
    /// A path into the document, or what a message of Kafka carries beside it.
    Message,
    /// A path into the document only.
    Document,
}

pub fn parse(field: &Field<'_>, allowed: Allowed) -> Option<FieldPath> {
    let text = field.text()?;
    let path = match read(text) {
        Ok(path) => path,
        Err((fault, remedy)) => {
            field.problem(format!("{text:?} {fault}"), remedy);
            return None;
        }
    };
    let fits = match &path {
        FieldPath::Constant(_) => allowed == Allowed::Any,
        FieldPath::Topic(_) => matches!(allowed, Allowed::Any | Allowed::Varying),
        FieldPath::Kafka(_) => allowed != Allowed::Document,
        FieldPath::Json(_) | FieldPath::Root(_) => true,
    };
    if !fits {
        let remedy = match allowed {
            Allowed::Varying => "Name a topic level such as \"topic.4\" or a field such as \"meta.name\".",
            _ => "Name a field of the document such as \"vib.rms\".",
        };
        field.problem(format!("{text:?} cannot be used here"), remedy);
    }
    fits.then_some(path)
}

type Wrong = (&'static str, &'static str);

fn read(text: &str) -> Result<FieldPath, Wrong> {
    if let Some(constant) = text.strip_prefix('=') {
        return match constant {
            "" => Err(("is an empty constant", "Write the text after the =, such as \"=boiler\".")),
            _ => Ok(FieldPath::Constant(constant.to_string())),
        };
    }
    if let Some(level) = text.strip_prefix("topic.") {
        return match level.parse() {
            Ok(level @ 1..=LEVELS_MAX) => Ok(FieldPath::Topic(level)),
            _ => Err((
                "names no topic level",
                "Levels count from 1: in plant/a/pump/7, topic.4 is 7. A field named topic is \"$.topic\".",
            )),
        };
    }
    if let Some(part) = text.strip_prefix("kafka.") {
        return match (part, part.strip_prefix("header.")) {
            ("key", _) => Ok(FieldPath::Kafka(KafkaField::Key)),
            ("timestamp", _) => Ok(FieldPath::Kafka(KafkaField::Timestamp)),
            (_, Some(name)) if !name.is_empty() => Ok(FieldPath::Kafka(KafkaField::Header(name.into()))),
            _ => Err((
                "names nothing of a Kafka message",
                "Write kafka.key, kafka.timestamp or kafka.header.NAME. A field named kafka is \"$.kafka\".",
            )),
        };
    }
    match text.strip_prefix("$.") {
        Some(rest) => steps(rest).map(FieldPath::Root),
        None => steps(text).map(FieldPath::Json),
    }
}

/// Splits at dots; `\.` is a dot that belongs to a name.
fn steps(text: &str) -> Result<Vec<String>, Wrong> {
    let mut steps = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.next_if_eq(&'.').is_some() => push(&mut steps, '.'),
            '.' => steps.push(String::new()),
            _ => push(&mut steps, letter),
        }
    }
    if steps.iter().any(String::is_empty) {
        return Err(("has an empty step", "Write names with one dot between them, such as \"vib.rms\"."));
    }
    if steps.len() > LEVELS_MAX {
        return Err(("is too deep", "Name a field at most 32 levels deep."));
    }
    Ok(steps)
}

fn push(steps: &mut [String], letter: char) {
    if let Some(last) = steps.last_mut() {
        last.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(steps: &[&str]) -> FieldPath {
        FieldPath::Json(steps.iter().map(|s| s.to_string()).collect())
    }

    #[test]
    fn every_form() {
        assert_eq!(read("topic.3"), Ok(FieldPath::Topic(3)));
        assert_eq!(read("vib.rms"), Ok(json(&["vib", "rms"])));
        assert_eq!(read(r"vib\.rms.x"), Ok(json(&["vib.rms", "x"])));
        assert_eq!(read("topic"), Ok(json(&["topic"])));
        assert_eq!(read("$.site.name"), Ok(FieldPath::Root(vec!["site".into(), "name".into()])));
        assert_eq!(read("kafka.key"), Ok(FieldPath::Kafka(KafkaField::Key)));
        let header = KafkaField::Header("site.name".into());
        assert_eq!(read("kafka.header.site.name"), Ok(FieldPath::Kafka(header)));
        assert_eq!(read("$.kafka.key"), Ok(FieldPath::Root(vec!["kafka".into(), "key".into()])));
        assert_eq!(read("=the boiler"), Ok(FieldPath::Constant("the boiler".into())));
    }

    #[test]
    fn broken_forms_are_refused() {
        for bad in [
            "",
            "=",
            "topic.0",
            "topic.33",
            "topic.x",
            "topic.",
            "kafka.",
            "kafka.keys",
            "kafka.header.",
            "a..b",
            ".a",
            "a.",
            "$.",
            &"a.".repeat(40),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
