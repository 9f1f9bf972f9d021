//! What is kept of many references.

/// At most `most` of these, ascending, at evenly spaced ranks.
pub(super) fn knots(mut references: Vec<f32>, most: usize) -> Vec<f32> {
    references.sort_by(f32::total_cmp);
    let n = references.len();
    let kept = n.min(most);
    (0..kept).map(|i| references[(2 * i + 1) * n / (2 * kept)]).collect()
}
