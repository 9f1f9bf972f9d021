//! Why partitions have no model. Each of them tries again every minute of event time and fails for much the same reason: a
//! stream says each reason once.

use std::sync::Mutex;

use crate::model::FitError;

/// Says why a partition of `stream` has none, if nothing like it was `told` yet.
pub fn tell(told: &Mutex<Vec<String>>, stream: &str, error: &FitError) {
    if !is_news(told, error) {
        return;
    }
    match error {
        FitError::TooFewRows { rows, usable, needed, .. } if is_usual(error) => tracing::info!(
            stream,
            "still learning: {usable} of a partition's {rows} windows have enough of their cells, and {needed} are \
             needed; it looks again every minute of event time"
        ),
        _ => tracing::warn!(
            stream,
            %error,
            "a partition has no model yet; each tries again every minute of event time, and others that fail alike \
             are not heard of"
        ),
    }
}

/// Only time is wanting: readings begin in the midst of a window, so that the first one has seldom all of its cells.
fn is_usual(error: &FitError) -> bool {
    matches!(error, FitError::TooFewRows { rows, usable, .. } if 2 * usable > *rows)
}

/// Was nothing like it told yet? Partitions differ in the numbers that a reason names.
fn is_news(told: &Mutex<Vec<String>>, error: &FitError) -> bool {
    let text = format!("{} {error}", is_usual(error));
    let kind: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
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

    #[test]
    fn each_reason_is_told_once_whatever_its_numbers() {
        let told = Mutex::default();
        let few = |rows, usable| FitError::TooFewRows { rows, usable, needed: 32, missing: 32 - usable };
        assert!(is_news(&told, &few(40, 8)));
        assert!(!is_news(&told, &few(40, 8)));
        assert!(!is_news(&told, &few(123, 31)), "another partition's");
        let wide = FitError::TooManyColumns { found: 5_000, most: 4_096 };
        assert!(is_news(&told, &wide), "another reason");
        assert!(!is_news(&told, &wide));
        // Nothing is wrong with windows of which one has holes; and where most have, that is said still.
        assert!(is_usual(&few(32, 31)) && !is_usual(&few(40, 8)) && !is_usual(&wide));
        let told = Mutex::default();
        assert!(
            is_news(&told, &few(32, 31)) && is_news(&told, &few(64, 31)) && !is_news(&told, &few(32, 30))
        );
    }
}
