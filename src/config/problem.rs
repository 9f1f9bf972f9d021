//! What is wrong with a config, all of it at once. Every problem names its place and its remedy.

use std::fmt;

/// Where a value was written. The order is the order of printing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The file as a whole.
    File,
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable that overrides the file.
    Variable(String),
}

/// One thing to put right. Texts never hold secrets: they end up in terminals and journals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// Dotted path of the key, such as `stream.pumps.window.every`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, without a full stop.
    pub fault: String,
    /// What to do about it, in whole sentences.
    pub remedy: String,
}

/// Every problem of one config file; never empty when it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file's name as the user gave it.
    pub file: String,
    pub list: Vec<Problem>,
}

impl Problems {
    /// Sorts by place, so that a reader can walk through the file once.
    pub fn new(file: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by(|a, b| a.origin.cmp(&b.origin));
        Problems { file: file.to_string(), list }
    }
}

/// One line a problem and a closing line with their number.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            match &problem.origin {
                Origin::File => write!(f, "{}: ", self.file)?,
                Origin::Line(line) => write!(f, "{}:{line}: ", self.file)?,
                Origin::Variable(name) => write!(f, "environment {name}: ")?,
            }
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            writeln!(f, "{}. {}", problem.fault, problem.remedy)?;
        }
        let plural = if self.list.len() == 1 { "" } else { "s" };
        write!(f, "{} problem{plural} in {}", self.list.len(), self.file)
    }
}

impl std::error::Error for Problems {}
