//! "Did you mean …?" for misspelt names.

/// The candidate nearest to `word`, if it is near enough to be a slip of the hand: at most a third
/// of the letters differ (optimal string alignment distance, case ignored).
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `"a", "b" or "c"`, for texts that list what is allowed.
pub fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.split_last() {
        Some((last, [])) => last.to_string(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["topics", "type", "url"];
        assert_eq!(nearest("topic", known.into_iter()), Some("topics"));
        assert_eq!(nearest("ulr", known.into_iter()), Some("url"));
        assert_eq!(nearest("TYPE", known.into_iter()), Some("type"));
        assert_eq!(nearest("password", known.into_iter()), None);
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(list(["a"].into_iter()), "a");
        assert_eq!(list(["a", "b", "c"].into_iter()), "a, b or c");
    }
}
