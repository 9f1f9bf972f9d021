//! What scored and scores a partition, as bytes. Models come first, each once, however many epochs judged by it.

use std::sync::Arc;

use super::state::Models;
use crate::engine::scoring::{Density, References, Scoring, TRANSACTIONS};
use crate::engine::setup::StreamSetup;
use crate::judge::budget::Alarm;
use crate::judge::calibration::Calibration;
use crate::model::Model;
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

/// A checksum's length, and that of no bytes.
const MODEL_BYTES: usize = 16;

/// A loaded model by its checksum, its bytes are in a file; one fitted here whole.
pub(super) fn encode_models<'a>(
    scorings: impl Iterator<Item = &'a Scoring>,
    setup: &StreamSetup,
    to: &mut StateWriter<'_>,
) {
    let mut models: Vec<&Model> = Vec::new();
    for model in scorings.filter_map(Scoring::model) {
        if models.iter().all(|known| known.checksum() != model.checksum()) {
            models.push(model);
        }
    }
    to.len(models.len());
    for model in models {
        to.bytes(model.checksum().as_bytes());
        to.bytes(&if setup.loads_model { Vec::new() } else { model.to_bytes() });
    }
}

/// # Errors
/// If the bytes end early, or a model is not loaded, none, or of another stream.
pub(super) fn decode_models(
    setup: &StreamSetup,
    loaded: Models<'_>,
    from: &mut StateReader<'_>,
) -> Result<Vec<Arc<Model>>, NotUnderstood> {
    let mut models = Vec::new();
    for _ in 0..from.len(MODEL_BYTES)? {
        let checksum = text(from)?;
        let bytes = from.bytes()?;
        let model = if setup.loads_model {
            loaded(checksum).ok_or(NotUnderstood("its model is not in the folder `models`"))?
        } else {
            let fitted = Model::fitted_before(bytes, checksum);
            Arc::new(fitted.map_err(|_| NotUnderstood("the model fitted in it is none"))?)
        };
        let fits = model.check_schema(setup.cells, &setup.schema).is_ok();
        expect(fits, "its model is for other columns or another window")?;
        models.push(model);
    }
    Ok(models)
}

pub(in crate::engine) fn encode_scoring(scoring: Option<&Scoring>, to: &mut StateWriter<'_>) {
    to.flag(scoring.is_some());
    let Some(scoring) = scoring else { return };
    let Scoring { density, references, alarm: Alarm { threshold, calm } } = scoring;
    to.bytes(match density {
        Density::Windows(model) => model.checksum().as_bytes(),
        Density::Transactions => TRANSACTIONS.as_bytes(),
    });
    let known = || references.iter().enumerate().filter_map(|(at, of)| Some((at as u32, of.as_ref()?)));
    to.len(known().count());
    for (cohort, References { calibration, windows }) in known() {
        to.number(cohort);
        calibration.encode(to);
        to.number(*windows);
    }
    to.number(*threshold);
    to.number(*calm);
}

/// # Errors
/// If the bytes end early, or name a model that is not among `models`.
pub(in crate::engine) fn decode_scoring(
    models: &[Arc<Model>],
    from: &mut StateReader<'_>,
) -> Result<Option<Scoring>, NotUnderstood> {
    if !from.flag()? {
        return Ok(None);
    }
    let checksum = text(from)?;
    let none = Alarm { threshold: 0.0, calm: 0.0 };
    let mut scoring = if checksum == TRANSACTIONS {
        Scoring::transactions(0, none)
    } else {
        let model = models.iter().find(|model| model.checksum() == checksum);
        Scoring::new(model.ok_or(NotUnderstood("an epoch of a model that is not in it"))?.clone(), none)
    };
    for _ in 0..from.len(size_of::<u32>())? {
        let cohort: u32 = from.number()?;
        let of = References { calibration: Arc::new(Calibration::decode(from)?), windows: from.number()? };
        let place = scoring.references.get_mut(cohort as usize);
        *place.ok_or(NotUnderstood("a calibration of no cohort"))? = Some(of);
    }
    scoring.alarm = Alarm { threshold: from.number()?, calm: from.number()? };
    Ok(Some(scoring))
}

fn text<'a>(from: &mut StateReader<'a>) -> Result<&'a str, NotUnderstood> {
    std::str::from_utf8(from.bytes()?).map_err(|_| NotUnderstood("a checksum is no text"))
}
