//! What goes up with a batch whose rings are on the device: new cells and scales of rings, and where windows lie. The
//! layout is that of kernels/append.cu and kernels/gather.cu.

use crate::backend::resident::{Place, Rings, Scale};
use crate::model::pyramid::NONE;

#[derive(Debug, Default)]
pub(super) struct Packet {
    /// First value of the ring, first sample, end of samples, place of scales or NONE.
    runs: Vec<[u32; 4]>,
    /// Place of the cell, cells before it that are missing.
    samples: Vec<[u32; 2]>,
    values: Vec<f32>,
    scales: Vec<f32>,
    /// First value of the ring, place of the last cell.
    windows: Vec<[u32; 2]>,
}

/// A packet's parts in their order, by number of entries: `windows` are the batch's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub runs: u32,
    pub windows: u32,
    pub samples: u32,
    /// With scales.
    pub values: u32,
    /// Of a ring.
    pub cells: u32,
    pub columns: u32,
}

impl Parts {
    /// Words before the windows, before the samples, before the values, and of all.
    pub fn words(&self) -> [usize; 4] {
        let windows = 4 * self.runs as usize;
        let samples = windows + 2 * self.windows as usize;
        let values = samples + 2 * self.samples as usize;
        [windows, samples, values, values + self.values as usize]
    }
}

impl Packet {
    pub fn clear(&mut self) {
        let Packet { runs, samples, values, scales, windows } = self;
        runs.clear();
        samples.clear();
        values.clear();
        scales.clear();
        windows.clear();
    }

    pub fn parts(&self, rings: &Rings<'_>) -> Parts {
        Parts {
            runs: self.runs.len() as u32,
            windows: self.windows.len() as u32,
            samples: self.samples.len() as u32,
            values: (self.values.len() + self.scales.len()) as u32,
            cells: rings.cells as u32,
            columns: rings.columns as u32,
        }
    }

    /// Whether one more window fits into so many words, whatever its ring may lack.
    pub fn has_room(&self, rings: &Rings<'_>, words: usize) -> bool {
        let Rings { cells, columns, .. } = rings;
        let [.., used] = self.parts(rings).words();
        used + 6 + cells * (2 + columns) + 2 * columns <= words
    }

    pub fn add_window(&mut self, first: u32, rings: &Rings<'_>) {
        self.windows.push([first, rings.place_of(rings.last_cell)]);
    }

    /// The cells of a ring from one on, and its scales if they are given.
    pub fn add_run(
        &mut self,
        first: u32,
        rings: &Rings<'_>,
        place: Place,
        from: i64,
        scales: Option<&[Scale]>,
    ) {
        let begin = self.samples.len() as u32;
        let mut missing = 0;
        for cell in from..=place.newest {
            let values = rings.cell(place.ring, cell);
            if cell < place.newest && values.iter().all(|value| value.is_nan()) {
                missing += 1;
                continue;
            }
            self.samples.push([rings.place_of(cell), std::mem::take(&mut missing)]);
            self.values.extend_from_slice(values);
        }
        let at = scales.map_or(NONE, |_| self.scales.len() as u32);
        self.runs.push([first, begin, self.samples.len() as u32, at]);
        for Scale { mean, sd } in scales.into_iter().flatten() {
            self.scales.extend([mean, sd]);
        }
    }

    /// Puts the parts one behind the other.
    pub fn write(&mut self, to: &mut [u32]) {
        let values = self.values.len() as u32;
        self.runs.iter_mut().filter(|run| run[3] != NONE).for_each(|run| run[3] += values);
        let words = [self.runs.as_flattened(), self.windows.as_flattened(), self.samples.as_flattened()];
        let words = words.into_iter().flatten().copied();
        let values = self.values.iter().chain(&self.scales).map(|value| value.to_bits());
        to.iter_mut().zip(words.chain(values)).for_each(|(to, word)| *to = word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_cells_are_told_of_and_not_sent() {
        let gone = f32::NAN;
        let scales = [Scale { mean: 7.0, sd: 8.0 }];
        // Cells 5 to 8 of the second ring, at their places modulo 4.
        let values = [0.0, 0.0, 0.0, 0.0, 8.0, gone, gone, 7.0];
        let rings = Rings {
            id: 1,
            values: &values,
            cells: 4,
            columns: 1,
            scales: &scales,
            last_cell: 8,
            places: &[],
            rows: None,
        };
        let place = Place { key: 0, ring: 1, newest: 8, changes: 1 };
        let mut packet = Packet::default();
        packet.add_run(40, &rings, place, 5, Some(&scales));
        packet.add_window(40, &rings);
        let parts = packet.parts(&rings);
        assert_eq!(parts.words(), [4, 6, 10, 14]);
        let mut words = [0; 14];
        packet.write(&mut words);
        let [of_7, of_8, mean, sd] = [7.0f32, 8.0, 7.0, 8.0].map(f32::to_bits);
        assert_eq!(words, [40, 0, 2, 2, 40, 0, 3, 2, 0, 0, of_7, of_8, mean, sd]);
    }
}
