//! Whether a stream has drifted, and what to do about it.

use super::problems::Problem;
use super::snapshot::{DriftView, StreamView};
use crate::config::plan::{ModelPlan, StreamPlan};
use crate::types::drift::Drift;

/// A median shift from which on a stream has drifted, sd, and one below which it has not any more.
const DRIFTED_SD: f64 = 1.0;
const RETURNED_SD: f64 = 0.75;
/// Of fewer keys nobody can say whether one has changed or all have.
const KEYS_MIN: u64 = 5;

/// `was`: it had drifted in an earlier view.
pub fn view(drift: &Drift, stream: &StreamPlan, keys: u64, was: bool) -> Option<DriftView> {
    let columns = drift.columns().min(stream.columns.len());
    let shifts = (0..columns).filter_map(|column| Some((column, drift.shift_sd(column)?)));
    let (column, shift_sd) = shifts.max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()))?;
    let enough = if was { RETURNED_SD } else { DRIFTED_SD };
    Some(DriftView {
        column: stream.columns[column].name.clone(),
        shift_sd,
        keys_ratio: drift.moved(column),
        drifted: keys >= KEYS_MIN && shift_sd.abs() >= enough,
    })
}

/// A notice each of the streams that have drifted.
pub fn notes(streams: &[StreamView], plans: &[StreamPlan]) -> Vec<Problem> {
    let note = |(view, plan): (&StreamView, &StreamPlan)| {
        let drift = view.drift.as_ref().filter(|drift| drift.drifted)?;
        let way = if drift.shift_sd < 0.0 { "down" } else { "up" };
        Some(Problem {
            what: format!(
                "Stream {} has drifted: {} has moved {way} by {:.1} sd for {:.0} % of its keys since the model was trained",
                view.name,
                drift.column,
                drift.shift_sd.abs(),
                100.0 * drift.keys_ratio
            ),
            effect: "It is many keys that have changed, not one: alerts may tell of that alone".to_owned(),
            remedy: match plan.model {
                ModelPlan::Load { refit: Some(_), .. } => {
                    "The next refit may take it in; else train a model on recent data with eddy train"
                }
                ModelPlan::Load { refit: None, .. } => {
                    "Set refit = \"6h\", or train a model on recent data with eddy train"
                }
                ModelPlan::Fit { .. } | ModelPlan::Transactions { .. } => {
                    "Train a model on recent data with eddy train, and load it"
                }
            }
            .to_owned(),
        })
    };
    streams.iter().zip(plans).filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    fn shifted(shift: f64) -> Drift {
        let mut drift = Drift::new(4);
        (0..100).for_each(|_| drift.count(2, shift));
        drift
    }

    #[test]
    fn it_takes_less_to_go_on_than_to_begin_and_one_key_is_no_stream() {
        let stream = &testing::plan().streams[0];
        let drifted =
            |shift: f64, keys: u64, was: bool| view(&shifted(shift), stream, keys, was).unwrap().drifted;
        assert_eq!([drifted(0.9, 24, false), drifted(0.9, 24, true)], [false, true]);
        assert_eq!([drifted(1.3, 24, false), drifted(0.6, 24, true)], [true, false]);
        assert!(!drifted(3.0, 4, false));
        let found = view(&shifted(-2.1), stream, 24, false).unwrap();
        assert_eq!((found.column.as_str(), found.keys_ratio), ("temperature", 1.0));
        assert!(view(&Drift::new(4), stream, 24, false).is_none());
    }
}
