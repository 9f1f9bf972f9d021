//! What of a window's column counts as a departure.

use super::Departure;

/// Half of the central 95 % of a normal distribution, sd.
const BAND_SD: f64 = 1.96;

/// How a window's column departs, by what each of its cells is off what was expected (NaN if missing): the furthest to
/// either side, of no side that is but the ripple of the other (less than half as far). Nothing of a column that stays
/// inside its band: then it is odd by how it moves, and that is no matter of how far.
///
/// Half of the band holds 95 % of single cells, and the furthest of `n` goes further: by the tail of a normal
/// distribution, `exp(-x^2 / 2)`, `sqrt(x^2 + 2 ln n)` is as rare among `n` as x alone.
pub fn departures(column: usize, off: &[f64], half_width: f64) -> impl Iterator<Item = Departure> {
    let seen = off.iter().filter(|off| !off.is_nan());
    let (low, high) = seen.clone().fold((0.0f64, 0.0f64), |(low, high), off| (low.min(*off), high.max(*off)));
    let largest = high.max(-low);
    let more = (1.0 + 2.0 * (seen.count().max(1) as f64).ln() / BAND_SD.powi(2)).sqrt();
    let is_out = largest > half_width * more;
    let sides = [low, high].into_iter().filter(move |off| is_out && off.abs() >= 0.5 * largest);
    sides.map(move |off| Departure::of_window(column, 0.0, off))
}
