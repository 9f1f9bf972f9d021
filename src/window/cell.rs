//! What the rows of one key in one grid cell come to, column by column.

use crate::config::plan::Aggregate;

/// Takes rows in order of time; missing where no row had the column. Sums are f64, so that they hold what
/// f32 values add up to.
pub struct CellFold {
    aggregates: Vec<Aggregate>,
    folded: Vec<Folded>,
    values: Vec<f32>,
}

#[derive(Clone, Copy, Default)]
struct Folded {
    count: u32,
    sum: f64,
    /// The last, smallest or largest, where that is asked for.
    chosen: f32,
}

impl CellFold {
    pub fn new(aggregates: Vec<Aggregate>) -> Self {
        let columns = aggregates.len();
        CellFold { aggregates, folded: vec![Folded::default(); columns], values: vec![f32::NAN; columns] }
    }

    pub fn add(&mut self, values: &[f32]) {
        for ((folded, aggregate), &value) in self.folded.iter_mut().zip(&self.aggregates).zip(values) {
            if value.is_nan() {
                continue;
            }
            folded.sum += f64::from(value);
            let first = folded.count == 0;
            let chosen = match aggregate {
                Aggregate::Min => first || value < folded.chosen,
                Aggregate::Max => first || value > folded.chosen,
                Aggregate::Last
                | Aggregate::Mean
                | Aggregate::Sum
                | Aggregate::Count
                | Aggregate::Ratio
                | Aggregate::SinceLast
                | Aggregate::Rarity
                | Aggregate::Risk => true,
            };
            if chosen {
                folded.chosen = value;
            }
            folded.count += 1;
        }
    }

    /// One value a column, and nothing folded any more.
    pub fn take(&mut self) -> &[f32] {
        for ((value, folded), aggregate) in self.values.iter_mut().zip(&mut self.folded).zip(&self.aggregates)
        {
            *value = folded.value(*aggregate);
            *folded = Folded::default();
        }
        &self.values
    }
}

/// What a column comes to over these values in order of time: as [`CellFold`] has it, but of rows that lie side by
/// side, so that each column takes one straight run.
pub fn fold_column(aggregate: Aggregate, values: impl DoubleEndedIterator<Item = f32> + Clone) -> f32 {
    let mut present = values.filter(|value| !value.is_nan());
    let mut folded = Folded::default();
    match aggregate {
        Aggregate::Mean | Aggregate::Sum | Aggregate::Count => {
            for value in present {
                folded.sum += f64::from(value);
                folded.count += 1;
            }
        }
        Aggregate::Min | Aggregate::Max => {
            let better = |a: f32, b: f32| if (aggregate == Aggregate::Min) == (b < a) { b } else { a };
            if let Some(chosen) = present.reduce(better) {
                folded = Folded { count: 1, sum: 0.0, chosen };
            }
        }
        Aggregate::Last | Aggregate::Ratio | Aggregate::SinceLast | Aggregate::Rarity | Aggregate::Risk => {
            if let Some(chosen) = present.next_back() {
                folded = Folded { count: 1, sum: 0.0, chosen };
            }
        }
    }
    folded.value(aggregate)
}

impl Folded {
    fn value(&self, aggregate: Aggregate) -> f32 {
        match aggregate {
            // A cell with rows, none of which has the column: that many there were.
            Aggregate::Count => self.count as f32,
            _ if self.count == 0 => f32::NAN,
            Aggregate::Mean => (self.sum / f64::from(self.count)) as f32,
            // Many large values may add up to more than f32 holds; an infinity would be as good as missing.
            Aggregate::Sum => self.sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32,
            Aggregate::Last | Aggregate::Min | Aggregate::Max => self.chosen,
            // What these look back on is not in the cell: whoever knows it goes on from the last reading.
            Aggregate::Ratio | Aggregate::SinceLast | Aggregate::Rarity | Aggregate::Risk => self.chosen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Aggregate::*;
    use proptest::prelude::*;

    const ALL: [Aggregate; 6] = [Mean, Last, Sum, Min, Max, Count];

    fn naive(aggregate: Aggregate, present: &[f32]) -> f32 {
        let sum: f64 = present.iter().map(|&v| f64::from(v)).sum();
        match (aggregate, present) {
            (Count, _) => present.len() as f32,
            (_, []) => f32::NAN,
            (Mean, _) => (sum / present.len() as f64) as f32,
            (Sum, _) => sum as f32,
            (Last, _) => present[present.len() - 1],
            (Min, _) => present.iter().copied().fold(f32::INFINITY, f32::min),
            (Max, _) => present.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            (Ratio | SinceLast | Rarity | Risk, _) => unreachable!("what looks back on other cells"),
        }
    }

    proptest! {
        #[test]
        fn equals_the_plain_formulas_and_missing_stays_missing(
            cells in prop::collection::vec(prop::collection::vec(prop::option::of(-1e3f32..1e3), 0..9), 1..5),
        ) {
            let mut fold = CellFold::new(ALL.to_vec());
            for cell in cells {
                for value in &cell {
                    fold.add(&[value.unwrap_or(f32::NAN); 6]);
                }
                let present: Vec<f32> = cell.iter().copied().flatten().collect();
                let expected = ALL.map(|aggregate| naive(aggregate, &present).to_bits());
                let found: Vec<u32> = fold.take().iter().map(|value| value.to_bits()).collect();
                prop_assert_eq!(&found[..], expected);
                let values = cell.iter().map(|value| value.unwrap_or(f32::NAN));
                let at_once = ALL.map(|aggregate| fold_column(aggregate, values.clone()).to_bits());
                prop_assert_eq!(at_once, expected);
            }
        }
    }

    #[test]
    fn a_sum_beyond_f32_stays_a_number() {
        let mut fold = CellFold::new(vec![Sum]);
        (0..3).for_each(|_| fold.add(&[f32::MAX]));
        assert_eq!(fold.take(), [f32::MAX]);
    }
}
