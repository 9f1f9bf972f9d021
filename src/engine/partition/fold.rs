//! A cell's rows become its keys' values.

use super::{Partition, Scoring};
use crate::window::cell::CellFold;
use crate::window::keys::KeyIndex;

impl Partition {
    /// Turns the pending rows of a cell into the keys' values of that cell.
    pub(super) fn fold(&mut self, cell: i64, columns: usize) {
        let Partition {
            pending,
            keys,
            grid,
            moments,
            cell_fold,
            silence,
            onsets,
            heard,
            scoring,
            newest_cell,
            seen_keys,
            counts,
            ..
        } = self;
        let flags = scoring.as_ref().map_or(&[][..], Scoring::flags);
        let mut current: Option<(KeyIndex, i64)> = None;
        let mut write = |key: KeyIndex, arrival: i64, folded: &mut CellFold| {
            let values = folded.take();
            for (column, &value) in values.iter().enumerate() {
                if !value.is_nan() {
                    moments[key as usize * columns + column].observe(f64::from(value));
                }
            }
            *seen_keys += u64::from(!grid.seen(key));
            grid.write(key, cell, values, arrival);
            onsets.take(key, cell, values, flags, &heard.in_force);
            *newest_cell = cell;
        };
        let duplicates = pending.release(cell, keys, |entry, values| {
            silence.row(entry.key, cell, entry.time);
            match &mut current {
                Some((key, arrival)) if *key == entry.key => *arrival = (*arrival).max(entry.arrival),
                _ => {
                    if let Some((key, arrival)) = current {
                        write(key, arrival, cell_fold);
                    }
                    current = Some((entry.key, entry.arrival));
                }
            }
            cell_fold.add(values);
        });
        if let Some((key, arrival)) = current {
            write(key, arrival, cell_fold);
        }
        counts.duplicates += duplicates;
        counts.events -= duplicates;
    }
}
