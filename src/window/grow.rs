//! Room for state that grows a key or a row at a time and is kept: an eighth more than is needed, where
//! a vector by itself would take up to twice as much. `eddy plan` counts on it.

/// Elements at least by which a vector grows.
const STEP_MIN: usize = 4;

/// Makes room for `additional` more elements.
pub fn grow<T>(vec: &mut Vec<T>, additional: usize) {
    if vec.capacity() - vec.len() < additional {
        vec.reserve_exact(additional.max(vec.len() / 8).max(STEP_MIN));
    }
}

/// Elements a vector filled to `len` by [`grow`] has room for, on average.
pub fn grown(len: f64) -> f64 {
    len + (len / 16.0).max(STEP_MIN as f64 / 2.0)
}
