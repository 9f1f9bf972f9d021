//! Models of keys that behave alike, fitted on their own windows as their own prior standardises them.

use ndarray::ArrayView2;

use super::{Trainer, WINDOWS_MAX, Windows};
use crate::engine::warmup::key_scale;
use crate::model::{self, Cohort, EVERYONE, FitError, Model, Pyramid, ScalerPrior, Settings, flags};

impl Trainer {
    /// Gives `model`, which is everyone's, the cohorts that `memory_bytes` of densities have room for, if its keys
    /// are unlike. `windows` are all that were kept.
    pub(super) fn with_cohorts(
        &self,
        model: Model,
        windows: &Windows,
        memory_bytes: u64,
    ) -> Result<Model, FitError> {
        let most = model::cohorts_max(self.setup.cells, self.setup.columns.len(), memory_bytes);
        if most == 0 || self.keys.len() < 2 {
            return Ok(model);
        }
        let keys: Vec<usize> = windows.origins.iter().map(|(key, _)| *key).collect();
        let rows = model::Rows { z: &windows.z, keys: &keys };
        let found = model::find(&rows, self.keys.len(), &model.pyramid, most)?;
        let mut cohorts = Vec::new();
        for (at, showing) in found.showings.iter().enumerate() {
            let own: Vec<bool> = found.cohort.iter().map(|cohort| *cohort as usize == at + 1).collect();
            let (cohort, windows) = self.fit_cohort(&own)?;
            cohorts.push((cohort, windows, *showing));
        }
        let names = self.keys.keys().map(|name| &**name).zip(found.cohort.iter().copied());
        Ok(model.with_cohorts(cohorts, names.filter(|(_, cohort)| *cohort != EVERYONE)))
    }

    /// Of the keys of which `own` says so, and the number of windows behind it.
    fn fit_cohort(&self, own: &[bool]) -> Result<(Cohort, usize), FitError> {
        let prior = self.prior_of(own);
        let windows = self.windows(&prior, own, WINDOWS_MAX);
        let (cells, columns) = (self.setup.cells, self.setup.columns.len());
        let (rows, width) = (windows.origins.len(), cells * columns);
        let view = ArrayView2::from_shape((rows, width), &windows.z).map_err(|_| FitError::Shape {
            found: windows.z.len(),
            cells,
            columns,
            expected: rows * width,
        })?;
        // What `memory` is held to is the usual size.
        let settings = Settings { large: false, ..self.settings };
        let pyramid = Pyramid::fit_with(view, cells, columns, &prior.flags, &settings)?;
        let usable = pyramid.usable(view).len();
        // The keys' own scales are with everyone's prior.
        let prior = ScalerPrior { keys: Default::default(), ..prior };
        Ok((Cohort { pyramid, prior }, usable))
    }

    /// What the keys of which `own` says so have in common.
    pub(super) fn prior_of(&self, own: &[bool]) -> ScalerPrior {
        let columns = self.setup.columns.len();
        let of = || self.keys.iter().zip(own).filter(|(_, own)| **own).map(|(key, _)| key);
        let scales = of().map(|(name, partition)| (name.to_vec(), key_scale(&partition.moments))).collect();
        let flags = flags(of().map(|(_, partition)| partition.warmup.windows()), columns);
        ScalerPrior { flags, ..ScalerPrior::from_keys(columns, scales) }
    }
}
