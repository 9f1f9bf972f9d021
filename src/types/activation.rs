//! Which model a stream is scored by, since when, and who had it so.

use serde::{Deserialize, Serialize};

use super::Arrival;

/// Digits of a checksum by which alerts, page and metrics name a model.
pub const MODEL_DIGITS: usize = 16;

/// Who had a stream scored by a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The file that the config names, at a start.
    #[default]
    File,
    /// A refit on what the stream has shown since.
    Refit,
    /// A person who went back to the model before.
    RollBack,
}

impl By {
    pub fn as_str(self) -> &'static str {
        match self {
            By::File => "file",
            By::Refit => "refit",
            By::RollBack => "roll_back",
        }
    }
}

/// One entry of a stream's history of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// By the wall clock; unknown of entries of older versions.
    #[serde(default)]
    pub at: Option<Arrival>,
    pub name: String,
    pub checksum: String,
    #[serde(default)]
    pub by: By,
}

/// What a roll-back goes to: the model that was active before the one that is. Going back twice goes back two
/// models, so roll-backs take away what they left.
pub fn before(history: &[Activation]) -> Option<&Activation> {
    let mut stack: Vec<&Activation> = Vec::new();
    for activation in history {
        match activation.by {
            By::File | By::Refit => stack.push(activation),
            By::RollBack => drop(stack.pop()),
        }
    }
    stack.iter().nth_back(1).copied()
}

/// A person has gone back by hand, and no file has come since: refits rest.
pub fn is_held(history: &[Activation]) -> bool {
    history.last().is_some_and(|last| last.by == By::RollBack)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(of: &[(&str, By)]) -> Vec<Activation> {
        let one = |(name, by): &(&str, By)| Activation {
            at: None,
            name: (*name).to_owned(),
            checksum: format!("sha of {name}"),
            by: *by,
        };
        of.iter().map(one).collect()
    }

    #[test]
    fn going_back_twice_goes_back_two_models() {
        use By::{File, Refit, RollBack};
        let mut all = vec![("a", File)];
        let goes_to = |all: &[(&str, By)]| before(&history(all)).map(|to| to.name.clone());
        assert_eq!(goes_to(&all), None);
        all.extend([("b", Refit), ("c", Refit)]);
        assert_eq!(goes_to(&all).as_deref(), Some("b"));
        assert!(!is_held(&history(&all)));
        all.push(("b", RollBack));
        assert_eq!(goes_to(&all).as_deref(), Some("a"));
        assert!(is_held(&history(&all)));
        all.push(("a", RollBack));
        assert_eq!(goes_to(&all), None, "there is nothing before the first");
        all.push(("d", File));
        assert_eq!(goes_to(&all).as_deref(), Some("a"));
        assert!(!is_held(&history(&all)));
    }
}
