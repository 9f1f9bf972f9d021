//! The models of the data folder, and the way of one to the engines while the appliance runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Result;

use crate::durable::{LogError, RealDisk, read_blob, store_blob};
use crate::model::Model;

/// Models are kept under their checksum; whoever wants one activated holds it ready here first, so that the
/// entry of the control log names bytes that are on the disk.
pub struct Models {
    dir: PathBuf,
    ready: Mutex<Vec<Arc<Model>>>,
}

impl Models {
    /// Of data folder `data`.
    pub fn of(data: &Path) -> Self {
        Models { dir: data.join("models"), ready: Mutex::default() }
    }

    /// Makes a model's bytes durable.
    pub fn store(&self, checksum: &str, bytes: &[u8]) -> Result<(), LogError> {
        store_blob(&mut RealDisk::new(), &self.dir, &blob_name(checksum), bytes)
    }

    /// Stores a model and holds it ready as it reads back, so that what is scored by is what a later start will read.
    ///
    /// # Errors
    /// If the disk fails, or the model could not be read again.
    pub fn keep(&self, model: &Model) -> Result<Arc<Model>> {
        self.store(model.checksum(), &model.to_bytes())?;
        self.fetch(model.checksum())
    }

    /// # Errors
    /// If its bytes are not there, damaged, or of another version.
    pub fn read(&self, checksum: &str) -> Result<Arc<Model>> {
        let bytes = read_blob(&RealDisk::new(), &self.dir, &blob_name(checksum))?;
        let model = Model::from_bytes(&bytes)?;
        let found = model.checksum();
        anyhow::ensure!(
            found == checksum,
            "models/{} in the data folder holds the model {found}: restore the folder from a backup",
            blob_name(checksum)
        );
        Ok(Arc::new(model))
    }

    /// Reads a model and holds it ready.
    ///
    /// # Errors
    /// As [`Models::read`].
    pub fn fetch(&self, checksum: &str) -> Result<Arc<Model>> {
        let model = self.read(checksum)?;
        self.lock().push(model.clone());
        Ok(model)
    }

    /// A model that is to be activated; from the disk, if nobody holds it ready.
    ///
    /// # Errors
    /// As [`Models::read`].
    pub fn take(&self, checksum: &str) -> Result<Arc<Model>> {
        let mut ready = self.lock();
        match ready.iter().position(|model| model.checksum() == checksum) {
            Some(at) => Ok(ready.swap_remove(at)),
            None => self.read(checksum),
        }
    }

    /// A model that is not to be activated after all.
    pub fn discard(&self, checksum: &str) {
        self.lock().retain(|model| model.checksum() != checksum);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Model>>> {
        self.ready.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn blob_name(checksum: &str) -> String {
    format!("{checksum}.safetensors")
}
