//! How a stream's event time is cut into windows.

use std::time::Duration;

/// What a window is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Tumbling and hopping: cells of fixed times, the same for all keys; windows end at multiples of `every`
    /// since the Unix epoch. Tumbling is `every == size`.
    Grid,
    /// One window an event, ending with it: a provisional verdict on arrival, the final one at the watermark.
    Sliding,
    /// Events of a key less than `gap` apart, for at most `size`.
    Session { gap: Duration },
    /// The last `events` of a key, after each `every` of them.
    Count { events: u32, every: u32 },
}

/// `size`, `disorder` and `lateness` of a grid are multiples of `grid`, and its `every` is a multiple of
/// `grid` and divides `size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPlan {
    pub shape: Shape,
    /// Longest time from a window's first event to its last; zero where events are counted.
    pub size: Duration,
    /// Time between two windows; where events make them there is none, and it is zero.
    pub every: Duration,
    /// Length of a cell. Sliding windows have their cells counted back from the event.
    pub grid: Duration,
    /// How far the watermark stays behind the newest event of its partition: a window is judged once
    /// the watermark has passed its end. At most `lateness`; the same unless the shape is a grid.
    pub disorder: Duration,
    /// How far behind the newest event of its partition an event may be. One behind the watermark opens
    /// the windows that hold it again: their verdicts, and the alerts they led to, are revised.
    pub lateness: Duration,
}

/// Devices restart, and networks too.
const ALIVE_MIN: Duration = Duration::from_secs(600);
/// Where events are counted and no window has a length.
const ALIVE_UNTIMED: Duration = Duration::from_secs(24 * 3600);

impl WindowPlan {
    /// How old a key's newest reading may be while the key counts as alive: two windows, and ten minutes at least.
    pub fn alive(&self) -> Duration {
        let windows = if self.size.is_zero() { ALIVE_UNTIMED } else { 2 * self.size };
        windows.max(ALIVE_MIN)
    }

    /// As the config has it.
    pub fn type_name(&self) -> &'static str {
        match self.shape {
            Shape::Grid if self.every == self.size => "tumbling",
            Shape::Grid => "hopping",
            Shape::Sliding => "sliding",
            Shape::Session { .. } => "session",
            Shape::Count { .. } => "count",
        }
    }

    pub fn cells(&self) -> usize {
        match self.shape {
            Shape::Grid | Shape::Sliding => (self.size.as_nanos() / self.grid.as_nanos()) as usize,
            Shape::Session { .. } => 1,
            Shape::Count { events, .. } => events as usize,
        }
    }
}
