//! Rules that tell alerts, by the names under which these are filed.

/// A window, or several that overlap, is too odd.
pub const WINDOW: &str = "window";
/// A column goes further than ever.
pub const ONSET: &str = "onset";
/// A key sends nothing.
pub const NO_DATA: &str = "no_data";

pub const ALL: [&str; 3] = [WINDOW, ONSET, NO_DATA];
