//! Why partitions have no model. Each of them tries again every minute of event time and fails for much the same reason: a
//! stream says each reason once.

use std::sync::Mutex;

/// Was nothing like it told yet? Partitions differ in the numbers that a reason names.
pub fn is_news(told: &Mutex<Vec<String>>, error: &str) -> bool {
    let kind: String = error.chars().filter(|c| !c.is_ascii_digit()).collect();
    let mut told = told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let news = !told.contains(&kind);
    if news {
        told.push(kind);
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FitError;

    #[test]
    fn each_reason_is_told_once_whatever_its_numbers() {
        let told = Mutex::default();
        let few = |rows, usable| {
            FitError::TooFewRows { rows, usable, needed: 32, missing: 32 - usable }.to_string()
        };
        assert!(is_news(&told, &few(40, 8)));
        assert!(!is_news(&told, &few(40, 8)));
        assert!(!is_news(&told, &few(123, 31)), "another partition's");
        let wide = FitError::TooManyColumns { found: 5_000, most: 4_096 }.to_string();
        assert!(is_news(&told, &wide), "another reason");
        assert!(!is_news(&told, &wide));
    }
}
