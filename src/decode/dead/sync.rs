//! Making the dead-letter file durable.

use std::fs::File;
use std::path::Path;

use super::{DeadError, DeadLetters};

impl DeadLetters {
    /// Makes everything durable. Before a snapshot says that the messages it came from need not be read
    /// again.
    pub fn sync(&mut self) -> Result<(), DeadError> {
        self.flush()?;
        if self.unsynced {
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let synced = self.file.get_ref().sync_data();
            let synced = synced.and_then(|()| File::open(folder.unwrap_or(Path::new(".")))?.sync_all());
            synced.map_err(|source| self.error("synced", source))?;
            self.unsynced = false;
        }
        Ok(())
    }
}
