//! A model inside a partition's state: one fitted while running is kept in no file.

use super::{Model, ModelError};

impl Model {
    /// One that goes by `checksum` in alerts already told, though it has since given up its keys' scales.
    ///
    /// # Errors
    /// As [`Model::from_bytes`].
    pub fn fitted_before(bytes: &[u8], checksum: &str) -> Result<Model, ModelError> {
        let mut model = Model::from_bytes(bytes)?;
        if checksum.len() < 16 || !checksum.is_ascii() {
            return Err(ModelError::Unreadable { detail: "it has no checksum".to_owned() });
        }
        checksum.clone_into(&mut model.checksum);
        Ok(model)
    }
}
