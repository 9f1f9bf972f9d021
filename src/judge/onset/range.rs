//! How far a number is outside a range.

/// Least width of a range, in parts of its largest value: below this an `f32` holds noise of its own making.
const WIDTH_MIN: f64 = 1e-6;
/// Beyond this many widths a record is as odd as it gets.
pub(super) const MARGIN_MAX: f64 = 9.0;

/// Lowest and highest so far, unit of the column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f32,
    pub high: f32,
}

impl Range {
    pub const EMPTY: Range = Range { low: f32::INFINITY, high: f32::NEG_INFINITY };

    pub fn widen(&mut self, value: f32) {
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }

    pub fn join(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn width(&self) -> f64 {
        let size = f64::from(self.low.abs().max(self.high.abs()));
        (f64::from(self.high) - f64::from(self.low)).max(WIDTH_MIN * size).max(f64::from(f32::MIN_POSITIVE))
    }

    /// How far `value` is outside, in widths of `unit`; 0 inside, and where nothing is known.
    pub fn margin(&self, value: f32, unit: &Range) -> f64 {
        if self.low > self.high || (self.low..=self.high).contains(&value) {
            return 0.0;
        }
        let beyond = (f64::from(value) - f64::from(self.high)).max(f64::from(self.low) - f64::from(value));
        (beyond / unit.width()).min(MARGIN_MAX)
    }
}
